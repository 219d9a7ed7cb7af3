"""`partlab segmenter tune`: what a run's scores are worth, on images apart, kept with the run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._plain import percent, table
from app.cli._ui import JsonOpt, reported
from app.cli.segmenter_evaluate import group as group

SCORES = {
    "miou": "mIoU of the composite",
    "pixel_accuracy": "pixel accuracy (all pixels)",
    "foreground_pixel_accuracy": "pixel accuracy (parts only)",
}


@group.command()
def tune(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of the segmenter.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set with human masks.")],
    split: Annotated[
        str | None, typer.Option(help="Which split; val where there is one.", show_default=False)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, …; the best there is.", show_default=False)
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Calibrate a run's scores and choose its thresholds for label maps, part by part.

    Use images that the run was not trained on, and others again to measure it. Everything that
    takes the run from then on takes its calibrated scores, and its thresholds where none are given.
    Delete RUN/tuned.json to have it as it was.

    Example: partlab segmenter tune runs/seg-parts parts --split val
    """
    with reported(json) as ui:
        from segmenter.tuning.tune import tune_run

        found = tune_run(run, data, split=split, device=device)
        ui.emit(found, words(found))


def words(found: dict[str, Any]) -> str:
    """What a tuning found, for people."""
    kinds = found["held_out"]["before"], found["held_out"]["after"]
    rows = [[title, *(percent(kind[key]) for kind in kinds)] for key, title in SCORES.items()]
    errors = [f"{kind['reliability']['error']:.3f}" for kind in kinds]
    rows.append(["scores are off by", *errors])
    own = found["thresholds"]["parts"]
    return "\n".join(
        [
            f"{found['run']} on {found['data']['path']} {found['data']['split']}: "
            f"{found['images']} images, each half judged by what the other half says. Percent.",
            table(["", "before, 0.5", "after"], rows),
            f"threshold of all parts {found['thresholds']['default']}, "
            f"{len(own)} of them with one of their own",
            f"kept in {found['file']}, plot in {found['plot']}",
        ]
    )
