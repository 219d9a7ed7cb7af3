"""`partlab pseudolabel IMAGES …`: label any number of images with a trained segmenter.

The group falls back to the command `run` below. Another module adds a sub-command with

    from app.cli.pseudolabel import group

    @group.command()
    def report(...): ...

and `app/cli/main.py` takes the group from that module (`pseudolabel_reports.group`), so that
importing it registers them.
"""

from pathlib import Path
from typing import Annotated

import typer

from app.cli._group import DefaultGroup
from app.cli._ui import ForceOpt, JsonOpt, reported

group = typer.Typer(
    cls=DefaultGroup, no_args_is_help=True, help="Label images with a trained segmenter."
)


@group.command(hidden=True)
def run(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES",
            help="Folder (one sub-folder per object category), list file (path[,object] a line), "
            "or part data set.",
        ),
    ],
    segmenter: Annotated[Path, typer.Option(help="Run folder of the trained segmenter.")],
    out: Annotated[Path, typer.Option(help="The store: new, or unfinished and then continued.")],
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Find the parts in every image and keep them as layers in a store.

    Example: partlab pseudolabel photos/ --segmenter runs/seg-parts --out pseudo
    """
    with reported(json) as ui:
        from pseudolabel.engine import label_images

        done = label_images(images, segmenter, out, force=force, progress=ui.progress)
        ui.emit(done.result(), done.summary())
