"""How well the flattened part masks agree with the truth, pixel by pixel (H-03)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partlab.composite import BACKGROUND
from partlab.masks import BoolMask


@dataclass(frozen=True, slots=True)
class PixelScores:
    """Shares in 0…1 over all pixels of all images; None where there is nothing to compare.

    Pixels of crowd regions count nowhere.
    `pixel_accuracy` counts every pixel, background too. `foreground_pixel_accuracy` counts
    only pixels that are some part in the truth, so painting too much costs nothing there.
    `miou` is the mean over background and every part that occurs in the truth,
    `part_miou` the same without background.
    """

    pixel_accuracy: float | None
    foreground_pixel_accuracy: float | None
    miou: float | None
    part_miou: float | None
    iou: Mapping[int, float]  # for each 0-based label that occurs in the truth


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one image: the label map `values` (n,) that occur in it, and for each of them (3, n) how
    many pixels are right, found and true."""

    values: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @classmethod
    def of(
        cls, common: NDArray[np.int64], found: NDArray[np.int64], truth: NDArray[np.int64]
    ) -> "Counts":
        """From pixels by value, each (values,)."""
        pixels = np.stack([common, found, truth])
        values = np.flatnonzero(pixels.any(0))
        return cls(values, pixels[:, values])


class PixelMeter:
    """Adds up label maps image by image; memory does not grow.

    Args:
        labels: how many 0-based labels may occur in the maps (there as label + 1).
    """

    def __init__(self, labels: int) -> None:
        self._common = np.zeros(labels + 1, np.int64)
        self._found = np.zeros(labels + 1, np.int64)
        self._truth = np.zeros(labels + 1, np.int64)

    def update(
        self,
        found: NDArray[np.int32],
        truth: NDArray[np.int32],
        ignored: BoolMask | None = None,
    ) -> Counts:
        """Compare two label maps of one image, shape (height, width); `ignored` pixels not."""
        if ignored is not None:
            found, truth = found[~ignored], truth[~ignored]
        size = len(self._truth)
        counts = Counts.of(
            *(
                np.bincount(each.ravel(), minlength=size)
                for each in (truth[found == truth], found, truth)
            )
        )
        self.take(counts)
        return counts

    def take(self, counts: Counts, times: int = 1) -> None:
        """Take in what was counted in one image; -1 times: take it out again."""
        for total, pixels in zip(
            (self._common, self._found, self._truth), counts.pixels, strict=True
        ):
            total[counts.values] += times * pixels

    def add(self, other: "PixelMeter") -> None:
        """Take in what another meter of the same labels has counted."""
        self._common += other._common
        self._found += other._found
        self._truth += other._truth

    def result(self) -> PixelScores:
        """The scores of all images so far."""
        parts = slice(BACKGROUND + 1, None)
        union = self._found + self._truth - self._common
        iou = {
            int(value): float(self._common[value] / union[value])
            for value in np.flatnonzero(self._truth)
        }
        of_parts = {value - 1: share for value, share in iou.items() if value != BACKGROUND}
        return PixelScores(
            pixel_accuracy=_share(self._common.sum(), self._truth.sum()),
            foreground_pixel_accuracy=_share(self._common[parts].sum(), self._truth[parts].sum()),
            miou=_share(sum(iou.values()), len(iou)),
            part_miou=_share(sum(of_parts.values()), len(of_parts)),
            iou=of_parts,
        )


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
