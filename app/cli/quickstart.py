"""`partlab quickstart`: the whole loop on a generated part world."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("quickstart"),
    settings: SetOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Draw a part world, train, evaluate, pseudo-label, report: the whole loop, on a CPU.

    Minutes on two cores. Interrupted, the same command goes on. --set changes the training,
    for example --set train.epochs=2.

    Example: partlab quickstart --out quickstart
    """
    with reported(json) as ui:
        from app.quickstart import MARK
        from app.quickstart import quickstart as run

        if force and (out / MARK).is_file():  # only ever a folder of its own
            shutil.rmtree(out)
        found = run(out, overrides=settings)
        ui.emit(found, _told(found))


def _told(found: dict[str, Any]) -> str:
    ways = found["evaluation"]
    rows = [
        f"  {title:<10} {_percent(ways['without_cf'][key])}   {_percent(ways['with_cf'][key])}   "
        f"{100 * ways['difference'][key]:+5.1f}"
        for title, key in (("mask AP", "ap"), ("mask AP50", "ap50"), ("mIoU", "miou"))
    ]
    minutes = sum(found["seconds"].values()) / 60
    return "\n".join(
        [
            "",
            f"Done in {minutes:.1f} minutes. On held-out images of the world, in percent:",
            "             without     with the category filter",
            *rows,
            "",
            f"Open:  {found['report']}   (what the labels of {found['images']} images are worth)",
            "Next, look at the data and label photos of your own:",
            f"  partlab data show {found['world']}/annotations/train.json --out sheet.png",
            f"  partlab segmenter evaluate {found['run']} {found['world']} --per-part",
            "  partlab data import YOUR_PARTS --out parts",
            "  partlab segmenter train parts --out runs/seg",
            "  partlab pseudolabel YOUR_PHOTOS --segmenter runs/seg --out pseudo",
        ]
    )


def _percent(value: float | None) -> str:
    return "    –" if value is None else f"{100 * value:5.1f}"
