"""The curves of recognition runs, as one PNG or a drawing for each pair of axes."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from partlab.errors import NotFoundError
from partlab.files import replacing
from train.report.history import History, Record
from train.report.panels import (
    Line,
    Panel,
    Points,
    panels,
    points,
    running_mean,
    thinned,
    window,
)
from train.report.summary import Accuracy, Summary, run_summary, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SAFE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1d2127")
"""Okabe and Ito's colours, which the colour-blind can tell apart (without their yellow)."""

_FAINT = 3  # with more runs than this single steps are not drawn
_COLUMNS = 2
_SIZE = (5.6, 3.3)  # inches of one pair of axes


class Curved(Protocol):
    """What curves are drawn of: a recognition run (`Summary`), or another that logs its steps."""

    @property
    def history(self) -> History:
        """What it logged."""
        ...

    @property
    def best(self) -> Accuracy | None:
        """Where the best checkpoint of a recognition run is marked."""
        ...


def colours(count: int) -> list[str]:
    """One for each run; more than seven are a scale from dark to light."""
    if count <= len(_SAFE):
        return list(_SAFE[:count])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    scale = colormaps["viridis"]
    return [to_hex(scale(0.88 * at / (count - 1))) for at in range(count)]


def write_curves(runs: Sequence[str | Path | Summary], png: str | Path) -> Path:
    """Draw loss, accuracy, part loss by label source, speed and learning rate over epochs.

    Raises:
        NotFoundError: a folder is no run, or none has logged a step yet.
        SchemaError, ConfigError: as `run_summary`.
        PartlabError: the file cannot be written.
    """
    read = summaries(runs)
    figure = _figure(read, shown_panels(read))
    with replacing(png) as scratch:
        figure.savefig(scratch, format="png", dpi=130)
    return Path(png)


def summaries(runs: Sequence[str | Path | Summary]) -> list[Summary]:
    """Read those that are not read yet."""
    return [each if isinstance(each, Summary) else run_summary(each) for each in runs]


def shown_panels(runs: Sequence[Summary]) -> list[Panel]:
    """What can be drawn of these runs.

    Raises:
        NotFoundError: nothing, for no step was logged yet.
    """
    found = panels([run.history for run in runs])
    if not found:
        names = ", ".join(str(run.run) for run in runs)
        raise NotFoundError(
            f"{names}: no step logged yet, so there are no curves",
            hint="a line is logged every 20 steps: look again in a while",
        )
    return found


def panel_svg(panel: Panel, runs: Sequence[Curved]) -> bytes:
    """One pair of axes as an SVG picture; the same runs give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    draw(figure.subplots(), panel, runs)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "partlab"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _figure(runs: Sequence[Summary], shown: Sequence[Panel]) -> "Figure":
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(_SIZE[0] * columns, _SIZE[1] * rows + 0.6), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, panel in zip(every, shown, strict=False):
        draw(axes, panel, runs)
    for axes in every[len(shown) :]:
        axes.set_axis_off()
    _name(figure, runs)
    return figure


def _name(figure: "Figure", runs: Sequence[Summary]) -> None:
    """One run is the title; several are a legend above all axes."""
    names = short_names([run.run for run in runs])
    if len(runs) == 1:
        figure.suptitle(f"{names[0]}: {runs[0].model}", fontsize=12)
        return
    from matplotlib.lines import Line2D

    keys = [Line2D([], [], color=colour, linewidth=3) for colour in colours(len(runs))]
    labels = [f"{name}: {run.model}" for name, run in zip(names, runs, strict=True)]
    columns = 2 if max(map(len, labels)) > 40 else 3
    figure.legend(keys, labels, loc="outside upper center", ncols=columns, frameon=False)


def draw(axes: "Axes", panel: Panel, runs: Sequence[Curved]) -> None:
    """One panel of all runs; a line's dash says what it is, its colour whose."""
    from matplotlib.ticker import MaxNLocator

    place, words = _axis(runs)
    for run, colour in zip(runs, colours(len(runs)), strict=True):
        for line in panel.lines:
            _draw_line(axes, line, panel, run, colour, place(run), faint=len(runs) <= _FAINT)
    axes.set_title(panel.title, fontsize=10.5)
    axes.set_xlabel(words)
    axes.set_ylabel(panel.unit)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))  # no half epochs
    if panel.from_zero:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    _explain(axes, panel, runs)


def _axis(runs: Sequence[Curved]) -> tuple[Callable[[Curved], Callable[[Record], float]], str]:
    """Epochs, unless a run does not know how long they are."""
    if any(run.history.epoch_steps is None for run in runs if run.history.steps):
        return (lambda _: lambda record: record["step"]), "steps"
    return (lambda run: lambda record: record["step"] / (run.history.epoch_steps or 1)), "epochs"


def _draw_line(
    axes: "Axes",
    line: Line,
    panel: Panel,
    run: Curved,
    colour: str,
    place: Callable[[Record], float],
    *,
    faint: bool,
) -> None:
    found = points(line, panel, run.history, place)
    style: dict[str, Any] = {"color": colour, "linestyle": line.dash, "linewidth": 1.8}
    if line.of == "steps" and panel.smooth:
        if faint and line.dash == "solid":
            _plot(axes, thinned(found), color=colour, alpha=0.22, linewidth=0.8)
        found = thinned(running_mean(found, window(run.history)))
    if len(found) <= (30 if line.of == "validations" else 2):  # one point is no line
        style |= {"marker": "o", "markersize": 3}
    _plot(axes, found, **style)
    if line.marks_best and run.best:
        value = panel.scale * (run.best.clean if line.key == "val_clean" else run.best.pgd or 0)
        epoch = {"epoch": run.best.epoch, "step": run.best.epoch * (run.history.epoch_steps or 1)}
        ring: dict[str, Any] = {"marker": "o", "markersize": 10, "markerfacecolor": "none"}
        _plot(axes, [(place(epoch), value)], color=colour, linestyle="none", **ring)


def _plot(axes: "Axes", line: Points, **style: Any) -> None:
    axes.plot([at for at, _ in line], [value for _, value in line], **style)


def _explain(axes: "Axes", panel: Panel, runs: Sequence[Curved]) -> None:
    """What dashes, the ring and the faint lines mean."""
    from matplotlib.lines import Line2D

    colour = colours(1)[0] if len(runs) == 1 else "#5b6470"
    keys = [
        Line2D([], [], color=colour, linestyle=line.dash, label=line.label, linewidth=1.8)
        for line in panel.lines
        if any(points(line, panel, run.history, lambda _: 0.0) for run in runs)
    ]
    if any(line.marks_best for line in panel.lines) and any(run.best for run in runs):
        ring: dict[str, Any] = {"marker": "o", "markersize": 9, "markerfacecolor": "none"}
        keys.append(Line2D([], [], color=colour, linestyle="none", label="best checkpoint", **ring))
    if len(keys) > 1 or any(line.dash == "dashed" for line in panel.lines):
        axes.legend(handles=keys, frameon=False, fontsize=8.5)
