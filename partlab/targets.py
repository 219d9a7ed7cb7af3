"""Training targets from label maps: cut, resize, pool. Never a dense one-hot array.

With thousands of parts a one-hot map of 224 x 224 pixels takes hundreds of megabytes; an
image holds a handful of parts. So pooled targets are kept as what is there: for each cell the
labels in it and their share of the cell (requirement L-02).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partlab.errors import ConfigError

SIDES = (28, 14, 7)  # cells a side of the last three blocks at 224 pixels

Labels = NDArray[Any]
Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CellTargets:
    """Soft labels of side x side cells, n entries sorted by cell, then by label.

    The fractions of a cell add up to 1 over its valid pixels; a cell without any has no entry.
    """

    side: int
    cells: NDArray[np.int32]  # (n,) row * side + column
    ids: NDArray[np.int32]  # (n,) 0 background, 1…K parts
    fractions: NDArray[np.float32]  # (n,)
    valid: NDArray[np.float32]  # (side * side,) share of the cell's pixels that are not ignored

    @property
    def present(self) -> NDArray[np.int32]:
        """The labels found anywhere, sorted: K' of them."""
        return np.unique(self.ids)

    def dense(self, ids: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """Shape (len(ids), side, side): the fractions of these labels, by default the present."""
        chosen = self.present if ids is None else np.asarray(ids)
        order = np.argsort(chosen)
        slot = np.searchsorted(chosen, self.ids, sorter=order).clip(max=len(chosen) - 1)
        row = order[slot] if len(chosen) else slot
        wanted = chosen[row] == self.ids if len(chosen) else np.zeros(0, bool)
        full = np.zeros((len(chosen), self.side * self.side), np.float32)
        full[row[wanted], self.cells[wanted]] = self.fractions[wanted]
        return full.reshape(-1, self.side, self.side)


def crop(
    labels: Labels,
    box: tuple[float, float, float, float],
    size: int,
    *,
    mirrored: Sequence[int] | NDArray[Any] | None = None,
) -> Labels:
    """Cut `box` (left, top, width, height, pixels) and resize to size x size, nearest pixel.

    Works on (height, width) and (channels, height, width). Takes the pixel under each target
    pixel's centre, as Pillow's NEAREST does. `mirrored` (from `Parts.mirrored()`) turns the cut
    left to right, and what was a left part into a right one.
    """
    left, top, width, height = box
    rows = _centres(top, height, size, labels.shape[-2])
    columns = _centres(left, width, size, labels.shape[-1])
    if mirrored is None:
        return np.asarray(labels[..., rows[:, None], columns])
    renamed = np.arange(len(mirrored) + 2).astype(labels.dtype)  # background and ignored stay
    renamed[1:-1] = np.asarray(mirrored, int) + 1
    return np.asarray(renamed[labels[..., rows[:, None], columns[::-1]]])


def _centres(start: float, length: float, size: int, limit: int) -> NDArray[np.intp]:
    at = np.floor(start + (np.arange(size) + 0.5) * (length / size)).astype(np.intp)
    return np.asarray(at.clip(0, limit - 1))


def pool(labels: Labels, side: int, *, ignore: int) -> CellTargets:
    """Share of each label in each of side x side cells; pixels labelled `ignore` do not count.

    Equal to a one-hot array followed by average pooling. In the `multi` form a pixel with
    several labels is divided evenly among them.
    """
    return pyramid(labels, (side,), ignore=ignore)[0]


def pyramid(labels: Labels, sides: Sequence[int] = SIDES, *, ignore: int) -> list[CellTargets]:
    """`pool` at several resolutions; the coarser come from the counts of the finest.

    For the released code's way (finest level hard, coarser levels averages of it) pass labels
    already resized to the finest: `pyramid(crop(labels, box, 28), (28, 14, 7), ignore=…)`.

    Raises:
        ConfigError: a side does not divide the finest one, or is larger than the label map.
    """
    finest = max(sides)
    if any(side < 1 or finest % side for side in sides) or finest > min(labels.shape[-2:]):
        raise ConfigError(f"cannot pool {labels.shape[-2:]} pixels to {list(sides)} cells a side")
    present, counts = _count(labels, finest, ignore)
    pixels = np.bincount(_cells(*labels.shape[-2:], finest), minlength=finest * finest)
    return [_sparse(present, _merge(counts, s), _merge(pixels[None], s)[0], s) for s in sides]


@lru_cache(maxsize=8)
def _cells(height: int, width: int, side: int) -> NDArray[np.intp]:
    """Cell of each pixel, flat."""
    row, column = np.arange(height) * side // height, np.arange(width) * side // width
    return (row[:, None] * side + column).ravel()


def _count(labels: Labels, side: int, ignore: int) -> tuple[NDArray[np.int32], Counts]:
    """Labels present, and pixels of each in each cell, shape (K', side * side)."""
    ids, cells, weights = _pixels(labels, side, ignore)
    present = np.flatnonzero(np.bincount(ids, minlength=ignore + 1))
    place = np.zeros(ignore + 1, np.intp)
    place[present] = np.arange(len(present)) * side * side
    counts = np.bincount(place[ids] + cells, weights, minlength=len(present) * side * side)
    counts = counts.reshape(len(present), side * side)
    counts = counts[present != ignore].astype(np.float64, copy=False)
    return present[present != ignore].astype(np.int32), counts


def _pixels(
    labels: Labels, side: int, ignore: int
) -> tuple[Labels, NDArray[np.intp], NDArray[np.float64] | None]:
    """Label, cell and weight of everything to be counted."""
    cells = _cells(*labels.shape[-2:], side)
    if labels.ndim == 2:
        return labels.ravel().astype(np.intp), cells, None  # once here, not in each bincount
    flat = labels.reshape(len(labels), -1)
    part = (flat > 0) & (flat < ignore)
    number = part.sum(axis=0)
    channel, pixel = np.nonzero(part)
    rest = np.flatnonzero((number == 0) & (flat == 0).any(axis=0))
    ids = np.concatenate([flat[channel, pixel], np.zeros(len(rest), flat.dtype)])
    weights = np.concatenate([1.0 / number[pixel], np.ones(len(rest))])
    return ids, cells[np.concatenate([pixel, rest])], weights


def _merge(counts: NDArray[Any], side: int) -> NDArray[Any]:
    """Sum neighbouring cells: (n, finest * finest) to (n, side * side)."""
    finest = int(np.sqrt(counts.shape[1]))
    step = finest // side
    if step == 1:
        return counts
    grouped = counts.reshape(-1, side, step, side, step)
    return np.asarray(grouped.sum(axis=(2, 4))).reshape(-1, side * side)


def _sparse(
    present: NDArray[np.int32], counts: Counts, pixels: NDArray[Any], side: int
) -> CellTargets:
    valid = counts.sum(axis=0)
    cells, position = np.nonzero(counts.T)
    return CellTargets(
        side,
        cells.astype(np.int32),
        present[position],
        (counts[position, cells] / valid[cells]).astype(np.float32),
        (valid / pixels).astype(np.float32),
    )
