"""Pictures of part masks, in the style of the paper's figures (requirement X-07).

    picture = overlay(pixels, layers, dataset.names, parents=dataset.parts.parents, title="ram")
    contact_sheet([picture, ...], ["best", ...], columns=4).save("sheet.png")

`pixels` is an RGB array (height, width, 3), `layers` are `partlab.composite.Layer`s, `names`
holds `object:part` for each label. A label has the same colour in every picture drawn with
the same names. Plain English names are in a font that comes with Pillow, so the same input
gives the same bytes; `annotate.draw.fonts` finds one for other letters.
"""

import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from annotate.draw.fonts import font_for
from partlab.composite import Layer, Parents, paint_order
from partlab.errors import MaskError
from partlab.masks import BoolMask, decode, from_segmentation
from partlab.parts import split_name
from partlab.schema import Annotation, Dataset

Colour = tuple[int, int, int]

_PALETTE: tuple[Colour, ...] = (
    (230, 57, 70),
    (38, 132, 255),
    (255, 190, 11),
    (42, 183, 107),
    (155, 81, 224),
    (255, 127, 39),
    (0, 187, 212),
    (240, 98, 196),
    (139, 195, 74),
    (121, 85, 72),
    (63, 81, 181),
    (0, 137, 123),
    (70, 225, 30),
    (20, 10, 190),
    (228, 190, 255),
    (255, 205, 160),
    (55, 80, 0),
    (130, 0, 85),
    (255, 20, 255),
    (15, 75, 105),
    (160, 115, 0),
    (255, 150, 165),
    (120, 30, 0),
    (150, 150, 150),
)
_INK = (32, 33, 36)
_PAPER = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Style:
    """How an overlay looks; sizes are in pixels of the finished picture."""

    side: int = 384  # the long side of the picture; small photos are enlarged
    alpha: float = 0.5  # opacity of the fill
    outline: int = 2  # width of the outline; 0 draws none
    legend: bool = False  # part names below the picture (the paper's figures hide them)


PLAIN = Style()


def palette(names: Sequence[str]) -> list[Colour]:
    """One colour for each label: parts of one object are as different as can be.

    A colour depends on the part's position within its object only, so it stays the same
    from picture to picture and from run to run.
    """
    seen: dict[str, int] = {}
    colours = []
    for name in names:
        owner = split_name(name)[0]
        colours.append(_colour(seen.get(owner, 0)))
        seen[owner] = seen.get(owner, 0) + 1
    return colours


