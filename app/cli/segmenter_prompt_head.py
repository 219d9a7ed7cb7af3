"""`partlab segmenter prompt-head`: model help in Label Studio that learnt from one's own parts."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported
from app.cli.segmenter_fuse import group as group
from partlab.counts import counted


@group.command("prompt-head")
def prompt_head(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of the segmenter.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set with human masks.")],
    split: Annotated[str, typer.Option(help="Split to train on.")] = "train",
    checkpoint: Annotated[str, typer.Option(help="best or last.")] = "best",
    set: SetOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Train the head that turns clicks into masks, beside a segmenter; again goes on.

    Boxes and clicks are simulated from the masks. The segmenter itself stays as it is; whoever
    answers prompts by this run uses the head from then on (RUN/prompt.safetensors).

    [bold]--set[/] takes train.epochs (4), train.lr (0.001), train.rounds (3: clicks for each
    mask), train.masks_per_image (6), train.images (of an epoch; all) and others.

    Example: partlab segmenter prompt-head runs/seg world
    """
    with reported(json) as ui:
        from segmenter.runs import read_run

        read_run(run)  # first: an error in it need not wait for torch
        from segmenter.prompt.train import train_prompt_head

        done = train_prompt_head(
            run, data, split=split, checkpoint=checkpoint, overrides=set or [], force=force
        )
        ui.emit(
            done,
            f"trained a prompt head {counted(done['epochs'], 'epoch')} on "
            f"{counted(done['images'], 'image')}, "
            f"last loss {done['loss']:.3f}\n"
            f"head:  {done['head']}\n"
            f"next:  partlab serve {done['run']}",
        )
