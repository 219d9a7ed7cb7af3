"""The sheet of pictures as HTML: only those that are shown are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotate.data.choosing import lit
from annotate.draw import Style, overlay
from app.web.pages.dataset.asking import Ask
from app.web.pages.dataset.drawing import FORMS, PACKAGE, Part, drawable, parts_shown
from app.web.pages.dataset.seeing import PER_PAGE, Seen
from app.web.pages.dataset.sources import Source
from app.web.shown import Shown
from partlab.composite import Layer
from partlab.errors import PartlabError
from partlab.images import load_image
from partlab.pages import render
from partlab.parts import split_name
from partlab.progress import track
from partlab.schema import Dataset
from segmenter.protocol import Pixels

_TILE = Style(side=256)


@dataclass(frozen=True, slots=True)
class Tile:
    """An image on the sheet; `src` is None where `trouble` says why."""

    id: int
    file: str
    object: str
    src: str | None
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    trouble: str = ""


def sheet_of(source: Source, ask: Ask, seen: Seen, shown: Shown) -> str:
    """The pictures of one page, with how many fit and why others do not."""
    total = len(source.index)
    return render(
        PACKAGE,
        "sheet.html",
        filters=FORMS,
        tiles=tiles_of(source, ask, seen.here, meant(source, ask, seen), shown),
        seen=seen,
        total=total,
        first=(seen.page - 1) * PER_PAGE + 1,
        ask=ask,
        narrow=seen.chosen.narrow or bool(ask.finding),
        source=source,
    )


def meant(source: Source, ask: Ask, seen: Seen) -> frozenset[int]:
    """Ids of the masks that filters or a finding point at; empty where all are meant."""
    if ask.finding and source.report is not None:
        here = {int(source.index.ids[row]) for row in seen.here}
        found = source.report.by_kind.get(ask.finding, ())
        return frozenset(
            id
            for one in found
            if one.image_id in here
            for id in (one.annotation_id, one.other_annotation_id)
            if id is not None
        )
    return lit(source.index, seen.chosen, seen.here)


def tiles_of(
    source: Source, ask: Ask, rows: Sequence[int], masks: frozenset[int], shown: Shown
) -> list[Tile]:
    """Small pictures with their masks; of `masks` alone, where there are some."""
    data = source.index.dataset(rows)
    places = source.pictures(data.images)
    known = parts_shown(data.names)
    notes = _notes(source, ask)
    tiles = []
    for image in track(data.images, "drawing", len(data.images)):
        drawn, layers, lost = drawable(data, image)
        if masks:
            pairs = zip(drawn, layers, strict=True)
            layers = [layer for mask, layer in pairs if mask.id in masks]
        names = tuple(known[label] for label in dict.fromkeys(one.label for one in layers))
        said = (*notes.get(image.id, ()), *lost)
        src, trouble = None, ""
        try:
            src = _small(load_image(places[image.id]), layers, data, shown)
        except PartlabError as error:
            trouble = error.message
        object = data.object_of(image) or ""
        tiles.append(Tile(image.id, image.file_name, object, src, names, said, trouble))
    return tiles


def _small(pixels: Pixels, layers: Sequence[Layer], data: Dataset, shown: Shown) -> str:
    drawn = overlay(pixels, layers, data.names, parents=data.parts.parents, style=_TILE)
    return shown.picture(np.asarray(drawn.convert("RGB")), "masks.png")


def _notes(source: Source, ask: Ask) -> dict[int, tuple[str, ...]]:
    """Image id -> why it stands here: the finding's words, or the audit's first reason."""
    found: dict[int, tuple[str, ...]] = {}
    if ask.finding and source.report is not None:
        for one in source.report.by_kind.get(ask.finding, ()):
            if one.image_id is not None:
                words = one.message.partition(": ")[2] or one.message
                found[one.image_id] = (*found.get(one.image_id, ()), words)
    elif ask.order == "suspicion":
        audit = source.audits.get(ask.store)
        for suspect in audit.suspects if audit else ():
            why = suspect.reasons[0] if suspect.reasons else None
            words = f"{split_name(why.part)[1]}: {why.message}" if why else "nothing odd"
            found[suspect.image_id] = (f"suspicion {suspect.suspicion:.2f}; {words}",)
    return found
