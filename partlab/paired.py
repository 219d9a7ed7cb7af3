"""Two models measured on the same pictures: is one better, or was it luck?

Right or wrong is compared by McNemar's test (`train.paired`), scores by the test below.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIGNIFICANT = 0.05
RESAMPLES = 20_000
DRAWS = 2_000  # of a bootstrap, which asks for no small p


def sign_flip(differences: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p of the mean difference being 0, over pictures; 1 without any.

    If neither is better, each difference could as well have had the other sign: of all ways to
    choose the signs this is the share with a mean as far from 0. Exact up to 14 pictures, beyond
    that from 20,000 ways drawn at random. It assumes nothing about how scores are distributed.
    """
    from scipy.stats import permutation_test

    found = np.asarray(differences, np.float64)
    if not found.size or not found.any():
        return 1.0
    if len(found) == 1:
        return 1.0  # either sign is as far from 0
    tested = permutation_test(
        (found,),
        lambda sample, axis: sample.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(tested.pvalue)


def draws(pictures: int, *, seed: int = 0) -> NDArray[np.int64]:
    """How often each picture is in each resample of a bootstrap, (2,000, pictures).

    Two models are paired by taking the same draws for both: what is easy is easy for both.
    """
    random = np.random.default_rng(seed)
    return random.multinomial(pictures, np.full(pictures, 1 / pictures), size=DRAWS)


def percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % percentile interval of what was found in the draws, undefined ones left out."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
