"""Rounds, refusals and events as tables and lines for people."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from annotate.inspect.desk import Desk
from annotate.inspect.discards import DiscardCase
from annotate.inspect.inclusions import Nesting
from annotate.inspect.refusals import Refusals
from annotate.work import Event
from app.cli._tables import PlainTable


def show(table: Table) -> None:
    """Print a table; a pipe tells no width, so it gets enough."""
    width = None if Console().is_terminal else 140
    Console(highlight=False, width=width).print(table)


def _table(*columns: str, words: int = 1) -> Table:
    """The first `words` columns hold words, the others numbers."""
    table = PlainTable(box=box.SIMPLE_HEAD)
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position < words else "right")
    return table


def event_line(event: Event) -> str:
    """One event of the history on one line."""
    where = f"{event.object} r{event.round}" if event.object else "-"
    return f"{event.at[:19]}  {event.who}  {event.what}  {where}  {_facts(event.data)}".rstrip()


_HASH = re.compile("[0-9a-f]{32,}")


def _facts(data: dict[str, Any]) -> str:
    """The short values; lists say how long they are, and hashes begin."""
    told = []
    for name, value in data.items():
        if isinstance(value, list | dict):
            told.append(f"{name}: {len(value)}")
        elif value not in (None, "") and name != "rules":
            words = " ".join(str(value).split())
            told.append(f"{name} {words[:8] if _HASH.fullmatch(words) else words[:40]}")
    return ", ".join(told)


def refusal_table(rows: Sequence[Refusals]) -> Table:
    """How often each annotator refused images, and what inspectors made of it."""
    columns = ("object", "annotator", "looked at", "refused", "share", "waiting", "final")
    table = _table(*columns, "restored", "reasons", words=2)
    for row in rows:
        reasons = ", ".join(f"{count} {why}" for why, count in row.reasons.items())
        share = f"{row.rate:.1%}" if row.looked_at else ""
        numbers = (row.waiting, row.final, row.restored)
        table.add_row(
            row.object,
            row.annotator,
            str(row.looked_at),
            str(row.refused),
            share,
            *map(str, numbers),
            reasons,
        )
    return table


def case_lines(cases: Sequence[DiscardCase]) -> list[str]:
    """Each case with the words on it and where its picture is."""
    lines = []
    for case in cases:
        said = ", ".join(
            f"{r.inspector}: {'uphold' if r.uphold else 'restore'}" for r in case.reviews
        )
        state = "disputed, a third decides" if case.disputed else case.state
        state += ", drawn since" if case.state == "restored" and case.drawn else ""
        head = f"{case.object} r{case.round} image {case.image_id} {case.file_name}"
        lines.append(f"{head}: {case.reason or 'no reason'} ({state}{'; ' if said else ''}{said})")
        if case.open and case.picture is not None:
            lines.append(f"    {case.picture}")
    return lines


def nesting_table(rows: Sequence[Nesting]) -> Table:
    """Declared and suggested inclusions with their counts."""
    columns = ("object", "inner part", "in outer part", "", "both seen", "nested", "share")
    table = _table(*columns, "inner px", "outer px", words=4)
    for row in rows:
        share = f"{row.share:.0%}" if row.both else ""
        numbers = (str(row.both), str(row.nested), share)
        areas = (f"{row.inner_area:.0f}", f"{row.outer_area:.0f}")
        table.add_row(row.object, row.inner, row.outer, row.state, *numbers, *areas)
    return table


def desk_json(desk: Desk) -> dict[str, Any]:
    """As JSON, with the ids that are due and where the table of verdicts lies."""
    table = desk.sheet.with_name("verdicts.csv")
    return {**asdict(desk), "due": [card.image_id for card in desk.due], "table": table}


def decision_line(desk: Desk) -> str:
    """What came of a round, or that nothing did yet."""
    state = desk.state if desk.decision != "continue" else "not decided yet"
    return f"{desk.object} r{desk.round}: {state}, {desk.bad} of {desk.seen} inspected images bad"
