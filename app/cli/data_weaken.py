"""`partlab data weaken`: the same data with boxes for masks, or masks on fewer pictures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, reported
from partlab.counts import counted
from partlab.errors import ConfigError


def register(group: typer.Typer) -> None:
    """Add the command to the group `data`."""
    group.command("weaken")(weaken)


def weaken(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set: folder or file.")],
    out: Annotated[Path, typer.Option(help="New folder; pictures stay where they are.")],
    boxes: Annotated[bool, typer.Option("--boxes", help="Every mask becomes its box.")] = False,
    keep: Annotated[
        float, typer.Option(min=0, max=1, help="Share of each object's images that keep masks.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same images.")] = 0,
    split: Annotated[
        str, typer.Option(help="Which split becomes weaker; the others stay as they are.")
    ] = "train",
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Make masks weaker to learn what they are worth: filled boxes, or masks on fewer images.

    What a smaller --keep keeps, a larger one keeps too. Images without masks keep their object.

    Example: partlab data weaken world --boxes --keep 0.1 --out world-boxes
    """
    with reported(json) as ui:
        from annotate.data.split import write_splits
        from annotate.data.stale import marked
        from annotate.data.weaken import weakened
        from partlab.coco import find_splits, read_coco

        if not boxes and keep == 1:
            raise ConfigError("nothing would change", hint="pass --boxes, or --keep with a share")
        files = find_splits(data)
        name = split if split in files or len(files) > 1 else next(iter(files))
        found = {one: marked(read_coco(file)) for one, file in files.items()}
        told = weakened(found, name, boxes=boxes, keep=keep, seed=seed)
        about: dict[str, Any] = {"source": str(data), "weaker": name, "seed": seed}
        about |= {"boxes": boxes, "keep": keep}
        write_splits(found, out, about, force=force)
        ui.emit({"out": out, **told}, f"{out}: {_told(told)}")


def _told(told: dict[str, Any]) -> str:
    line = f"{counted(told['masks'], 'mask')} of {told['masks_before']} in {told['split']}, "
    line += f"on {told['images_with_masks']} of {counted(told['images'], 'image')}"
    if told["not_readable"]:
        line += f"; {counted(told['not_readable'], 'mask')} cannot be read and stay as they are"
    return line
