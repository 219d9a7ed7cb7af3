"""`partlab data crops`: objects cut out of photos, with their parts: data to classify."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, reported
from partlab.counts import counted
from partlab.errors import ConfigError


def register(group: typer.Typer) -> None:
    """Add the command to the group `data`."""
    group.command("crops")(crops)


def crops(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set: folder or file.")],
    out: Annotated[Path, typer.Option(help="New data set folder, one object a picture.")],
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split of DATA; may be repeated.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="image (no photo in two splits) or paper (as published, leaks).")
    ] = "image",
    ratios: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same splits.")] = 0,
    min_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of its picture, that an object's box must have.")
    ] = 0.01,
    enlarge: Annotated[float, typer.Option(min=1, help="By how much boxes are enlarged.")] = 1.5,
    long_side: Annotated[
        int | None,
        typer.Option(min=8, help="Long side of the crops in pixels.", show_default="as it is"),
    ] = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Cut every object out, with all masks in its crop, and divide the crops photo by photo.

    Objects without part masks stay; their pixels are crowd regions, which say nothing. PACO with
    [bold]--long-side 256[/] is the set of Hingun's report, without its leak.

    Example: partlab data crops paco --out paco-objects --long-side 256
    """
    with reported(json) as ui:
        from annotate.data.crop_objects import CropSettings
        from annotate.data.crops import crop_folder

        settings = CropSettings(min_share=min_share, enlarge=enlarge, long_side=long_side)
        told = crop_folder(
            data, out, splits=split or (), mode=by, ratios=_shares(ratios), seed=seed,
            settings=settings, force=force,
        )  # fmt: skip
        ui.emit(told, "\n".join([*_lines(told), f"written to {out}"]))


def _shares(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = map(float, text.split(","))
    except ValueError:
        raise ConfigError(f"--ratios takes three numbers, not {text!r}") from None
    return train, val, test


def _lines(told: dict[str, Any]) -> list[str]:
    published = told["published"] or {}

    def number(key: str) -> str:
        beside = f" (published: {published[key]:,})" if published else ""
        return f"{told[key]:,}{beside}"

    from annotate.data.crops import NOT_PUBLISHED

    leaks = told["leaks"]
    lines = [
        f"{number('images')} photos, {number('objects')} objects in them",
        f"{number('kept')} large enough, {number('without_parts')} of them without part masks",
        "crops: " + ", ".join(f"{count} {split}" for split, count in told["crops"].items()),
    ]
    if published and NOT_PUBLISHED in told["splits"]:
        lines.append(
            f"the published counts are without {NOT_PUBLISHED}: name the other splits with --split"
        )
    if told["under_a_pixel"]:
        lines.append(f"left out: {counted(told['under_a_pixel'], 'crop')} of less than a pixel")
    if told["photos_not_read"]:
        lines.append(f"left out: {counted(len(told['photos_not_read']), 'photo')} not readable")
    known = ", ".join(f"{n} of {split}" for split, n in leaks["crops_of_training_photos"].items())
    several = leaks["photos_in_several_splits"]
    things = leaks["same_things_in_several_splits"]
    lines.append(
        f"LEAK: {counted(several, 'photo is', 'photos are')} in several splits; crops of training "
        f"photos: {known}; {counted(things, 'photo or thing')} in photos of several splits"
        if several
        else "no photo is in two splits"
    )
    return lines
