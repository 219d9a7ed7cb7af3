"""How far counted work is: a bar on a terminal; in a log, a line about once a minute."""

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TypeVar

from rich.console import Console
from rich.markup import escape

from partlab.progress import duration

T = TypeVar("T")

QUIET = 60.0
"""Seconds between lines, and before the first: short work needs none."""


def bar(console: Console, items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """The items, with a bar, rate and time left that go away at the end."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(_rate(speed) if speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        yield from shown.track(items, total=total, description=escape(what))


def lines(console: Console, items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    """The items, with a line now and then: `training 60 epochs: 400 of 9,600, 1.2/s, about …`."""
    began = told = monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = monotonic()
        if now - told >= QUIET and done != total:
            told = now
            console.print(f"{what}: {_words(done, total, now - began)}", markup=False)


def _words(done: int, total: int | None, seconds: float) -> str:
    rate = done / seconds
    if total is None:
        return f"{done:,}, {_rate(rate)}"
    return f"{done:,} of {total:,}, {_rate(rate)}, about {duration((total - done) / rate)} left"


def _rate(speed: float) -> str:
    return f"{speed:,.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min"
