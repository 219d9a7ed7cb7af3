"""`partlab quickstart`: the whole loop on a generated part world."""

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
    """The whole loop on a CPU: draw a part world, segment, pseudo-label, recognise under attack.

    Minutes on two cores. Interrupted, the same command goes on. --set changes the training,
    for example --set train.epochs=2.

    Example: partlab quickstart --out quickstart
    """
    with reported(json) as ui:
        from app.quickstart import MARK
        from app.quickstart import quickstart as run
        from partlab.folders import claim_folder

        if force and (out / MARK).is_file():  # only ever a folder of its own
            claim_folder(out, force=True)
        found = run(out, overrides=settings)
        ui.emit(found, _told(found))


def _told(found: dict[str, Any]) -> str:
    ways = found["evaluation"]
    rows = [
        f"  {title:<10} {_percent(ways['without_cf'][key])}   {_percent(ways['with_cf'][key])}   "
        f"{100 * ways['difference'][key]:+5.1f}"
        for title, key in (("mask AP", "ap"), ("mask AP50", "ap50"), ("mIoU", "miou"))
    ]
    took = found["seconds"]
    longest = sorted(took, key=lambda step: -took[step])[:3]
    where = ", ".join(f"{step} {took[step] / 60:.1f}" for step in longest)
    return "\n".join(
        [
            "",
            f"Done in {sum(took.values()) / 60:.1f} minutes ({where}).",
            "Part masks of held-out images of the world, in percent:",
            "             without     with the category filter",
            *rows,
            "",
            *_robust(found["robustness"]),
            "",
            f"Open:  {found['report']}   (what the labels of {found['images']} images are worth)",
            "Next, look at the data and label photos of your own:",
            f"  partlab data show {found['world']}/annotations/train.json --out sheet.png",
            f"  partlab segmenter evaluate {found['run']} {found['world']} --per-part",
            f"  partlab train show {found['models']}/vanilla {found['models']}/mpm --out curves",
            "  partlab data import YOUR_PARTS --out parts",
            "  partlab segmenter train parts --out runs/seg",
            "  partlab pseudolabel YOUR_PHOTOS --segmenter runs/seg --out pseudo",
        ]
    )


def _robust(found: dict[str, Any]) -> list[str]:
    """Both models under attack, and how far that can be trusted."""
    rows = [
        f"  {title:<18}{_percent(found[key]['vanilla'])}   {_percent(found[key]['mpm'])}   "
        f"{100 * (found[key]['mpm'] - found[key]['vanilla']):+5.1f}   {_likely(found[key]['p'])}"
        for title, key in (("as they are", "clean"), (found["attack"].partition(",")[0], "robust"))
    ]
    return [
        f"Recognition of {found['pictures']} held-out images, in percent ({found['attack']}):",
        "                   vanilla    MPM",
        *rows,
        "  Same pictures, weights and order; MPM also learnt where the parts are, from people's",
        "  masks and the pseudo labels. One pair of models after minutes of training: part of the",
        "  gain is faster learning, and other seeds give other figures.",
    ]


def _likely(p: float) -> str:
    return f"p = {p:.2g}" if p <= 0.05 else f"no evidence of a difference (p = {p:.2f})"


def _percent(value: float | None) -> str:
    return "    –" if value is None else f"{100 * value:5.1f}"
