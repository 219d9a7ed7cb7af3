"""What an annotator asks a model: clicks and a box on one picture, as the page sends them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annotate.studio.spelling.shapes import Size

_Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """Places of the picture as shown, in pixels, and the label that was chosen, if one was.

    `clicks` are x, y and whether the place belongs to the part; `box` is x1, y1, x2, y2. `shown`
    is (width, height) of the picture in the page. `id` is that of the region
    that answers: it stays while clicks are added, so that each answer takes the place of the last.
    """

    id: str
    label: str | None
    clicks: tuple[tuple[float, float, bool], ...]
    box: tuple[float, float, float, float] | None
    shown: Size


def asked_of(context: Any) -> Asked | None:
    """What stands in the context of a request; None where nothing is asked, or nothing of use.

    Clicks of all items count, of several boxes the last. Places outside the picture are moved to
    its edge.
    """
    listed = context.get("result") if isinstance(context, dict) else None
    items = [item for item in _listed(listed) if isinstance(item, dict)]
    places = [item for item in items if str(item.get("type")).removesuffix("labels") in _READ]
    sizes = [size for item in places if (size := _size(item))]
    if not sizes:
        return None
    shown, clicks, box = sizes[-1], [], None
    for item in places:
        kind = str(item["type"]).removesuffix("labels")
        if (numbers := _numbers(item.get("value"), _READ[kind])) is None:
            continue
        if kind == "keypoint":
            x, y = _pixels(numbers[0], numbers[1], shown)
            clicks.append((x, y, item.get("is_positive") is not False))
        else:
            box = _box(numbers, shown)
    if not clicks and box is None:
        return None
    label = next(filter(None, map(_label, reversed(items))), None)
    return Asked(f"answer-{places[0].get('id', '')}", label, tuple(clicks), box, shown)


_READ = {"keypoint": ("x", "y"), "rectangle": ("x", "y", "width", "height")}


def _size(item: _Item) -> Size | None:
    size = item.get("original_width"), item.get("original_height")
    good = all(type(one) is int and 0 < one < 1 << 20 for one in size)
    return (int(size[0] or 0), int(size[1] or 0)) if good else None


def _numbers(value: Any, names: tuple[str, ...]) -> list[float] | None:
    found: list[Any] = [value.get(name) for name in names] if isinstance(value, dict) else []
    good = found and all(type(one) in (int, float) and math.isfinite(one) for one in found)
    return [float(one) for one in found] if good else None


def _pixels(x: float, y: float, shown: Size) -> tuple[float, float]:
    """From percent of the picture to a place inside it."""
    return (
        min(max(x / 100 * shown[0], 0.0), shown[0] - 0.5),
        min(max(y / 100 * shown[1], 0.0), shown[1] - 0.5),
    )


def _box(numbers: list[float], shown: Size) -> tuple[float, float, float, float]:
    x, y, wide, high = numbers
    corners = ((x, y), (x + wide, y + high))
    (x1, y1), (x2, y2) = [
        (min(max(a / 100, 0.0), 1.0) * shown[0], min(max(b / 100, 0.0), 1.0) * shown[1])
        for a, b in corners
    ]
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _label(item: _Item) -> str | None:
    return next(_said(item), None)


def _said(item: _Item) -> Iterator[str]:
    value = item.get("value")
    for key in ("labels", str(item.get("type"))):
        listed = value.get(key) if isinstance(value, dict) else None
        yield from map(str, _listed(listed))


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
