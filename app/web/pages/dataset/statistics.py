"""Statistics as plots, and one small table: parts with too few examples, and those never drawn."""

from dataclasses import dataclass
from math import log10

from annotate.data.reuse import MIN_IMAGES
from annotate.data.statistics import REFERENCE_BINS, Statistics
from app.web.pages.dataset.drawing import FORMS, PACKAGE
from partlab.pages import render

FEW = MIN_IMAGES
_BARS, _ROWS = 40, 30


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with its number; `share` of the longest, 0…1."""

    name: str
    value: str
    share: float


def statistics_of(found: Statistics) -> str:
    """The HTML of what `partlab data stats` counts."""
    objects = sorted(found.per_object, key=lambda one: -one.images)
    few = sorted((one for one in found.per_part if one.images < FEW), key=lambda one: one.images)
    return render(
        PACKAGE,
        "statistics.html",
        filters=FORMS,
        found=found,
        objects=_bars({one.object: one.images for one in objects[:_BARS]}, "images"),
        more_objects=max(len(objects) - _BARS, 0),
        provenance=_bars(dict(list(found.provenance.items())[:_BARS]), "masks"),
        bins=[(name, share, REFERENCE_BINS[name]) for name, share in found.bins.items()],
        curve=_curve([one.masks for one in found.per_part]),
        few=few[:_ROWS],
        more_few=max(len(few) - _ROWS, 0),
        never=sum(not one.masks for one in few),
        least=FEW,
    )


def _bars(counts: dict[str, int], unit: str) -> list[Bar]:
    longest = max(counts.values(), default=0) or 1
    return [Bar(name, f"{n:,} {unit}", n / longest) for name, n in counts.items()]


@dataclass(frozen=True, slots=True)
class Curve:
    """Masks of each part, the most first: points of an SVG of 600 by 160, and its lines."""

    points: str
    ticks: tuple[tuple[int, float], ...]  # masks, height
    parts: int
    most: int
    least: int


def _curve(masks: list[int]) -> Curve | None:
    """On a scale of powers of ten; None where there are no parts."""
    if not masks:
        return None
    ranked = sorted(masks, reverse=True)
    top = max(log10(ranked[0]) if ranked[0] else 0.0, 1.0)

    def height(value: int) -> float:
        return round(138 - 130 * log10(value) / top, 1) if value else 154.0  # below one mask

    step = 540 / max(len(ranked) - 1, 1)
    points = " ".join(f"{50 + step * place:.1f},{height(n)}" for place, n in enumerate(ranked))
    ticks = tuple((10**power, height(10**power)) for power in range(int(top) + 1))
    return Curve(points, ticks, len(ranked), ranked[0], ranked[-1])
