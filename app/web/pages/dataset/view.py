"""The sheet of pictures and one picture, as HTML: only what is shown is read and decoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from annotate.data.choosing import lit
from annotate.draw import Style, overlay, palette
from app.web.outlines import SHOWN, shapes
from app.web.pages.dataset.asking import PER_PAGE, Ask, Seen
from app.web.pages.dataset.sources import Source
from app.web.shown import Shown
from partlab.composite import Layer
from partlab.errors import MaskError, PartlabError
from partlab.images import load_image
from partlab.masks import from_segmentation
from partlab.pages import render
from partlab.parts import split_name
from partlab.progress import track
from partlab.schema import Annotation, Dataset, Image
from segmenter.protocol import Pixels

PACKAGE = "app.web.pages.dataset"
FORMS: dict[str, Any] = {
    "count": "{:,}".format,
    "number": "{:,.2f}".format,
    "percent": lambda value: f"{100 * value:.1f} %",
    "px": "{:,.0f} px".format,
}
_TILE = Style(side=256)


@dataclass(frozen=True, slots=True)
class Part:
    """A part category as it is shown."""

    name: str
    short: str
    colour: str


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


def parts_shown(names: Sequence[str]) -> list[Part]:
    """Each label with its colour, the same as in every overlay."""
    tints = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in palette(names))
    return [
        Part(name, split_name(name)[1] or name, tint)
        for name, tint in zip(names, tints, strict=True)
    ]


def drawable(data: Dataset, image: Image) -> tuple[list[Annotation], list[Layer], list[str]]:
    """The masks of an image that can be drawn, as layers, and why others cannot."""
    masks, layers, lost = [], [], []
    for mask in data.annotations_of(image):
        label = data.label_of.get(mask.category_id)
        if label is None:
            lost.append(f"annotation {mask.id}: there is no category {mask.category_id}")
            continue
        try:
            rle = from_segmentation(mask.segmentation, image.height, image.width)
        except MaskError as error:
            lost.append(f"annotation {mask.id}: {error.message}")
            continue
        masks.append(mask)
        layers.append(Layer(label, rle, mask.score))
    return masks, layers, lost


# --- the sheet ---------------------------------------------------------------------------------


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


# --- one picture -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mark:
    """A mask on the large picture."""

    id: str
    part: Part
    outline: str
    area: int
    x: float  # percent of the picture, where its name stands
    y: float
    by: str
    score: float
    review: str
    annotation: int | None
    beside: str = ""  # how it fits the other side's mask of this part


def marks_of(
    layers: Sequence[Layer], data: Dataset, ids: Sequence[str], masks: Sequence[Annotation]
) -> list[Mark]:
    """Bottom first."""
    known = parts_shown(data.names)
    found = []
    for shape in shapes(layers, data.parts.parents):
        mask, layer = masks[shape.at], layers[shape.at]
        found.append(
            Mark(
                ids[shape.at], known[layer.label], shape.outline, shape.area,
                100 * shape.x, 100 * shape.y,
                mask.provenance, mask.score, mask.review or "", mask.id,
            )
        )  # fmt: skip
    return found


def shown_pixels(pixels: Pixels) -> tuple[Pixels, str]:
    """At most `SHOWN` a side, and how much smaller that is."""
    longer = max(pixels.shape[:2])
    if longer <= SHOWN:
        return pixels, ""
    size = tuple(max(round(side * SHOWN / longer), 1) for side in pixels.shape[1::-1])
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, f"shown at {100 * SHOWN / longer:.0f} % of its size"
