"""`partlab segmenter fuse`: several segmenters as one run."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported
from app.cli.segmenter_tune import group as group
from app.cli.segmenter_tune import words


@group.command()
def fuse(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs with the same parts.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set with human masks.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder of the fused segmenter.")],
    split: Annotated[
        str | None, typer.Option(help="Which split; val where there is one.", show_default=False)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, …; the best there is.", show_default=False)
    ] = None,
    set: SetOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Make one segmenter of several, such as a Mask R-CNN and a dense one.

    How far each is to be trusted for a part is found on images that none was trained on. The new
    run holds copies of their weights and is used like any other.

    [bold]--set[/] takes overlap (0.5: two masks of a part that overlap more are one) and
    score_threshold (0.05).

    Example: partlab segmenter fuse runs/seg runs/dense parts --split val --out runs/both
    """
    with reported(json) as ui:
        from partlab.config import load_config
        from segmenter.fused.fuse import fuse_runs
        from segmenter.fused.segmenter import FusedConfig

        config = load_config(FusedConfig, overrides=set or [])
        found = fuse_runs(runs, data, out, split=split, device=device, config=config, force=force)
        ui.emit(found, words(found))
