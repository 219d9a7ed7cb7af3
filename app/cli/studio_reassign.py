"""`partlab studio reassign`: another annotator for a whole object category."""

from shlex import quote
from typing import Annotated

import typer

from app.cli._ui import DryRunOpt, JsonOpt, ObjectArg, WorkArg, reported
from partlab.counts import counted


def register(group: typer.Typer) -> None:
    """Add this command to the group `studio`."""
    group.command()(reassign)


def reassign(
    folder: WorkArg,
    object: ObjectArg,
    to: Annotated[str, typer.Option(help="Email of the new annotator.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even when answers of this round are then redone.")
    ] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Give a whole object category to another annotator; one person draws all its images.

    What was drawn so far is pulled first; --dry-run pulls nothing.

    Example: partlab studio reassign ram-work ram --to cleo@example.org
    """
    with reported(json) as ui:
        from annotate.studio.acts.reassign import reassign as hand_over
        from annotate.studio.api.client import Studio
        from annotate.work import Work

        with Work.open(folder) as work, Studio.from_env() as studio:
            batch, redone = hand_over(work, studio, object, to, force=force, dry_run=dry_run)
        told = {"object": object, "round": batch.round, "assignee": batch.assignee}
        told |= {"state": batch.state, "redone": redone, "dry_run": dry_run}
        text = (
            f"{object} {'would go' if dry_run else f'r{batch.round} goes'} to {to.strip().lower()}"
        )
        text += f"; {counted(redone, 'answer is', 'answers are')} redone" if redone else ""
        text += "; drawings that are not pulled yet were not looked at" if dry_run else ""
        if batch.state == "planned":
            text += f"\nnext: partlab studio create {quote(str(folder))}"
        ui.emit(told, text)
