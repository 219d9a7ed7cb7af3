"""Figure 2.4 of Hingun 2023 for any pictures and runs: true boxes and masks, and what models find.

Rows, from above: the pictures with true boxes; true masks; a segmenter's masks; the boxes that
they come to; a detector's best boxes; the masks that those come to (X-10).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from annotate.draw.fonts import font_for
from annotate.draw.pictures import Colour, palette, with_legend
from segmenter.boxes import PartBox, boxes_of_map
from train.part_scores.found import Found

SIDE, LEFT, GAP = 192, 190, 8
BEST = 10
"""Boxes of a detector that are drawn, as in the figure."""
_INK, _PAPER, _GREY = (32, 33, 36), (255, 255, 255), (95, 99, 104)

Pixels = NDArray[np.uint8]


class Column(NamedTuple):
    """A picture (S, S, 3) as models see it, its label map, its class, and what is found in it.

    Each model's row has the picture that it was shown: attacked ones differ from model to model.
    """

    pixels: Pixels
    labels: NDArray[Any]
    title: str
    segmented: tuple[Pixels, Found, str] | None  # what was shown, what was found, the class said
    detected: tuple[Pixels, Found, str] | None


def draw_panel(
    columns: Sequence[Column], names: Sequence[str], ignored: int, runs: tuple[str, str]
) -> Image.Image:
    """The panel; rows of a model that is not there are left out. `runs` name the models."""
    colours = palette([f"any:{n}" for n in range(len(names))])  # else objects share them
    draw = _Drawn(colours, ignored)
    rows = [
        ("picture", "true boxes", [draw.boxes(c.pixels, draw.true(c), c.title) for c in columns]),
        ("true masks", "", [draw.masks(c.pixels, c.labels) for c in columns]),
    ]
    for at, (what, back) in enumerate((("masks", "boxes"), ("boxes", "masks"))):
        told = [column.segmented if at == 0 else column.detected for column in columns]
        given = [each for each in told if each is not None]
        if not given:
            continue
        best = f"best {BEST}" if at else ""
        first, second = [], []
        for pixels, found, said in given:
            masks = draw.masks(pixels, found.labels, said if not at else "")
            shown = found.boxes[:BEST] if at else found.boxes
            boxes = draw.boxes(pixels, shown, said if at else "", scores=True)
            first.append(boxes if at else masks)
            second.append(masks if at else boxes)
        rows.append((f"found {what}", " · ".join(x for x in (runs[at], best) if x), first))
        rows.append((f"as {back}", runs[at], second))
    seen = sorted({int(n) for c in columns for n in np.unique(c.labels) if 0 < n <= len(names)})
    seen = sorted({*seen, *draw.used})
    return with_legend(_sheet(rows), [(_flat(names[n - 1]), colours[n - 1]) for n in seen], 14)


def _flat(name: str) -> str:
    """`cat: head`, whole: what stands before a colon is not shown in a legend."""
    return "any:" + name.replace(":", " ")


class _Drawn:
    """Draws cells, and keeps which labels are in them."""

    def __init__(self, colours: Sequence[Colour], ignored: int) -> None:
        self.colours, self.ignored = list(colours), ignored
        self.used: set[int] = set()

    def true(self, column: Column) -> list[PartBox]:
        return boxes_of_map(column.labels, ignored=self.ignored)

    def masks(self, pixels: Pixels, labels: NDArray[Any], title: str = "") -> Image.Image:
        """Label map in colours over the picture in grey; ignored pixels stay as they are."""
        table = np.array([_PAPER, *self.colours, *[_PAPER] * (self.ignored + 1)], np.float32)
        flat = np.asarray(labels, np.int64)
        shown = (flat > 0) & (flat != self.ignored)
        self.used |= {int(n) for n in np.unique(flat[shown])}
        base = pixels.astype(np.float32)
        grey = np.repeat(base.mean(2, keepdims=True), 3, axis=2) * 0.5 + 110
        painted = np.where(shown[..., None], 0.35 * base + 0.65 * table[flat], grey)
        small = Image.fromarray(painted.clip(0, 255).astype(np.uint8))
        return _plate(small.resize((SIDE, SIDE), Image.Resampling.NEAREST), title)

    def boxes(
        self, pixels: Pixels, boxes: Sequence[PartBox], title: str, *, scores: bool = False
    ) -> Image.Image:
        """The picture with boxes, best on top; with `scores`, each has its own in percent."""
        cell = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        draw, face = ImageDraw.Draw(cell), font_for("0", 11)
        for box in reversed(boxes):
            self.used.add(box.label)
            (x, y), (wide, high) = box.centre, box.size
            edges = [(x - wide / 2), (y - high / 2), (x + wide / 2), (y + high / 2)]
            corners = [min(max(round(each * SIDE), 0), SIDE - 1) for each in edges]
            colour = self.colours[box.label - 1]
            draw.rectangle(corners, outline=colour, width=2)
            if scores:
                text = f"{100 * box.score:.0f}"
                at = (corners[0] + 3, min(corners[1] + 2, SIDE - 14))
                draw.rectangle((at[0] - 1, at[1], at[0] + face.getlength(text) + 1, at[1] + 12),
                               fill=colour)  # fmt: skip
                draw.text(at, text, _ink_on(colour), face)
        return _plate(cell, title)


def _ink_on(colour: Colour) -> Colour:
    return _INK if 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2] > 140 else _PAPER


def _plate(cell: Image.Image, title: str) -> Image.Image:
    """The cell with a name in its lower left corner."""
    if title:
        draw, face = ImageDraw.Draw(cell), font_for(title, 13)
        wide = face.getlength(title)
        draw.rectangle((0, SIDE - 18, wide + 8, SIDE), fill=(20, 21, 24))
        draw.text((4, SIDE - 17), title, _PAPER, face)
    return cell


def _sheet(rows: Sequence[tuple[str, str, list[Image.Image]]]) -> Image.Image:
    """Rows of cells, with what they are at the left."""
    wide = LEFT + max(len(cells) for _, _, cells in rows) * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (wide, len(rows) * (SIDE + GAP) + GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (what, about, cells) in enumerate(rows):
        y = GAP + number * (SIDE + GAP)
        letter = f"({'abcdef'[number]})"
        draw.text((GAP, y + SIDE // 2 - 20), f"{letter} {what}", _INK, font_for(what, 16))
        small = font_for(about or "a", 12)
        while len(about) > 4 and small.getlength(about) > LEFT - 2 * GAP:
            about = about[:-2].rstrip("…") + "…"
        draw.text((GAP, y + SIDE // 2 + 4), about, _GREY, small)
        for column, cell in enumerate(cells):
            sheet.paste(cell, (LEFT + column * (SIDE + GAP), y))
    return sheet
