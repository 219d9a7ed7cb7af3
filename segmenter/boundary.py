"""Boundary IoU: how well outlines agree (Cheng et al., CVPR 2021)."""

import cv2
import numpy as np
from numpy.typing import NDArray

from partlab.masks import BoolMask
from segmenter.composite_metrics import Counts

RATIO = 0.02
"""Width of an outline as a share of the image's diagonal, as the authors have it."""


def width_of(size: tuple[int, int]) -> int:
    """Pixels from the outline, at least 1, of an image of this (height, width)."""
    return max(round(RATIO * float(np.hypot(*size))), 1)


def outline(mask: BoolMask, width: int) -> BoolMask:
    """The pixels of a mask (height, width) that lie at most `width` from what is not in it.

    Distance is the larger one of rows and columns, and the outside of the image is not in the
    mask: as in the authors' code, which erodes `width` times by 3 x 3 pixels.
    """
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    inner = cv2.erode(mask.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    found: BoolMask = mask & ~inner.view(bool)
    return found


def boundary_counts(
    found: NDArray[np.int32],
    truth: NDArray[np.int32],
    labels: int,
    ignored: BoolMask | None = None,
) -> Counts:
    """Pixels of the outlines of two label maps (height, width), by value: common, found, true.

    `labels` is how many 0-based labels may occur; `ignored` pixels count nowhere. The IoU of an
    outline is as of any mask: common / (found + true - common).
    """
    width = width_of((truth.shape[0], truth.shape[1]))
    counted = np.zeros((3, labels + 1), np.int64)
    there = sum(np.bincount(each.ravel(), minlength=labels + 1) for each in (found, truth))
    for value in np.flatnonzero(there).tolist():
        ours, theirs = (outline(each == value, width) for each in (found, truth))
        if ignored is not None:
            ours, theirs = ours & ~ignored, theirs & ~ignored
        counted[:, value] = (ours & theirs).sum(), ours.sum(), theirs.sum()
    return Counts.of(*counted)
