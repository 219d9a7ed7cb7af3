"""Shapes of one class filled with the texture of another: which of the two does a model see? (G-06)

The texture is the largest square inside another object's mask, mirrored on and on, on grey.
So a picture has an outline of one class, and inside it what the surface of another looks like.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from partlab.errors import DatasetError
from partlab.progress import track
from train.corruptions.protocol import jpeg_bytes
from train.ood.cutouts import Box, Pixels, cut, laid, largest_square, middle, resized
from train.ood.sources import Source, Sources, chance, named
from train.ood.spurious import FILL, QUALITY, SIDE, at_edge

GREY = 128


@dataclass(frozen=True)
class Texture:
    """The pictures: each source's outline with the texture of a source of another class.

    Raises (when `items` are first asked for):
        DatasetError: fewer than two classes have a square of texture.
    """

    sources: Sources
    seed: int = 0
    least: int = 40  # pixels a side of a square: less shows a colour, not a texture
    kind: str = "texture"

    @property
    def settings(self) -> dict[str, Any]:
        """How, of what, by which seed."""
        return {
            **self.sources.described, "seed": self.seed, "side": SIDE, "fill": FILL,
            "jpeg": QUALITY, "ground": GREY, "texture": "largest square inside a mask",
            "least_square": self.least,
        }  # fmt: skip

    @cached_property
    def squares(self) -> dict[str, list[tuple[int, Box]]]:
        """Object -> positions of sources and the square inside their mask, where it is enough."""
        found: dict[str, list[tuple[int, Box]]] = {}
        all_ = self.sources.found
        for at, source in enumerate(track(all_, "looking for textures", total=len(all_))):
            square = largest_square(source.whole)
            if square[2] >= self.least:
                found.setdefault(source.object, []).append((at, square))
        return dict(sorted(found.items()))

    @property
    def left_out(self) -> Mapping[str, int]:
        """Reason -> sources."""
        few = len(self.sources.found) - sum(map(len, self.squares.values()))
        why = f"as textures, since no square of {self.least} pixels lies in their mask"
        return Counter(self.sources.left_out) + Counter({why: few})

    @cached_property
    def items(self) -> Sequence[dict[str, Any]]:
        """A picture each; classes other than the outline's have the same chance."""
        if len(self.squares) < 2:
            raise DatasetError(
                f"{len(self.squares)} of the {len(self.sources.by_object)} classes have a square "
                f"of {self.least} pixels inside a mask, and two are needed",
                hint="larger photographs, masks of more classes, or a smaller --square",
            )
        names = named(self.sources.found)
        return [self._item(at, name) for at, name in enumerate(names)]

    def _item(self, at: int, name: str) -> dict[str, Any]:
        source = self.sources.found[at]
        rng = chance(self.seed, self.kind, source.name)
        others = [owner for owner in self.squares if owner != source.object]
        owner = others[rng.integers(len(others))]
        other, square = self.squares[owner][rng.integers(len(self.squares[owner]))]
        facts = {
            "file": f"images/{name}.jpg", "label": source.object, "texture": owner,
            "shape_file": source.name, "texture_file": self.sources.found[other].name,
            "cut_off": at_edge(source),
        }  # fmt: skip
        return {"files": [facts], "shape": at, "texture": other, "square": list(square)}

    def make(self, at: int) -> Sequence[bytes]:
        """One JPEG."""
        item, found = self.items[at], self.sources.found
        left, top, side, _ = item["square"]
        patch = seen_texture(found[item["texture"]], (left, top, side, side))
        return [jpeg_bytes(filled(found[item["shape"]], patch), QUALITY)]


def seen_texture(source: Source, square: Box) -> Pixels:
    """A square of a photograph, as large as it is when the shorter side is SIDE."""
    side = max(round(square[2] * SIDE / min(source.size)), 1)
    return resized(np.ascontiguousarray(cut(source.pixels, square)), side, side)


def filled(source: Source, patch: Pixels) -> Pixels:
    """The object's outline in the middle of grey, with the patch mirrored on and on inside."""
    place = middle(source.box, SIDE, FILL)
    sheet = np.pad(patch, ((0, max(SIDE - len(patch), 0)),) * 2 + ((0, 0),), mode="symmetric")
    ground = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    _, _, width, height = place
    return laid(
        ground, np.ascontiguousarray(sheet[:height, :width]), source.whole, source.box, place
    )
