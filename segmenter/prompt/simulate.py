"""A simulated annotator: clicks in the middle of the largest region that is still wrong."""

import cv2
import numpy as np
from numpy.typing import NDArray

from partlab.masks import BoolMask
from segmenter.prompt.prompts import Click


def next_click(mask: BoolMask, truth: BoolMask) -> Click | None:
    """The farthest point from the border of the largest error region; None: nothing is wrong.

    The protocol of interactive segmentation since Xu et al. 2016 (deep interactive object
    selection). Errors are pixels missed (a positive click) and pixels too many (a negative one);
    they are connected where they touch by a side or a corner. `mask` and `truth`:
    (height, width).
    """
    missed, added = (_largest(error) for error in (truth & ~mask, mask & ~truth))
    if missed is None and added is None:
        return None
    positive = added is None or (missed is not None and missed.sum() >= added.sum())
    region = missed if positive else added
    assert region is not None
    row, column = middle(region)
    return Click(column + 0.5, row + 0.5, positive)


def middle(region: BoolMask) -> tuple[int, int]:
    """(row, column) of the pixel of a region that lies farthest from its border."""
    distance = depth(region)
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    return int(row), int(column)


def depth(region: BoolMask) -> NDArray[np.float32]:
    """How far each pixel lies from outside the region; beyond the picture is outside."""
    padded = np.pad(region, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance[1:-1, 1:-1], np.float32)


def _largest(error: BoolMask) -> BoolMask | None:
    count, labels, facts, _ = cv2.connectedComponentsWithStats(error.astype(np.uint8))
    if count < 2:
        return None
    found: BoolMask = labels == 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
    return found


def iou(one: BoolMask, other: BoolMask) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    return float(np.count_nonzero(one & other) / max(np.count_nonzero(one | other), 1))
