"""A work as a part data set: its accepted categories, with who drew and who inspected them."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select

from annotate.data.accepted import OVERLAPS
from annotate.inspect.discards import find_cases
from annotate.inspect.effort import measure_effort
from annotate.inspect.provenance import Provenance
from annotate.inspect.records import (
    discard_record,
    image_record,
    review_of,
    reviews_of,
    round_record,
)
from annotate.studio.acts.overlaps import accepted_overlaps
from annotate.vocabulary import ObjectParts
from annotate.work import PICTURE, Answer, Batch, CategoryId, Image, Verdict, Work, in_correction
from partlab import schema
from partlab.counts import counted
from partlab.inclusions import Inclusions, merged
from partlab.masks import area, bbox, union
from partlab.parts import join_name
from partlab.progress import track
from partlab.schema import Annotation, Category, Dataset, Discard

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export.

    `include_open` also takes categories that are not accepted, as far as they are drawn;
    `human_only` leaves out every image that a model had a hand in (D-05), `exclude_failed`
    every image that an inspector failed, though its category was accepted. `objects` are the
    object categories that are meant, all if none is named.
    """

    include_open: bool = False
    human_only: bool = False
    exclude_failed: bool = False
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Built:
    """A data set made from a work, and what was left out of it.

    `waiting` are object categories that are not accepted, by state, `older` those drawn before
    they got parts that are not in it, with what these are; `touched` counts images
    left out because a model helped, `failed` images that an inspector failed, `excluded` those of
    them left out, `correcting` images left out because they were sent back and have not passed
    since, `undone` images of open rounds without masks, `gone` masks of parts that the vocabulary
    no longer has, `unnamed` object categories that were not asked for.
    """

    dataset: Dataset
    rounds: dict[str, dict[str, Any]]
    waiting: dict[str, str] = field(default_factory=dict)
    older: dict[str, str] = field(default_factory=dict)
    touched: int = 0
    failed: int = 0
    excluded: int = 0
    correcting: int = 0
    undone: int = 0
    gone: int = 0
    unnamed: int = 0


def build(
    work: Work,
    wanted: Wanted | None = None,
    *,
    round: int | None = None,
    keep_ids: bool = True,
) -> Built:
    """The data set of a work: of each object category the newest accepted round.

    Its parts are those it was drawn with, by their names of now; merged ones are one.
    `round` takes exactly that round of every category that has come so far, accepted or not.
    With `keep_ids` off nothing is noted in the work, and new parts have passing numbers.
    Image ids are the work's, category ids are given once and for ever; masks stay layers and
    are never flattened (M-03), but those of one part of one object are united.

    Raises:
        UnknownNameError, StateError: as `Work.batch`, of an object category that is named.
    """
    wanted = wanted or Wanted()
    batches = work.batches()
    asked = [work.batch(name) for name in dict.fromkeys(wanted.objects)] or batches
    found = {batch.object: _choose(work, batch.object, wanted, round) for batch in asked}
    chosen = {name: batch for name, batch in found.items() if batch is not None}
    moves = {n: work.moves(chosen[n]) for n in work.vocabulary.names if n in chosen}
    drawn = [one.parts for one in moves.values()]
    builder = _Builder(work, category_ids(work, drawn, keep=keep_ids), wanted)
    for parts in track(drawn, "object categories", len(drawn)):
        builder.add(parts, chosen[parts.name])
    names = [parts.name for parts in drawn]
    older = {name: one.undrawn for name, one in moves.items() if one.undrawn}
    left = [batch for batch in asked if batch.object not in names]
    done = {b.object for b in left if b.state == "accepted" and found[b.object] is None}
    waiting = {batch.object: batch.state for batch in left if batch.object not in done}
    return replace(builder.built(waiting, older), unnamed=len(batches) - len(asked))


def _choose(work: Work, object: str, wanted: Wanted, round: int | None) -> Batch | None:
    rounds = work.rounds(object)
    if round is not None:
        found = [b for b in rounds if b.round == round and b.state not in ("planned", "abandoned")]
        return found[0] if found else None
    if wanted.include_open:
        return rounds[-1]
    return next((batch for batch in reversed(rounds) if batch.state == "accepted"), None)


def category_ids(
    work: Work, drawn: Sequence[ObjectParts] = (), *, keep: bool = True
) -> dict[tuple[str, str], int]:
    """The number of each (object, part id) in every file; new parts get the next free ones.

    Numbers of parts that left the vocabulary are never given again; some may be `drawn` still.
    """
    with work.read() as session:
        given = {(row.object, row.part): row.id for row in session.scalars(select(CategoryId))}
    highest = max(given.values(), default=0)
    parts = [(o.name, id) for o in (*work.vocabulary.objects, *drawn) for id in o.ids]
    parts = list(dict.fromkeys(parts))
    new = {key: highest + n for n, key in enumerate((p for p in parts if p not in given), 1)}
    if new and keep:
        ids = [[owner, part, number] for (owner, part), number in new.items()]
        work.record("categories", who="partlab", data={"ids": ids})
    return given | new


