"""What a sampling plan lets through and what it costs, computed exactly (Q-05).

A category has `size` images, `bad` of them bad. Random images are drawn without replacement,
so the counts are hypergeometric. A ranking of quality AUROC `a` is modelled as a race in
which a bad image is `a / (1 - a)` times as likely as a good one to come next (Plackett and
Luce): the chance that a bad image stands before a good one is then exactly `a`, and 0.5 is a
ranking that knows nothing. Both make the counts a Markov chain, followed here state by state.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from annotate.inspect.plan import Plan, State
from partlab.errors import ConfigError

RATES: tuple[float, ...] = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
GOOD, BAD = 0.02, 0.2
"""Rates of bad images at which producer's and consumer's risk are stated."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of an operating curve: `bad` of `size` images are bad."""

    bad: int
    size: int
    accept: float  # probability that the category passes
    images: float  # mean number of images inspected

    @property
    def reject(self) -> float:
        """Probability that the category is rejected."""
        return 1 - self.accept


def operate(
    plan: Plan, bad: int, size: int = 100, auroc: float = 0.5, start: State | None = None
) -> Point:
    """The exact probability to accept, and the mean cost, of a plan; from `start` if given.

    Raises:
        ConfigError: `bad` is not between 0 and `size`, or `auroc` not between 0 and 1.
    """
    if not (size >= 1 and 0 <= bad <= size):
        raise ConfigError(f"{bad} bad images of {size}: not between 0 and the size")
    if not 0 < auroc < 1:
        raise ConfigError(f"the ranking's AUROC {auroc} is not between 0 and 1")
    odds = auroc / (1 - auroc)
    accept = images = 0.0
    here: dict[State, float] = {start or State(): 1.0}
    while here:
        following: defaultdict[State, float] = defaultdict(float)
        for state, mass in here.items():
            decision = plan.settled(state, size)
            if decision != "continue":
                images += mass * state.inspected
                accept += mass * (decision == "accept")
                continue
            chance = _next_is_bad(plan, state, bad, size, odds)
            for verdict, share in ((True, chance), (False, 1 - chance)):
                if share:
                    following[plan.after(state, verdict)] += mass * share
        here = following
    return Point(bad, size, accept, images)


def _next_is_bad(plan: Plan, state: State, bad: int, size: int, odds: float) -> float:
    bad_left = bad - state.bad
    good_left = size - state.inspected - bad_left
    weight = odds if plan.source(state) == "suspect" else 1.0
    return weight * bad_left / (weight * bad_left + good_left)


def operating_curve(
    plan: Plan, size: int = 100, rates: Sequence[float] = RATES, auroc: float = 0.5
) -> list[Point]:
    """One point for each rate of bad images, rounded to whole images; each number once."""
    counts = dict.fromkeys(round(rate * size) for rate in rates)
    return [operate(plan, bad, size, auroc) for bad in counts]


def producer_risk(plan: Plan, size: int = 100, auroc: float | None = None) -> float:
    """Probability that a good category (2 % bad) is rejected; for the worst ranking if None."""
    return max(point.reject for point in _points(plan, round(GOOD * size), size, auroc))


def consumer_risk(plan: Plan, size: int = 100, auroc: float | None = None) -> float:
    """Probability that a bad category (20 % bad) passes; for the worst ranking if None."""
    return max(point.accept for point in _points(plan, round(BAD * size), size, auroc))


def _points(plan: Plan, bad: int, size: int, auroc: float | None) -> list[Point]:
    return whatever_ranking(plan, bad, size) if auroc is None else [operate(plan, bad, size, auroc)]


def whatever_ranking(plan: Plan, bad: int, size: int = 100) -> list[Point]:
    """One point for each way the look at the suspects can end.

    A ranking only decides how likely each of them is, so no ranking, however good, useless or
    misleading, makes a plan accept more often than the largest of these, or less often than
    the smallest.
    """
    return [
        operate(plan, bad, size, start=state)
        for state in _after_suspects(plan, size)
        if state.bad <= bad and state.inspected - state.bad <= size - bad
    ]


def _after_suspects(plan: Plan, size: int) -> list[State]:
    ended: set[State] = set()
    here = {State()}
    while here:
        last = {state for state in here if _looked(plan, state, size)}
        ended |= last
        here = {plan.after(state, bad) for state in here - last for bad in (False, True)}
    return sorted(ended)


def _looked(plan: Plan, state: State, size: int) -> bool:
    """Whether the look at the suspects is over; it is when no image is left."""
    over = plan.source(state) == "random" or state.inspected >= size
    return over or state.bad >= plan.reject_at


def mean_images(plan: Plan, size: int = 100, auroc: float = 0.5, share_good: float = 0.5) -> float:
    """Mean cost where a share of the categories is 2 % bad and the others are 20 % bad."""
    good = operate(plan, round(GOOD * size), size, auroc).images
    bad = operate(plan, round(BAD * size), size, auroc).images
    return share_good * good + (1 - share_good) * bad
