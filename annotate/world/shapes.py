"""Outlines of simple shapes, as (n, 2) arrays of x, y; y points down."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]
Point = tuple[float, float]


def ellipse(cx: float, cy: float, rx: float, ry: float, turn: float = 0.0) -> Outline:
    """An ellipse, turned by `turn` radians about its centre."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = rx * np.cos(t), ry * np.sin(t)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([cx + c * x - s * y, cy + s * x + c * y], axis=1)


def blob(points: Sequence[Point]) -> Outline:
    """A smooth closed curve through the points."""
    p = np.asarray(points, float)
    return _spline(np.concatenate([p[-1:], p, p[:2]]))[:-1]


def box(x0: float, y0: float, x1: float, y1: float, radius: float) -> Outline:
    """A box with round corners."""
    radius = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    t = np.linspace(0, np.pi / 2, 7)
    arc = np.stack([np.cos(t), np.sin(t)], axis=1) * radius
    corners = [(x1 - radius, y1 - radius), (x0 + radius, y1 - radius)]
    corners += [(x0 + radius, y0 + radius), (x1 - radius, y0 + radius)]
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    sides = []
    for corner in corners:
        sides.append(arc + corner)
        arc = arc @ quarter.T
    return np.concatenate(sides)


def tube(points: Sequence[Point], widths: Sequence[float]) -> Outline:
    """A smooth thick line through the points with round ends; `widths` are full widths."""
    p = np.asarray(points, float)
    line = _spline(np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]]))
    along = np.linspace(0, 1, len(line))
    half = np.interp(along, np.linspace(0, 1, len(widths)), widths) / 2
    step = np.gradient(line, axis=0)
    step /= np.maximum(np.hypot(step[:, 0], step[:, 1]), 1e-9)[:, None]
    side = np.stack([-step[:, 1], step[:, 0]], axis=1) * half[:, None]
    end = _cap(line[-1], side[-1], step[-1] * half[-1])
    start = _cap(line[0], -side[0], -step[0] * half[0])
    return np.concatenate([line + side, end, (line - side)[::-1], start])


def turned(outline: Outline, angle: float) -> Outline:
    """Turned by `angle` radians about the origin."""
    c, s = np.cos(angle), np.sin(angle)
    result: Outline = outline @ np.array([[c, s], [-s, c]])
    return result


def _cap(centre: Outline, side: Outline, ahead: Outline) -> Outline:
    t = np.linspace(0, np.pi, 9)[1:-1, None]
    arc: Outline = centre + np.cos(t) * side + np.sin(t) * ahead
    return arc


def _spline(p: Outline, steps: int = 8) -> Outline:
    """Catmull-Rom through p[1] … p[-2]."""
    t = np.arange(steps)[None, :, None] / steps
    a, b, c, d = (p[i : len(p) - 3 + i, None, :] for i in range(4))
    curve = b + t * ((c - a) + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))) / 2
    inner: Outline = curve.reshape(-1, 2)
    inner[::steps] = p[1:-2]
    return np.concatenate([inner, p[-2:-1]])
