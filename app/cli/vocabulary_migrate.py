"""`partlab vocabulary migrate`: a work goes on with a changed vocabulary."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import JsonOpt, WorkArg, reported
from partlab.counts import counted
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
        typer.Option("--keep-answers", help="Rounds being drawn go on with the parts they have."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what it would touch; change nothing.")
    ] = False,
    who: Annotated[str, typer.Option(help="Who decided; the account's name if left out.")] = "",
    json: JsonOpt = False,
) -> None:
    """Change a work's vocabulary; nothing that was drawn is touched.

    Another name changes what annotators read. Merged parts are one in every
    export. For parts that are split, new or removed, rounds being drawn end,
    and the next ones begin with what was drawn.

    Example: partlab vocabulary migrate farm new.yaml --dry-run
    """
    with reported(json) as ui:
        from contextlib import ExitStack

        from annotate.studio.acts.examples import keep_part_pictures, part_pictures
        from annotate.studio.acts.migrate import migrate as run
        from annotate.studio.api.client import Studio
        from annotate.vocabulary.edit import Editor
        from annotate.vocabulary.file import read_vocabulary
        from annotate.work import Work
        from app.model_help import follow_on

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
            pictures = part_pictures(new, vocabulary.parent, opened.folder)
            if not dry_run:
                keep_part_pictures(opened.folder, pictures)
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
            begun = [] if dry_run else [one.object for one in told if one.does == "next round"]
            helped = follow_on(opened, studio, begun) if studio else {}
        result: dict[str, Any] = {"version": target.version, "dry_run": dry_run}
        result["objects"] = [one.as_json() for one in told]
        notes = _notes(old, target, told)
        notes += [f"{object}: {words}" for object, words in helped.items()]
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
    if quiet := sum(one.does == "nothing" for one in told):
        other = "other " if quiet < len(told) else ""
        what = counted(quiet, f"{other}object category", f"{other}object categories")
        lines.append(f"{what}: nothing to change")
    end = "nothing changed (--dry-run)" if dry_run else f"the work is at version {target.version}"
    return "\n".join([*lines, *notes, end])


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
    head, why = f"{one.object} round {one.round} ({one.state})", f": {one.why}" if one.why else ""
    about = {
        "new interface": f"{head}: new interface",
        "goes on": f"{head}: goes on as it is; its next round has the new parts{why}",
        "next round": f"{head}: ends, and round {one.round + 1} begins with the masks of "
        f"{counted(one.answers, 'image')}{why}",
        "mapped": f"{head}: exports have the new names{why}",
    }
    lines = [about[one.does]] if one.does in about else []
    if one.keys:
        keys = ", ".join(f"{name} {before} -> {now}" for name, before, now in one.keys)
        lines.append(f"{one.object}: keys and colours change: {keys}: tell the annotators")
    return lines
