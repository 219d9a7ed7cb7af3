"""What was drawn in the round before, to begin the next one with: polygons stay polygons.

The state knows masks; how they were drawn stands in the raw exports. What is no polygon, or was
changed since by the vocabulary, is shown as brush.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from annotate.studio.api.projects import labels_are_names
from annotate.studio.api.raw import open_export
from annotate.studio.spelling.regions import (
    IMAGE,
    OBJECT,
    POLYGON,
    PartMask,
    label_of,
    regions_of,
    shaped,
    spelled,
)
from annotate.vocabulary import ObjectParts
from annotate.work import Answer, Batch, Image, Work
from partlab.errors import NotFoundError

_Region = dict[str, Any]
_Shapes = Mapping[tuple[str, int], Sequence[Sequence[_Region]]]


def carried(work: Work, batch: Batch, images: Sequence[Image]) -> dict[int, list[_Region]]:
    """The regions that a round begins with, as they were drawn in the one before, by image id.

    Parts that are gone are left out.
    """
    parts = work.vocabulary.object(batch.object)
    named = labels_are_names(work, batch)
    about = {image.id: image for image in images}
    query = select(Answer).filter_by(object=batch.object, round=batch.round - 1, kind="masks")
    with work.read() as session:
        answers = session.scalars(query.where(Answer.image_id.in_(about))).all()
    drawn: dict[int, _Shapes] = {}
    for file in sorted({answer.raw for answer in answers if answer.raw}):
        drawn |= _drawn(work, file, [a for a in answers if a.raw == file], about)
    return {
        answer.image_id: _regions(
            answer, drawn.get(answer.image_id, {}), parts, about[answer.image_id], named=named
        )
        for answer in answers
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


def _regions(
    answer: Answer, drawn: _Shapes, parts: ObjectParts, image: Image, *, named: bool
) -> list[_Region]:
    shown = (image.shown[0], image.shown[1])
    made = list[Sequence[_Region]]()
    for mask in answer.masks:
        if mask["part"] not in parts.ids:
            continue
        shapes = drawn.get((mask["part"], mask["object"]), ())
        if shapes and all(map(_is_polygon, shapes)):
            label = label_of(mask["part"], parts, named=named)
            made += [list(_polygon(shape, label, mask["object"])) for shape in shapes]
        else:
            brush = [PartMask(mask["part"], mask["object"], mask["rle"])]
            made.append(regions_of(brush, parts, shown, named=named))
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
