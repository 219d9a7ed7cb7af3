"""Boxes of the parts in a network's dense output, and label maps of boxes (H-04, H-05)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from partlab.composite import BACKGROUND
from partlab.errors import ConfigError

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class PartBox:
    """One box of one part: shares of the picture's width and height, and a score in 0…1.

    `label` is that of label maps: 1 is the first part. `centre` and `size` are (x, y).
    """

    label: int
    score: float
    centre: tuple[float, float]
    size: tuple[float, float]


def boxes_of(
    logits: Floats, *, connectivity: Literal[4, 8] = 4, min_share: float = 0.01
) -> list[PartBox]:
    """Boxes of what hangs together of one label, best score first.

    `logits` have the shape (K + 1, height, width), background first. Each pixel takes the label of
    its highest probability; a region under `min_share` of the picture is dropped, and its score is
    the mean probability of its label. Source: H-04, where connectivity is not stated (the
    authors' notebook uses 4); boxes reach from the first pixel's edge to the last one's.

    Raises:
        ConfigError: the logits have another shape, or the connectivity is neither 4 nor 8.
    """
    if logits.ndim != 3 or len(logits) < 2:
        raise ConfigError(
            f"logits of the shape {logits.shape} are none of (parts + 1, height, width)"
        )
    likely = np.exp(logits - logits.max(0, keepdims=True))
    likely = likely / likely.sum(0, keepdims=True)
    return boxes_of_map(
        likely.argmax(0), shares=likely, connectivity=connectivity, min_share=min_share
    )


def boxes_of_map(
    labels: NDArray[np.integer],
    *,
    shares: Floats | None = None,
    ignored: int | None = None,
    connectivity: Literal[4, 8] = 4,
    min_share: float = 0.01,
) -> list[PartBox]:
    """The same of a label map (height, width) that may have `ignored` pixels.

    A region's score is the mean of its label's `shares` (K + 1, height, width), 1 without them.

    Raises:
        ConfigError: the connectivity is neither 4 nor 8.
    """
    if connectivity not in (4, 8):
        raise ConfigError(f"connectivity is 4 or 8, not {connectivity}")
    near = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    found = []
    for label in np.setdiff1d(
        labels, [BACKGROUND, *([] if ignored is None else [ignored])]
    ).tolist():
        regions, _ = ndimage.label(labels == label, near)
        for number, (rows, columns) in enumerate(ndimage.find_objects(regions), 1):
            inside = regions[rows, columns] == number
            if inside.sum() >= min_share * labels.size:
                score = 1.0 if shares is None else shares[label, rows, columns][inside].mean()
                found.append(_box(label, float(score), rows, columns, labels.shape))
    return sorted(found, key=lambda box: (-box.score, box.label, box.centre))


def _box(label: int, score: float, rows: slice, columns: slice, shape: Sequence[int]) -> PartBox:
    (top, bottom), (left, right) = (rows.start, rows.stop), (columns.start, columns.stop)
    height, width = shape
    centre = ((left + right) / 2 / width, (top + bottom) / 2 / height)
    return PartBox(label, score, centre, ((right - left) / width, (bottom - top) / height))


def map_of(
    boxes: Sequence[PartBox], size: tuple[int, int], *, threshold: float = 0.2
) -> NDArray[np.int32]:
    """Label map, shape `size` (height, width), of boxes that score at least `threshold`.

    Each pixel takes the label of the most confident box whose inside holds its centre, else 0; of
    equal scores the smaller box counts, then the lower label. Source: H-05 (0.2 was chosen there).
    """
    height, width = size
    flat = np.zeros(size, np.int32)
    kept = [box for box in boxes if box.score >= threshold]
    for box in sorted(kept, key=lambda b: (b.score, -b.size[0] * b.size[1], -b.label)):
        columns, rows = (_pixels(box, axis, side) for axis, side in ((0, width), (1, height)))
        flat[rows, columns] = box.label
    return flat


def _pixels(box: PartBox, axis: int, side: int) -> slice:
    """The pixels of one axis whose centres lie inside."""
    middle, half = box.centre[axis] * side, box.size[axis] * side / 2
    first, beyond = np.ceil([middle - half - 0.5 - 1e-6, middle + half - 0.5 - 1e-6])
    return slice(int(max(first, 0)), int(max(min(beyond, side), 0)))
