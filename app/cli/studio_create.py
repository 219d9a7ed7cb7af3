"""`partlab studio create | reassign`: hand out object categories, each to one annotator."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli._ui import JsonOpt, Ui, reported
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.studio.begin import Plan
    from annotate.studio.create import HandedOut
    from annotate.studio.honeypots import Known
    from annotate.work import Work

WorkArg = Annotated[Path, typer.Argument(metavar="WORK", help="The work's folder.")]
DryRunOpt = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")
]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `studio`."""
    group.command()(create)
    group.command()(reassign)


def create(
    folder: WorkArg,
    vocabulary: Annotated[
        Path | None, typer.Option(help="Vocabulary file; needed to begin a work.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder with a sub-folder for each object, a data set, or a sample."),
    ] = None,
    annotators: Annotated[
        str | None,
        typer.Option(help="Emails by comma, each gets whole objects; or a CSV: object,email."),
    ] = None,
    objects: Annotated[
        list[str] | None,
        typer.Option("--object", help="Only this object category; may be repeated."),
    ] = None,
    per_object: Annotated[int, typer.Option(min=1, help="Pictures of each object.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pictures.")] = 0,
    split: Annotated[str | None, typer.Option(help="Split of a data set of pictures.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the work; else its folder's.")] = None,
    model_help: Annotated[
        bool,
        typer.Option("--model-help/--no-model-help", help="Whether models may ever suggest masks."),
    ] = True,
    long_side: Annotated[int, typer.Option(min=64, help="Pixels, as annotators see it.")] = 1024,
    image_url: Annotated[
        str | None, typer.Option(help="Address that shows WORK/images, if not Label Studio's.")
    ] = None,
    start_from: Annotated[
        Literal["fresh", "previous"],
        typer.Option(help="What a round after a rejection begins with."),
    ] = "fresh",
    examples: Annotated[
        Path | None,
        typer.Option(help="Data set, or folder of pictures, for the instructions."),
    ] = None,
    refill: Annotated[
        bool, typer.Option("--refill", help="Other pictures in place of final discards.")
    ] = False,
    honeypots: Annotated[
        Path | None,
        typer.Option(help="Data set of known masks, to mix into a new work unannounced."),
    ] = None,
    honeypot_share: Annotated[
        float,
        typer.Option(min=0.001, max=1, help="Honeypots per picture; at least 1 of each object."),
    ] = 0.05,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Make the Label Studio projects that are missing: of a new work, or of its next rounds.

    One project for each object category and round. Safe to run again at any time. A next round
    has the same pictures, without those whose discard is final.

    Example: partlab studio create ram-work --vocabulary farm.yaml --images photos
    --annotators ann@example.org,ben@example.org
    """
    with reported(json) as ui:
        from annotate.studio import annotators as people
        from annotate.studio.begin import begin_work
        from annotate.studio.create import preview, preview_new

        named = people.read_annotators(annotators) if annotators else None
        plan = _plan(folder, vocabulary, images, objects or [], split)
        how: dict[str, Any] = {"start_from": start_from, "examples": examples}
        how |= {"annotators": named, "refill": refill}
        if plan is None:
            sources = {"images": images, "split": split, "honeypots": honeypots}
            work = _reopen(folder, vocabulary, sources, ui)
            if dry_run:
                told = preview(work, named, start_from, refill=refill)
            else:
                told = _hand_out(work, how, ui)
        else:
            known = _known(plan, honeypots, max(1, round(honeypot_share * per_object)))
            told = preview_new(plan, per_object, named, known)
            if not dry_run:
                settings: dict[str, Any] = {"model_help": model_help, "long_side": long_side}
                settings |= {"per_object": per_object, "seed": seed, "image_url": image_url}
                settings |= {"name": name or folder.resolve().name, "known": known}
                _check_people(told)
                work = begin_work(folder, plan, progress=ui.progress, **settings)
                told = _hand_out(work, how, ui)
        _tell(told, ui, folder, dry_run=dry_run)


def _plan(
    folder: Path,
    vocabulary: Path | None,
    images: Path | None,
    objects: list[str],
    split: str | None,
) -> "Plan | None":
    """What a new work is to be made of; None when the folder holds a work already."""
    from annotate.studio.begin import plan_work
    from annotate.vocabulary import read_vocabulary

    if (folder / "work.json").exists():
        return None
    if vocabulary is None or images is None:
        raise ConfigError(
            f"{folder} holds no work yet", hint="begin one with --vocabulary and --images"
        )
    return plan_work(read_vocabulary(vocabulary), images, objects=objects, split=split)


def _known(plan: "Plan", honeypots: Path | None, count: int) -> "Known | None":
    """What honeypots are chosen from; None when there are to be none."""
    from annotate.studio.honeypots import plan_known

    if honeypots is None:
        return None
    return plan_known(plan.vocabulary, list(plan.objects), honeypots, per_object=count)


def _reopen(folder: Path, vocabulary: Path | None, sources: dict[str, Any], ui: Ui) -> "Work":
    from annotate.studio.begin import reopen_work
    from annotate.vocabulary import read_vocabulary

    given = read_vocabulary(vocabulary) if vocabulary else None
    return reopen_work(folder, given, progress=ui.progress, **sources)


def _check_people(told: list["HandedOut"]) -> None:
    """Before any picture is prepared: the server is there, and everybody has an account."""
    from annotate.studio.client import Studio
    from annotate.studio.users import need_users

    with Studio.from_env() as studio:
        studio.whoami()
        need_users(studio, sorted({one.assignee for one in told}))


def _hand_out(work: "Work", how: dict[str, Any], ui: Ui) -> list["HandedOut"]:
    from annotate.studio.client import Studio
    from annotate.studio.create import create as hand_out
    from annotate.studio.create import read_examples

    examples = read_examples(how["examples"]) if how["examples"] else None
    with work, Studio.from_env() as studio:
        return hand_out(work, studio, **{**how, "examples": examples}, progress=ui.progress)


def _tell(told: list["HandedOut"], ui: Ui, folder: Path, *, dry_run: bool) -> None:
    lines = [
        f"{one.object} r{one.round}  {one.state}  {one.assignee}  {one.images} images"
        + (f" + {one.checks} honeypot{'s' * (one.checks > 1)}" if one.checks else "")
        + ("  new project" if one.made else "")
        + (f"  {one.added} tasks added" if one.added else "")
        + (f"  {one.url}" if one.url else "")
        + (f"\n  {one.note}" if one.note else "")
        for one in told
    ]
    after = (
        "nothing was changed" if dry_run else f"next: partlab studio status {quote(str(folder))}"
    )
    ui.emit(
        {"dry_run": dry_run, "rounds": [one.as_json() for one in told]}, "\n".join([*lines, after])
    )


def reassign(
    folder: WorkArg,
    object: Annotated[str, typer.Argument(metavar="OBJECT", help="Object category.")],
    to: Annotated[str, typer.Option(help="Email of the new annotator.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even when answers of this round are then redone.")
    ] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Give a whole object category to another annotator; one person draws all its images.

    Example: partlab studio reassign ram-work ram --to cleo@example.org
    """
    with reported(json) as ui:
        from annotate.studio.client import Studio
        from annotate.studio.reassign import reassign as hand_over
        from annotate.work import Work

        with Work.open(folder) as work, Studio.from_env() as studio:
            batch, redone = hand_over(work, studio, object, to, force=force, dry_run=dry_run)
        told = {"object": object, "round": batch.round, "assignee": batch.assignee}
        told |= {"state": batch.state, "redone": redone, "dry_run": dry_run}
        text = f"{object} r{batch.round} is {batch.assignee}'s; {redone} answers are to be redone"
        if dry_run:
            text = f"{object} would go to {to}; {redone} answers would be redone"
        more = (
            f"\nnext: partlab studio create {quote(str(folder))}"
            if batch.state == "planned"
            else ""
        )
        ui.emit(told, text + more)
