"""The objects in photos: their boxes, and which are large enough to be cut out (H-08, H-09)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from annotate.data.crop_split import Photo
from partlab.config import Config
from partlab.errors import MaskError
from partlab.masks import bbox, from_segmentation
from partlab.schema import Annotation, Dataset, Image

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""


class CropSettings(Config):
    """What is cut out."""

    min_share: float = 0.01  # of the picture, that the object's box must have (H-08)
    enlarge: float = 1.5  # the box in width and height, about its centre (H-09)
    long_side: int | None = None  # of each crop in pixels; None: as many as there are


@dataclass(frozen=True, slots=True)
class Thing:
    """One object in a photo: its class, its box, and whether parts of it are drawn."""

    photo: Photo
    image: Image
    owner: str
    box: Box
    has_parts: bool
    number: int | None  # `object_id` of its masks


@dataclass(slots=True)
class Found:
    """Objects of one data set, and how many are not used."""

    data: Dataset
    split: str
    things: list[Thing] = field(default_factory=list)
    small: int = 0
    total: int = 0


def find_objects(data: Dataset, split: str, settings: CropSettings) -> Found:
    """All objects of a data set that are large enough.

    Masks of one `object_id` are one object; without, those of one object category in a picture.
    Its box is that of its whole mask (as the file states it), else of all its parts.
    """
    found = Found(data, split)
    wholes = whole_objects(data)
    for image in data.images:
        groups: defaultdict[tuple[str, int | None], list[Annotation]] = defaultdict(list)
        for one in data.annotations_of(image):
            if one.category_id in data.category_by_id and not one.iscrowd:
                groups[data.category_by_id[one.category_id].object, one.object_id].append(one)
        for (owner, number), own in groups.items():
            found.total += 1
            whole = [a for a in own if a.category_id in wholes]
            parts = [a for a in own if a.category_id not in wholes]
            box = box_about(whole or parts, image)
            if box is None or box[2] * box[3] < settings.min_share * image.width * image.height:
                found.small += 1
                continue
            photo = Photo(split, image.id)
            found.things.append(Thing(photo, image, owner, box, bool(parts), number))
    return found


def whole_objects(data: Dataset) -> frozenset[int]:
    """Categories that are an object whose parts are categories too."""
    parted = {c.object for c in data.categories if not c.whole_object}
    return frozenset(c.id for c in data.categories if c.whole_object and c.object in parted)


def box_about(own: Sequence[Annotation], image: Image) -> Box | None:
    """The box about all of them, as stated, else of their pixels; None where there is none."""
    boxes = [box for one in own if (box := _stated(one) or _drawn(one, image))]
    if not boxes:
        return None
    left, top = (min(b[axis] for b in boxes) for axis in (0, 1))
    right, bottom = (max(b[axis] + b[axis + 2] for b in boxes) for axis in (0, 1))
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def enlarged(box: Box, factor: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in whole pixels of the box enlarged about its centre and clipped.

    `size` is the picture's (width, height).
    """
    edges = []
    for axis in (0, 1):
        middle, half = box[axis] + box[axis + 2] / 2, box[axis + 2] * factor / 2
        edges.append((int(max(middle - half, 0)), int(min(middle + half, size[axis]))))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _stated(one: Annotation) -> list[float] | None:
    box = one.bbox
    return box if isinstance(box, list) and len(box) == 4 and min(box[2:]) > 0 else None


def _drawn(one: Annotation, image: Image) -> list[float] | None:
    try:
        return bbox(from_segmentation(one.segmentation, image.height, image.width))
    except MaskError:
        return None
