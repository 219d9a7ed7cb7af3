"""The operating curves of sampling plans as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotate.inspect.curve import BAD, GOOD, operate
from annotate.inspect.plan import Plan
from partlab.errors import ConfigError
from partlab.files import need_new_file, replacing

_COLOURS = ("#8a8f98", "#1f6fb2", "#c2521b", "#3a8f4d", "#7a4fa3")
_RISKS = (0.05, 0.10)  # producer's, consumer's


def plot_curves(
    plans: Sequence[Plan], out: str | Path, *, size: int = 100, auroc: float, force: bool = False
) -> None:
    """Write a PNG or SVG: chance to be accepted, and mean images inspected, by the bad rate.

    Raises:
        ConfigError: the name ends in neither .png nor .svg.
        OutputExistsError: the file is there, and `force` is off.
    """
    out = Path(out)
    if out.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"cannot draw {out.name}: the name must end in .png or .svg")
    need_new_file(out, force=force)
    figure = _draw(plans, size, auroc)
    with replacing(out) as scratch:
        figure.savefig(scratch, format=out.suffix[1:].lower(), dpi=150)


def _draw(plans: Sequence[Plan], size: int, auroc: float) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    passing, cost = figure.subplots(1, 2)
    counts = range(round(0.4 * size) + 1)
    shares = [100 * bad / size for bad in counts]
    for plan, colour in zip(plans, _COLOURS * len(plans), strict=False):
        points = [operate(plan, bad, size, auroc) for bad in counts]
        style: dict[str, Any] = {"label": plan.name, "color": colour, "linewidth": 2}
        passing.plot(shares, [100 * point.accept for point in points], **style)
        cost.plot(shares, [point.images for point in points], **style)
    _mark_goal(passing)
    passing.set(xlabel="bad images in the category, %", ylabel="accepted, %", ylim=(0, 102))
    cost.set(xlabel="bad images in the category, %", ylabel="images inspected, mean")
    cost.set_ylim(bottom=0)
    for axes in (passing, cost):
        axes.set_xlim(0, 40)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    title = f"Categories of {size} images"
    ranked = any(plan.suspects for plan in plans)
    figure.suptitle(f"{title}; ranking with AUROC {auroc:g}" if ranked else title)
    return figure


def _mark_goal(axes: Any) -> None:
    """The two corners a plan must not enter: good ones rejected, bad ones accepted."""
    producer, consumer = _RISKS
    forbidden: dict[str, Any] = {"color": "#d62728", "alpha": 0.12, "linewidth": 0}
    named = {**forbidden, "label": "outside the goal"}
    axes.fill_between([0, 100 * GOOD], 0, 100 * (1 - producer), **named)
    axes.fill_between([100 * BAD, 100], 100 * consumer, 102, **forbidden)
