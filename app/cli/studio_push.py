"""`partlab studio push`: a model's masks as pre-annotations in Label Studio."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._origin import ModelOpt, ServerOpt, chosen
from app.cli._ui import DryRunOpt, JsonOpt, ObjectsArg, WorkArg, reported
from partlab.counts import counted
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.studio.acts.push import Pushed
    from annotate.work import Work
    from app.prelabel import Source
    from segmenter.origin import Origin


def register(group: typer.Typer) -> None:
    """Add this command to the group `studio`."""
    group.command()(push)


def push(
    work: WorkArg,
    objects: ObjectsArg = None,
    segmenter: Annotated[
        Path | None, typer.Option(help="Run folder of a trained segmenter that suggests masks.")
    ] = None,
    server: ServerOpt = None,
    model: ModelOpt = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Part data set with masks to suggest, matched by file name."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Which split of --predictions.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Lowest score of a segmenter's mask: 0.5.")
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(help="Thresholds per part, as `partlab pseudolabel calibrate` writes them."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, …; the best there is.")] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Also where a round began with what was drawn before."),
    ] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Suggest a model's masks to annotators; the same call again sends only what is missing.

    A work created with --no-model-help takes none. A round that began with what was drawn in the
    one before takes them only with --replace, since Label Studio shows one or the other.

    Example: partlab studio push farm --segmenter runs/seg --dry-run
    """
    with reported(json) as ui:
        from annotate.studio.acts.push import push as send
        from annotate.studio.api.client import Studio
        from annotate.work import Work

        with Work.open(work) as opened, Studio.from_env() as studio:
            by_network = segmenter is not None or server is not None
            if by_network and predictions is None:
                run = chosen(segmenter, server, model)
                source = _segmenter(opened, run, objects, threshold, thresholds, device)
            else:
                source = _dataset(opened, predictions, split, objects, twice=by_network)
            told = send(
                opened,
                studio,
                source.suggest,
                model=source.model,
                objects=objects or (),
                replace=replace,
                dry_run=dry_run,
            )
        result = {"model": source.model, "dry_run": dry_run, "objects": [t.as_json() for t in told]}
        ui.emit(result, _told(told, source.model, work, dry_run=dry_run))


def _segmenter(
    work: "Work",
    run: "Path | Origin",
    objects: list[str] | None,
    threshold: float | None,
    thresholds: Path | None,
    device: str | None,
) -> "Source":
    from app.prelabel import from_segmenter
    from partlab.config import load_config
    from pseudolabel.settings import Settings, Thresholds

    if threshold is not None and thresholds is not None:
        raise ConfigError("--threshold and --thresholds say the same thing", hint="give one")
    settings = Settings()  # a tuned run's thresholds are its own
    if thresholds is not None:
        settings = Settings(thresholds=load_config(Thresholds, thresholds))
    elif threshold is not None:
        settings = Settings(thresholds=Thresholds(default=threshold))
    return from_segmenter(work, run, settings, objects=objects or (), device=device)


def _dataset(
    work: "Work", path: Path | None, split: str | None, objects: list[str] | None, *, twice: bool
) -> "Source":
    from app.prelabel import from_dataset

    if path is None or twice:
        raise ConfigError(
            "suggestions come from --segmenter RUN, --server URL or --predictions DATA",
            hint="name one of the three",
        )
    return from_dataset(work, path, split=split, objects=objects or ())


def _told(told: list["Pushed"], model: str, work: Path, *, dry_run: bool) -> str:
    from app.told import pushed

    sent = sum(each.sent for each in told)
    words = "would be asked for suggestions" if dry_run else "suggestions sent"
    lines = [pushed(each, words) for each in told]
    total = f"{counted(sent, 'task')} in all, model {model}"
    after = "nothing was changed" if dry_run else f"next: partlab status {quote(str(work))}"
    return "\n".join([*lines, total, after])
