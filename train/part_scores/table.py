"""Part scores of runs in one table, with the published ones beside them, marked as such."""

from collections.abc import Mapping, Sequence
from typing import Any

from train.references.hingun import Block, hingun

HEAD = (
    "", "M", "pixel", "foreground", "mIoU", "AP50", "AP", "acc.",
    "att. pixel", "att. AP50", "att. AP", "att. acc.",
)  # fmt: skip
"""Columns: parameters in millions, then percent, as the pictures are and attacked."""


def ours(name: str, record: Mapping[str, Any]) -> list[str]:
    """The row of a record of `measure_parts`."""
    clean, attacked = record["clean"], record.get("attacked")
    keys = ("pixel", "foreground", "miou", "ap50", "ap", "accuracy")
    cells = [_share(clean[key]) for key in keys]
    cells += [_share(attacked[key]) if attacked else "–"
              for key in ("pixel", "ap50", "ap", "accuracy")]  # fmt: skip
    return [name, f"{record['parameters'] / 1e6:.2f}", *cells]


def published(tables: Sequence[str] = ("2.2", "2.3")) -> list[list[str]]:
    """Rows of Hingun 2023 after adversarial training; and clean pretraining in rows of their own.

    Foreground and mIoU were not published.
    """
    rows = []
    for table in tables:
        for row in hingun(table):
            about = f"published {table}: {row.label}"
            size = f"{row.parameters:g}"
            rows.append([f"{about}, clean pretraining", size, *_cells(row.pretrained), *["–"] * 4])
            cells = (*_cells(row.clean), *_attacked(row.attacked))
            rows.append([f"{about}, adversarial training", size, *cells])
    return rows


def note(records: Sequence[Mapping[str, Any]]) -> str:
    """What the figures are, and what they are not."""
    manner = records[0]["manner"]
    eps = f"{255 * manner['eps']:g}/255"
    attack = f"PGD-{manner['steps']} on the class, linf {eps}, one start" if manner["steps"] else (
        "no attack")  # fmt: skip
    return (
        f"Percent; {attack}. Segmenters' boxes are the connected pieces of their masks, "
        "detectors' masks the boxes that score 0.2 or more; true boxes are those of the label maps."
    )


PUBLISHED = (
    "Published rows (Hingun 2023) are of PartImageNet's 11 super-categories with ResNet-50 under "
    "PGD-100 at 8/255, for reference and not comparable; their mAP columns, exchanged in print, "
    "are put right here; the two-headed rows' clean and attacked part figures look exchanged, too, "
    "and are as printed."
)


def _cells(block: Block) -> list[str]:
    return [f"{block.pixel:.1f}", "–", "–", f"{block.ap50:.1f}", f"{block.ap:.1f}",
            _number(block.accuracy)]  # fmt: skip


def _attacked(block: Block) -> list[str]:
    return [f"{block.pixel:.1f}", f"{block.ap50:.1f}", f"{block.ap:.1f}", _number(block.accuracy)]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
