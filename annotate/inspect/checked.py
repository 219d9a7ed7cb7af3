"""What annotators made of the honeypots in their work, beside the masks that are known.

    for one in check_annotators(work, bar=0.7):
        print(one.record.annotator, one.object, one.record.overlap)

All rounds count, in the order of time; an annotator who gave a honeypot up has drawn nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from annotate.inspect.honeypots import BAR, Record, score_honeypots
from annotate.vocabulary import ObjectParts
from annotate.work import Answer, Batch, Image, Work
from partlab import schema
from partlab.errors import StateError
from partlab.masks import union
from partlab.schema import Annotation, Category, Dataset

JUDGED = ("masks", "discard", "restored")
Masks = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Checked:
    """One annotator's honeypots of one object category; `object` is None for all of them."""

    object: str | None
    record: Record
    refused: int

    @property
    def failed(self) -> int:
        """How many answers lie under the bar."""
        return len(self.record.answers) - self.record.passed

    def as_json(self) -> dict[str, Any]:
        """For programs; an answer's `file_name` reads <object>/r<round>/<image id>."""
        share = self.failed / len(self.record.answers)
        told = {"object": self.object, "failed": self.failed, "failed_share": share}
        return {**asdict(self.record), **told, "refused": self.refused}


def check_annotators(work: Work, objects: Sequence[str] = (), *, bar: float = BAR) -> list[Checked]:
    """Compare all answers to honeypots with the known masks; each annotator's whole comes first.

    Parts that the known masks say nothing of are not judged, nor are parts that were split
    since; merged ones are compared as what they are now.

    Raises:
        UnknownNameError: no such object category was handed out.
        StateError: the work has no honeypots, or none was drawn yet.
        ConfigError: the bar is not between 0 and 1.
    """
    for name in objects:
        work.batch(name)
    if not work.honeypots():
        raise StateError(
            f"the work in {work.folder} has no honeypots",
            hint="they are mixed in when a work begins: partlab studio create --honeypots DATA",
        )
    pairs = _Pairs(work)
    for image in work.images(with_honeypots=True):
        if image.truth is not None and (not objects or image.object in objects):
            pairs.images[image.id] = image
    for name in dict.fromkeys(image.object for image in pairs.images.values()):
        for batch in work.rounds(name):
            pairs.add(batch, work.answers(name, batch.round, with_honeypots=True))
    if not pairs.who:
        raise StateError("no honeypot was drawn yet", hint="`partlab studio pull` fetches answers")
    return list(pairs.score(bar))


@dataclass
class _Pairs:
    """Known and drawn masks as two data sets; an image for each answer, by the same name."""

    work: Work
    merged: Mapping[str, str] = field(default_factory=dict)  # of the round that is added
    images: dict[int, Image] = field(default_factory=dict)
    records: list[schema.Image] = field(default_factory=list)
    known: list[Annotation] = field(default_factory=list)
    drawn: list[Annotation] = field(default_factory=list)
    categories: dict[tuple[str, str], int] = field(default_factory=dict)
    who: dict[str, str] = field(default_factory=dict)
    when: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def add(self, batch: Batch, answers: Iterable[Answer]) -> None:
        """The answers of one round; what was merged since bears its new id."""
        self.merged = self.work.moves(batch).merged
        for answer in answers:
            if answer.image_id in self.images and answer.kind in JUDGED:
                self._add(batch, answer, self.images[answer.image_id])

    def _add(self, batch: Batch, answer: Answer, image: Image) -> None:
        truth: dict[str, Any] = image.truth or {}
        now = {id: self.merged.get(at, at) for id, at in self._now(batch, truth).items()}
        true = [{**m, "part": now[m["part"]]} for m in truth["masks"] if m["part"] in now]
        if not true:
            return
        name = f"{batch.object}/r{batch.round}/{image.id}"
        self.who[name], self.when[name] = answer.annotator, answer.updated_at
        self.refused |= {name} if answer.kind != "masks" else set()
        size = (image.width, image.height)
        record = schema.Image.new(len(self.records) + 1, name, size, object=batch.object)
        self.records.append(record)
        self.known += self._annotations(record.id, batch.object, true)
        asked = [mask for mask in answer.masks if mask["part"] in now.values()]
        self.drawn += self._annotations(record.id, batch.object, asked)

    def _now(self, batch: Batch, truth: Mapping[str, Any]) -> dict[str, str]:
        """Known part id -> what it is in the vocabulary of the round; gone ones are left out."""
        now: dict[str, str | None] = {id: id for id in truth["parts"]}
        for change in self.work.vocabulary.changes:
            if change.object == batch.object and (
                truth["version"] < change.version <= batch.vocabulary_version
            ):
                after = {"merge": change.after[:1], "rename": change.after}.get(change.operation)
                for id, at in now.items():
                    if at in change.before:
                        now[id] = after[0] if after else None
        return {id: at for id, at in now.items() if at is not None}

    def _annotations(self, image: int, object: str, masks: Masks) -> Iterator[Annotation]:
        layers: dict[tuple[str, int], list[Any]] = {}
        for mask in masks:
            layers.setdefault((mask["part"], mask["object"]), []).append(mask["rle"])
        for (part, instance), rles in layers.items():
            number = self.categories.setdefault((object, part), len(self.categories) + 1)
            yield Annotation.new(0, image, number, union(rles), object_id=instance)

    def score(self, bar: float) -> Iterator[Checked]:
        """All together, then each object category."""
        categories = [
            Category.new(number, object, _name(self.work.vocabulary.object(object), part))
            for (object, part), number in self.categories.items()
        ]
        truth, answers = (
            Dataset(self.records, each, categories) for each in (self.known, self.drawn)
        )
        about: dict[str, Any] = {"annotators": self.who, "when": self.when, "bar": bar}
        found: list[Checked] = []
        for object in (None, *dict.fromkeys(image.object for image in self.records)):
            ids = [image.id for image in self.records if object in (None, image.object)]
            for record in score_honeypots(truth.subset(ids), answers.subset(ids), **about):
                refused = sum(answer.file_name in self.refused for answer in record.answers)
                found.append(Checked(object, record, refused))
        yield from sorted(found, key=lambda one: (one.record.annotator, one.object or ""))


def _name(parts: ObjectParts, id: str) -> str:
    return parts.part(id).name if id in parts.ids else id
