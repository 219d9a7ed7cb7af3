"""Masks as polygons that cover exactly the same pixels, for formats that hold polygons alone.

An outline runs along the edges of pixels, so its corners are whole numbers: pixel (x, y) is the
square from x, y to x + 1, y + 1. Drawn as COCO draws polygons it gives the mask back.
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from partlab.schema import Annotation

Point = tuple[int, int]
Ring = list[Point]


def outlines(mask: NDArray[np.bool_]) -> list[Ring]:
    """Rings of (x, y) around every piece and every hole of a (height, width) mask.

    A ring does not repeat its first point; those of pieces come clockwise, of holes the other way.
    Pieces that touch at a corner alone are apart.
    """
    ways = _ways(mask)
    rings: list[Ring] = []
    while ways:
        start = next(iter(ways))
        rings.append(_corners(_followed(ways, start)))
    return rings


def _ways(mask: NDArray[np.bool_]) -> dict[Point, list[Point]]:
    """Corner of a pixel -> where edges lead from there, the inside always to the right."""
    padded = np.pad(mask.astype(np.int8), 1)
    across, down = np.diff(padded, axis=0), np.diff(padded, axis=1)
    ways: defaultdict[Point, list[Point]] = defaultdict(list)
    for y, x in np.argwhere(across).tolist():
        left, right = (x - 1, y), (x, y)
        start, end = (left, right) if across[y, x] > 0 else (right, left)
        ways[start].append(end)
    for y, x in np.argwhere(down).tolist():
        above, below = (x, y - 1), (x, y)
        start, end = (below, above) if down[y, x] > 0 else (above, below)
        ways[start].append(end)
    return dict(ways)


def _followed(ways: dict[Point, list[Point]], start: Point) -> Ring:
    ring, before, at = [start], start, start
    while True:
        ends = ways[at]
        end = ends[0] if len(ends) == 1 else _rightmost(before, at, ends)
        ends.remove(end)
        if not ends:
            del ways[at]
        before, at = at, end
        if at == start:
            return ring
        ring.append(at)


def _rightmost(before: Point, at: Point, ends: list[Point]) -> Point:
    """Where four edges meet, the one that turns right, so that no ring crosses itself."""
    along = at[0] - before[0], at[1] - before[1]
    return max(ends, key=lambda end: along[0] * (end[1] - at[1]) - along[1] * (end[0] - at[0]))


def _corners(ring: Ring) -> Ring:
    """Only the points at which the ring turns."""
    points = np.array(ring)
    steps = np.diff(points, axis=0, append=points[:1])
    turns = (steps != np.roll(steps, 1, axis=0)).any(axis=1)
    return [(x, y) for x, y in points[turns].tolist()]


def joined(rings: list[Ring]) -> Ring:
    """One ring of several: a way there and back along one line leads to every other one.

    Such a line covers nothing where the inside is told by counting crossings, as COCO does.
    """
    whole, left = rings[0], rings[1:]
    while left:
        tree = KDTree(whole)
        near = [_nearest(tree, ring) for ring in left]
        _, best, here = min(near)
        ring = left.pop(near.index(min(near)))
        whole = whole[: best + 1] + ring[here:] + ring[: here + 1] + whole[best:]
    return whole


def _nearest(tree: KDTree, ring: Ring) -> tuple[float, int, int]:
    """How far a ring is from the points of the tree, and which two points are that near."""
    gaps, nearest = tree.query(ring)
    here = int(np.argmin(gaps))
    return float(gaps[here]), int(nearest[here]), here


def only_polygon(annotation: Annotation) -> list[float] | None:
    """The one polygon that an annotation is, of at least three points, if it is one."""
    found = annotation.segmentation
    alone = isinstance(found, list) and len(found) == 1 and isinstance(found[0], list)
    flat = alone and len(found[0]) > 5 and all(type(c) in (int, float) for c in found[0])
    return found[0] if flat else None
