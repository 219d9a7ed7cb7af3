"""Masks as the browser draws them: outlines, and where a name can stand."""

import cv2
import numpy as np

from partlab.masks import BoolMask


def outline(mask: BoolMask) -> str:
    """The mask as an SVG path in pixels of the picture, to a quarter of a pixel, holes kept."""
    twice = np.asarray(np.kron(mask.astype(np.uint8), np.ones((2, 2), np.uint8)), np.uint8)
    found, _ = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    steps = []
    for contour in found:
        points = " ".join(f"{(x + 0.5) / 2:g},{(y + 0.5) / 2:g}" for x, y in contour[:, 0].tolist())
        steps.append(f"M{points}Z")
    return "".join(steps)


def middle(mask: BoolMask) -> tuple[float, float]:
    """(x, y) deep inside the mask, where a name can stand."""
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5
