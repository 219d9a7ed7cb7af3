"""Masks as COCO run lengths (RLE), holes kept. pycocotools does the work.

`counts` is the compressed ASCII string; `size` is (height, width).
"""

import base64
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from partlab.errors import MaskError
from partlab.spelling import spelled

BoolMask = NDArray[np.bool_]


class Rle(TypedDict):
    """Compressed COCO run lengths."""

    size: list[int]
    counts: str


def encode(mask: NDArray[Any]) -> Rle:
    """Run lengths of one (height, width) mask; every non-zero pixel counts as inside."""
    return encode_many(mask[None])[0]


def encode_many(masks: NDArray[Any]) -> list[Rle]:
    """Run lengths of (n, height, width) masks in one call."""
    if len(masks) == 0:
        return []
    stacked = np.asfortranarray(np.moveaxis(masks != 0, 0, -1), dtype=np.uint8)
    return [_text(rle) for rle in coco_mask.encode(stacked)]


def decode(rle: Rle) -> BoolMask:
    """The (height, width) boolean mask.

    Raises:
        MaskError: the run lengths do not fill the stated size exactly.
    """
    mask: BoolMask = decode_many([rle])[0]
    return mask


def decode_many(rles: Sequence[Rle]) -> BoolMask:
    """(n, height, width) boolean masks, all of the same size."""
    try:
        stacked: NDArray[np.uint8] = coco_mask.decode(list(rles))
        return np.moveaxis(stacked, -1, 0).view(bool)  # 0 and 1: no second copy
    except (ValueError, TypeError, KeyError) as error:
        raise MaskError(f"run lengths cannot be decoded: {error}") from error


def from_segmentation(segmentation: Any, height: int, width: int) -> Rle:
    """Run lengths of a COCO segmentation: polygon lists, uncompressed or compressed RLE.

    Polygons and run lengths spelled otherwise (see `spelled`) are read too. A piece of fewer
    than 3 points covers nothing, so beside drawable ones it is passed over.

    Raises:
        MaskError: empty, a polygon with an odd count, no polygon with 3 points, a wrong size.
    """
    if min(height, width) < 1:
        raise MaskError(f"its image has the size {width} x {height}")
    segmentation = spelled(segmentation)
    if isinstance(segmentation, dict):
        return _from_rle(segmentation, height, width)
    if not isinstance(segmentation, list):
        what = "missing" if segmentation is None else "neither a list nor an object"
        raise MaskError(f"the segmentation is {what}")
    if not segmentation:
        raise MaskError("the segmentation is empty")
    pieces = drawable(segmentation)
    for polygon in pieces or segmentation:
        if fault := polygon_fault(polygon):
            raise MaskError(FAULTS[fault])
    return _text(coco_mask.merge(coco_mask.frPyObjects(pieces, height, width)))


_FAR = 100_000.0  # pixels; pycocotools takes memory in proportion to a polygon's length
FAULTS = {
    "odd_coordinates": "a polygon has an odd number of coordinates",
    "few_points": "a polygon has fewer than 3 points",
    "not_a_number": "a polygon holds something that is not a number",
    "far_away": f"a polygon reaches more than {_FAR:,.0f} pixels away",
}


def drawable(polygons: list[Any]) -> list[Any]:
    """The polygons without stray pieces: those of 2 points or fewer, which cover no pixel."""
    return [p for p in polygons if not (isinstance(p, list) and len(p) < 5)]


def polygon_fault(polygon: Any) -> str | None:
    """What keeps one COCO polygon from being drawn (a key of FAULTS), or None.

    pycocotools must never see a NaN or a huge coordinate: it would eat all memory.
    """
    if not isinstance(polygon, list):
        return "not_a_number"
    try:
        points = np.asarray(polygon)
    except ValueError:
        return "not_a_number"
    if len(polygon) and (points.ndim != 1 or points.dtype.kind not in "iuf"):
        return "not_a_number"
    if not np.isfinite(points).all():
        return "not_a_number"
    if len(polygon) % 2:
        return "odd_coordinates"
    if len(polygon) < 6:
        return "few_points"
    return "far_away" if np.abs(points).max() > _FAR else None


