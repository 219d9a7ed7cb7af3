"""Masks as the browser draws them: outlines, and where a name can stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from partlab.composite import Layer, Parents, paint_order
from partlab.masks import BoolMask, decode

SHOWN = 1600
"""Pixels of the longer side that are sent to the browser, at most."""


def outline(mask: BoolMask) -> str:
    """The mask as an SVG path in pixels of the picture, holes kept.

    To a quarter of a pixel; of a picture that is shown smaller to half a pixel.
    """
    times = 2 if max(mask.shape) <= SHOWN else 1
    fine: Any = mask.astype(np.uint8).repeat(times, 0).repeat(times, 1)
    found, _ = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    steps = []
    for contour in found:
        points = " ".join(
            f"{(x + 0.5) / times:g},{(y + 0.5) / times:g}" for x, y in contour[:, 0].tolist()
        )
        steps.append(f"M{points}Z")
    return "".join(steps)


def middle(mask: BoolMask) -> tuple[float, float]:
    """(x, y) deep inside the mask, where a name can stand."""
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5


@dataclass(frozen=True, slots=True)
class Shape:
    """A mask to draw: `at` is its place among the layers, x and y (0…1) that of its name."""

    at: int
    outline: str
    area: int  # pixels
    x: float
    y: float


def shapes(layers: Sequence[Layer], parents: Parents) -> list[Shape]:
    """The masks bottom first; their names stand where no other mask lies over them."""
    found = []
    above: BoolMask | None = None
    for at in reversed(paint_order(layers, parents)):
        pixels = decode(layers[at].rle)
        seen = pixels if above is None else pixels & ~above
        above = pixels if above is None else above | pixels
        (x, y), (height, width) = middle(seen if seen.any() else pixels), pixels.shape
        found.append(Shape(at, outline(pixels), int(pixels.sum()), x / width, y / height))
    return found[::-1]
