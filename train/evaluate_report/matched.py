"""Clean accuracy of two kinds of models at equal robustness (N-13)."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from train.evaluate_report.figures import figure
from train.evaluate_report.reading import Condition, Measured
from train.statistics import Point, matched_gains

CLEAN = Condition("clean", "clean")


def matched(
    found: Sequence[Measured], group: Sequence[int], by: Condition | None
) -> list[dict[str, Any]]:
    """What the second kind gains over the first at each robust accuracy that both reach.

    `by` is the attack that robustness is measured with; a kind is what the model's record calls
    it. Nothing where kinds have no robustness in common, which single models hardly have.
    """
    if by is None or by == CLEAN:
        return []
    lines = []
    for (first, one), (second, other) in combinations(_points(found, group, by).items(), 2):
        for robust, gain in matched_gains(one, other):
            lines.append({"first": first, "second": second, "robust": robust, "gain": gain})
    return lines


def _points(
    found: Sequence[Measured], group: Sequence[int], by: Condition
) -> dict[str, list[Point]]:
    """Kind -> (robust, clean) accuracy of each of its models."""
    points: dict[str, list[Point]] = defaultdict(list)
    for at in group:
        robust, clean = (figure(found[at], one) for one in (by, CLEAN))
        if robust and clean:
            points[found[at].model["kind"]].append((robust.accuracy.value, clean.accuracy.value))
    return points
