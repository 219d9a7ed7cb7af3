"""Masks as COCO run lengths (RLE), holes kept. pycocotools does the work.

`counts` is the compressed ASCII string; `size` is (height, width).
"""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from partlab.errors import MaskError

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

    Raises:
        MaskError: empty, a polygon with an odd count or under 3 points, or a wrong size.
    """
    if isinstance(segmentation, dict):
        return _from_rle(segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise MaskError("the segmentation is empty")
    for polygon in segmentation:
        if fault := polygon_fault(polygon):
            raise MaskError(FAULTS[fault])
    return _text(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width)))


_FAR = 100_000.0  # pixels; pycocotools takes memory in proportion to a polygon's length
FAULTS = {
    "odd_coordinates": "a polygon has an odd number of coordinates",
    "few_points": "a polygon has fewer than 3 points",
    "not_a_number": "a polygon holds something that is not a number",
    "far_away": f"a polygon reaches more than {_FAR:,.0f} pixels away",
}


def polygon_fault(polygon: Any) -> str | None:
    """What keeps one COCO polygon from being drawn (a key of FAULTS), or None.

    pycocotools must never see a NaN or a huge coordinate: it would eat all memory.
    """
    if not isinstance(polygon, list):
        return "few_points"
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
    if not isinstance(size, list) or size != [height, width]:
        raise MaskError(f"the mask has size {size}, the image {[height, width]}")
    if isinstance(counts, list):
        whole = all(type(run) is int and run >= 0 for run in counts)
        if not whole or sum(counts) != height * width:
            raise MaskError("the run lengths do not add up to the image size")
        return _text(coco_mask.frPyObjects(segmentation, height, width))
    if not isinstance(counts, str | bytes):
        raise MaskError("the run lengths are neither a list nor a string")
    rle = _text({"size": size, "counts": counts})
    if not _fills(rle["counts"], height * width):
        raise MaskError("the run lengths do not add up to the image size")
    return rle


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
