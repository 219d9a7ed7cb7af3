"""`partlab vocabulary survey | vote`: ask volunteers, and do what they say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli._ui import ForceOpt, JsonOpt, ObjectsArg, Ui, reported, stdout
from partlab.errors import ConfigError
from partlab.files import need_new_file

if TYPE_CHECKING:
    from annotate.vocabulary.model import Vocabulary
    from annotate.vocabulary.vote import Ballot, Result

FileArg = Annotated[Path, typer.Argument(metavar="VOCABULARY", help="The vocabulary's file.")]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `vocabulary`."""
    group.command()(survey)
    group.command()(vote)


def survey(
    file: FileArg,
    objects: ObjectsArg = None,
    voters: Annotated[int, typer.Option(min=1, help="How many volunteers see each object.")] = 10,
    json: JsonOpt = False,
) -> None:
    """Make a project in Label Studio that asks volunteers which parts matter.

    Example: partlab vocabulary survey vocabulary.yaml --voters 10
    """
    with reported(json) as ui:
        from annotate.studio.acts.survey import create_survey
        from annotate.studio.api.client import Studio
        from annotate.vocabulary.file import read_vocabulary

        with Studio.from_env() as studio:
            made = create_survey(studio, read_vocabulary(file), voters=voters, objects=objects)
            url = studio.project_url(made.project)
        words = f"survey {made.project} asks {voters} volunteers about {made.tasks} objects: {url}"
        then = f"then: partlab vocabulary vote {file} --survey {made.project}"
        ui.emit({"project": made.project, "tasks": made.tasks, "url": url}, f"{words}\n{then}")


def vote(
    file: FileArg,
    ballots: Annotated[
        list[Path] | None,
        typer.Argument(metavar="BALLOTS.csv...", help="Columns voter, object, part, vote."),
    ] = None,
    survey: Annotated[
        int | None, typer.Option(metavar="PROJECT", help="Read this survey in Label Studio too.")
    ] = None,
    quorum: Annotated[int, typer.Option(help="Volunteers an object needs.")] = 3,
    share: Annotated[float, typer.Option(help="A side must exceed this share.")] = 0.5,
    tie: Annotated[
        Literal["keep", "drop", "ask"], typer.Option(help="At exactly that share.")
    ] = "ask",
    out: Annotated[
        Path | None, typer.Option(help="Write here; the vocabulary's own file if left out.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, write nothing.")] = False,
    force: ForceOpt = False,
    who: Annotated[str, typer.Option(help="Who counts; the account's name if left out.")] = "",
    json: JsonOpt = False,
) -> None:
    """Count the volunteers' votes; parts come and go as the vocabulary's next version.

    Example: partlab vocabulary vote vocabulary.yaml ballots.csv --quorum 3
    """
    with reported(json) as ui:
        from contextlib import nullcontext

        from annotate.vocabulary.edit import Editor
        from annotate.vocabulary.file import editing, read_vocabulary, write_vocabulary
        from annotate.vocabulary.vote import VoteRule
        from annotate.vocabulary.vote import vote as count

        if out is not None and not dry_run:
            need_new_file(out, force=force)
        target = None if dry_run else out or file
        with editing(target) if target else nullcontext():
            old = read_vocabulary(file)
            cast, faults = _ballots(old, ballots or [], survey)
            result = count(old, cast, VoteRule(quorum, share, tie), Editor(who, "vote"))
            written = target if out or result.vocabulary != old else None
            if written:
                write_vocabulary(written, result.vocabulary)
        _tell(ui, old, result, faults, written)


def _ballots(
    vocabulary: "Vocabulary", files: list[Path], survey: int | None
) -> "tuple[list[Ballot], list[str]]":
    from annotate.vocabulary.vote import read_ballots

    if not files and survey is None:
        raise ConfigError("no ballots", hint="name a CSV file, or a survey with --survey")
    cast: list[Ballot] = []
    faults: list[str] = []
    for file in files:
        more, wrong = read_ballots(file)
        cast, faults = [*cast, *more], [*faults, *wrong]
    if survey is not None:
        from annotate.studio.acts.survey import read_survey
        from annotate.studio.api.client import Studio

        with Studio.from_env() as studio:
            more, wrong = read_survey(studio, survey, vocabulary)
        cast, faults = [*cast, *more], [*faults, *wrong]
    return cast, faults


def _tell(
    ui: Ui, old: "Vocabulary", result: "Result", faults: list[str], written: Path | None
) -> None:
    from dataclasses import asdict

    from app.cli._vocabulary import vote_table

    notes = [*faults, *result.notes]
    version = result.vocabulary.version
    told: dict[str, Any] = {"version": version, "changed": version != old.version, "notes": notes}
    if result.outcomes and not ui.json:
        stdout.print(vote_table(result))
    decisions = ("added", "removed", "tie", "no quorum")
    counts = {what: sum(o.decision == what for o in result.outcomes) for what in decisions}
    words = ", ".join(f"{count} {what}" for what, count in counts.items())
    end = f"version {version} written to {written}" if written else "nothing written (--dry-run)"
    if result.vocabulary == old:
        end = f"nothing changes: version {version}"
        end += f", written to {written}" if written else ""
    outcomes = [asdict(outcome) for outcome in result.outcomes]
    ui.emit({**told, "outcomes": outcomes}, "\n".join([*notes, words, end]))
