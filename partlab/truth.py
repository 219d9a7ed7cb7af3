"""What people drew, as masks that can be used: the one reader of truth for every room.

A data set holds three kinds of annotations. Most are masks. A crowd region (COCO's `iscrowd`)
is no target: whatever is found or trained there counts neither as right nor as wrong. And some
hold no pixels: a box alone, a polygon of two points, damaged run lengths, no known category.
Those are left out, counted and named, never an error: one of them must not stop the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from partlab.composite import Layer
from partlab.errors import DatasetError, MaskError
from partlab.masks import Rle, area, from_segmentation, union
from partlab.progress import track
from partlab.schema import Annotation, Dataset, Image

DROP_HINT = "take them away: partlab data check DATA --fix OUT --drop-unusable"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An annotation that cannot be used, and why."""

    annotation: Annotation
    image: Image
    reason: str

    def __str__(self) -> str:
        where = f"annotation {self.annotation.id} of image {self.image.file_name}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class DrawnMasks:
    """The annotations of one image, in file order, each in one of three lists."""

    masks: list[tuple[Annotation, Rle]]
    crowd: list[tuple[Annotation, Rle]]
    left_out: list[LeftOut]

    @property
    def crowd_region(self) -> Rle | None:
        """All pixels of crowd regions: neither background nor part. None without any."""
        return union([rle for _, rle in self.crowd]) if self.crowd else None


def drawn_masks(data: Dataset, image: Image) -> DrawnMasks:
    """The usable masks of one image, its crowd regions, and what has to be left out and why.

    Run lengths are of size [image.height, image.width] and hold at least one pixel.
    """
    found = DrawnMasks([], [], [])
    for annotation in data.annotations_of(image):
        try:
            rle = _pixels(data, annotation, image)
        except MaskError as error:
            found.left_out.append(LeftOut(annotation, image, error.message))
            continue
        (found.crowd if annotation.iscrowd else found.masks).append((annotation, rle))
    return found


def _pixels(data: Dataset, annotation: Annotation, image: Image) -> Rle:
    if annotation.category_id not in data.label_of:
        raise MaskError(f"there is no category {annotation.category_id}")
    if min(image.width, image.height) < 1:
        raise MaskError(f"its image has the stated size {image.width} x {image.height}")
    rle = from_segmentation(annotation.segmentation, image.height, image.width)
    if not area(rle):
        raise MaskError("the mask covers no pixel")
    return rle


def layers(data: Dataset, masks: Sequence[tuple[Annotation, Rle]]) -> list[Layer]:
    """Masks as layers; labels are those of `data.names`, scores those of the annotations."""
    return [Layer(data.label_of[a.category_id], rle, a.score) for a, rle in masks]


@dataclass(frozen=True, slots=True)
class MaskCount:
    """How many annotations of a data set can be used, and which cannot."""

    masks: int
    crowd: int
    left_out: tuple[LeftOut, ...]

    def sentence(self) -> str | None:
        """What was left out and why, for people; None where everything can be used."""
        if not self.left_out:
            return None
        total, number = self.masks + self.crowd + len(self.left_out), len(self.left_out)
        are = "has no usable pixels and is" if number == 1 else "have no usable pixels and are"
        first = "" if number == 1 else "the first is "
        return f"{number} of {total} masks {are} left out; {first}{self.left_out[0]}"


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


def need_masks(data: Dataset, count: MaskCount) -> None:
    """See that there is something to learn from or to measure against.

    Raises:
        DatasetError: every mask is a crowd region, or none can be used.
    """
    if count.masks:
        return
    where = data.path or "the data set"
    if count.crowd:
        raise DatasetError(
            f"all {count.crowd} usable masks of {where} are crowd regions (iscrowd 1), which "
            "count neither as right nor as wrong, so there is nothing to measure or to learn",
            hint="if they are single things, as brush masks of CVAT are: "
            "partlab data check DATA --fix OUT",
        )
    if count.left_out:
        raise DatasetError(
            f"none of the {len(count.left_out)} masks of {where} has usable pixels; "
            f"the first is {count.left_out[0]}",
            hint="draw the parts as polygons or brush masks, not as boxes; "
            "see all: partlab data check DATA",
        )
