"""The result of a work as a part data set, and the state made again from its exports.

OUT/annotations/all.json    accepted categories, newest round (or OUT/r<n>/annotations/all.json)
OUT/images/…                the pictures, linked or copied
OUT/manifest.json           rounds, hashes, effort
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from annotate.data.accepted import OVERLAPS
from annotate.data.formats.pictures import Pictures, is_safe_name, place
from annotate.inspect.discards import DiscardCase, find_cases
from annotate.inspect.effort import measure_effort
from annotate.inspect.exports import note_export
from annotate.inspect.provenance import Provenance
from annotate.studio.acts.overlaps import accepted_overlaps
from annotate.vocabulary import ObjectParts
from annotate.work import PICTURE, Answer, Batch, CategoryId, Image, Verdict, Work, in_correction
from annotate.work.pictures import original_picture, shown_picture
from partlab import schema
from partlab.coco import write_coco
from partlab.errors import NotFoundError, SchemaError, StateError
from partlab.files import sha256_file, write_json
from partlab.folders import new_folder
from partlab.inclusions import Inclusions, merged
from partlab.masks import area, bbox, union
from partlab.parts import join_name
from partlab.progress import track
from partlab.schema import Annotation, Category, Dataset, Discard

log = logging.getLogger(__name__)

SPLIT = "all"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export.

    `include_open` also takes categories that are not accepted, as far as they are drawn;
    `human_only` leaves out every image that a model had a hand in (D-05), `exclude_failed`
    every image that an inspector failed, though its category was accepted.
    """

    include_open: bool = False
    human_only: bool = False
    exclude_failed: bool = False


@dataclass(frozen=True)
class Built:
    """A data set made from a work, and what was left out of it.

    `waiting` are object categories that are not accepted, by state, `older` those drawn before
    they got parts that are not in it, with what these are; `touched` counts images
    left out because a model helped, `failed` images that an inspector failed, `excluded` those of
    them left out, `correcting` images left out because they were sent back and have not passed
    since, `undone` images of open rounds without masks, `gone` masks of parts that the vocabulary
    no longer has.
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
    """
    wanted = wanted or Wanted()
    found = {batch.object: _choose(work, batch.object, wanted, round) for batch in work.batches()}
    chosen = {name: batch for name, batch in found.items() if batch is not None}
    moves = {n: work.moves(chosen[n]) for n in work.vocabulary.names if n in chosen}
    drawn = [one.parts for one in moves.values()]
    builder = _Builder(work, category_ids(work, drawn, keep=keep_ids), wanted)
    for parts in track(drawn, "object categories", len(drawn)):
        builder.add(parts, chosen[parts.name])
    names = [parts.name for parts in drawn]
    older = {name: one.undrawn for name, one in moves.items() if one.undrawn}
    left = [batch for batch in work.batches() if batch.object not in names]
    done = {b.object for b in left if b.state == "accepted" and found[b.object] is None}
    waiting = {batch.object: batch.state for batch in left if batch.object not in done}
    return builder.built(waiting, older)


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
        images = {image.id: image for image in self.work.images(parts.name)}
        tasks = self.work.tasks(batch.object, batch.round)
        handed_out = {task.image_id for task in tasks if task.role == PICTURE}
        verdicts, before = self._verdicts(batch), (len(self.images), len(self.annotations))
        drawn, correcting = set(), set()
        for answer in self.work.answers(batch.object, batch.round):
            image = images[answer.image_id]
            if in_correction(answer):
                correcting.add(answer.image_id)
                continue
            if answer.kind != "masks":
                continue
            drawn.add(answer.image_id)
            if self.wanted.human_only and self.provenance.helped(answer):
                self.touched += 1
                continue
            verdict = verdicts.get(answer.image_id)
            failed = verdict is not None and not verdict.passed
            self.failed += failed
            if failed and self.wanted.exclude_failed:
                self.excluded += 1
                continue
            self.images.append(_image(image, self.provenance.suggested_by(answer), verdict))
            self._masks(parts, image, answer, _review(batch, verdict))
        self._discards(parts.name, drawn)
        refused = {case.raw["id"] for case in self.discards}
        self.correcting += len(correcting)
        self.undone += len(handed_out - drawn - refused - correcting)
        names = [[parts.part(id).name for id in pair] for pair in _known(self.work, parts, batch)]
        self.overlaps |= {parts.name: names} if names else {}
        self.rounds[parts.name] = {
            **_about(batch),
            "review": _reviews(batch, verdicts),
            "images": len(self.images) - before[0],
            "masks": len(self.annotations) - before[1],
        }

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
                self.discards.append(_discard(images[id], case))

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
            log.warning("%d masks of %s are left out: it is not in the vocabulary", count, part)
        gone = self.gone.total()
        counts = {
            name: getattr(self, name) for name in ("failed", "excluded", "correcting", "undone")
        }
        return Built(dataset, self.rounds, waiting, older, self.touched, gone=gone, **counts)


