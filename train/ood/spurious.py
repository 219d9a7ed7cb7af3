"""Objects on backgrounds of other classes: does a model go by the background? (G-07)

After ImageNet-9's mixed pictures: the background is a photograph of another class, drawn at random,
whose object's box is filled with the largest strip of background beside it, mirrored on and on
(Only-BG-T). So nothing of the other object is left, and much of where such objects are seen.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from partlab.errors import DatasetError
from train.corruptions.protocol import jpeg_bytes
from train.ood.cutouts import Pixels, blended, cut, middle, resized
from train.ood.sources import Source, Sources, chance, named

SIDE, FILL, QUALITY = 256, 0.7, 95
"""Pixels a side; the object's long side as a share: it stays whole when the middle 224 are cut."""
LEAST = 0.15
"""Share of a photograph that the strip of background must have."""
HALVES = ("val", "test")
"""Each picture is in one of them, at random (G-08): choose by the first, report the second."""
MARGIN = 0.03
"""Of a photograph's shorter side: masks are seldom exact, and no rim of the object may stay."""


@dataclass(frozen=True)
class Spurious:
    """The pictures: each source's object on the background of a source of another class.

    Raises (when `items` are first asked for):
        DatasetError: fewer than two classes have a background.
    """

    sources: Sources
    seed: int = 0
    kind: str = "spurious"

    @property
    def settings(self) -> dict[str, Any]:
        """How, of what, by which seed."""
        return {
            **self.sources.described, "seed": self.seed, "side": SIDE, "fill": FILL,
            "jpeg": QUALITY, "background": "other class, box filled with its largest strip",
            "least_strip": LEAST, "halves": list(HALVES),
        }  # fmt: skip

    @cached_property
    def grounds(self) -> dict[str, list[int]]:
        """Object -> positions of the sources that have enough background."""
        found: dict[str, list[int]] = {}
        for at, source in enumerate(self.sources.found):
            if strip_beside(source) is not None:
                found.setdefault(source.object, []).append(at)
        return dict(sorted(found.items()))

    @property
    def left_out(self) -> Mapping[str, int]:
        """Reason -> sources."""
        few = len(self.sources.found) - sum(map(len, self.grounds.values()))
        more = {"as backgrounds, since their object leaves too little of it": few}
        return Counter(self.sources.left_out) + Counter(more)

    @cached_property
    def items(self) -> Sequence[dict[str, Any]]:
        """A picture each; classes other than the object's have the same chance."""
        if len(self.grounds) < 2:
            raise DatasetError(
                f"{len(self.grounds)} of the {len(self.sources.by_object)} classes have a "
                "background that can be had without its object, and two are needed",
                hint="photographs with more background, or masks of more classes",
            )
        names = named(self.sources.found)
        return [self._item(at, name) for at, name in enumerate(names)]

    def _item(self, at: int, name: str) -> dict[str, Any]:
        source = self.sources.found[at]
        rng = chance(self.seed, self.kind, source.name)
        others = [owner for owner in self.grounds if owner != source.object]
        owner = others[rng.integers(len(others))]
        other = self.grounds[owner][rng.integers(len(self.grounds[owner]))]
        flip = bool(rng.random() < 0.5)
        ground = self.sources.found[other]
        facts = {
            "file": f"images/{name}.jpg", "label": source.object, "background": owner,
            "foreground_file": source.name, "background_file": ground.name, "mirrored": flip,
            "cut_off": at_edge(source),
            "half": HALVES[chance(self.seed, "half", source.name).integers(len(HALVES))],
        }  # fmt: skip
        return {"files": [facts], "foreground": at, "ground": other, "flip": flip}

    def make(self, at: int) -> Sequence[bytes]:
        """One JPEG."""
        item, found = self.items[at], self.sources.found
        ground = without_object(found[item["ground"]])
        ground = ground[:, ::-1] if item["flip"] else ground
        return [jpeg_bytes(on_ground(found[item["foreground"]], ground), QUALITY)]


def at_edge(source: Source) -> bool:
    """Whether the object goes on beyond its photograph, so that it has a straight edge."""
    (x, y, width, height), (rows, columns) = source.box, source.size
    return x == 0 or y == 0 or x + width >= columns or y + height >= rows


def strip_beside(source: Source) -> str | None:
    """On which side of the object's box the largest strip lies; None if it is too small."""
    left, top, right, bottom = _wide_box(source)
    height, width = source.size
    shares = {"above": top / height, "below": 1 - bottom / height,
              "left": left / width, "right": 1 - right / width}  # fmt: skip
    best = max(shares, key=lambda side: shares[side])
    return best if shares[best] >= LEAST else None


def _wide_box(source: Source) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the object's box with a margin."""
    (x, y, width, height), (rows, columns) = source.box, source.size
    by = round(MARGIN * min(rows, columns))
    right, bottom = min(x + width + by, columns), min(y + height + by, rows)
    return max(x - by, 0), max(y - by, 0), right, bottom


def without_object(source: Source) -> Pixels:
    """(SIDE, SIDE, 3): the photograph with the object's box filled, its middle square."""
    pixels, (left, top, right, bottom) = source.pixels, _wide_box(source)
    height, width = source.size
    upright, turned = pixels, pixels.transpose(1, 0, 2)  # views: what is filled in them is in it
    view, rows, columns = {
        "above": (upright, (top, bottom), (left, right)),
        "below": (upright[::-1], (height - bottom, height - top), (left, right)),
        "left": (turned, (left, right), (top, bottom)),
        "right": (turned[::-1], (width - right, width - left), (top, bottom)),
    }[strip_beside(source) or "above"]
    _fill_from_above(view, rows, columns)
    side = min(height, width)
    square = (width - side) // 2, (height - side) // 2, side, side
    return resized(np.ascontiguousarray(cut(pixels, square)), SIDE, SIDE)


def _fill_from_above(view: Pixels, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """Mirror what is above a box into it, as often as it takes."""
    first, size = rows[0], rows[0]
    away = np.arange(rows[1] - first) % (2 * size)
    source = first - 1 - np.where(away < size, away, 2 * size - 1 - away)
    view[slice(*rows), slice(*columns)] = view[source, slice(*columns)]


def on_ground(source: Source, ground: Pixels) -> Pixels:
    """The object in the middle of a ground."""
    place = middle(source.box, ground.shape[0], FILL)
    return blended(ground, source.pixels, source.whole, source.box, place)
