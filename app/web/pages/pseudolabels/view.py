"""A store on the page: its report, thresholds with what they change, least certain images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.draw import Style, overlay, palette
from app.web.pages.pseudolabels.thresholds import Effect, Scores, least_certain
from app.web.shown import Shown
from partlab.composite import Layer
from partlab.errors import PartlabError
from partlab.images import load_image
from partlab.pages import render
from partlab.parts import split_name
from pseudolabel.report import Report
from pseudolabel.report.page import findings, number_of, percent, total_histogram
from pseudolabel.settings import Thresholds
from pseudolabel.store import Row, Store

CHANGED = 6
"""Images whose change is drawn."""
LEAST = 12
_STYLE = Style(side=320)
_FILTERS = {
    "percent": percent,
    "number": number_of,
    "score": "{:.2f}".format,
    "count": "{:,}".format,
}


@dataclass(frozen=True, slots=True)
class Tile:
    """An image: addresses are None where it cannot be read."""

    name: str
    words: str
    before: str | None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """All that the page shows of a store; `report` is None where it was not asked for."""

    scores: Scores
    thresholds: Thresholds
    object: str
    effect: Effect
    report: Report | None
    truth: str
    saved: str = ""


def page_of(looked: Looked, shown: Shown) -> str:
    """The HTML."""
    scores, report = looked.scores, looked.report
    colours = palette(scores.store.names)
    return render(
        "app.web.pages.pseudolabels",
        "store.html",
        filters=_FILTERS,
        looked=looked,
        store=scores.store,
        effect=looked.effect,
        report=report,
        findings=list(findings(report)) if report else [],
        histogram=total_histogram(report) if report and report.objects else [],
        swatch={
            n: "#{:02x}{:02x}{:02x}".format(*c)
            for n, c in zip(scores.store.names, colours, strict=True)
        },
        changed=_changed(looked, shown),
        least=_least(looked, shown),
        lowest=_lowest(scores.store),
        address=shown.put(file_of(looked.thresholds), "thresholds.json"),
    )


def file_of(thresholds: Thresholds) -> bytes:
    """The calibration file, as `partlab pseudolabel calibrate` writes it."""
    import json

    return json.dumps(thresholds.model_dump(), indent=1, ensure_ascii=False).encode()


def _lowest(store: Store) -> float:
    from pseudolabel.sweep import lowest_score

    return lowest_score(store)


def _changed(looked: Looked, shown: Shown) -> list[Tile]:
    floors = looked.thresholds.of(looked.scores.store.names)
    tiles = []
    for position in looked.effect.changed[:CHANGED]:
        row = looked.scores.store.row(position)
        gone = [mask for mask in row.masks if np.float32(mask.score) < floors[mask.label]]
        before, after = _drawn(looked.scores.store, row, floors, shown)
        words = ", ".join(f"{_part(looked, mask.label)} {mask.score:.2f}" for mask in gone)
        tiles.append(Tile(row.file_name, f"goes: {words}", before, after))
    return tiles


def _part(looked: Looked, label: int) -> str:
    name = looked.scores.store.names[label]
    return split_name(name)[1] or name


def _least(looked: Looked, shown: Shown) -> list[Tile]:
    scores = looked.scores
    tiles = []
    for position in least_certain(scores, looked.object, LEAST):
        row = scores.store.row(position)
        address, _ = _drawn(scores.store, row, None, shown)
        tiles.append(Tile(row.file_name, f"mean score {scores.mean[position]:.2f}", address))
    return tiles


def _drawn(
    store: Store, row: Row, floors: NDArray[np.float32] | None, shown: Shown
) -> tuple[str | None, str | None]:
    """Addresses of the picture with all masks, and with those that reach their threshold."""
    try:
        pixels = load_image(store.image_path(row))
    except PartlabError:
        return None, None
    layers = store.layers(row)
    before = _address(pixels, layers, store, shown)
    if floors is None:
        return before, None
    kept = [layer for layer in layers if np.float32(layer.score) >= floors[layer.label]]
    return before, _address(pixels, kept, store, shown)


def _address(pixels: Any, layers: Sequence[Layer], store: Store, shown: Shown) -> str:
    parents = store.parts.parents
    drawn = overlay(pixels, layers, store.names, parents=parents, style=_STYLE)
    return shown.picture(np.asarray(drawn.convert("RGB")), "masks.png")


def facts_of(looked: Looked) -> dict[str, Any]:
    """The same for programs."""
    effect, counts = looked.effect, looked.effect.counts
    return {
        "thresholds": looked.thresholds.model_dump(),
        "masks": effect.masks,
        "kept": effect.kept,
        "labelled": effect.labelled,
        "blank_now": effect.blank,
        "images_changed": len(effect.changed),
        "precision": counts.precision if counts else None,
        "recall": counts.recall if counts else None,
        "f1": counts.f1 if counts else None,
        "parts": {line.name: {"tau": line.tau, "masks": line.masks, "kept": line.kept}
                  for line in effect.lines},
        "report": _told(looked.report) if looked.report else None,
    }  # fmt: skip


def _told(report: Report) -> dict[str, Any]:
    """As `--json` has it; what Gradio would take for a file to send is called otherwise."""
    told = report.result()
    if told["truth"]:
        told["truth"]["data"] = told["truth"].pop("path")
    return told
