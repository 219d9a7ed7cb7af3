"""From layers to one label per pixel: the only place where masks are flattened.

The rule (requirements B3, B4; P-05) is one total order, so the result never depends on
the order of the input. A part stands as high as the best of itself and the parts around
it (score, then smaller area, then lower label, then run lengths); an included part always lies
on top of the parts around it. Human masks have score 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partlab.inclusions import walk_out
from partlab.masks import Rle, area, decode

BACKGROUND = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """One mask of one part. `label` is 0-based; in label maps it appears as label + 1."""

    label: int
    rle: Rle = field(repr=False)
    score: float = 1.0


_Rank = tuple[float, int, int, str]
Parents = Mapping[int, int | Sequence[int]]
"""Label of an included part -> label of the part around it, or labels where there are several."""


def paint_order(layers: Sequence[Layer], parents: Parents) -> list[int]:
    """Positions in `layers`, bottom first.

    `parents` maps the label of an included part to the labels of the parts around it (or to the
    one). All that lies around a part lies around what lies in it too, so that an included part has
    no lower rank and more around it than any of its outer parts, and comes later.
    """
    own: list[_Rank] = [
        (layer.score, -area(layer.rle), -layer.label, layer.rle["counts"]) for layer in layers
    ]
    best: dict[int, _Rank] = {}
    for layer, rank in zip(layers, own, strict=True):
        if rank[1] == 0:
            continue  # a layer without pixels is around nothing
        best[layer.label] = max(rank, best.get(layer.label, rank))

    def key(position: int) -> tuple[_Rank, int, _Rank]:
        around = walk_out(layers[position].label, parents)
        ranks = [best[label] for label in around if label in best]
        return max([own[position], *ranks]), len(around), own[position]

    return sorted(range(len(layers)), key=key)


def flatten(
    layers: Sequence[Layer],
    size: tuple[int, int],
    parents: Parents,
    *,
    dtype: Any = np.int32,
) -> NDArray[Any]:
    """One label per pixel, shape (height, width): 0 background, label + 1 elsewhere.

    One mask is decoded at a time; `dtype` holds the labels, the narrower the less memory.
    """
    flat = np.zeros(size, dtype, order="F")  # as masks are decoded: painting is 3 times faster
    for position in paint_order(layers, parents):
        np.copyto(flat, layers[position].label + 1, where=decode(layers[position].rle))
    return np.ascontiguousarray(flat)


def stack(
    layers: Sequence[Layer],
    size: tuple[int, int],
    parents: Parents,
    *,
    channels: int,
    pad: int,
    dtype: Any = np.int32,
) -> NDArray[Any]:
    """The `multi` form, shape (channels, height, width): overlapping parts keep their pixels.

    The topmost layers come first; a layer goes into the first channel where it covers
    nothing. Channels that stay unused hold `pad` (K + 1) everywhere; layers that fit in no
    channel are lost, lowest first. Beside the result one mask is in memory at a time.
    """
    stacked = np.full((channels, *size), pad, dtype)
    used = 0
    for position in reversed(paint_order(layers, parents)):
        mask = decode(layers[position].rle)
        free = next((c for c in range(used) if not stacked[c][mask].any()), used)
        if free == channels:
            continue
        if free == used:
            stacked[free], used = BACKGROUND, used + 1
        stacked[free][mask] = layers[position].label + 1
    return stacked
