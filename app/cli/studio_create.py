"""`partlab studio create`: hand out object categories, each to one annotator."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli._ui import DryRunOpt, JsonOpt, ObjectsArg, Ui, WorkArg, reported
from partlab.counts import counted
from partlab.errors import ConfigError, StudioError

if TYPE_CHECKING:
    from annotate.studio.acts.annotators import Annotators
    from annotate.studio.acts.begin import Plan
    from annotate.studio.acts.honeypots import Known
    from annotate.studio.acts.rounds import HandedOut
    from annotate.work import Work


def register(group: typer.Typer) -> None:
    """Add this command to the group `studio`."""
    group.command()(create)


def create(
    folder: WorkArg,
    objects: ObjectsArg = None,
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
    per_object: Annotated[
        int | None, typer.Option(min=1, help="Pictures of each object: 100.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same pictures: 0.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of a data set of pictures.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the work; else its folder's.")] = None,
    model_help: Annotated[
        bool | None,
        typer.Option(
            "--model-help/--no-model-help", help="Whether models may ever suggest masks: yes."
        ),
    ] = None,
    inspection: Annotated[
        str | None,
        typer.Option("--plan", help="Of inspection: paper, sequential, ranked, or a .json file."),
    ] = None,
    long_side: Annotated[
        int | None, typer.Option(min=64, help="Pixels at most, as annotators see it: 1024.")
    ] = None,
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
    new_parts: Annotated[
        bool,
        typer.Option("--new-parts", help="Draw parts that accepted categories got since."),
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

    One project for each object category and round. Safe to run again at any
    time. A next round has the same pictures, without those whose discard is
    final.

    Example: partlab studio create ram-work --vocabulary farm.yaml --images photos
    --annotators ann@example.org,ben@example.org
    """
    with reported(json) as ui:
        from annotate.inspect.plan import as_setting, get_plan
        from annotate.studio.acts.annotators import read_annotators
        from annotate.studio.acts.create import read_examples
        from partlab.folders import is_work

        named = read_annotators(annotators) if annotators else None
        settings: dict[str, Any] = {"name": name, "per_object": per_object, "seed": seed}
        settings |= {"model_help": model_help, "long_side": long_side, "image_url": image_url}
        settings |= {"plan": as_setting(get_plan(inspection)) if inspection else None}
        settings = {key: value for key, value in settings.items() if value not in (None, "")}
        asked = _Asked(folder, vocabulary, images, split, objects or [], settings, named)
        how: dict[str, Any] = {"start_from": start_from, "annotators": named, "refill": refill}
        how |= {"new_parts": new_parts}
        how |= {"examples": read_examples(examples) if examples else None}
        if is_work(folder):
            told = _go_on(asked, how, honeypots, ui, dry_run=dry_run)
        else:
            told = _begin(asked, how, honeypots, honeypot_share, ui, dry_run=dry_run)
        unseen = _unseen(told, asked) if dry_run else ""
        _tell(told, ui, folder, dry_run=dry_run, unseen=unseen)


@dataclass(frozen=True)
class _Asked:
    """What the command was given to begin a work with; `settings` are only those that were."""

    folder: Path
    vocabulary: Path | None
    images: Path | None
    split: str | None
    objects: list[str]
    settings: dict[str, Any]
    annotators: "Annotators | None"

    @property
    def beside(self) -> Path:
        """The folder of the vocabulary, where the pictures that it names begin."""
        return self.vocabulary.parent if self.vocabulary else self.folder


def _go_on(
    asked: _Asked, how: dict[str, Any], honeypots: Path | None, ui: Ui, *, dry_run: bool
) -> list["HandedOut"]:
    """The folder holds a work: what is missing of it."""
    from annotate.studio.acts.reopen import reopen_work
    from annotate.studio.acts.rounds import preview
    from annotate.vocabulary import read_vocabulary

    work = reopen_work(
        asked.folder,
        read_vocabulary(asked.vocabulary) if asked.vocabulary else None,
        asked.images,
        split=asked.split,
        honeypots=honeypots,
        objects=asked.objects,
        dry_run=dry_run,
        **asked.settings,
    )
    if dry_run:
        given = {name: how[name] for name in ("start_from", "refill", "new_parts")}
        return preview(work, asked.annotators, objects=asked.objects, **given)
    return _hand_out(work, {**how, "objects": asked.objects}, ui)


