"""Stated sizes beside the pictures': which can be set right, and where a mask may be cut.

A mask that a person drew is worth more than a stated size. So a size is only set to the
picture's own where every mask of the image fits there, and a mask is only cut where the picture
itself says where the image ends.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partlab.errors import DatasetError, NotFoundError
from partlab.images import image_size
from partlab.masks import area, from_segmentation, polygon_fault
from partlab.schema import OURS, Dataset, Image

Size = tuple[int, int]  # width, height
SLACK = 1.0  # pixels: a border drawn on the picture's edge may lie this far outside
MOSTLY = 0.5  # of a polygon's own area must lie inside for the rest to be cut off


class Sizes:
    """What the pictures of a data set say about its stated sizes; reads headers, as needed."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._shown: dict[str, Size | None] = {}
        self._contradicted: dict[tuple[int, Size], bool] = {}

    @cached_property
    def _shared_ids(self) -> frozenset[int]:
        """Ids of several images: nobody knows whose the masks are."""
        count = Counter(image.id for image in self._dataset.images)
        return frozenset(id for id, number in count.items() if number > 1)

    def shown(self, image: Image) -> Size | None:
        """The picture's size as browsers show it; None where it cannot be read."""
        if image.file_name not in self._shown:
            try:
                self._shown[image.file_name] = image_size(self._dataset.image_path(image))
            except (NotFoundError, DatasetError):
                self._shown[image.file_name] = None
        return self._shown[image.file_name]

    def agree(self, image: Image) -> bool:
        """Whether the picture is there and as large as stated, and its masks are its own."""
        return self.shown(image) == _stated(image) and image.id not in self._shared_ids

    def doubtful(self, image: Image) -> bool:
        """Whether nothing must be concluded from the stated size."""
        shown = self.shown(image)
        return image.id in self._shared_ids or (shown is not None and shown != _stated(image))

    def contradicted(self, image: Image) -> bool:
        """Whether a mask of the image says that its masks were drawn at another size.

        One alone may have been drawn over the edge; beside one that lies mostly outside it is
        no longer told what of the others is inside.
        """
        key = image.id, _stated(image)
        if key not in self._contradicted:
            self._contradicted[key] = any(
                mostly_outside(drawing, *_stated(image))
                for drawing in _drawings(self._dataset, image)
            )
        return self._contradicted[key]

    def readable(self, image: Image) -> Size | None:
        """The picture's own size for an image that states none; None where masks do not fit."""
        shown = self.shown(image)
        fit = image.id not in self._shared_ids and self._fits(image, shown)
        return shown if fit else None

    def corrected(self, image: Image) -> Size | None:
        """The picture's own size, if the stated one is wrong and no mask speaks against it.

        A size with width and height exchanged is turned only where the masks of the image, or
        without exception those of others in the file, fit no other way.
        """
        shown, stated = self.shown(image), _stated(image)
        if shown in (None, stated) or image.id in self._shared_ids or not self._fits(image, shown):
            return None
        if stated == _turned(shown) and self._fits(image, stated) and self._has_masks(image):
            return shown if self._all_turned else None
        return shown

    @cached_property
    def _all_turned(self) -> bool:
        """Whether some masks of the file fit only their pictures as shown, and none the others."""
        fits = [
            (self._fits(image, shown), self._fits(image, _stated(image)))
            for image in self._dataset.images
            if (shown := self.shown(image)) and shown != _stated(image)
            if _turned(shown) == _stated(image)
        ]
        return (True, False) in fits and (False, True) not in fits

    def _has_masks(self, image: Image) -> bool:
        return next(_drawings(self._dataset, image), None) is not None

    def _fits(self, image: Image, size: Size | None) -> bool:
        return size is not None and all(
            fits(drawing, *size) for drawing in _drawings(self._dataset, image)
        )


def _stated(image: Image) -> Size:
    return image.width, image.height


def _turned(size: Size | None) -> Size | None:
    return size and (size[1], size[0])


def _drawings(dataset: Dataset, image: Image) -> Iterator[Any]:
    """The segmentations of an image that hold anything."""
    stated = image.raw.get(OURS, {}).get("object_mask")
    each = [*(a.segmentation for a in dataset.annotations_of(image)), stated]
    yield from (one for one in each if isinstance(one, dict) or _polygons(one))


def fits(segmentation: Any, width: int, height: int) -> bool:
    """Whether run lengths are of this size, or polygons lie within it but for the slack."""
    if isinstance(segmentation, dict):
        return bool(segmentation.get("size") == [height, width])
    return beyond(segmentation, width, height) <= SLACK


def beyond(segmentation: Any, width: int, height: int) -> float:
    """How far polygons reach out of an image of this size, in pixels; negative inside."""
    points = [polygon.reshape(-1, 2) for polygon in _polygons(segmentation)]
    if not points:
        return -np.inf
    low, high = np.concatenate(points).min(0), np.concatenate(points).max(0)
    return float(max(*-low, *(high - (width, height))))


def mostly_outside(segmentation: Any, width: int, height: int) -> bool:
    """Whether run lengths are of another size, or less than half of the polygons lies inside."""
    if isinstance(segmentation, dict) or beyond(segmentation, width, height) <= SLACK:
        return not fits(segmentation, width, height)
    near = [piece for piece in segmentation if polygon_fault(piece) is None]
    inside = area(from_segmentation(near, height, width)) if near else 0
    enclosed = sum(_enclosed(polygon.reshape(-1, 2)) for polygon in _polygons(segmentation))
    return inside == 0 or inside < MOSTLY * enclosed


def _polygons(segmentation: Any) -> list[NDArray[np.float64]]:
    """The pieces that have an extent, the far ones too."""
    pieces = segmentation if isinstance(segmentation, list) else []
    return [np.asarray(p, float) for p in pieces if polygon_fault(p) in (None, "far_away")]


def _enclosed(points: NDArray[np.float64]) -> float:
    across, down = points.T
    return float(abs(across @ np.roll(down, -1) - down @ np.roll(across, -1)) / 2)
