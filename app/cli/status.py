"""`partlab status`: where a work stands, who is to act, and when it ends."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from app.cli._ui import JsonOpt, ObjectsArg, WorkArg, reported
from partlab.counts import counted, few

if TYPE_CHECKING:
    from annotate.inspect.corrections import Correction
    from annotate.inspect.overview import Forecast, Overview, Row

_SHOWN = 10  # notes on drawings; --json has them all


def status(
    folder: WorkArg,
    objects: ObjectsArg = None,
    json: JsonOpt = False,
) -> None:
    """Show where each object category stands, for whom it waits, and what is wrong.

    As of the last pull; asks no server. Below the table stands in words what needs somebody.

    Example: partlab status ram-work
    """
    with reported(json) as ui:
        from dataclasses import asdict

        from annotate.inspect.overview import look_over, studio_link
        from annotate.work import Work

        with Work.open(folder) as work:
            found = look_over(work, objects or ())
        rounds = [
            {**row.as_json(), "url": studio_link(row.drawing.project_id)} for row in found.rows
        ]
        people = [person.as_json() for person in found.people]
        about = {"totals": found.totals, "forecast": asdict(found.forecast)}
        ui.emit({"rounds": rounds, "annotators": people, **about})
        if not json:
            _show(found, folder)


def _show(found: "Overview", folder: Path) -> None:
    from app.cli._ui import stdout

    if not found.rows:
        next_ = f"next: partlab studio create {quote(str(folder))}"
        stdout.print(f"nothing is handed out yet\n{next_}", markup=False)
        return
    stdout.print(_table_of(found))
    for line in (_total(found), *_end(found.forecast), *_waiting(found)):
        stdout.print(line, markup=False)
    few = len(found.rows) <= _SHOWN
    for row in found.rows:
        for words in (*(_inspectors(row) if few else ()), *_words(row)):
            stdout.print(f"{row.drawing.object} r{row.drawing.round}: {words}", markup=False)


def _table_of(found: "Overview") -> Any:
    from app.cli._tables import _table

    columns = (
        "category",
        "state",
        "annotator",
        "done",
        "given\nup",
        "bro-\nken",
        "flags",
    )
    table = _table("Work", *columns, "seen,\nbad", "min/\npicture")
    table.padding, table.pad_edge = (0, 1, 0, 0), False  # fits in 80 columns
    for column in table.columns[1:3]:
        column.justify, column.overflow = "left", "fold"
    table.columns[1].no_wrap = table.columns[3].no_wrap = True
    for row in found.rows:
        one, seen = row.drawing, row.inspection
        minutes = f"{one.minutes_per_image:.1f}" if one.minutes_per_image is not None else ""
        table.add_row(
            f"{one.object} r{one.round}",
            one.state,
            one.assignee,
            f"{one.done}/{one.images}",
            f"{one.discarded}",
            f"{one.broken}",
            f"{len(one.flags)}",
            f"{seen.seen}, {seen.bad}" if seen.seen else "",
            minutes,
        )
    return table


def _total(found: "Overview") -> str:
    n = found.totals
    categories = counted(n["categories"], "category", "categories")
    return (
        f"in all: {n['accepted']} of {categories} accepted, "
        f"{n['done']} of {counted(n['images'], 'picture')} done ({n['discarded']} given up), "
        f"{n['inspected']} inspected, "
        f"{counted(n['flags'], 'flag')}"
    )


def _end(forecast: "Forecast") -> Iterator[str]:
    if not forecast.open:
        return
    words = f"{counted(forecast.open, 'picture is', 'pictures are')} still to be drawn"
    if forecast.hours is not None:
        words += (
            f", about {forecast.hours:g} hour{'s' * (forecast.hours != 1)}"
            if forecast.hours
            else ", a few minutes"
        )
    if forecast.end:
        words += f"; at the pace so far until {forecast.end} ({forecast.slowest})"
        words += ", if nothing is rejected"
    yield words


def _waiting(found: "Overview") -> Iterator[str]:
    """For whom the work waits, and what they are to do; many categories are counted."""
    people: dict[str, list[str]] = {}
    for row in found.rows:
        if row.waits_for:
            people.setdefault(row.waits_for, []).append(f"{row.drawing.object} ({row.why})")
    for who, listed in people.items():
        yield f"waits for {who}: {few(listed, _SHOWN)}"


def _words(row: "Row") -> Iterator[str]:
    """What is to be said of one category, besides its numbers."""
    from annotate.inspect.overview import studio_link

    one = row.drawing
    if one.restored:
        yield f"{one.restored} given up, and to be drawn after all"
    yield from map(_back, row.corrections)
    if one.kept:
        yield f"{one.kept} of the masks were there in the round before, corrected or not"
    if one.untouched or one.changed:
        yield (
            f"of the masks {one.untouched} are a model's, {one.changed} a model's and corrected, "
            f"{one.manual} drawn by hand"
        )
    if one.checks:
        are = counted(one.checks, "honeypot is", "honeypots are")
        yield f"besides, {one.checked} of {are} done"
    if one.state == "annotating" and (link := studio_link(one.project_id)):
        yield link
    yield from filter(None, (row.stopped, row.elsewhere))
    if one.undrawn:
        yield f"{_list(one.undrawn)} drawn in no picture"
    yield from one.flags
    yield from map(str, one.notes[:_SHOWN])
    if (more := len(one.notes) - _SHOWN) > 0:
        yield f"and {counted(more, 'more note')}"


def _inspectors(row: "Row") -> Iterator[str]:
    if row.inspection.inspectors:
        yield f"inspected by {', '.join(row.inspection.inspectors)}"


def _back(one: "Correction") -> str:
    words = f"image {one.image_id} was sent back by {one.inspector} ({one.reason})"
    return f"{words} and drawn again: an inspector is to look at it" if one.drawn else words


def _list(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} are" if others else f"{last} is"
