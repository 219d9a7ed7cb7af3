"""What people drew, as masks that can be used: the one reader of truth for every room.

A data set holds three kinds of annotations. Most are masks. A crowd region (COCO's `iscrowd`)
is no target: whatever is found or trained there counts neither as right nor as wrong. And some
hold no pixels: a box alone, a polygon of two points, damaged run lengths, no known category.
Those are left out, counted and named, never an error: one of them must not stop the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from partlab.composite import Layer
from partlab.counts import counted
from partlab.errors import DatasetError, MaskError
from partlab.masks import Rle, area, decode, encode, from_segmentation, polygon_fault, union
from partlab.progress import track
from partlab.schema import Annotation, Dataset, Image

_DROP = "take such records away: partlab data check DATA --fix OUT --drop-unusable"
_LOOK = "see all defects: partlab data check DATA"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An annotation that cannot be used, and why."""

    annotation: Annotation
    image: Image
    reason: str
    empty: bool = False  # it can be read, and covers no pixel

    def __str__(self) -> str:
        where = f"annotation {self.annotation.id} of image {self.image.file_name}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class DrawnMasks:
    """The annotations of one image, in file order, each in one of three lists."""

    image: Image
    masks: list[tuple[Annotation, Rle]]
    crowd: list[tuple[Annotation, Rle]]
    left_out: list[LeftOut]
    complete: bool = True  # False where masks were taken away before: something is not drawn

    @property
    def crowd_region(self) -> Rle | None:
        """All pixels of crowd regions: neither background nor part. None without any."""
        return union([rle for _, rle in self.crowd]) if self.crowd else None

    @property
    def unsure(self) -> bool:
        """Whether there may be pixels of which nobody can tell what they show."""
        return bool(self.crowd or self.left_out or not self.complete)

    def unknown_region(self) -> Rle | None:
        """Pixels that are neither background nor part, as far as anybody can tell.

        Crowd regions; and where a mask was left out, or taken away before, all that the other
        masks do not cover.
        """
        regions, size = [rle for _, rle in self.crowd], (self.image.height, self.image.width)
        if (self.left_out or not self.complete) and min(size) > 0:
            free = np.ones(size, bool)
            for _, rle in self.masks:
                free &= ~decode(rle)
            regions.append(encode(free))
        return union(regions) if regions else None


def drawn_masks(data: Dataset, image: Image) -> DrawnMasks:
    """The usable masks of one image, its crowd regions, and what has to be left out and why.

    Run lengths are of size [image.height, image.width] and hold at least one pixel.
    """
    complete = image.id not in data.incomplete
    found = DrawnMasks(image, [], [], [], complete)
    for annotation in data.annotations_of(image):
        try:
            rle = _pixels(data, annotation, image)
        except MaskError as error:
            found.left_out.append(LeftOut(annotation, image, error.message))
            continue
        if not area(rle):
            found.left_out.append(LeftOut(annotation, image, "it covers no pixel", empty=True))
        else:
            (found.crowd if annotation.iscrowd else found.masks).append((annotation, rle))
    return found


def _pixels(data: Dataset, annotation: Annotation, image: Image) -> Rle:
    if annotation.category_id not in data.label_of:
        raise MaskError(f"there is no category {annotation.category_id}")
    if min(image.width, image.height) < 1:
        raise MaskError(f"its image has the stated size {image.width} x {image.height}")
    return from_segmentation(annotation.segmentation, image.height, image.width)


def holds_no_pixels(segmentation: Any) -> bool:
    """Whether a segmentation would be no mask in an image of any size."""
    if isinstance(segmentation, dict):
        return _no_pixels(segmentation, segmentation.get("size"))
    pieces = segmentation if isinstance(segmentation, list) else []
    faults = [(piece, polygon_fault(piece)) for piece in pieces]
    if any(fault == "far_away" for _, fault in faults):
        return False
    good = [np.asarray(piece, float).reshape(-1, 2) for piece, fault in faults if not fault]
    if not good:
        return True
    low = np.floor(np.concatenate(good).min(0))
    width, height = np.ceil(np.concatenate(good).max(0) - low).astype(int) + 1
    moved = [(piece - low).ravel().tolist() for piece in good]
    return bool(max(width, height) < _SIDE and _no_pixels(moved, [int(height), int(width)]))


_SIDE = 20_000  # pixels; larger extents hold pixels for sure, and COCO's counts would overflow


def _no_pixels(segmentation: Any, size: Any) -> bool:
    if not isinstance(size, list) or not all(type(side) is int and side > 0 for side in size):
        return True
    try:
        return len(size) != 2 or not area(from_segmentation(segmentation, *size))
    except MaskError:
        return True


