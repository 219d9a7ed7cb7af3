"""`partlab studio pull`: fetch what annotators drew."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._ui import JsonOpt, ObjectsArg, Ui, WorkArg, reported
from partlab.counts import counted
from partlab.errors import StudioError

if TYPE_CHECKING:
    from annotate.studio.acts.pull import Pulled


def register(group: typer.Typer) -> None:
    """Add this command to the group `studio`."""
    group.command()(pull)


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
    lines = [_line(one) for one in told if _is_news(one)]
    if any(one.flags or one.broken or one.noted for one in told):
        lines.append(f"in words: partlab status {quote(str(folder))}")
    if any(one.waiting for one in told):
        lines.append(f"next: partlab inspect discards {quote(str(folder))}")
    if any((one.submitted and not one.waiting) or one.corrected for one in told):
        lines.append(f"next: partlab inspect sample {quote(str(folder))} --by WHO")
    text = "\n".join(lines or ["nothing new"])
    ui.emit({"rounds": [one.as_json() for one in told]}, text)
    lost = [one for one in told if one.trouble]
    if lost:
        several = f"{len(lost)} categories were not read"
        raise StudioError(several if len(lost) > 1 else str(lost[0].trouble), hint=lost[0].hint)


def _is_news(one: "Pulled") -> bool:
    return bool(one.tasks or one.flags or one.submitted or one.told or one.trouble)


def _line(one: "Pulled") -> str:
    counts = {"drawn": one.masks, "discarded": one.discards, "broken": one.broken}
    counts |= {"new flags": one.flags, "still open": one.open}
    words = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    words += ", see the notes" if one.noted else ""
    words += (
        f", {counted(one.corrected, 'correction waits', 'corrections wait')} for an inspector"
        if one.corrected
        else ""
    )
    words += f", told in Label Studio what is to be done in {one.told}" if one.told else ""
    words = words.removeprefix(", ")
    name = f"{one.object} r{one.round}"
    if one.trouble:
        return f"{name}  not read: {one.trouble}"
    return f"{name}  {one.state}  {words or 'nothing new'}"
