"""Thresholds for label maps: those of the highest mean IoU, and which mask lies on top."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from partlab.composite import Layer, Parents, flatten
from segmenter.composite_metrics import Counts, PixelMeter
from segmenter.tuning.looked import Looked

GRID = tuple(round(0.05 * at, 2) for at in range(1, 17))
FEW = 20
"""So many images with a part weigh as much for its own threshold as all parts together."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The threshold of all parts, and of each label (K,)."""

    common: float
    own: NDArray[np.float64]


@dataclass
class Sheet:
    """Images whose label maps can be made at any thresholds; what was made is kept as counts.

    `scores` are those of each image's masks that are compared with thresholds; `labels` says what
    the segmenter's are in the truth, which may have `parts` of them.
    """

    looked: Sequence[Looked]
    scores: Sequence[NDArray[np.float32]]
    labels: Mapping[int, int]
    parts: int
    parents: Parents
    made: dict[tuple[int, bytes], Counts] = field(default_factory=dict)

    def counts(self, at: int, floor: NDArray[np.floating]) -> Counts:
        """Of one image, with masks of at least `floor[label]`."""
        kept = self.scores[at] >= floor[self.looked[at].labels].astype(np.float32)
        key = at, kept.tobytes()
        if key not in self.made:
            self.made[key] = self._compared(at, np.flatnonzero(kept))
        return self.made[key]

    def meter(self, floor: NDArray[np.floating]) -> PixelMeter:
        """Of all images."""
        found = PixelMeter(self.parts)
        for at in range(len(self.looked)):
            found.take(self.counts(at, floor))
        return found

    def with_part(self, label: int) -> list[int]:
        """The images in which it is found."""
        return [at for at, each in enumerate(self.looked) if (each.labels == label).any()]

    def true_in(self, label: int) -> int:
        """How many images people drew it in."""
        value = self.labels[label] + 1
        return sum(bool((each.truth == value).any()) for each in self.looked)

    def _compared(self, at: int, kept: NDArray[np.intp]) -> Counts:
        one = self.looked[at]
        layers = [
            Layer(self.labels[int(one.labels[i])], one.masks[i], float(self.scores[at][i]))
            for i in kept
        ]
        said = flatten(layers, one.truth.shape, self.parents)  # type: ignore[arg-type]
        return PixelMeter(self.parts).update(said, one.truth, one.ignored)


def choose(sheet: Sheet, own_labels: int) -> Chosen:
    """The common threshold of the highest mean IoU, then each part's own, the others at the
    common one; a part's is drawn to the common one, the more so the fewer images show it."""
    common = _best(lambda tau: _miou(sheet.meter(np.full(own_labels, tau))), 0.5)
    flat, found = np.full(own_labels, common), np.full(own_labels, common)
    whole = sheet.meter(flat)
    for label in sheet.labels:
        places, images = sheet.with_part(label), sheet.true_in(label)
        if places and images:
            own = _best(_other_than(sheet, whole, flat, label, places), common)
            found[label] = (images * own + FEW * common) / (images + FEW)
    return Chosen(common, found)


def _other_than(
    sheet: Sheet, whole: PixelMeter, floor: NDArray[np.float64], label: int, places: list[int]
) -> Callable[[float], float]:
    """The mean IoU as it is with another threshold of one part; only its images are made anew."""
    others = PixelMeter(sheet.parts)
    others.add(whole)
    for at in places:
        others.take(sheet.counts(at, floor), -1)

    def value(tau: float) -> float:
        changed = floor.copy()
        changed[label] = tau
        meter = PixelMeter(sheet.parts)
        meter.add(others)
        for at in places:
            meter.take(sheet.counts(at, changed))
        return _miou(meter)

    return value


def _best(value: Callable[[float], float], near: float) -> float:
    """Of equally good thresholds the one nearest to `near`."""
    return max(sorted(GRID, key=lambda tau: abs(tau - near)), key=value)


def _miou(meter: PixelMeter) -> float:
    return meter.result().miou or 0.0