def hint_for(segmentation: Any) -> str:
    """The command that helps with a mask that cannot be used."""
    return _DROP if holds_no_pixels(segmentation) else _LOOK


def layers(
    data: Dataset, masks: Sequence[tuple[Annotation, Rle]], *, people_certain: bool = True
) -> list[Layer]:
    """Masks as layers; labels are those of `data.names`.

    What people drew has score 1 (B4), or its own score where `people_certain` is off.
    """
    return [
        Layer(data.label_of[a.category_id], rle, 1.0 if people_certain and _human(a) else a.score)
        for a, rle in masks
    ]


def _human(annotation: Annotation) -> bool:
    return not str(annotation.provenance).startswith("pseudo:")


@dataclass(frozen=True, slots=True)
class MaskCount:
    """How many annotations of a data set can be used, and which cannot."""

    masks: int
    crowd: int
    left_out: tuple[LeftOut, ...]

    @property
    def without_pixels(self) -> bool:
        """Whether all that was left out would hold no pixels in any image."""
        return all(holds_no_pixels(one.annotation.segmentation) for one in self.left_out)

    def sentence(self) -> str | None:
        """What was left out and why, for people; None where everything can be used."""
        if not self.left_out:
            return None
        total, number = self.masks + self.crowd + len(self.left_out), len(self.left_out)
        verb, be = ("has", "is") if number == 1 else ("have", "are")
        cannot = f"{verb} no usable pixels" if self.without_pixels else "cannot be used"
        first = "" if number == 1 else "the first is "
        masks = counted(total, "mask")
        return f"{number} of {masks} {cannot} and {be} left out; {first}{self.left_out[0]}"


def count_masks(data: Dataset) -> MaskCount:
    """Read every mask of the data set once, keeping none."""
    masks = crowd = 0
    left_out: list[LeftOut] = []
    for found in _each(data):
        masks, crowd = masks + len(found.masks), crowd + len(found.crowd)
        left_out += found.left_out
    return MaskCount(masks, crowd, tuple(left_out))


def _each(data: Dataset) -> Iterator[DrawnMasks]:
    for image in track(data.images, "checking masks", len(data.images)):
        yield drawn_masks(data, image)


def incomplete(data: Dataset) -> dict[int, str]:
    """Image id -> the first reason why not all that is drawn there can be used.

    Such an image must not train: what is missing would be learnt as background.
    """
    found = dict(data.incomplete)
    for each in _each(data):
        if each.left_out:
            found.setdefault(each.image.id, _short(each.left_out[0]))
    return {image.id: found[image.id] for image in data.images if image.id in found}


def _short(left_out: LeftOut) -> str:
    return f"annotation {left_out.annotation.id}: {left_out.reason}"


def usable(data: Dataset) -> tuple[Dataset, MaskCount]:
    """The data set without annotations that hold no usable pixels, and what was counted."""
    count = count_masks(data)
    if not count.left_out:
        return data, count
    gone = {id(one.annotation) for one in count.left_out}
    kept = [a for a in data.annotations if id(a) not in gone]
    return replace(data, annotations=kept), count


def need_masks(data: Dataset, count: MaskCount) -> None:
    """See that there is something to learn from or to measure against.

    Raises:
        DatasetError: every mask is a crowd region, none can be used, or there is none.
    """
    if count.masks:
        return
    where = data.path or "the data set"
    if count.crowd:
        one = f"the only usable mask of {where} is a crowd region"
        many = f"all {count.crowd} usable masks of {where} are crowd regions"
        all_are = one if count.crowd == 1 else many
        raise DatasetError(
            f"{all_are} (iscrowd 1), neither right nor wrong, so there is nothing to measure or to "
            "learn",
            hint="if they are single things, as brush masks of CVAT are: "
            "partlab data check DATA --fix OUT",
        )
    if count.left_out:
        cannot, draw, number = "can be used", "", len(count.left_out)
        if count.without_pixels:
            cannot = "has usable pixels"
            draw = "draw the parts as polygons or brush masks, not as boxes; "
        of = "not even the one mask" if number == 1 else f"none of the {number} masks"
        first = "it is" if number == 1 else "the first is"
        raise DatasetError(
            f"{of} of {where} {cannot}; {first} {count.left_out[0]}",
            hint=f"{draw}see all: partlab data check DATA",
        )
    raise DatasetError(
        f"{where} has no masks to measure against or to learn from",
        hint="name a split, or another data set, with masks that people drew",
    )