class _Builder:
    """Gathers object categories into one data set."""

    def __init__(self, work: Work, ids: dict[tuple[str, str], int], wanted: Wanted) -> None:
        self.work, self.ids, self.wanted = work, ids, wanted
        self.provenance = Provenance(work)
        self.images: list[schema.Image] = []
        self.annotations: list[Annotation] = []
        self.categories: list[Category] = []
        self.inclusions: list[Inclusions] = []
        self.discards: list[Discard] = []
        self.rounds: dict[str, dict[str, Any]] = {}
        self.overlaps: dict[str, list[list[str]]] = {}
        self.gone: Counter[str] = Counter()
        self.touched = self.failed = self.excluded = self.correcting = self.undone = 0

    def add(self, parts: ObjectParts, batch: Batch) -> None:
        """One object category in one round."""
        self.categories += [self._category(parts, id) for id in parts.ids]
        self.inclusions.append(parts.categories.inclusions)
        verdicts, before = self._verdicts(batch), (len(self.images), len(self.annotations))
        drawn, correcting = self._answers(parts, batch, verdicts)
        self._discards(parts.name, drawn)
        refused = {case.raw["id"] for case in self.discards}
        tasks = self.work.tasks(batch.object, batch.round)
        handed_out = {task.image_id for task in tasks if task.role == PICTURE}
        self.correcting += len(correcting)
        self.undone += len(handed_out - drawn - refused - correcting)
        names = [[parts.part(id).name for id in pair] for pair in _known(self.work, parts, batch)]
        self.overlaps |= {parts.name: names} if names else {}
        self.rounds[parts.name] = {
            **round_record(batch),
            "review": reviews_of(batch, verdicts),
            "images": len(self.images) - before[0],
            "masks": len(self.annotations) - before[1],
        }

    def _answers(
        self, parts: ObjectParts, batch: Batch, verdicts: Mapping[int, Verdict]
    ) -> tuple[set[int], set[int]]:
        """Take what is drawn and wanted; the ids of drawn images, and of those in correction."""
        images = {image.id: image for image in self.work.images(parts.name)}
        drawn, correcting = set[int](), set[int]()
        for answer in self.work.answers(batch.object, batch.round):
            if in_correction(answer):
                correcting.add(answer.image_id)
            elif answer.kind == "masks":
                drawn.add(answer.image_id)
                verdict = verdicts.get(answer.image_id)
                if self._is_wanted(answer, verdict):
                    image, model = images[answer.image_id], self.provenance.suggested_by(answer)
                    self.images.append(image_record(image, model, verdict))
                    self._masks(parts, image, answer, review_of(batch, verdict))
        return drawn, correcting

    def _is_wanted(self, answer: Answer, verdict: Verdict | None) -> bool:
        """Whether an answer comes into the data set; counts it where a rule has a say."""
        if self.wanted.human_only and self.provenance.helped(answer):
            self.touched += 1
            return False
        failed = verdict is not None and not verdict.passed
        left_out = failed and self.wanted.exclude_failed
        self.failed += failed
        self.excluded += left_out
        return not left_out

    def _category(self, parts: ObjectParts, id: str) -> Category:
        ours: dict[str, Any] = {"part_id": id, "wnid": parts.wnid, "qid": parts.qid}
        ours |= {"whole_object": True} if parts.whole_object else {}
        stated = {key: value for key, value in ours.items() if value is not None}
        return Category.new(self.ids[parts.name, id], parts.name, parts.part(id).name, **stated)

    def _verdicts(self, batch: Batch) -> dict[int, Verdict]:
        query = select(Verdict).filter_by(object=batch.object, round=batch.round)
        with self.work.read() as session:
            return {verdict.image_id: verdict for verdict in session.scalars(query)}

    def _masks(self, parts: ObjectParts, image: Image, answer: Answer, review: str) -> None:
        together: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for mask in answer.masks:
            together.setdefault((mask["part"], mask["object"]), []).append(mask)
        known = [key for id in parts.ids for key in sorted(together) if key[0] == id]
        self.gone.update(join_name(parts.name, key[0]) for key in set(together) - set(known))
        for part, instance in known:
            masks = together[part, instance]
            rle = masks[0]["rle"] if len(masks) == 1 else union([mask["rle"] for mask in masks])
            self.annotations.append(
                Annotation.new(
                    len(self.annotations) + 1,
                    image.id,
                    self.ids[parts.name, part],
                    rle,
                    bbox=bbox(rle),
                    area=area(rle),
                    object_id=instance,
                    provenance=self.provenance.of(answer, masks),
                    review=review,
                )
            )

    def _discards(self, object: str, drawn: set[int]) -> None:
        """Final refusals of all rounds, the newest word on each; an image since drawn is none."""
        final = {c.image_id: c for c in find_cases(self.work, object) if c.state == "final"}
        images = {image.id: image for image in self.work.images(object)}
        for id, case in sorted(final.items()):
            if id not in drawn:
                self.discards.append(discard_record(images[id], case))

    def built(self, waiting: dict[str, str], older: dict[str, str]) -> Built:
        """The data set, with what it says of the work at its top level."""
        vocabulary = self.work.vocabulary
        about = {
            "name": self.work.settings.name,
            "id": self.work.settings.id,
            "vocabulary": {
                "name": vocabulary.name,
                "version": vocabulary.version,
                "sha256": vocabulary.hash,
            },
        }
        effort = measure_effort(self.work).as_json()
        ours: dict[str, Any] = {"work": about, "rounds": self.rounds, "effort": effort}
        ours |= {OVERLAPS: self.overlaps} if self.overlaps else {}
        dataset = Dataset(
            images=self.images,
            annotations=self.annotations,
            categories=self.categories,
            inclusions=merged(self.inclusions),
            discards=self.discards,
            top={schema.OURS: ours},
        )
        for part, count in self.gone.items():
            masks = counted(count, "mask")
            log.warning("left out: %s of %s, which is not in the vocabulary", masks, part)
        gone = self.gone.total()
        counts = {
            name: getattr(self, name) for name in ("failed", "excluded", "correcting", "undone")
        }
        return Built(dataset, self.rounds, waiting, older, self.touched, gone=gone, **counts)


def _known(work: Work, parts: ObjectParts, batch: Batch) -> Iterator[tuple[str, str]]:
    """The overlaps that were accepted, between parts that are still there."""
    return (pair for pair in accepted_overlaps(work, batch) if {*pair} <= {*parts.ids})
