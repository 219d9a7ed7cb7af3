"""Calibration: from a segmenter's score to what a mask is worth (`segmenter.tuning.looked`).

Platt's logistic with a slope (the inverse of a temperature) and an offset, fitted for each part
and held towards the fit of all parts, the more so the fewer its examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
HELD = 4.0
"""How firmly a part is held to all parts: as a few examples that speak for them."""
_SLOPE = (0.05, 20.0)  # never flat or falling: the order within a part stays as it was
_OFFSET = (-20.0, 20.0)
_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Scale:
    """For each label its slope and offset, both (K,)."""

    slopes: Floats
    offsets: Floats

    def of(self, scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Calibrated scores (n,) of scores of parts `labels` (n,); 0 stays 0."""
        found = _sigmoid(self.slopes[labels] * _logit(scores) + self.offsets[labels])
        return np.where(scores > 0, found, 0).astype(np.float32)

    def of_vectors(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (n, K), each calibrated as its own part's score is."""
        found = _sigmoid(self.slopes * _logit(vectors) + self.offsets)
        return np.where(vectors > 0, found, 0).astype(np.float32)

    def lowest(self, threshold: float) -> float:
        """No score below this is calibrated to `threshold` or more, whatever its part."""
        if not 0 < threshold < 1 or not len(self.slopes):
            return threshold
        wanted = (_logit(np.array([threshold])) - self.offsets) / self.slopes
        return float(_sigmoid(wanted.min(keepdims=True))[0])


def fit_scale(
    scores: Floats, labels: NDArray[np.int64], added: Floats, parts: int
) -> tuple[Scale, tuple[float, float]]:
    """The scale of `parts` labels, and the slope and offset of all parts together.

    `scores` (n,) are of masks that add a share of `added` (n,).
    """
    logits = _logit(scores)
    common = _fit(logits, added, (1.0, 0.0))
    found = np.tile(np.array(common), (parts, 1))
    for label in np.unique(labels).tolist():
        own = labels == label
        found[label] = _fit(logits[own], added[own], common)
    return Scale(found[:, 0], found[:, 1]), common


def _fit(logits: Floats, added: Floats, before: Sequence[float]) -> tuple[float, float]:
    """Maximum a posteriori, with a normal prior around `before`."""
    from scipy.optimize import minimize

    def cost(both: Floats) -> tuple[float, Floats]:
        away = both - np.asarray(before)
        at = both[0] * logits + both[1]
        crossed = np.logaddexp(0, at) - added * at
        wrong = _sigmoid(at) - added
        slope = np.array([(wrong * logits).sum(), wrong.sum()]) + HELD * away
        return float(crossed.sum() + HELD / 2 * away @ away), slope

    best = minimize(cost, np.asarray(before, float), jac=True, bounds=[_SLOPE, _OFFSET])
    return float(best.x[0]), float(best.x[1])


@dataclass(frozen=True, slots=True)
class Reliability:
    """In each tenth of scores how many masks, their mean score, and the mean share they add; and
    how far the two are apart on average (expected calibration error)."""

    masks: list[int]
    scores: list[float]
    added: list[float]
    error: float


def reliability(scores: Floats, added: Floats) -> Reliability:
    """Of masks with scores (n,) that add a share of `added` (n,)."""
    tenth = np.minimum((scores * 10).astype(int), 9)
    masks = np.bincount(tenth, minlength=10)
    sums = [np.bincount(tenth, each, minlength=10) for each in (scores, added)]
    means = [each / np.maximum(masks, 1) for each in sums]
    error = float((masks * np.abs(means[0] - means[1])).sum() / max(masks.sum(), 1))
    return Reliability(masks.tolist(), means[0].tolist(), means[1].tolist(), error)


def _logit(scores: NDArray[np.floating]) -> Floats:
    inside = np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE)
    found: Floats = np.log(inside) - np.log1p(-inside)
    return found


def _sigmoid(values: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-values))
    return found
