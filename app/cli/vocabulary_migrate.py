"""`partlab vocabulary migrate`: a work goes on with a changed vocabulary."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import JsonOpt, WorkArg, reported
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.studio.acts.migrate import Migrated
    from annotate.vocabulary.model import Vocabulary


def register(group: typer.Typer) -> None:
    """Add this command to the group `vocabulary`."""
    group.command()(migrate)


def migrate(
    work: WorkArg,
    vocabulary: Annotated[
        Path, typer.Argument(metavar="NEW", help="A changed copy of the work's vocabulary.yaml.")
    ],
    keep_answers: Annotated[
        bool,
        typer.Option("--keep-answers", help="Nothing is drawn again for new or removed parts."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what it would touch; change nothing.")
    ] = False,
    who: Annotated[str, typer.Option(help="Who decided; the account's name if left out.")] = "",
    json: JsonOpt = False,
) -> None:
    """Change a work's vocabulary: interfaces, annotations and stored answers follow.

    Example: partlab vocabulary migrate farm new.yaml --dry-run
    """
    with reported(json) as ui:
        from contextlib import ExitStack

        from annotate.studio.acts.migrate import migrate as run
        from annotate.studio.api.client import Studio
        from annotate.vocabulary.edit import Editor
        from annotate.vocabulary.file import read_vocabulary
        from annotate.work import Work

        if vocabulary.resolve() == (work / "vocabulary.yaml").resolve():
            raise ConfigError(
                f"{vocabulary} is the work's own vocabulary",
                hint="name a changed copy of it; if it was changed itself, move it away for "
                f"that, and put the last {work / 'exports'}/vocabulary-v*.yaml in its place",
            )
        with ExitStack() as stack:
            opened = stack.enter_context(Work.open(work))
            new = read_vocabulary(vocabulary)
            old = opened.vocabulary
            handed_out = any(batch.project_id for batch in opened.batches())
            studio = stack.enter_context(Studio.from_env()) if handed_out else None
            target, told = run(
                opened,
                studio,
                new,
                keep_answers=keep_answers,
                dry_run=dry_run,
                by=Editor(who, "migrate"),
            )
        result: dict[str, Any] = {"version": target.version, "dry_run": dry_run}
        result["objects"] = [one.as_json() for one in told]
        notes = _notes(old, target, told)
        result |= {"notes": notes} if notes else {}
        ui.emit(result, _text(target, told, notes, dry_run=dry_run))


def _text(
    target: "Vocabulary",
    told: "list[Migrated]",
    notes: Sequence[str] = (),
    *,
    dry_run: bool,
) -> str:
    lines = [line for one in told for line in _lines(one)]
    quiet = sum(not _lines(one) for one in told)
    if quiet:
        other = "other " if quiet < len(told) else ""
        what = "category" if quiet == 1 else "categories"
        lines.append(f"{quiet} {other}object {what}: nothing to change")
    lines += notes
    if unread := sum(one.unread for one in told):
        lines.append(
            f"{unread} submitted annotations are not pulled yet, so that more answers and images "
            "may be touched: run `partlab studio pull` first for exact counts"
        )
    redraw = sum(one.redraw for one in told)
    again = f"; {redraw} images to be drawn again" if redraw else ""
    end = "nothing changed (--dry-run)" if dry_run else f"the work is at version {target.version}"
    return "\n".join([*lines, f"{end}{again}"])


def _notes(old: "Vocabulary", new: "Vocabulary", told: "list[Migrated]") -> list[str]:
    """What changes beside the rounds: objects without one, inclusions that are gone."""
    from annotate.vocabulary.diff import diff, left_alone

    rounds = {one.object for one in told}
    changed = [one.object for one in diff(old, new).changed if one.object not in rounds]
    alone = left_alone(old, new)
    return [
        *(f"{object} has no round at work: its next one has the new parts" for object in changed),
        *(
            f"{object}: {inner} lay in {outer}, and no inclusion says so now"
            for object, inner, outer in alone
        ),
    ]


def _lines(one: "Migrated") -> list[str]:
    """What is to be said of one round; nothing where nothing changes."""
    from annotate.studio.acts.migrate import OPEN

    lines = []
    if one.interface or _counts(one):
        lines.append(f"{one.object} round {one.round} ({one.state}): {_words(one)}")
    if one.names and one.state not in OPEN:
        lines.append(f"{one.object} is {one.state}: its next export has the new names")
    elif one.names and not lines:
        lines.append(f"{one.object} is not handed out yet: it will be with the new names")
    if one.keys:
        keys = ", ".join(f"{name} {before} -> {now}" for name, before, now in one.keys)
        lines.append(f"{one.object}: keys and colours change: {keys}: tell the annotators")
    return lines


def _counts(one: "Migrated") -> dict[str, Any]:
    names = {
        "annotations": "annotations",
        "predictions": "predictions",
        "renamed": "regions with a new label",
        "dropped": "regions taken out (kept in the raw export)",
        "answers": "stored answers",
        "redraw": "images to be drawn again",
    }
    return {words: getattr(one, name) for name, words in names.items() if getattr(one, name)}


def _words(one: "Migrated") -> str:
    interface = ["new interface"] if one.interface else []
    return ", ".join([*interface, *(f"{count} {what}" for what, count in _counts(one).items())])
