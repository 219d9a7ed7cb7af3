"""Figures of one evaluation: shares of images that a model gets right, each with its interval."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partlab.errors import SchemaError
from train.common_corruptions import CORRUPTIONS, SEVERITIES
from train.evaluate.average import four
from train.evaluate_report.reading import Condition, Measured
from train.statistics import Interval, bootstrap

TYPES = len(CORRUPTIONS)
AVERAGE = "average of four"


@dataclass(frozen=True, slots=True)
class Figure:
    """Accuracy under one condition; an `upper_bound` is one that a stronger attack may lower."""

    accuracy: Interval
    images: int
    upper_bound: bool

    def as_json(self) -> dict[str, Any]:
        """Shares of 1."""
        return {**asdict(self.accuracy), "images": self.images, "upper_bound": self.upper_bound}


def kind(threat: str) -> str:
    """clean, corruption, ood, or attacked."""
    head = threat.partition(":")[0]
    return head if head in ("clean", "corruption", "ood") else "attacked"


def conditions(each: Measured, *kinds: str) -> list[Condition]:
    """Those of these kinds, in the order of the evaluation."""
    return [condition for condition in each.outcomes if kind(condition.threat) in kinds]


@cache
def figure(each: Measured, condition: Condition) -> Figure | None:
    """One figure, or none where it was not measured."""
    if condition.threat == AVERAGE:
        return average(each, condition.attack)
    if (found := each.outcomes.get(condition)) is None:
        return None
    return Figure(bootstrap(found.right), len(found.right), bool(found.row["upper_bound"]))


def scores(each: Measured, condition: Condition) -> NDArray[np.float64] | None:
    """What a condition says of each image, (n,) 0…1 in the order of their names."""
    if condition.threat != AVERAGE:
        found = each.outcomes.get(condition)
        return None if found is None else found.right.astype(float)
    which = _four(each, condition.attack)
    return None if which is None else _stacked(each, which).mean(0)


def _four(each: Measured, attack: str) -> list[Condition] | None:
    """The conditions of the four-way average under an attack; None unless all are there."""
    return four({c.threat: c for c in each.outcomes if c.attack == attack})


def average(each: Measured, attack: str) -> Figure | None:
    """The four-way average under one attack (E-04), with an interval that knows of nesting (E-05).

    None where one of the four threats is missing.
    """
    if (which := _four(each, attack)) is None:
        return None
    found, bounds = _stacked(each, which).mean(0), [each.outcomes[c].row for c in which]
    return Figure(bootstrap(found), len(found), any(row["upper_bound"] for row in bounds))


def _stacked(each: Measured, which: Sequence[Condition]) -> NDArray[np.bool_]:
    """Outcomes on the same images, (conditions, n).

    Raises:
        SchemaError: the images are not the same.
    """
    first = each.outcomes[which[0]].images
    for condition in which:
        if not np.array_equal(each.outcomes[condition].images, first):
            raise SchemaError(
                f"{each.folder}: {condition.threat} and {which[0].threat} were measured on other "
                "images, so they have no average",
                hint="evaluate them again on one list",
            )
    return np.stack([each.outcomes[condition].right for condition in which])


def corruptions(each: Measured) -> dict[str, dict[int, Condition]]:
    """Type -> severity -> its condition."""
    found: dict[str, dict[int, Condition]] = defaultdict(dict)
    for condition in conditions(each, "corruption"):
        _, name, severity = [*condition.threat.split(":"), "", ""][:3]
        if not severity.isdigit():
            raise SchemaError(
                f"{each.folder}: {condition.threat!r} is no corruption:TYPE:SEVERITY",
                hint="run the evaluation again",
            )
        found[name][int(severity)] = condition
    return dict(found)


def corrupted(each: Measured, name: str | None = None) -> Figure | None:
    """Accuracy under one corruption, the mean of its five severities; or over all 15 types (G-01).

    None where some were not measured: a mean of the mild ones would flatter.
    """
    grid = [
        list(severities.values())
        for known, severities in corruptions(each).items()
        if name in (None, known)
    ]
    types = 1 if name else len(CORRUPTIONS)
    if len(grid) < types or any(len(found) < len(SEVERITIES) for found in grid):
        return None
    flat = [one for found in grid for one in found]
    right = dict(zip(flat, _stacked(each, flat), strict=True))
    per_image = np.mean([np.mean([right[one] for one in found], 0) for found in grid], 0)
    return Figure(bootstrap(per_image), len(per_image), False)


def norm_and_eps(threat: str) -> tuple[str, float] | None:
    """("linf", 0.0157) of "linf-4/255"; None of what is no such ball."""
    norm, _, eps = threat.partition("-")
    try:
        return norm, float(Fraction(eps))
    except (ValueError, ZeroDivisionError):
        return None
