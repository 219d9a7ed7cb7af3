"""From the geometry of one Label Studio region to a mask in the size of the data set's image.

Brush and bitmask are pixels of the shown picture; polygons, outlines and rectangles are in
percent of it and are drawn in the data set's size straight away.
"""

import base64
import binascii
import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from annotate.studio.spelling.codec import decode_brush
from partlab.errors import MaskError
from partlab.masks import BoolMask, decode, from_segmentation

Size = tuple[int, int]
"""(width, height) in pixels."""

Value = Mapping[str, Any]


def geometry_of(value: Value) -> str | None:
    """Which geometry a region's `value` holds: the key that tells, or None."""
    return next((key for key in _DRAW if key in value), None)


def draw(value: Value, size: Size, shown: Size) -> BoolMask:
    """The (height, width) mask of one region's `value`, in the size of the data set's image.

    Args:
        value: `value` of a result item, with a geometry (see `geometry_of`).
        size: size of the image in the data set.
        shown: size of the picture in Label Studio, which the geometry belongs to.

    Raises:
        MaskError: the geometry is damaged, open, curved, or of another picture.
    """
    key = geometry_of(value)
    if key is None:
        raise MaskError("the region has no geometry")
    try:
        return _DRAW[key](value, size, shown)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MaskError(f"the region's {key} cannot be read: {error!r:.120}") from error


def resized(mask: BoolMask, size: Size) -> BoolMask:
    """The mask in another size, by the nearest pixel centre; the same size changes nothing.

    Pixel (x, y) of the new mask is the old pixel in which its centre falls. Label Studio may
    show a smaller picture than the data set holds, and masks come back through this.
    """
    (width, height), (old_height, old_width) = size, mask.shape
    if (old_width, old_height) == size:
        return mask
    rows = (2 * np.arange(height) + 1) * old_height // (2 * height)
    columns = (2 * np.arange(width) + 1) * old_width // (2 * width)
    grown: BoolMask = mask[rows[:, None], columns]
    return grown


def _brush(value: Value, size: Size, shown: Size) -> BoolMask:
    if value.get("format", "rle") != "rle":
        raise MaskError(f"a brush mask of the unknown format {value['format']!r:.40}")
    return resized(decode_brush(value["rle"], shown[1], shown[0]), size)


def _bitmask(value: Value, size: Size, shown: Size) -> BoolMask:
    head, _, data = value["imageDataURL"].partition(",")
    if head != "data:image/png;base64":
        raise MaskError("the bitmask is not a PNG data URL")
    try:
        with PillowImage.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
            if picture.size != shown:
                raise MaskError(f"the bitmask has size {picture.size}, the picture {shown}")
            if picture.mode not in ("RGBA", "LA"):
                raise MaskError("the bitmask has no transparency, so it cannot be told from white")
            alpha = np.asarray(picture.getchannel("A"))
    except (OSError, SyntaxError, binascii.Error, PillowImage.DecompressionBombError) as error:
        raise MaskError("the bitmask is not a readable PNG") from error
    return resized(alpha >= 128, size)


def _outline(points: list[tuple[float, float]], size: Size) -> BoolMask:
    """The inside of a closed outline; points in percent."""
    width, height = size
    flat = [float(c) for x, y in points for c in (x * width / 100, y * height / 100)]
    return decode(from_segmentation([flat], height, width))


def _closed(value: Value) -> None:
    if value.get("closed", True) is not True:
        raise MaskError("the outline is not closed")


def _polygon(value: Value, size: Size, shown: Size) -> BoolMask:
    _closed(value)
    return _outline([(x, y) for x, y in value["points"]], size)


def _vector(value: Value, size: Size, shown: Size) -> BoolMask:
    _closed(value)
    if any(vertex.get("isBezier") for vertex in value["vertices"]):
        raise MaskError("the outline is curved; only straight ones can be read")
    return _outline([(vertex["x"], vertex["y"]) for vertex in value["vertices"]], size)


def _rectangle(value: Value, size: Size, shown: Size) -> BoolMask:
    """Turned about its top left corner, in pixels of the shown picture (percent are not square)."""
    x, y, wide, high = (float(value[key]) for key in ("x", "y", "width", "height"))
    angle = math.radians(float(value.get("rotation") or 0))
    ratio = shown[1] / shown[0]
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [(0.0, 0.0), (wide, 0.0), (wide, high), (0.0, high)]
    turned = [
        (x + across * cos - down * ratio * sin, y + across * sin / ratio + down * cos)
        for across, down in corners
    ]
    return _outline(turned, size)


_DRAW: dict[str, Callable[[Value, Size, Size], BoolMask]] = {
    "rle": _brush,
    "imageDataURL": _bitmask,
    "points": _polygon,
    "vertices": _vector,
    "height": _rectangle,
}
