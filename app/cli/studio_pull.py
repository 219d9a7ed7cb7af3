"""`partlab studio pull | status`: fetch what annotators drew, and see where everything stands."""

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import JsonOpt, ObjectsArg, Ui, WorkArg, reported
from partlab.errors import StudioError

if TYPE_CHECKING:
    from annotate.studio.acts.pull import Pulled
    from annotate.studio.acts.status import Standing


def register(group: typer.Typer) -> None:
    """Add these commands to the group `studio`."""
    group.command()(pull)
    group.command()(status)


def pull(
    folder: WorkArg,
    objects: ObjectsArg = None,
    submit: Annotated[
        bool,
        typer.Option("--submit/--no-submit", help="Hand complete categories in for inspection."),
    ] = True,
    json: JsonOpt = False,
) -> None:
    """Fetch what annotators drew since the last time; complete categories go to inspection.

    Every fetch is also kept as it came, below WORK/exports. Safe to run at any
    time, again, and after being cut off.

    Example: partlab studio pull ram-work
    """
    with reported(json) as ui:
        from annotate.studio.acts.pull import pull as fetch
        from annotate.studio.api.client import Studio
        from annotate.work import Work

        with Work.open(folder) as work, Studio.from_env() as studio:
            who = str(studio.whoami()["email"])
            told = fetch(work, studio, objects=objects or (), submit=submit, who=who)
        _tell(told, ui, folder)


def _tell(told: Sequence["Pulled"], ui: Ui, folder: Path) -> None:
    """The result; rounds that could not be read make the command fail after it is told."""
    lines = [_line(one) for one in told if one.tasks or one.flags or one.submitted or one.trouble]
    if any(one.flags or one.broken or one.noted for one in told):
        lines.append(f"in words: partlab studio status {quote(str(folder))}")
    if any(one.waiting for one in told):
        lines.append(f"next: partlab inspect discards {quote(str(folder))}")
    if any(one.submitted and not one.waiting for one in told):
        lines.append(f"next: partlab inspect sample {quote(str(folder))} --by WHO")
    text = "\n".join(lines or ["nothing new"])
    ui.emit({"rounds": [one.as_json() for one in told]}, text)
    lost = [one for one in told if one.trouble]
    if lost:
        several = f"{len(lost)} categories were not read"
        raise StudioError(several if len(lost) > 1 else str(lost[0].trouble), hint=lost[0].hint)


def _line(one: "Pulled") -> str:
    counts = {"drawn": one.masks, "discarded": one.discards, "broken": one.broken}
    counts |= {"new flags": one.flags, "still open": one.open}
    words = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    words += ", see the notes" if one.noted else ""
    name = f"{one.object} r{one.round}"
    if one.trouble:
        return f"{name}  not read: {one.trouble}"
    return f"{name}  {one.state}  {words or 'nothing new'}"


def status(
    folder: WorkArg,
    objects: ObjectsArg = None,
    json: JsonOpt = False,
) -> None:
    """Show where each object category stands: who, how many, what is wrong, help and minutes.

    As of the last pull; asks no server. Flags that need somebody are listed
    below in words.

    Example: partlab studio status ram-work
    """
    with reported(json) as ui:
        from annotate.studio.acts.status import hours_by_annotator, standings
        from annotate.work import Work

        with Work.open(folder) as work:
            found = standings(work, objects or ())
            people = hours_by_annotator(work)
        result = {"rounds": [_as_json(one) for one in found]}
        ui.emit({**result, "annotators": [person.as_json() for person in people]})
        if not json:
            _show(found, folder)


_SHOWN = 10  # notes on drawings; --json has them all


def _list(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} are" if others else f"{last} is"


def _link(project_id: int | None) -> str | None:
    server = os.environ.get("PARTLAB_STUDIO_URL", "").strip().rstrip("/")
    return f"{server}/projects/{project_id}/data" if server and project_id else None


def _as_json(one: "Standing") -> dict[str, Any]:
    return {**one.as_json(), "url": _link(one.project_id)}


def _show(found: Sequence["Standing"], folder: Path) -> None:
    from rich.markup import escape

    from app.cli._tables import _table
    from app.cli._ui import stdout

    if not found:
        next_ = f"next: partlab studio create {quote(str(folder))}"
        stdout.print(f"nothing is handed out yet\n{next_}", markup=False)
        return
    table = _table(
        "Work",
        "category",
        "state",
        "annotator",
        "done",
        "given\nup",
        "bro-\nken",
        "flags",
        "min/\npicture",
    )
    table.padding, table.pad_edge = (0, 1, 0, 0), False  # fits in 80 columns
    for column in table.columns[1:3]:
        column.justify, column.overflow = "left", "fold"
    table.columns[1].no_wrap = table.columns[3].no_wrap = True
    for one in found:
        minutes = f"{one.minutes_per_image:.1f}" if one.minutes_per_image is not None else ""
        table.add_row(
            escape(f"{one.object} r{one.round}"),
            one.state,
            escape(one.assignee),
            f"{one.done}/{one.images}",
            f"{one.discarded}",
            f"{one.broken}",
            f"{len(one.flags)}",
            minutes,
        )
    stdout.print(table)
    for one in found:
        words = [f"{one.restored} given up, and to be drawn after all"] if one.restored else []
        if one.untouched or one.changed:
            words.append(
                f"{one.untouched} masks are a model's, {one.changed} are a model's and corrected, "
                f"{one.manual} are drawn by hand"
            )
        words += (
            [f"besides, {one.checked} of {one.checks} honeypots are done"] if one.checks else []
        )
        if one.state == "annotating" and (link := _link(one.project_id)):
            words.append(link)
        if one.undrawn:
            words.append(f"{_list(one.undrawn)} drawn in no picture")
        more = len(one.notes) - _SHOWN
        notes = [*map(str, one.notes[:_SHOWN]), *([f"and {more} more notes"] if more > 0 else [])]
        for message in (*words, *one.flags, *notes):
            stdout.print(f"{one.object} r{one.round}: {message}", markup=False)