def _begin(
    asked: _Asked,
    how: dict[str, Any],
    honeypots: Path | None,
    share: float,
    ui: Ui,
    *,
    dry_run: bool,
) -> list["HandedOut"]:
    """A new work: first what can be said without opening a picture."""
    from annotate.studio.acts.begin import begin_work, need_own_folder
    from annotate.studio.acts.examples import keep_part_pictures, part_pictures
    from annotate.studio.acts.rounds import preview_new

    plan = _plan(asked)
    need_own_folder(asked.folder, plan)
    pictures = part_pictures(plan.vocabulary, asked.beside)
    per_object = asked.settings.get("per_object", 100)
    known = _known(plan, honeypots, max(1, round(share * per_object)))
    told = preview_new(plan, per_object, asked.annotators, known)
    if dry_run:
        return told
    _check_server(told, asked)
    settings = {"name": asked.folder.resolve().name, **asked.settings, "known": known}
    work = begin_work(asked.folder, plan, **settings)
    keep_part_pictures(asked.folder, pictures)
    return _hand_out(work, how, ui)


def _plan(asked: _Asked) -> "Plan":
    from annotate.studio.acts.begin import plan_work
    from annotate.vocabulary import read_vocabulary

    options = {
        "--vocabulary FILE": asked.vocabulary,
        "--images FOLDER": asked.images,
        "--annotators EMAIL,EMAIL": asked.annotators,
    }
    missing = [words for words, value in options.items() if value is None]
    if asked.vocabulary is None or asked.images is None or missing:
        raise ConfigError(
            f"{asked.folder} holds no work yet, and to begin one {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing",
            hint="all of them are needed once, when a work begins",
        )
    vocabulary = read_vocabulary(asked.vocabulary)
    return plan_work(vocabulary, asked.images, objects=asked.objects, split=asked.split)


def _known(plan: "Plan", honeypots: Path | None, count: int) -> "Known | None":
    """What honeypots are chosen from; None when there are to be none."""
    from annotate.studio.acts.honeypots import plan_known

    if honeypots is None:
        return None
    return plan_known(plan.vocabulary, list(plan.objects), honeypots, per_object=count)


def _unseen(told: list["HandedOut"], asked: _Asked) -> str:
    """For a dry run: why the server was not asked; nothing if it was, and all is well there."""
    from annotate.studio.api.client import RefusedError, Studio
    from annotate.studio.api.connection import TOKEN_VARIABLE, URL_VARIABLE

    if not (os.environ.get(URL_VARIABLE) and os.environ.get(TOKEN_VARIABLE)):
        return "no server is named"
    try:
        with Studio.from_env() as studio:
            studio.whoami()
    except RefusedError:
        raise
    except StudioError as error:
        return error.message
    _check_server([one for one in told if one.made], asked)
    return ""


def _check_server(told: list["HandedOut"], asked: _Asked) -> None:
    """Before any picture is prepared: the server may show them, and everybody has an account."""
    from annotate.studio.api.access import need_access
    from annotate.studio.api.client import Studio
    from annotate.studio.api.users import need_users

    with Studio.from_env() as studio:
        studio.whoami()
        need_users(studio, sorted({one.assignee for one in told}))
        begun = (asked.folder / "work.json").exists()
        if not begun and asked.settings.get("image_url") is None:
            need_access(studio, asked.folder)


def _hand_out(work: "Work", how: dict[str, Any], ui: Ui) -> list["HandedOut"]:
    from annotate.studio.acts.create import create as hand_out
    from annotate.studio.api.client import Studio
    from app.model_help import follow_on

    with work, Studio.from_env() as studio:
        told = hand_out(work, studio, **how)
        helped = follow_on(work, studio, [one.object for one in told if one.made])
        return [replace(one, note=_both(one.note, helped.get(one.object, ""))) for one in told]


def _both(note: str, more: str) -> str:
    return "; ".join(words for words in (note, more) if words)


def _tell(told: list["HandedOut"], ui: Ui, folder: Path, *, dry_run: bool, unseen: str) -> None:
    lines = [
        f"{one.object} r{one.round}  {one.state}  {one.assignee}  {counted(one.images, 'image')}"
        + (f" + {counted(one.checks, 'honeypot')}" if one.checks else "")
        + ("  new project" if one.made else "")
        + (f"  {counted(one.added, 'task')} added" if one.added else "")
        + (f"  {one.url}" if one.url else "")
        + (f"\n  {one.note}" if one.note else "")
        for one in told
    ]
    after = f"next: partlab status {quote(str(folder))}"
    if dry_run:
        more = f"; {unseen}, so accounts were not looked up" if unseen else ""
        after = f"nothing was changed{more}"
    result = {"dry_run": dry_run, "rounds": [one.as_json() for one in told]}
    result |= {"accounts_unseen": unseen} if unseen else {}
    ui.emit(result, "\n".join([*lines, after]))