def _known(work: Work, parts: ObjectParts, batch: Batch) -> Iterator[tuple[str, str]]:
    """The overlaps that were accepted, between parts that are still there."""
    return (pair for pair in accepted_overlaps(work, batch) if {*pair} <= {*parts.ids})


def _reviews(batch: Batch, verdicts: Mapping[int, Verdict]) -> str:
    """How a category was inspected, and by whom."""
    inspectors = sorted({verdict.inspector for verdict in verdicts.values()})
    by = f" by {', '.join(inspectors)}" if inspectors else ""
    return f"{batch.state} r{batch.round}{by}"


def _review(batch: Batch, verdict: Verdict | None) -> str:
    """How one image came through the inspection of its category."""
    if verdict is None:
        said = "not looked at"
    elif verdict.passed:
        said = f"passed by {verdict.inspector}"
    else:
        said = f"failed by {verdict.inspector}: {verdict.reason}"
    return f"{batch.state} r{batch.round}, {said}"


def _image(image: Image, suggested_by: str | None, verdict: Verdict | None) -> schema.Image:
    ours: dict[str, Any] = {"object": image.object, **image.ours}
    ours |= {"sha256": image.sha256} if image.sha256 else {}
    ours |= {"suggested_by": suggested_by} if suggested_by else {}
    if verdict is not None:
        names = ("passed", "inspector", "reason", "note")
        said = {name: getattr(verdict, name) for name in names}
        ours["verdict"] = {name: value for name, value in said.items() if value is not None}
    return schema.Image.new(image.id, image.file_name, (image.width, image.height), **ours)


def _discard(image: Image, case: DiscardCase) -> Discard:
    verdicts = [
        {"inspector": r.inspector, "uphold": r.uphold, "at": r.at, "note": r.note}
        for r in case.reviews
    ]
    ours: dict[str, Any] = {"object": case.object, "reason": case.reason, "round": case.round}
    ours |= {"annotator": case.annotator, "verdicts": verdicts, "sha256": image.sha256}
    raw: dict[str, Any] = {"id": image.id, "file_name": image.file_name}
    raw |= {"width": image.width, "height": image.height, schema.OURS: {**image.ours, **ours}}
    return Discard(raw)


def _about(batch: Batch) -> dict[str, Any]:
    names = ("round", "state", "vocabulary_version", "manifest_hash", "plan", "seed")
    return {"annotator": batch.assignee, **{name: getattr(batch, name) for name in names}}


# --- files -----------------------------------------------------------------------------------


