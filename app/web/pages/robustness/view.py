"""Answers as HTML: clean over attacked, the perturbation, classes before and after, part maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import urlencode

import numpy as np

from app.web.pages.robustness.trial import Answer, Asked, table_of
from app.web.shown import Shown
from partlab.pages import render

_TOP = 5


@dataclass(frozen=True, slots=True)
class Line:
    """A class: its probability before and after, in percent, and whether it is the true one."""

    name: str
    before: float
    after: float
    first: bool  # of the clean picture
    now: bool  # of the attacked one
    true: bool


@dataclass(frozen=True, slots=True)
class Level:
    """Part maps of one resolution."""

    size: str
    clean: str
    attacked: str
    moved: float


@dataclass(frozen=True, slots=True)
class Card:
    """One model as the page shows it; pictures are addresses."""

    name: str
    side: int
    clean: str
    attacked: str
    added: str
    caption: str
    said: str
    tone: str  # good, warn or soft
    lines: Sequence[Line]
    levels: Sequence[Level]
    legend: Mapping[str, str]
    length: float


def page_of(
    asked: Asked, shown: Shown, places: Mapping[str, str], server: str | None = None
) -> tuple[str, dict[str, Any]]:
    """The HTML, and the same for programs; `places` and `server` say how to do it elsewhere."""
    stem = Path(asked.file).stem
    cards = [_card(one, asked, shown, stem) for one in asked.answers]
    html = render(
        "app.web.pages.robustness",
        "result.html",
        filters={"percent": _percent, "far": "{:.3g}".format},
        asked=asked,
        cards=cards,
        parts=any(card.levels for card in cards),
        calls=calls(asked, places, server),
    )
    pictures = {c.name: {"clean": c.clean, "attacked": c.attacked, "added": c.added} for c in cards}
    return html, table_of(asked, pictures)


def _percent(value: float) -> str:
    return "< 0.1 %" if 0 < value < 0.1 else f"{value:.1f} %"


def _card(one: Answer, asked: Asked, shown: Shown, stem: str) -> Card:
    from train.evaluate_report.pictures import magnified

    tried = one.tried
    added, caption = magnified(tried.attacked.astype(np.int16) - tried.clean)
    name = f"{stem}-{one.name}"
    levels, legend = _levels(one, shown)
    said, tone = verdict(one, asked)
    return Card(
        one.name,
        tried.clean.shape[0],
        shown.picture(tried.clean, f"{name}-clean.png"),
        shown.picture(tried.attacked, f"{name}-attacked.png"),
        shown.picture(added, f"{name}-perturbation.png"),
        caption,
        said,
        tone,
        _lines(one),
        levels,
        legend,
        one.length,
    )


def verdict(one: Answer, asked: Asked) -> tuple[str, str]:
    """What happened, in a sentence, and its tone."""
    tried = one.tried
    now = next(iter(tried.after))
    if not tried.right:
        said = next(iter(tried.before))
        return f"It is wrong before any attack: {said}, not {tried.label}; then {now}.", "soft"
    if tried.fooled:
        when = f" from step {tried.first_error} on" if (tried.first_error or -1) > 0 else ""
        return f"It loses {tried.label}{when}: now {now}.", "warn"
    if tried.first_error is not None and tried.first_error >= 0:
        return (
            f"It keeps {tried.label} on the picture shown; the point before its colours were "
            "rounded to whole numbers fools it.",
            "warn",
        )
    return f"It keeps {tried.label}.", "good"


def _lines(one: Answer) -> list[Line]:
    """The first five before, what is new among the first five after, and the expected class."""
    before, after = one.tried.before, one.tried.after
    names = dict.fromkeys([*list(before)[:_TOP], *list(after)[:_TOP], one.tried.label])
    first, now = next(iter(before)), next(iter(after))
    return [
        Line(
            name,
            100 * before.get(name, 0.0),
            100 * after.get(name, 0.0),
            name == first,
            name == now,
            name == one.tried.label,
        )
        for name in names
    ]


def _levels(one: Answer, shown: Shown) -> tuple[list[Level], dict[str, str]]:
    from train.evaluate.album import painted

    if one.clean_parts is None or one.attacked_parts is None:
        return [], {}
    levels, legend = [], dict[str, str]()
    pairs = zip(one.clean_parts.cells, one.attacked_parts.cells, one.moved, strict=True)
    for clean, attacked, moved in pairs:
        addresses = []
        for cells in (clean, attacked):
            pixels, own = painted(cells, one.clean_parts.names)
            legend |= own
            addresses.append(shown.picture(pixels, "parts.png"))
        height, width = clean.shape
        levels.append(Level(f"{height} × {width}", addresses[0], addresses[1], 100 * moved))
    return levels, dict(sorted(legend.items()))


def calls(asked: Asked, places: Mapping[str, str], server: str | None) -> list[tuple[str, str]]:
    """What does the same elsewhere: (model, text). `places` are the models' folders, "" unknown."""
    return [(name, _curl(asked, name, place, server)) for name, place in places.items()]


def _curl(asked: Asked, name: str, place: str, server: str | None) -> str:
    first = "" if server else f"partlab serve {quote(f'{name}={place}')}   # once, elsewhere\n"
    where = f"{server or 'http://127.0.0.1:8600'}/v1/attack?{urlencode(asked.ask.query(name))}"
    label = next(one.tried.label for one in asked.answers if one.name == name)
    where += f"&{urlencode({'label': label})}"
    kind = "-H 'Content-Type: application/octet-stream'"
    return f"{first}curl --data-binary @{quote(asked.path)} {kind} \\\n    {quote(where)}"
