"""`partlab train detector`: Faster R-CNN on a recognition model's backbone."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported


class Method(StrEnum):
    """How a detector is trained."""

    free = "free"
    none = "none"


class Boxes(StrEnum):
    """What a detector finds."""

    objects = "objects"
    parts = "parts"


def register(group: typer.Typer) -> None:
    """Add this command to the group `train`."""
    group.command()(detector)


def detector(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Run, exported model, or folder with others' weights and a card; or a network of "
            "timm's.",
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder, e.g. runs/det.")],
    recipe: Annotated[
        str, typer.Option(help="coco: as published, for GPUs; small: 64 pixels, for a CPU.")
    ] = "coco",
    method: Annotated[
        Method | None,
        typer.Option(help="free adversarial training, or none: pictures as they are."),
    ] = None,
    replays: Annotated[
        int | None, typer.Option(help="Updates on one batch in free adversarial training; 4.")
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Of its perturbation: 4/255.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs, each with all replays of every batch.")
    ] = None,
    boxes: Annotated[
        Boxes | None, typer.Option(help="Boxes of whole objects; or of parts, as COCO's are.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to train on (folders with several).")] = "train",
    val_split: Annotated[str, typer.Option(help="Split to validate on.")] = "val",
    checkpoint: Annotated[str, typer.Option(help="Of a run: best or last.")] = "best",
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML or JSON.")] = None,
    settings: SetOpt = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …")] = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Train an object detector on a recognition model's backbone, plainly or under attack.

    The same command again goes on with an unfinished run.
    Several GPUs: torchrun --nproc-per-node 8 --no-python partlab train detector …

    Example: partlab train detector mpm world --recipe small --method free --out runs/det
    """
    with reported(json) as ui:
        from train.detection.train import train_detector

        short = {
            "attack.method": method,
            "attack.replays": replays,
            "attack.eps": eps,
            "train.epochs": epochs,
            "boxes": boxes,
        }
        overrides = [f"{name}={value}" for name, value in short.items() if value is not None]
        summary = train_detector(
            model, data, out, recipe=recipe, split=split, val_split=val_split,
            checkpoint=checkpoint, config_file=config, overrides=[*overrides, *(settings or [])],
            device=device, force=force,
        )  # fmt: skip
        if summary:
            ui.emit(summary, _told(summary))


def _told(summary: dict[str, Any]) -> str:
    how = "free adversarial training" if summary["method"] == "free" else "standard training"
    score = (
        ""
        if summary["val_ap"] is None
        else f", on validation box AP {100 * summary['val_ap']:.1f}, "
        f"AP50 {100 * summary['val_ap50']:.1f} percent"
    )
    epochs = summary["epochs"]
    return (
        f"trained a detector of {summary['classes']} classes on {summary['backbone']['name']} by "
        f"{how}, {epochs} epoch{'s' * (epochs != 1)} on {summary['images']:,} images{score}\n"
        f"run:   {summary['run']}\n"
        f"next:  partlab evaluate detector {summary['run']} DATA --out results"
    )