def export(
    work: Work,
    out: str | Path,
    wanted: Wanted | None = None,
    *,
    by_round: bool = False,
    pictures: Pictures = Pictures.link,
    force: bool = False,
    keep_ids: bool = True,
) -> dict[str, Any]:
    """Write the data set and its manifest; what was written and left out, as counts.

    With `by_round` every round becomes a data set of its own, OUT/r1, OUT/r2, …, so that rounds
    can be compared. `keep_ids` is as in `build`.

    Raises:
        StateError: nothing is to be exported yet.
        OutputExistsError: the folder holds files, and `force` is off; or it holds the work.
        SchemaError: a file name points outside the data set.
    """
    wanted, out = wanted or Wanted(), Path(out)
    if by_round:
        last = max((batch.round for batch in work.batches()), default=0)
        parts = {
            f"r{n}": build(work, wanted, round=n, keep_ids=keep_ids) for n in range(1, last + 1)
        }
        found = {name: built for name, built in parts.items() if built.rounds}
    else:
        found = {"": build(work, wanted, keep_ids=keep_ids)}
    _need_something(found, wanted)
    with new_folder(out, force=force, inputs=[work.folder]) as new:
        told = {name: _write(work, built, new / name, pictures) for name, built in found.items()}
    for built in found.values() if keep_ids else ():
        note_export(work, out, built.rounds)
    return {"out": str(out), "rounds": told} if by_round else {"out": str(out), **told[""]}


def _need_something(found: dict[str, Built], wanted: Wanted) -> None:
    if any(built.dataset.images for built in found.values()):
        return
    touched = sum(built.touched for built in found.values())
    if touched:
        raise StateError(f"a model helped with all {touched} images; none is left (D-05)")
    states = Counter(state for built in found.values() for state in built.waiting.values())
    waiting = ", ".join(f"{count} {state}" for state, count in states.most_common())
    raise StateError(
        "no object category is accepted yet" + (f": {waiting}" if waiting else ""),
        hint=None if wanted.include_open else "--include-open also takes what is not accepted",
    )


def _write(
    work: Work,
    built: Built,
    out: Path,
    how: Pictures,
) -> dict[str, Any]:
    dataset = built.dataset
    file = write_coco(dataset, out / "annotations" / f"{SPLIT}.json")
    records = [*dataset.images, *dataset.discards]
    missing = place(pictures_for(work, records, out), how) if records else 0
    counts = {
        "images": len(dataset.images),
        "masks": len(dataset.annotations),
        "categories": len(dataset.categories),
        "objects": len(built.rounds),
        "discards": len(dataset.discards),
        "waiting": built.waiting,
        "without_new_parts": built.older,
        "left_out_model_helped": built.touched,
        "left_out_failed": built.excluded,
        "failed_but_in_it": built.failed - built.excluded,
        "left_out_being_corrected": built.correcting,
        "left_out_not_drawn": built.undone,
        "left_out_unknown_part": built.gone,
        "missing_pictures": missing,
    }
    files = {file.relative_to(out).as_posix(): sha256_file(file)}
    top = dataset.top[schema.OURS]
    write_json(out / "manifest.json", {**top, "counts": counts, "sha256": files})
    return counts


def pictures_for(
    work: Work,
    records: Sequence[Any],
    out: Path,
) -> Iterator[tuple[Path, Path]]:
    """(source, target) of every picture of these records, targets below OUT/images.

    Raises:
        SchemaError: a file name points outside the data set.
    """
    for record in track(records, "pictures", len(records)):
        if not is_safe_name(record.file_name):
            raise SchemaError(
                f"image {record.raw['id']} has the file name {record.file_name!r}, outside the "
                "data set"
            )
        yield picture_file(work, work.image(record.raw["id"])), out / "images" / record.file_name


def picture_file(work: Work, image: Image) -> Path:
    """The picture in the size of its masks; a path that does not exist where there is none."""
    found = []
    for find in (original_picture, shown_picture):
        if find is original_picture or list(image.shown) == [image.width, image.height]:
            with suppress(NotFoundError):
                found.append(find(work.folder, image))
    for path in found:
        if image.sha256 is None or sha256_file(path) == image.sha256:
            return path
    if found and found[-1].is_relative_to(work.folder):
        return found[-1]  # turned upright or written anew for the browser, at the same size
    if found:
        log.warning("%s was changed since it was drawn on", found[0])
    return found[0] if found else work.folder / "images" / "missing" / image.file_name
