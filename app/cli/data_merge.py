"""`partlab data merge`: several part data sets as one."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import DryRunOpt, ForceOpt, JsonOpt, reported
from app.cli.data_files import PicturesOpt, split_line
from partlab.counts import counted


def register(group: typer.Typer) -> None:
    """Add the command to the group `data`."""
    group.command("merge")(merge)


def merge(
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Part data sets: folders or COCO files.")
    ],
    out: Annotated[Path, typer.Option(help="New part data set folder.")],
    split: Annotated[
        str | None,
        typer.Option(help="Put all into this one split; else split by split.", show_default=False),
    ] = None,
    unite: Annotated[
        bool, typer.Option("--unite", help="Make categories of one name (head, Head) one.")
    ] = False,
    pictures: PicturesOpt = "link",
    dry_run: DryRunOpt = False,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Join part data sets: ids, categories, inclusions and pictures; conflicts are named.

    Example: partlab data merge ann.json ben.json --out all
    """
    with reported(json) as ui:
        from annotate.data.formats.pictures import Pictures
        from annotate.data.merge import merge_folders

        told = merge_folders(
            data,
            out,
            split=split,
            unite=unite,
            pictures=Pictures(pictures),
            dry_run=dry_run,
            force=force,
        )
        ui.emit(told, _merged(told, dry_run))


def _merged(told: dict[str, Any], dry_run: bool) -> str:
    lines = [split_line(name, n) for name, n in told["splits"].items()]
    done = {
        "shared_images": (
            "image was in several, and is one",
            "images were in several, and are one each",
        ),
        "same_masks": (
            "mask was there twice, and is kept once",
            "masks were there twice, and are kept once",
        ),
    }
    lines += [counted(told[key], *words) for key, words in done.items() if told[key]]
    if renamed := len(told["renamed"]):
        have = counted(renamed, "picture has", "pictures have")
        lines.append(f"{have} a new name, their old one was taken")
    end = "nothing written (--dry-run)" if dry_run else f"next: partlab data check {told['out']}"
    return "\n".join([*lines, end])
