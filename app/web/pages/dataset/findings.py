"""What `partlab data check` finds, in groups that open the pictures with the masks lit."""

import json
from dataclasses import dataclass

from annotate.data.grouping import Group, grouped
from app.web.pages.dataset.asking import Ask
from app.web.pages.dataset.drawing import FORMS, PACKAGE
from app.web.pages.dataset.sheet import Tile, tiles_of
from app.web.pages.dataset.sources import Source
from app.web.shown import Shown
from partlab.pages import render

_DRAWN = 12  # groups whose pictures are drawn; of others only the number stands there
_EACH = 6


@dataclass(frozen=True, slots=True)
class Shelf:
    """A group with some of its pictures, each with the click that opens it."""

    group: Group
    tiles: tuple[tuple[Tile, str], ...]
    every: str  # the click that shows all of this kind


def findings_of(source: Source, ask: Ask, shown: Shown) -> str:
    """The HTML; the data set has to be checked before."""
    assert source.report is not None
    categories = {category.id: category for category in source.index.categories}
    groups = grouped(source.report, categories)
    wanted = [one for one in groups if ask.finding in ("", one.kind)]
    shelves = [_shelf(source, ask, one, place, shown) for place, one in enumerate(wanted)]
    return render(
        PACKAGE, "findings.html", filters=FORMS, shelves=shelves, report=source.report,
        source=source, drawn=_DRAWN, ask=ask,
    )  # fmt: skip


def _shelf(source: Source, ask: Ask, group: Group, place: int, shown: Shown) -> Shelf:
    images = [id for id in group.images if id in source.index.row_of]
    every = json.dumps({"finding": group.kind, "view": "pictures", "image": "", "page": ""})
    if place >= _DRAWN:
        return Shelf(group, (), every)
    some = images[:_EACH]
    rows = [source.index.row_of[id] for id in some]
    masks = {id: _masks(group, id) for id in some}
    every_mask = frozenset(id for own in masks.values() for id in own)
    tiles = tiles_of(source, Ask(data=ask.data), rows, every_mask, shown)
    clicks = [_click(group, tile.id, masks[tile.id]) for tile in tiles]
    return Shelf(group, tuple(zip(tiles, clicks, strict=True)), every)


def _masks(group: Group, image: int) -> list[int]:
    """The masks that the group's first finding about an image names."""
    for one in group.findings:
        if one.image_id == image:
            both = (one.annotation_id, one.other_annotation_id)
            return [id for id in both if id is not None]
    return []


def _click(group: Group, image: int, masks: list[int]) -> str:
    said = {"image": str(image), "view": "pictures", "finding": group.kind}
    return json.dumps({**said, "masks": " ".join(map(str, masks))})


def told(source: Source) -> list[dict[str, object]]:
    """The groups for programs."""
    assert source.report is not None
    categories = {category.id: category for category in source.index.categories}
    return [
        {"kind": one.kind, "about": one.about, "severity": one.severity,
         "findings": len(one.findings), "images": list(one.images)}
        for one in grouped(source.report, categories)
    ]  # fmt: skip
