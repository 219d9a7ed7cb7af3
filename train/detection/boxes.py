"""What a detector is to find, of a part data set: whole objects, or parts (G-05)."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from partlab.counts import counted
from partlab.masks import Rle, area, bbox, union
from partlab.parts import split_name
from partlab.schema import Annotation, Category, Dataset, Image
from partlab.truth import drawn_masks
from train.detection.settings import Boxes

log = logging.getLogger(__name__)


def boxed(data: Dataset, boxes: Boxes, classes: Sequence[str] = ()) -> Dataset:
    """A data set with one annotation for each box that a detector is to find.

    Its categories are `classes`, numbered from 1, and then those that only the data has; an
    annotation's mask is what its box is drawn about. Masks without usable pixels are left out, as
    `partlab.truth` does; crowd regions stay crowd regions.

    objects: the masks of all parts of one object (`object_id`) are one. Where nothing says which
        object a part is of, all such parts of an image and category are one, which is said.
    parts: every mask is one.
    """
    names = [*classes, *(name for name in class_names(data, boxes) if name not in classes)]
    number = {name: at for at, name in enumerate(names, start=1)}
    categories = [
        Category.new(at, *(split_name(name) if ":" in name else (name, name)))
        for name, at in number.items()
    ]
    found: list[Annotation] = []
    unsaid = 0
    for image in data.images:
        for name, crowd, rles, guessed in _groups(data, image, boxes):
            found.append(_annotation(len(found) + 1, image, number[name], rles, crowd))
            unsaid += guessed
    if unsaid:
        log.warning(
            "%s told only by the picture, since the parts have no object_id: two "
            "of one category in a picture are one box",
            counted(unsaid, "object is", "objects are"),
        )  # fmt: skip
    return replace(data, annotations=found, categories=categories, inclusions={})


def class_names(data: Dataset, boxes: Boxes) -> list[str]:
    """What the boxes of this data set show: object categories, or part categories."""
    return list(data.objects if boxes == "objects" else data.names)


def _groups(
    data: Dataset, image: Image, boxes: Boxes
) -> Iterator[tuple[str, bool, list[Rle], bool]]:
    """Class, whether it is a crowd region, masks, and whether its object was guessed; of each."""
    drawn = drawn_masks(data, image)
    joined: dict[tuple[str, Any], list[Rle]] = {}
    for annotation, rle in drawn.masks:
        category = data.category_by_id[annotation.category_id]
        if boxes == "parts":
            yield category.name, False, [rle], False
        else:
            joined.setdefault((category.object, annotation.object_id), []).append(rle)
    for (name, id), rles in joined.items():
        yield name, False, rles, id is None and len(rles) > 1
    for annotation, rle in drawn.crowd:
        category = data.category_by_id[annotation.category_id]
        yield category.name if boxes == "parts" else category.object, True, [rle], False


def _annotation(id: int, image: Image, category: int, rles: list[Rle], crowd: bool) -> Annotation:
    rle = union(rles) if len(rles) > 1 else rles[0]
    made = Annotation.new(id, image.id, category, rle, bbox=bbox(rle), area=area(rle))
    return made.changed(iscrowd=1) if crowd else made


def with_rectangles(data: Dataset) -> Dataset:
    """Annotations that have a box and no mask get the box for a mask: a detector needs no more."""
    annotations = [_with_rectangle(each) for each in data.annotations]
    return replace(data, annotations=annotations)


def _with_rectangle(annotation: Annotation) -> Annotation:
    box = annotation.bbox
    if annotation.segmentation or not isinstance(box, list) or len(box) != 4:
        return annotation
    if not all(isinstance(side, int | float) for side in box) or min(box[2:]) <= 0:
        return annotation
    x, y, width, height = box
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return annotation.changed(segmentation=[corners])
