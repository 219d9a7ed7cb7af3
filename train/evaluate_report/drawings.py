"""Curves, waterfalls, the corruption radar and loss surfaces as embedded SVG.

Models are told by colour. Only those that may be ranked together are drawn together.
"""

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from train.evaluate_report import words
from train.report.curves import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Facts = Mapping[str, Any]
BOUND = "upper bound"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture; `words` says what it shows to those who cannot see it."""

    title: str
    words: str
    uri: str


def surfaces(models: Sequence[Facts]) -> list[Drawing | None]:
    """The margin about a few images of each model; None where its honesty record has none.

    See `train.honesty.surface.loss_surface`.
    """
    found: list[Drawing | None] = []
    for each in models:
        surface = (each["honesty"] or {}).get("surface")
        if not surface or not surface.get("margins"):
            found.append(None)
            continue
        wide = len(surface["margins"])
        found.append(
            _drawn("", f"{each['name']}: the margin about {wide} images, along the gradient and a "
                   "random direction", partial(_panels, surface=surface),
                   size=(0.8 + 2.3 * wide, 2.9), panels=wide)
        )  # fmt: skip
    return found


def _panels(axes: Any, surface: Facts) -> None:
    """Across: along the gradient; up: the random direction; a line where the margin is 0."""
    offsets, margins = surface["offsets"], surface["margins"]
    most = max((abs(v) for grid in margins for row in grid for v in row), default=0) or 1.0
    panels = list(axes.flat) if len(margins) > 1 else [axes]
    for panel, grid in zip(panels, margins, strict=True):
        upright = [list(row) for row in zip(*grid, strict=True)]
        shown = panel.pcolormesh(
            offsets, offsets, upright, cmap="PuOr_r", vmin=-most, vmax=most, shading="nearest"
        )
        if min(map(min, grid)) < 0 < max(map(max, grid)):
            panel.contour(offsets, offsets, upright, levels=[0], colors="#1d2127", linewidths=1.6)
        panel.set_xlabel("along the gradient, eps")
        panel.set_aspect("equal")
    panels[0].set_ylabel("random step, eps")
    panels[0].figure.colorbar(shown, ax=panels, label="margin")


@dataclass(frozen=True, slots=True)
class Panel:
    """What is drawn of models that compare: which they are, what they share, the pictures."""

    models: tuple[int, ...]
    words: str
    drawings: list[Drawing]


@dataclass(frozen=True, slots=True)
class _Coloured:
    """A model, and the colour it has everywhere on the page."""

    at: int
    facts: Facts
    colour: str


def drawings(facts: Facts) -> dict[str, list[Panel]]:
    """By chapter of the page (curve, waterfall, radar): a panel for each group; none where empty.

    Corrupted pictures that were made in another way are apart too; their panels are there even
    where nothing is drawn, since they have a table.
    """
    models, tints = facts["models"], colours(len(facts["models"]))
    found: dict[str, list[Panel]] = {"curve": [], "waterfall": [], "radar": []}
    for group in facts["groups"]:
        own = [
            _Coloured(at, models[at], tints[at]) for at in sorted(r["model"] for r in group["rows"])
        ]
        words_ = words.about_list(group)
        for chapter, draw in (("curve", _curves), ("waterfall", _waterfalls)):
            if drawn := draw(own):
                found[chapter].append(Panel(tuple(one.at for one in own), words_, drawn))
        found["radar"] += _radars(own, words_)
    return found


def _radars(own: Sequence[_Coloured], words_: str) -> list[Panel]:
    ways: dict[str, list[_Coloured]] = {}
    for one in own:
        if told := one.facts["corruptions"]:
            ways.setdefault(told["way"], []).append(one)
    return [
        Panel(tuple(one.at for one in those), f"{words_}; corrupted pictures: {way}", _radar(those))
        for way, those in ways.items()
    ]


def _curves(models: Sequence[_Coloured]) -> list[Drawing]:
    """Robust accuracy against eps, one pair of axes for each norm and attack."""
    kinds = dict.fromkeys((p["norm"], p["attack"]) for m in models for p in m.facts["curve"])
    return [
        _drawn(f"{norm}, {attack}", "accuracy in percent against eps, a line for each model",
               partial(_curve, models=models, norm=norm, attack=attack))
        for norm, attack in kinds
        if any(len(_points(each.facts, norm, attack)) > 1 for each in models)
    ]  # fmt: skip


def _points(model: Facts, norm: str, attack: str) -> list[Facts]:
    found = [p for p in model["curve"] if (p["norm"], p["attack"]) == (norm, attack)]
    return sorted(found, key=lambda point: float(point["eps"]))


def _curve(axes: "Axes", models: Sequence[_Coloured], norm: str, attack: str) -> None:
    scale, unit = (255, "/255") if norm == "linf" else (1, "")
    bound = False
    for model in models:
        points, colour = _points(model.facts, norm, attack), model.colour
        figures = [point["figure"] for point in points]
        if not points:
            continue
        hollow = any(figure["upper_bound"] for figure in figures)
        bound |= hollow
        value, low, high = ([100 * f[k] for f in figures] for k in ("value", "low", "high"))
        around = [[v - a for v, a in zip(value, low, strict=True)],
                  [b - v for v, b in zip(value, high, strict=True)]]  # fmt: skip
        axes.errorbar(
            [scale * point["eps"] for point in points], value, yerr=around, color=colour,
            marker="o", markersize=5, capsize=3, linestyle="dashed" if hollow else "solid",
            markerfacecolor="none" if hollow else colour,
        )  # fmt: skip
    axes.set_xlabel(f"eps{unit}")
    axes.set_xlim(left=0)
    _percents(axes, BOUND if bound else None)


def _waterfalls(models: Sequence[_Coloured]) -> list[Drawing]:
    """What is left right after each stage of an attack."""
    kinds = dict.fromkeys((s["threat"], s["attack"]) for m in models for s in m.facts["stages"])
    return [
        _drawn(words.title({"threat": threat, "attack": attack}),
               "accuracy in percent after each stage of the attack, a bar for each model",
               partial(_bars, models=models, threat=threat, attack=attack))
        for threat, attack in kinds
    ]  # fmt: skip


def _bars(axes: "Axes", models: Sequence[_Coloured], threat: str, attack: str) -> None:
    found = [
        (each.colour, stage)
        for each in models
        for stage in each.facts["stages"]
        if (stage["threat"], stage["attack"]) == (threat, attack)
    ]
    names = list(dict.fromkeys(one["name"] for _, stage in found for one in stage["stages"]))
    wide = 0.8 / len(found)
    for number, (colour, stage) in enumerate(found):
        left = {one["name"]: 100 * one["robust"] for one in stage["stages"]}
        places = [k - 0.4 + wide * (number + 0.5) for k, name in enumerate(names) if name in left]
        style = {"hatch": "//", "alpha": 0.6} if stage["upper_bound"] else {}
        heights = [left[name] for name in names if name in left]
        axes.bar(places, heights, wide, color=colour, edgecolor="#fff", **style)  # type: ignore[arg-type]
    axes.set_xticks(range(len(names)), [f"after\n{_plain(name)}" for name in names])
    _percents(axes, BOUND if any(stage["upper_bound"] for _, stage in found) else None)


def _radar(models: Sequence[_Coloured]) -> list[Drawing]:
    """Accuracy by type of corruption, the mean of its severities."""
    types = list(dict.fromkeys(t for each in models for t in _means(each.facts)))
    if not types:
        return []
    return [
        _drawn("corruptions", "accuracy in percent under each type of corruption, by model",
               lambda axes: _rounds(axes, models, types), size=(7.0, 5.6), polar=True)
    ]  # fmt: skip


def _means(model: Facts) -> dict[str, float]:
    """Type -> percent, of the types whose severities are all there."""
    told = (model["corruptions"] or {"types": {}})["types"]
    return {t: 100 * each["figure"]["value"] for t, each in told.items() if each["figure"]}


def _rounds(axes: "Axes", models: Sequence[_Coloured], types: Sequence[str]) -> None:
    angles = [2 * math.pi * at / len(types) for at in range(len(types))]
    for model in models:
        told = _means(model.facts)
        values = [told.get(t, math.nan) for t in types]
        if told:
            closed = [*angles, angles[0]], [*values, values[0]]
            axes.plot(*closed, color=model.colour, linewidth=1.8, marker="o", markersize=3)
    axes.set_xticks(angles, [_plain(name.replace("_", " ")) for name in types])
    axes.tick_params(axis="x", pad=4)
    for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
        across = round(math.cos(angle), 1)  # names begin or end at the circle, none lies on it
        label.set_horizontalalignment("center" if not across else "left" if across > 0 else "right")
    axes.set_ylim(0, 100)  # the same on every page, so that radars compare at a glance
    axes.set_rgrids([20, 40, 60, 80, 100], angle=180 / len(types))  # between two names
    axes.grid(alpha=0.4)


def _percents(axes: "Axes", bound: str | None) -> None:
    axes.set_ylabel("right, %")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if bound:
        axes.set_ylim(top=1.14 * axes.get_ylim()[1])  # room for the words
        axes.text(0.98, 0.97, f"{bound}: hollow or hatched", transform=axes.transAxes,
                  ha="right", va="top", fontsize=9, color="#b4540a")  # fmt: skip


def _plain(text: str) -> str:
    """A name as it is; matplotlib would take what stands between dollars for a formula."""
    return text.replace("$", r"\$")


def _drawn(
    title: str,
    words: str,
    draw: Callable[[Any], None],
    *,
    size: tuple[float, float] = (5.6, 3.3),
    polar: bool = False,
    panels: int = 1,
) -> Drawing:
    """The same figures give the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    kind = {"projection": "polar"} if polar else None
    axes: Any = figure.subplots(1, panels, sharey=panels > 1, subplot_kw=kind)
    draw(axes)
    if title:
        axes.set_title(_plain(title), fontsize=10.5, pad=18 if polar else None)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "partlab"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    picture = base64.b64encode(buffer.getvalue()).decode()
    return Drawing(
        title, f"{title}: {words}" if title else words, f"data:image/svg+xml;base64,{picture}"
    )
