"""Hingun 2023, Tables 2.2 and 2.3: published, of other data and networks than ours (A15)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from partlab.errors import UnknownNameError


class Block(NamedTuple):
    """Percent. `exchanged`: the two mAP columns were printed the other way round."""

    pixel: float
    ap50: float
    ap: float
    accuracy: float | None
    exchanged: bool


@dataclass(frozen=True, slots=True)
class Published:
    """A row: clean pretraining, and adversarial training seen clean and attacked (PGD-100, 8/255).

    `parameters` in millions; `layers` of encoder and decoder each.
    """

    name: str
    parameters: float
    layers: int | None
    queries: int | None
    pretrained: Block
    clean: Block
    attacked: Block
    source: str
    note: str

    @property
    def label(self) -> str:
        """Name and sizes."""
        sizes = f", {self.queries} queries, {self.layers} layers" if self.queries else ""
        return self.name + sizes.replace("1 layers", "1 layer")


def hingun(table: str) -> list[Published]:
    """The rows of "2.2" or "2.3", mAP corrected.

    mAP@0.5 is below mAP@0.5:0.95 in all cells but one, which cannot be: a box that counts at a
    higher overlap counts at 0.5, too. So the larger of the two is mAP@0.5 here.

    Raises:
        UnknownNameError: there is no such table.
    """
    known: dict[str, Any] = json.loads(Path(__file__).with_name("hingun.json").read_text("utf-8"))
    del known["about"]
    if table not in known:
        raise UnknownNameError("published table", table, known)
    found = known[table]
    return [_row(row, found["source"], found["note"]) for row in found["rows"]]


def _row(printed: list[Any], source: str, note: str) -> Published:
    name, parameters, layers, queries, *blocks = printed
    pretrained, clean, attacked = map(_block, blocks)
    sizes = (parameters, layers, queries)
    return Published(name, *sizes, pretrained, clean, attacked, source, note)


def _block(printed: list[float]) -> Block:
    pixel, first, second, *accuracy = printed
    ap50, ap = max(first, second), min(first, second)
    return Block(pixel, 100 * ap50, 100 * ap, accuracy[0] if accuracy else None, ap50 != first)
