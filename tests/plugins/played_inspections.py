"""The same risks by chance instead of by calculation: whole inspections, played many times.

Each play makes a category, ranks it by normal scores (bad images higher by as much as the
AUROC says), and asks the plan for image after image, exactly as an inspection does. Unlike
`annotate.inspect.curve` it assumes nothing about how the ranking errs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, lgamma, log, log1p, sqrt
from statistics import NormalDist

import numpy as np

from annotate.inspect.plan import Plan
from partlab.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Plays:
    """How `trials` played inspections ended."""

    trials: int
    accepted: int
    images: float  # mean number inspected

    def accept_bounds(self, confidence: float = 0.999) -> tuple[float, float]:
        """Clopper-Pearson bounds of the probability to accept, each one-sided."""
        wrong = 1 - confidence
        low = 1 - _upper(self.trials - self.accepted, self.trials, wrong)
        return low, _upper(self.accepted, self.trials, wrong)


def simulate(
    plan: Plan, bad: int, *, size: int = 100, auroc: float = 0.5, trials: int = 2000, seed: int = 0
) -> Plays:
    """Play inspections of categories with `bad` of `size` bad images.

    Raises:
        ConfigError: `bad` is not between 0 and `size`, or `auroc` not between 0 and 1.
    """
    if not (size >= 1 and 0 <= bad <= size and 0 < auroc < 1):
        raise ConfigError("bad must be between 0 and size, and auroc between 0 and 1")
    rng = np.random.default_rng(seed)
    lift = sqrt(2) * NormalDist().inv_cdf(auroc)
    accepted = inspected = 0
    for _ in range(trials):
        scores = rng.normal(size=size)
        scores[:bad] += lift  # the first images are the bad ones; the drawing does not know
        suspicion = dict(enumerate(scores.tolist()))
        order = rng.permutation(size).tolist()
        verdicts: dict[int, bool] = {}
        while chosen := plan.next_images(order, verdicts, suspicion):
            verdicts.update({image: image < bad for image in chosen})
        accepted += plan.decide(verdicts.values(), size) == "accept"
        inspected += len(verdicts)
    return Plays(trials, accepted, inspected / max(trials, 1))


def _upper(hits: int, trials: int, wrong: float) -> float:
    """The probability at which `hits` or fewer of `trials` would happen with chance `wrong`."""
    if hits >= trials:
        return 1.0
    return _root(lambda p: _at_most(hits, trials, p) - wrong)


def _root(falling: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return high


def _at_most(hits: int, trials: int, p: float) -> float:
    if not 0 < p < 1:
        return float(p <= 0)
    ways = (lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) for k in range(hits + 1))
    terms = (w + k * log(p) + (trials - k) * log1p(-p) for k, w in enumerate(ways))
    return sum(map(exp, terms))
