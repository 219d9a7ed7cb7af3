"""How far a figure measured on some images, with some seeds, can be trusted.

Two models on the same images are compared by McNemar's exact test, in `train.paired`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
LEVEL = 0.95
SIGNIFICANT = 0.05
_FEW = 10  # with fewer images right or wrong the percentile interval is too narrow


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % confidence interval, all in the unit of the outcomes."""

    value: float
    low: float
    high: float


def bootstrap(
    outcomes: NDArray[Any],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The mean of what was measured on images, with its percentile bootstrap interval.

    `outcomes` is (n,), or (seeds, n) with the same images under each seed; any numbers within
    `bounds`: right or wrong, a mean over threats, a difference. With several seeds both seeds and
    images are drawn again (hierarchical), so the interval speaks of other seeds too; of two or
    three seeds it knows little, and is then rather too narrow.

    An average over threats is taken within each image first: what one attack breaks, others break
    too, so its outcomes are no independent draws (E-05).

    Where fewer than ten images are right, or wrong, resampling says too little: of such rights
    and wrongs the interval is Clopper and Pearson's, and of outcomes all equal their like.

    Raises:
        ValueError: no images.
    """
    rows = np.atleast_2d(np.asarray(outcomes, np.float64))
    if not rows.size:
        raise ValueError("no outcomes, so there is no interval")
    value = float(rows.mean())
    alike = (rows == rows[0]).all()  # seeds that agree on each image are as one
    if alike and (known := _few(rows[0], bounds)):
        return Interval(value, *known)
    means = _resampled(rows, resamples, np.random.default_rng(seed))
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(value, float(low), float(high))


def _resampled(
    rows: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Means of that many resamples, (resamples,).

    Images with the same outcomes are alike, so counts of kinds are drawn instead of images: the
    same distribution, at a hundredth of the time.
    """
    one = len(rows) == 1  # sorting numbers is faster than sorting columns
    kinds, counts = np.unique(rows[0] if one else rows, axis=-1, return_counts=True)
    kinds = np.atleast_2d(kinds)
    images = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    seeds = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=resamples)
    means: NDArray[np.float64] = ((seeds @ kinds) * images).sum(1) / rows.size
    return means


def _few(row: NDArray[np.float64], bounds: tuple[float, float]) -> tuple[float, float] | None:
    """The exact interval where too few images stand on one side for the bootstrap."""
    from scipy.stats import binomtest

    n, least = len(row), row.min()
    if least == row.max():  # that many images may differ without one of them being in the sample
        share = float(binomtest(0, n).proportion_ci(LEVEL).high)
        return least - share * (least - bounds[0]), least + share * (bounds[1] - least)
    right = int(row.sum())
    accuracy = bounds == (0.0, 1.0)  # a difference of 0 and 1 only is no share of anything
    if accuracy and set(np.unique(row)) <= {0.0, 1.0} and min(right, n - right) < _FEW:
        found = binomtest(right, n).proportion_ci(LEVEL)
        return float(found.low), float(found.high)
    return None


def difference_interval(
    first: NDArray[np.bool_], second: NDArray[np.bool_], *, seed: int = 0
) -> Interval:
    """Accuracy of the second less that of the first, both (n,) of the same images in order."""
    return bootstrap(second.astype(float) - first, seed=seed, bounds=(-1.0, 1.0))


def student(gains: Sequence[float]) -> float | None:
    """Two-sided p of the mean being 0, over seeds; None with fewer than two.

    Gains that are all the same have no spread for t, so their signs are tested alone.
    """
    from scipy.stats import ttest_1samp

    if len(gains) < 2:
        return None
    if len({round(gain, 9) for gain in gains}) == 1:  # equal but for rounding
        return 2.0 ** (1 - len(gains)) if round(gains[0], 9) else 1.0
    return float(ttest_1samp(gains, 0.0).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Corrected for as many tests by Holm's method, in the order given."""
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p, float)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(each) for each in corrected]


def verdict(p: float | None) -> str:
    """What a p says in a table: itself, "no evidence" above 0.05, or that nothing was tested."""
    if p is None:
        return "one seed"
    return f"{p:.1g}" if p <= SIGNIFICANT else f"no evidence ({p:.2f})"


Point = tuple[float, float]
"""(robust accuracy, clean accuracy) of one model."""


def clean_at(models: Sequence[Point], robust: float) -> float | None:
    """Clean accuracy of a family of models at this robust accuracy, or None outside its range.

    Between its best models (those that no other beats at both) it is read off a straight line;
    beyond them nothing is guessed.
    """
    front = _front(models)
    if not front or not front[0][0] <= robust <= front[-1][0]:
        return None
    at, clean = zip(*front, strict=True)
    return float(np.interp(robust, at, clean))


def _front(models: Sequence[Point]) -> list[Point]:
    """Models that none of the others beats at both, least robust first."""
    found: list[Point] = []
    for point in sorted(models, reverse=True):
        if not found or point[1] > found[-1][1]:
            found.append(point)
    return found[::-1]


def matched_gains(baseline: Sequence[Point], ours: Sequence[Point]) -> list[Point]:
    """Gain in clean accuracy at equal robustness (N-13), as (robust accuracy, gain).

    Told at each robust accuracy that a best model of either family has, where both reach it;
    empty where the families have no robustness in common.
    """
    levels = sorted({point[0] for family in (baseline, ours) for point in _front(family)})
    pairs = [(level, clean_at(baseline, level), clean_at(ours, level)) for level in levels]
    return [(at, b - a) for at, a, b in pairs if a is not None and b is not None]
