"""What is drawn of runs, also of segmenters': which figures share axes, under which names."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from train.report.history import History, Record

Points = list[tuple[float, float]]

MOST = 400  # points of a line; neighbours are averaged
_SMOOTH = 20  # a running mean is over no more than a 20th of the points


@dataclass(frozen=True, slots=True)
class Line:
    """One figure over time: of the single training `steps`, or of the `validations`."""

    key: str
    label: str
    of: Literal["steps", "validations"] = "steps"
    dash: Literal["solid", "dashed"] = "solid"
    marks_best: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines on one pair of axes; `unit` names the vertical one, `scale` makes it fit."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    scale: float = 1.0
    from_zero: bool = False
    smooth: bool = True  # steps are noisy: their running mean, and faintly themselves


def _both(title: str, unit: str, name: str, scale: float = 1.0) -> Panel:
    """Training against validation: a gap that widens is over-fitting (X-03)."""
    lines = (
        Line(f"val_{name}", "validation", "validations"),
        Line(name, "training", dash="dashed"),
    )
    return Panel(title, unit, lines, scale)


_ACCURACY = Panel(
    "Accuracy on the validation pictures",
    "accuracy (%)",
    (
        Line("val_clean", "clean", "validations", marks_best=True),
        Line("val_pgd", "under PGD", "validations", "dashed", marks_best=True),
    ),
    scale=100,
)
_AP = Panel(
    "Masks on the validation pictures, category filter on",
    "average precision (%)",
    (
        Line("val_ap50", "AP50", "validations"),
        Line("val_ap", "AP", "validations", "dashed"),
    ),
    scale=100,
)
_SEEN = Panel(
    "Accuracy in training, on the pictures as attacked",
    "accuracy (%)",
    (Line("class_accuracy", "training"),),
    scale=100,
)
_PARTS = (
    _both("Part loss, people's masks", "loss, without weight", "part_human"),
    _both("Part loss, pseudo labels", "loss, without weight", "part_pseudo"),
    _both("Cells of the part output named right", "share (%)", "part_accuracy", 100),
    _both("Cells of parts called background", "share (%)", "part_missed", 100),
)
_PACE = (
    Panel("Speed", "pictures / s", (Line("pictures_per_second", "training"),), from_zero=True),
    Panel(
        "Learning rate", "learning rate", (Line("lr", "training"),), smooth=False, from_zero=True
    ),
)
_LOSSES = {
    "class": "Class loss",
    "part": "Part loss × its weight λ",
    "robust": "Robust loss × β (TRADES)",
}


def panels(histories: Sequence[History]) -> list[Panel]:
    """Those of which there is anything to show, in the order of reading."""
    names = dict.fromkeys(name for history in histories for name in history.losses)
    losses = [
        Panel(_LOSSES.get(name, f"Loss “{name}”"), "loss in training", (Line(name, "training"),))
        for name in names
    ]
    every = [_ACCURACY, _AP, *losses, *_PARTS, _SEEN, *_PACE]
    return [panel for panel in every if any(_shows(panel, each) for each in histories)]


def _shows(panel: Panel, history: History) -> bool:
    return any(line.key in each for line in panel.lines for each in _records(line, history))


def points(line: Line, panel: Panel, history: History, place: Callable[[Record], float]) -> Points:
    """Where a line goes: (place, value); what is not finite is left out."""
    found = [(place(each), each[line.key]) for each in _records(line, history) if line.key in each]
    return [(at, panel.scale * value) for at, value in found if math.isfinite(value)]


def _records(line: Line, history: History) -> tuple[Record, ...]:
    return history.validations if line.of == "validations" else history.steps


def window(history: History) -> int:
    """How many logged steps a running mean is over: an epoch's, or less in a short run."""
    epochs = history.step / history.epoch_steps if history.epoch_steps else 1
    each = len(history.steps) / max(epochs, 1)
    return max(1, min(round(each), len(history.steps) // _SMOOTH))


def running_mean(line: Points, window: int) -> Points:
    """The mean of the `window` points around each; fewer at the ends."""
    half = window // 2
    sums = [(0.0, 0.0), *accumulate(line, lambda a, b: (a[0] + b[0], a[1] + b[1]))]
    bounds = [(max(at - half, 0), min(at + half + 1, len(line))) for at in range(len(line))]
    return [_mean_between(sums, *each) for each in bounds]


def _mean_between(sums: Sequence[tuple[float, float]], start: int, end: int) -> tuple[float, float]:
    (x, y), (x_before, y_before) = sums[end], sums[start]
    return (x - x_before) / (end - start), (y - y_before) / (end - start)


def thinned(line: Points, most: int = MOST) -> Points:
    """Means of neighbours, so that no more than `most` points are left."""
    size = max(math.ceil(len(line) / most), 1)
    groups = [line[at : at + size] for at in range(0, len(line), size)]
    return [(_mean([x for x, _ in each]), _mean([y for _, y in each])) for each in groups]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