def _colour(position: int) -> Colour:
    if position < len(_PALETTE):
        return _PALETTE[position]
    hue = (position * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.35 * (position % 2), 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def layers_of(dataset: Dataset, annotations: Iterable[Annotation]) -> list[Layer]:
    """The layers of some annotations; masks that cannot be decoded are left out.

    Labels are those of `dataset.names`.
    """
    layers = []
    for annotation in annotations:
        image = dataset.image_by_id.get(annotation.image_id)
        label = dataset.label_of.get(annotation.category_id)
        if image is None or label is None:
            continue
        try:
            rle = from_segmentation(annotation.segmentation, image.height, image.width)
        except MaskError:
            continue
        layers.append(Layer(label, rle, annotation.score))
    return layers


def overlay(
    pixels: NDArray[np.uint8],
    layers: Sequence[Layer],
    names: Sequence[str],
    *,
    parents: Parents | None = None,
    title: str | None = None,
    style: Style = PLAIN,
    colours: Sequence[Colour] | None = None,
) -> Image.Image:
    """A photo with its parts in translucent colours and crisp outlines.

    `title` (the object's name) stands in the top right corner. Masks of a size other than
    the picture's are left out: they cannot be its own.
    """
    colours = palette(names) if colours is None else colours
    layers = [layer for layer in layers if tuple(layer.rle["size"]) == pixels.shape[:2]]
    size = _fit(pixels.shape[1], pixels.shape[0], style.side)
    canvas = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    order = paint_order(layers, parents or {})
    masks = [_enlarge(decode(layers[position].rle), size) for position in order]
    tints = [colours[layers[position].label] for position in order]
    picture = Image.fromarray(_tint(canvas, masks, tints, style))
    if title:
        _name_plate(picture, title)
    if style.legend:
        shown = sorted({layers[position].label for position in order})
        picture = with_legend(picture, [(names[i], colours[i]) for i in shown])
    return picture


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _enlarge(mask: BoolMask, size: tuple[int, int]) -> BoolMask:
    """The mask at the picture's size, its stairs smoothed."""
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    smooth: BoolMask = np.asarray(grey.resize(size, Image.Resampling.BICUBIC)) > 127
    return smooth


def _tint(
    canvas: NDArray[np.uint8],
    masks: Sequence[BoolMask],
    tints: Sequence[Colour],
    style: Style,
) -> NDArray[np.uint8]:
    painted = canvas.astype(np.float32)
    for mask, tint in zip(masks, tints, strict=True):
        own = canvas[mask].astype(np.float32)
        own += 0.5 * (own.mean(axis=1, keepdims=True) - own)  # so that the tint shows true
        painted[mask] = own * (1 - style.alpha) + np.array(tint, np.float32) * style.alpha
    for mask, tint in zip(masks, tints, strict=True):
        painted[_rim(mask, style.outline)] = np.array(tint, np.float32) * 0.8
    return painted.clip(0, 255).round().astype(np.uint8)


def _rim(mask: BoolMask, width: int) -> BoolMask:
    """The outermost `width` pixels inside the mask."""
    core = np.pad(mask, 1)
    for _ in range(width):
        core[1:-1, 1:-1] &= core[:-2, 1:-1] & core[2:, 1:-1] & core[1:-1, :-2] & core[1:-1, 2:]
    return mask & ~core[1:-1, 1:-1]


def _name_plate(picture: Image.Image, title: str) -> None:
    draw = ImageDraw.Draw(picture, "RGBA")
    height = max(12, round(max(picture.size) / 18))
    face = font_for(title, height)
    left, top, right, bottom = draw.textbbox((0, 0), title, font=face)
    pad = height // 3
    x = picture.width - (right - left) - 2 * pad - pad
    draw.rounded_rectangle(
        (x, pad, picture.width - pad - 1, pad + bottom - top + 2 * pad), pad, (20, 21, 24, 190)
    )
    draw.text((x + pad - left, 2 * pad - top), title, font=face, fill=_PAPER)


def with_legend(
    picture: Image.Image, entries: Sequence[tuple[str, Colour]], height: int | None = None
) -> Image.Image:
    """The picture with colours and names below it; `object:` before a name is not shown.

    `height` of the letters is in pixels, and follows the picture when it is left out.
    """
    height = height or max(11, round(max(picture.size) / 24))
    rows = _legend_rows(picture.width, entries, height)
    line = round(height * 1.6)
    taller = Image.new("RGB", (picture.width, picture.height + line * len(rows) + height), _PAPER)
    taller.paste(picture)
    draw = ImageDraw.Draw(taller)
    for row, cells in enumerate(rows):
        y = picture.height + height // 2 + row * line
        for x, text, colour in cells:
            draw.rounded_rectangle((x, y, x + height, y + height), height // 4, colour)
            draw.text(
                (x + round(height * 1.4), y - height // 10), text, _INK, font_for(text, height)
            )
    return taller


def _legend_rows(
    width: int, entries: Sequence[tuple[str, Colour]], height: int
) -> list[list[tuple[int, str, Colour]]]:
    rows: list[list[tuple[int, str, Colour]]] = [[]]
    x = height // 2
    for name, colour in entries:
        text = split_name(name)[1] or name
        needed = round(height * 2.4 + font_for(text, height).getlength(text))
        if rows[-1] and x + needed > width:
            rows.append([])
            x = height // 2
        rows[-1].append((x, text, colour))
        x += needed
    return rows


def contact_sheet(
    pictures: Sequence[Image.Image],
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    *,
    gap: int = 8,
) -> Image.Image:
    """Pictures in rows on white, each with its caption below.

    Without `columns` the sheet is about square. No pictures give a small empty sheet.
    """
    if not pictures:
        return Image.new("RGB", (64, 64), _PAPER)
    columns = max(1, min(columns or round(len(pictures) ** 0.5 * 1.2), len(pictures)))
    cell_width = max(picture.width for picture in pictures)
    text = max(11, cell_width // 24) if captions else 0
    rows = [range(i, min(i + columns, len(pictures))) for i in range(0, len(pictures), columns)]
    heights = [max(pictures[i].height for i in row) + round(text * 1.6) for row in rows]
    width = columns * (cell_width + gap) + gap
    sheet = Image.new("RGB", (width, sum(heights) + gap * (len(rows) + 1)), _PAPER)
    y = gap
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            x = gap + column * (cell_width + gap)
            sheet.paste(pictures[i], (x + (cell_width - pictures[i].width) // 2, y))
            if captions:
                _caption(sheet, captions[i], (x, y + pictures[i].height), cell_width, text)
        y += height + gap
    return sheet


def _caption(
    sheet: Image.Image, caption: str, corner: tuple[int, int], width: int, size: int
) -> None:
    face = font_for(caption, size)
    while len(caption) > 4 and face.getlength(caption) > width:
        caption = caption[:-2].rstrip("…") + "…"
    ImageDraw.Draw(sheet).text((corner[0], corner[1] + size // 4), caption, _INK, face)
