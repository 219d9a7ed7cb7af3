"""`partlab segmenter …`: train a part segmenter, measure it, list what there is."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._engine import EngineKind, EngineOpt, RayAddressOpt, RayWorkersOpt, training
from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported
from partlab.counts import counted

RUNS = Path("runs")
group = typer.Typer(no_args_is_help=True, help="Part segmenters: train, evaluate, list.")


@group.command()
def train(
    data: Annotated[Path, typer.Argument(help="Part data set: a folder, or one COCO file.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder, e.g. runs/seg-1.")],
    split: Annotated[str, typer.Option(help="Split to train on (folders with several).")] = "train",
    val: Annotated[
        str, typer.Option(help="Split that picks the best checkpoint; used when it is there.")
    ] = "val",
    backend: Annotated[str, typer.Option(help="torchvision, dense, detectron2, or your own.")] = (
        "torchvision"
    ),
    recipe: Annotated[
        str | None, typer.Option(help="Named settings of the backend: light, small, resnet50.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML or JSON.")] = None,
    pseudo: Annotated[
        Path | None,
        typer.Option(help="Store of pseudo labels whose pictures join (self-training)."),
    ] = None,
    settings: SetOpt = None,
    engine: EngineOpt = EngineKind.local,
    ray_address: RayAddressOpt = None,
    ray_workers: RayWorkersOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Train a part segmenter; the same command again goes on with an unfinished run.

    Several GPUs: torchrun --nproc-per-node 2 --no-python partlab segmenter train …

    Example: partlab segmenter train world --out runs/seg --set train.epochs=6
    """
    with reported(json) as ui:
        from segmenter.train import train_segmenter

        if pseudo:
            from pseudolabel.second_round import adding

        work = partial(
            train_segmenter,
            data,
            out,
            split=split,
            val_split=val,
            backend=backend,
            recipe=recipe,
            config_file=config,
            overrides=settings or [],
            pseudo=adding(pseudo) if pseudo else None,
        )
        summary = training(engine, ray_address, ray_workers)(work, out, force=force)
        if summary:
            ui.emit(summary, _told(summary))


def _told(summary: dict[str, Any]) -> str:
    best = summary["best_val_ap50"]
    score = f", best validation AP50 {100 * best:.1f}" if best is not None else ""
    return (
        f"trained {counted(summary['epochs'], 'epoch')} on {counted(summary['images'], 'image')}, "
        f"{counted(summary['parts'], 'part category', 'part categories')}{score}\n"
        f"run:   {summary['run']}\n"
        f"next:  partlab segmenter evaluate {summary['run']} DATA"
    )


@group.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(help="Folder with runs.")] = RUNS,
    json: JsonOpt = False,
) -> None:
    """List the backends, and the runs under a folder with their best validation score.

    Example: partlab segmenter list runs
    """
    with reported(json) as ui:
        from segmenter.listing import list_backends, list_runs

        none_yet = folder == RUNS and not folder.exists()
        runs = [] if none_yet else list_runs(folder)
        found = {"backends": list_backends(), "runs": runs}
        lines = [f"backend {b['name']}: {b['state']}" for b in found["backends"]]
        lines += [
            f"run {r['run']}: {r['backend']}, {r['parts']} parts"
            + (f", epoch {r['epoch']} of {r['epochs']}, {r['score']}" if r["epochs"] else "")
            for r in found["runs"]
        ] or [f"no runs under {folder}"]
        ui.emit(found, "\n".join(lines))