def _from_rle(segmentation: dict[str, Any], height: int, width: int) -> Rle:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise MaskError(_size_fault(size, height, width))
    if isinstance(counts, list):
        whole = all(type(run) is int and run >= 0 for run in counts)
        if not whole or sum(counts) != height * width:
            raise MaskError("the run lengths do not add up to the image size")
        return _text(coco_mask.frPyObjects(segmentation, height, width))
    if not isinstance(counts, str | bytes):
        raise MaskError("the run lengths are neither a list nor a string")
    rle = _text({"size": size, "counts": counts})
    if not _fills(rle["counts"], height * width):
        raise MaskError(_counts_fault(rle["counts"], height * width))
    return rle


def _size_fault(size: Any, height: int, width: int) -> str:
    if size == [width, height]:
        return f"the mask has the size {size}, that is width, height; COCO writes height, width"
    return f"the mask has size {size}, the image {[height, width]}"


def _counts_fault(counts: str, pixels: int) -> str:
    """Why run lengths in a string do not fill the image, as far as one can see it."""
    if re.fullmatch(r"b(['\"]).*\1", counts, re.DOTALL):
        return "the run lengths are Python's b'...' written as text; they need .decode()"
    if "\\\\" in counts and _fills(counts.replace("\\\\", "\\"), pixels):
        return "the run lengths have each backslash twice"
    with suppress(ValueError):
        if _fills(base64.b64decode(counts, validate=True).decode("ascii"), pixels):
            return "the run lengths are base64 of COCO's string"
    return "the run lengths do not add up to the image size"


def _fills(counts: str, pixels: int) -> bool:
    """Whether the runs add up to `pixels`; checked here because pycocotools reads on blindly."""
    if not counts.isascii():
        return False
    bits = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(bits & 32 == 0)  # the last character of each number
    if not len(bits) or bits.min() < 0 or bits.max() > 63 or bits[-1] & 32:
        return not len(bits) and pixels == 0
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:  # no image has runs of 35 bits
        return False
    places = np.arange(len(bits)) - np.repeat(starts, lengths)
    values = np.add.reduceat((bits & 31) << 5 * places, starts)
    values -= np.where(bits[ends] & 16, 1 << 5 * lengths, 0)
    # From the fourth on, a number is the difference to the last but one run.
    runs = values.copy()
    runs[1::2], runs[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    return bool(runs.min() >= 0 and runs.sum() == pixels)


def _text(rle: Any) -> Rle:
    counts = rle["counts"]
    height, width = (int(side) for side in rle["size"])
    return {
        "size": [height, width],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }


def area(rle: Rle) -> int:
    """Pixels inside."""
    return int(coco_mask.area(rle))


def bbox(rle: Rle) -> list[float]:
    """Tight box as x, y, width, height in pixels; all zero for an empty mask."""
    return [float(side) for side in coco_mask.toBbox(rle)]


def union(rles: Sequence[Rle]) -> Rle:
    """All pixels inside any of the masks."""
    return _text(coco_mask.merge(list(rles)))


def intersection(rles: Sequence[Rle]) -> Rle:
    """Pixels inside every one of the masks."""
    return _text(coco_mask.merge(list(rles), intersect=True))


def iou(a: Sequence[Rle], b: Sequence[Rle]) -> NDArray[np.float64]:
    """Overlap of each mask of `a` with each of `b`, shape (len(a), len(b))."""
    if not a or not b:
        return np.zeros((len(a), len(b)))
    found: NDArray[np.float64] = coco_mask.iou(list(a), list(b), [0] * len(b))
    return found


def inside(a: Sequence[Rle], b: Sequence[Rle]) -> NDArray[np.float64]:
    """Share of each mask of `a` that lies in each of `b`, shape (len(a), len(b)).

    An empty mask lies nowhere: its shares are 0.
    """
    if not a or not b:
        return np.zeros((len(a), len(b)))
    found: NDArray[np.float64] = coco_mask.iou(list(a), list(b), [1] * len(b))
    return np.nan_to_num(found)
