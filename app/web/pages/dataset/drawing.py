"""Masks as they are shown, with their colours and outlines: only these are decoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from annotate.draw import palette
from app.web.outlines import SHOWN, shapes
from partlab.composite import Layer
from partlab.errors import MaskError
from partlab.masks import from_segmentation
from partlab.parts import split_name
from partlab.schema import Annotation, Dataset, Image
from segmenter.protocol import Pixels

PACKAGE = "app.web.pages.dataset"
FORMS: dict[str, Any] = {
    "count": "{:,}".format,
    "number": "{:,.2f}".format,
    "percent": lambda value: f"{100 * value:.1f} %",
    "sentence": lambda text: text[:1].upper() + text[1:],
    "px": "{:,.0f} px".format,
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part category as it is shown."""

    name: str
    short: str
    colour: str


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
