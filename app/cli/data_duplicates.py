"""`partlab data duplicates`: pictures that look the same, and which of them leak."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import JsonOpt, reported
from partlab.counts import counted


def register(group: typer.Typer) -> None:
    """Add the command to the group `data`."""
    group.command("duplicates")(duplicates)


def duplicates(
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Part data sets: folders or COCO files.")
    ],
    distance: Annotated[
        int, typer.Option(min=0, max=20, help="Bits of 64 that may differ; more finds more.")
    ] = 6,
    limit: Annotated[int, typer.Option(min=0, help="Pairs to show; 0 for all.")] = 20,
    json: JsonOpt = False,
) -> None:
    """Find pictures that look the same, between splits and data sets first: those are leaks.

    Example: partlab data duplicates world --distance 4
    """
    with reported(json) as ui:
        from annotate.data.duplicates import near_duplicates
        from partlab.coco import find_splits, read_coco

        several = len(data) > 1
        found = {
            f"{path.name}/{split}" if several else split: read_coco(file)
            for path in data
            for split, file in find_splits(path).items()
        }
        pairs, passed = near_duplicates(found, distance=distance)
        told: dict[str, Any] = {
            "images": sum(len(one.images) for one in found.values()),
            "pairs": [pair.as_json() for pair in pairs],
            "leaks": sum(pair.leaks for pair in pairs),
            "not_looked_at": passed,
        }
        ui.emit(told, "\n".join(_lines(told, limit or len(pairs))))


def _lines(told: dict[str, Any], limit: int) -> list[str]:
    shown = told["pairs"][:limit]
    lines = [
        f"{'leak' if one['leak'] else 'near'}: {one['first']} and {one['second']} "
        f"({counted(one['bits'], 'bit')})"
        for one in shown
    ]
    hidden = len(told["pairs"]) - len(shown)
    lines += [f"and {counted(hidden, 'more pair')} (--limit 0 shows all)"] if hidden else []
    if told["not_looked_at"]:
        were = counted(len(told["not_looked_at"]), "picture", "pictures")
        lines.append(f"not looked at: {were} that cannot be read or show one colour")
    pairs = counted(len(told["pairs"]), "pair looks", "pairs look")
    end = f"{counted(told['images'], 'image')}: {pairs} the same, "
    return [*lines, end + counted(told["leaks"], "of them leaks", "of them leak")]
