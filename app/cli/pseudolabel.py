"""`partlab pseudolabel IMAGES …`: label any number of images with a trained segmenter.

The group falls back to the command `run` below. Another module adds a sub-command with

    from app.cli.pseudolabel import group

    @group.command()
    def report(...): ...

and `app/cli/main.py` takes the group from that module (`pseudolabel_reports.group`), so that
importing it registers them.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._engine import EngineKind, EngineOpt, RayAddressOpt, RayWorkersOpt, for_ray
from app.cli._group import DefaultGroup
from app.cli._origin import ModelOpt, ServerOpt, chosen
from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported

if TYPE_CHECKING:
    from pseudolabel.engine import Engine
    from pseudolabel.settings import Settings

group = typer.Typer(
    cls=DefaultGroup, no_args_is_help=True, help="Label images with a trained segmenter."
)

_IMAGES = (
    "Folder with one sub-folder per object category, list file (path[,object] on each line), "
    "a part data set, or tar archives as webdataset writes them; here or at s3://bucket/folder."
)


ImagesArg = Annotated[Path, typer.Argument(metavar="IMAGES", help=_IMAGES)]


@group.command(hidden=True)
def run(
    images: ImagesArg,
    out: Annotated[Path, typer.Option(help="The store: new, or unfinished and then continued.")],
    segmenter: Annotated[
        list[Path] | None, typer.Option(help="Run folder of the trained segmenter.")
    ] = None,
    server: ServerOpt = None,
    model: ModelOpt = None,
    split: Annotated[str | None, typer.Option(help="Which split of a part data set.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Label file (path,object); it goes before the folder.")
    ] = None,
    no_category_filter: Annotated[
        bool, typer.Option("--no-category-filter", help="Do not use the known class.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Lowest score of a mask; 0.5 if nothing says otherwise.")
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="Thresholds per part category, as `calibrate` writes.")
    ] = None,
    classifier: Annotated[
        str | None, typer.Option(help="timm model whose top-1 stands for the class (semi-open).")
    ] = None,
    classifier_weights: Annotated[Path | None, typer.Option(help="Its local weights file.")] = None,
    classifier_names: Annotated[
        Path | None, typer.Option(help="Object category of each of its outputs, one a line.")
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="best or last.")] = "best",
    batch_size: Annotated[int, typer.Option(min=1, help="Images of like shape at once.")] = 8,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode; one per spare core.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …")] = None,
    engine: EngineOpt = EngineKind.local,
    ray_address: RayAddressOpt = None,
    ray_workers: RayWorkersOpt = None,
    set_: SetOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Find the parts in every image and keep them as layers in a store.

    The segmenter runs here (--segmenter) or where it is served (--server). The same command
    again goes on where it was stopped, whatever stopped it.

    Shared by two processes: torchrun --nproc-per-node 2 --no-python partlab pseudolabel …

    Example: partlab pseudolabel photos/ --segmenter runs/seg-parts --out pseudo
    """
    with reported(json) as ui:
        from pseudolabel.engine import label_images

        settings = _settings(
            {
                "category_filter": not no_category_filter,
                "checkpoint": checkpoint,
                "batch_size": batch_size,
            },
            (thresholds, threshold),
            {"model": classifier, "weights": classifier_weights, "names": classifier_names},
            set_ or [],
        )
        done = label_images(
            images,
            chosen(_one(segmenter or []), server, model),
            out,
            settings,
            split=split,
            classes=classes,
            workers=_workers() if workers is None else workers,
            device=device,
            force=force,
            engine=_engine(engine, ray_address, ray_workers),
        )
        if done:
            ui.emit(done.result(), done.summary())


def _engine(kind: EngineKind, address: str | None, workers: int | None) -> "Engine | None":
    if not for_ray(kind, address, workers):
        return None
    from pseudolabel.on_ray import RayEngine

    return RayEngine(workers, address)


def _one(runs: list[Path]) -> Path | None:
    """The run; what several are worth beside each other has to be found on images first."""
    from partlab.errors import ConfigError

    if len(runs) > 1:
        named = " ".join(str(run) for run in runs)
        raise ConfigError(
            "several segmenters are one run first: how far each is to be trusted for a part is "
            "found on images with known masks",
            hint=f"partlab segmenter fuse {named} DATA --out FUSED, then --segmenter FUSED",
        )
    return runs[0] if runs else None


def _settings(
    values: dict[str, object],
    floor: tuple[Path | None, float | None],
    classifier: dict[str, str | Path | None],
    overrides: list[str],
) -> "Settings":
    from partlab.config import load_config, validate
    from partlab.errors import ConfigError
    from pseudolabel.settings import Settings, Thresholds

    given = {name for name, value in classifier.items() if value is not None}
    if given and len(given) < len(classifier):
        raise ConfigError(
            "--classifier, --classifier-weights and --classifier-names belong together",
            hint="give all three or none",
        )
    file, default = floor
    lowest = load_config(Thresholds, file, [] if default is None else [f"default={default}"])
    base = load_config(Settings, None, overrides).model_dump(exclude_unset=True)
    if file or default is not None:
        values["thresholds"] = lowest.model_dump()
    if given:
        values["classifier"] = classifier
    return validate(Settings, values | base, "the command line")


def _workers() -> int:
    """One decoding process per core that this process does not share, at most 8."""
    if hasattr(os, "sched_getaffinity"):  # only Linux knows which cores are ours
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1, 1), 8)
