"""COCO records as other tools spell them: numbers as text, flat polygons, points as pairs.

Only what can be read in one way is: `"12"` and `12.0` are 12, `[x, y, x, y, x, y]` is one polygon.
What is spelled as COCO has it comes back as the same object, so that it is written as it was.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

_WHOLE = re.compile(r"\s*[+-]?\d{1,18}(\.0*)?\s*")


def whole(value: Any) -> Any:
    """The integer that a float or a text states (`60.0`, `"60"`); anything else unchanged."""
    if type(value) is float and math.isfinite(value) and value == int(value):
        return int(value)
    if type(value) is str and value.isascii() and _WHOLE.fullmatch(value):
        return int(float(value)) if "." in value else int(value)
    return value


def number(value: Any) -> Any:
    """The number that a text states; anything else unchanged."""
    if type(value) is not str:
        return value
    try:
        return float(value)
    except ValueError:
        return value


def spelled(segmentation: Any) -> Any:
    """A segmentation as COCO spells it: polygons as flat lists in a list, runs as integers.

    Read are one polygon that is not inside a list, points as pairs (`[x, y]` or
    `{"x": …, "y": …}`), coordinates as text, runs and sizes as floats or text.
    """
    if type(segmentation) is dict:
        return _spelled_runs(segmentation)
    if type(segmentation) is not list or not segmentation:
        return segmentation
    if type(segmentation[0]) is not list or all(map(_is_point, segmentation)):
        return _one_polygon(segmentation)
    polygons = [_polygon(piece) for piece in segmentation]
    same = all(new is old for new, old in zip(polygons, segmentation, strict=True))
    return segmentation if same else polygons


def _spelled_runs(rle: dict[str, Any]) -> dict[str, Any]:
    changed = {
        key: new
        for key in ("size", "counts")
        if (new := _all_whole(rle.get(key))) is not rle.get(key)
    }
    return {**rle, **changed} if changed else rle


def _all_whole(values: Any) -> Any:
    if type(values) is not list or all(type(value) is int for value in values):
        return values
    return [whole(value) for value in values]


def _one_polygon(points: list[Any]) -> list[Any]:
    """A polygon that is not inside a list, if it is one: `[[1, 2]]` is a piece of one point."""
    flat = _polygon(points)
    numbers = all(type(value) in (int, float) for value in flat)
    return [flat] if numbers and (flat is points or len(flat) >= 6) else points


def _polygon(piece: Any) -> Any:
    """Coordinates one after another, as numbers; what is spelled so comes back as it is."""
    if type(piece) is not list or not piece:
        return piece
    if all(_is_point(point) for point in piece):
        return [number(value) for point in piece for value in _pair(point)]
    return [number(value) for value in piece] if str in set(map(type, piece)) else piece


def _is_point(value: Any) -> bool:
    if type(value) is dict:
        return {"x", "y"} <= value.keys()
    return type(value) is list and len(value) == 2 and type(value[0]) not in (list, dict)


def _pair(point: Any) -> Sequence[Any]:
    return (point["x"], point["y"]) if type(point) is dict else point
