"""What was drawn in the round before, to begin the next one with: polygons stay polygons.

The state knows masks; how they were drawn stands in the raw exports. What is no polygon is shown
as brush.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from annotate.studio.api.projects import labels_are_names
from annotate.studio.api.raw import open_export
from annotate.studio.spelling.names import IMAGE, OBJECT, POLYGON
from annotate.studio.spelling.reading import spelled
from annotate.studio.spelling.uniting import PartMask
from annotate.studio.spelling.writing import label_of, regions_of, shaped
from annotate.vocabulary import ObjectParts
from annotate.work import Answer, Batch, Image, Work
from annotate.work.change import is_drawn
from partlab.errors import NotFoundError

_Region = dict[str, Any]
_Shapes = Mapping[tuple[str, int], Sequence[Sequence[_Region]]]


@dataclass(frozen=True, slots=True)
class _Labels:
    """Labels of a round by the ids of parts in the one before; parts that are gone have none."""

    parts: ObjectParts
    merged: Mapping[str, str]
    named: bool

    def part(self, id: str) -> str | None:
        now = self.merged.get(id, id)
        return now if now in self.parts.ids else None

    def label(self, id: str) -> str:
        return label_of(id, self.parts, named=self.named)


def carried(
    work: Work, batch: Batch, images: Sequence[Image], after: Batch | None = None
) -> dict[int, list[_Region]]:
    """The regions that a round begins with, as they were drawn in the one before, by image id.

    Parts that are gone are left out. Where the round before (that before `after`, if given) was
    given up before an image was drawn, what it began with itself is taken.
    """
    before = work.batch(batch.object, (after or batch).round - 1)
    about = {image.id: image for image in images}
    query = select(Answer).filter_by(object=before.object, round=before.round)
    with work.read() as session:
        answers = session.scalars(query.where(Answer.image_id.in_(about))).all()
    found = _of_round(work, batch, before, list(filter(is_drawn, answers)), about)
    left = about.keys() - {answer.image_id for answer in answers}
    if left and before.start_from:
        found |= carried(work, batch, [about[id] for id in left], before)
    return found


def _of_round(
    work: Work, batch: Batch, before: Batch, answers: Sequence[Answer], images: Mapping[int, Image]
) -> dict[int, list[_Region]]:
    merged = work.moves(before, batch.vocabulary_version).merged
    labels = _Labels(work.parts(batch), merged, labels_are_names(work, batch))
    drawn: dict[int, _Shapes] = {}
    for file in sorted({answer.raw for answer in answers if answer.raw}):
        drawn |= _drawn(work, file, [a for a in answers if a.raw == file], images)
    return {
        a.image_id: _regions(a, drawn.get(a.image_id, {}), labels, images[a.image_id])
        for a in answers
    }


def _drawn(
    work: Work, file: str, answers: Sequence[Answer], images: Mapping[int, Image]
) -> Iterator[tuple[int, _Shapes]]:
    """How the answers of one raw export were drawn; nothing where that is not there any more."""
    wanted = {answer.annotation_id: answer.image_id for answer in answers}
    try:
        with open_export(work.folder / file) as export:
            for task in export.tasks:
                for one in task.annotations:
                    if (id := wanted.get(one.id)) is not None:
                        shown = (images[id].shown[0], images[id].shown[1])
                        parts, named = export.header.vocabulary, export.header.named
                        yield id, spelled(one.result, parts, shown, named=named)
    except NotFoundError:
        return


def _regions(answer: Answer, drawn: _Shapes, labels: _Labels, image: Image) -> list[_Region]:
    shown = (image.shown[0], image.shown[1])
    made = list[Sequence[_Region]]()
    for mask in answer.masks:
        if (part := labels.part(mask["part"])) is None:
            continue
        shapes = drawn.get((mask["part"], mask["object"]), ())
        if shapes and all(map(_is_polygon, shapes)):
            made += [list(_polygon(shape, labels.label(part), mask["object"])) for shape in shapes]
        else:
            brush = [PartMask(part, mask["object"], mask["rle"])]
            made.append(regions_of(brush, labels.parts, shown, named=labels.named))
    return [{**item, "id": f"r{n}"} for n, region in enumerate(made) for item in region]


def _is_polygon(items: Sequence[_Region]) -> bool:
    return any(item["type"].removesuffix("labels") == POLYGON for item in items)


def _polygon(items: Sequence[_Region], label: str, object: int) -> Iterator[_Region]:
    """One polygon, and its object's number, as a suggestion: without the traces of its drawing."""
    shape = next(item for item in items if item["type"].removesuffix("labels") == POLYGON)
    head = {key: shape[key] for key in ("original_width", "original_height")}
    head |= {"to_name": IMAGE, "image_rotation": 0}
    corners = {key: value for key, value in shape["value"].items() if not key.endswith("labels")}
    yield from shaped(POLYGON, head, corners, label)
    if object != 1:
        number = {"number": object}
        yield {**head, "from_name": OBJECT, "type": "number", "value": number}
