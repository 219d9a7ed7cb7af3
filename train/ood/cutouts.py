"""Objects cut out of photographs by their part masks, and put on other grounds.

Pictures are (H, W, 3) RGB uint8, masks (H, W) bool, boxes (x, y, width, height) in pixels.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from partlab.images import load_image
from partlab.masks import bbox, decode, encode, from_segmentation
from partlab.schema import Dataset, Image

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)
Box = tuple[int, int, int, int]


class Photo(NamedTuple):
    """One photograph and its masks, by category."""

    image: Image
    object: str
    pixels: Pixels
    masks: list[tuple[int, Mask]]

    @property
    def object_mask(self) -> Mask:
        """All parts together."""
        whole: Mask = np.any([mask for _, mask in self.masks], 0)
        return whole


def photos(data: Dataset, chosen: Iterable[Image]) -> Iterator[Photo]:
    """Each with masks on it, as bool arrays; those without an object or a mask are passed over.

    Raises:
        NotFoundError, DatasetError, MaskError: a picture or a mask cannot be read.
    """
    for image in chosen:
        size = image.height, image.width
        masks = [(each.category_id, decode(from_segmentation(each.segmentation, *size)))
                 for each in data.annotations_of(image)]  # fmt: skip
        masks = [(category, mask) for category, mask in masks if mask.any()]
        if masks and (owner := data.object_of(image)):
            yield Photo(image, owner, load_image(data.image_path(image)), masks)


def box_of(mask: Mask) -> Box:
    """The tight box about a mask."""
    x, y, width, height = (round(v) for v in bbox(encode(mask)))
    return x, y, width, height


def largest_square(inside: Mask) -> Box:
    """The largest square of odd side that lies wholly in a mask; of side -1 where none does."""
    free = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    reach = cv2.distanceTransform(free, cv2.DIST_C, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(reach.argmax()), reach.shape)
    half = int(reach[y, x]) - 1
    return int(x) - half, int(y) - half, 2 * half + 1, 2 * half + 1


def square_about(box: Box, shape: tuple[int, ...], fill: float) -> Box:
    """A square of which a box's long side takes the share `fill`, inside a picture of `shape`."""
    x, y, width, height = box
    side = min(round(max(width, height) / fill), *shape[:2])
    left = min(max(x + width // 2 - side // 2, 0), shape[1] - side)
    top = min(max(y + height // 2 - side // 2, 0), shape[0] - side)
    return left, top, side, side


def cut(array: NDArray[T], box: Box) -> NDArray[T]:
    """What lies in a box."""
    x, y, width, height = box
    return array[y : y + height, x : x + width]


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    """Bicubic with antialiasing."""
    return np.asarray(Pillow.fromarray(pixels).resize((width, height), Pillow.Resampling.BICUBIC))


def resized_mask(mask: Mask, width: int, height: int) -> Mask:
    """Inside where half of a pixel or more is."""
    return resized((255 * mask).astype(np.uint8), width, height) >= 128


def middle(box: Box, side: int, fill: float) -> Box:
    """Where a box comes to lie in the middle of a picture of `side`, scaled to `fill` of it."""
    _, _, width, height = box
    scale = fill * side / max(width, height)
    w, h = max(round(width * scale), 1), max(round(height * scale), 1)
    return (side - w) // 2, (side - h) // 2, w, h


def blended(ground: Pixels, pixels: Pixels, mask: Mask, box: Box, place: Box) -> Pixels:
    """A ground with the object of a photograph's box at `place`."""
    return laid(ground, resized(cut(pixels, box), *place[2:]), mask, box, place)


def laid(ground: Pixels, surface: Pixels, mask: Mask, box: Box, place: Box) -> Pixels:
    """A ground with a surface (of the size of `place`) where a mask's box comes to lie.

    The edge is blended by how much of a pixel the mask covers.
    """
    left, top, w, h = place
    share = resized((255 * cut(mask, box)).astype(np.uint8), w, h)[..., None] / 255
    there = np.s_[top : top + h, left : left + w]
    mixed = ground.copy()
    mixed[there] = np.rint(share * surface + (1 - share) * mixed[there])
    return mixed
