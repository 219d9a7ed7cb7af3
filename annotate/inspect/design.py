"""Where the numbers in the plans come from: a search over their limits, and a bound on it.

`tune` changes one or two limits at a time as long as the mean cost falls and both risks stay
within the goal. `least_mean` is a proof of how good a plan could be at best: the Lagrangian
dual of the same problem, solved by dynamic programming over all plans that look at random
images, with any history-dependent or randomised stopping rule.
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from annotate.inspect.curve import BAD, GOOD, operate, whatever_ranking
from annotate.inspect.plan import Limits, Plan
from partlab.config import Config
from partlab.errors import PartlabError


class Goal(Config):
    """What a plan has to reach, and where its cost counts.

    The risks must hold whatever the ranking; the mean cost is taken for a ranking of the
    quality `auroc`, over categories of which `share_good` are good.
    """

    size: int = 100
    good: float = GOOD
    bad: float = BAD
    producer: float = 0.05  # most often a good category may be rejected
    consumer: float = 0.1  # most often a bad category may pass
    auroc: float = 0.9
    share_good: float = 0.5

    @property
    def counts(self) -> tuple[int, int]:
        """Bad images in a good and in a bad category."""
        return round(self.good * self.size), round(self.bad * self.size)

    def cost(self, plan: Plan) -> float:
        """Mean number of images inspected."""
        good, bad = (operate(plan, n, self.size, self.auroc).images for n in self.counts)
        return self.share_good * good + (1 - self.share_good) * bad

    def met_by(self, plan: Plan) -> bool:
        """Whether both risks are within the goal."""
        good, bad = self.counts
        return all(
            point.reject <= self.producer for point in whatever_ranking(plan, good, self.size)
        ) and all(point.accept <= self.consumer for point in whatever_ranking(plan, bad, self.size))


_STEPS = (-5, -3, -2, -1, 1, 2, 3, 5)


class _Move(NamedTuple):
    suspects: int  # which limits: the number of bad suspects
    field: str
    bad: int
    by: int


def tune(plan: Plan, goal: Goal | None = None) -> Plan:
    """The plan with limits that meet the goal at the least mean cost, as far as local search
    finds it.

    Raises:
        PartlabError: no limits of this kind of plan meet the goal.
    """
    goal = goal or Goal()
    plan = _feasible(plan, goal)
    cost = goal.cost(plan)
    improving = True
    while improving:
        improving = False
        for changed in _neighbours(plan):
            lower = goal.cost(changed)
            if lower < cost - 1e-9 and goal.met_by(changed):
                plan, cost, improving = changed, lower, True
                break
    return plan


def _feasible(plan: Plan, goal: Goal) -> Plan:
    """The plan itself, else one that looks longer and rejects only by the count in all."""
    while not goal.met_by(plan):
        if plan.max_images > 2 * goal.size:
            raise PartlabError(
                f"no limits of the plan {plan.name!r} hold both risks at {goal.size} images",
                hint="allow a higher risk, or a plan with a higher reject_at",
            )
        limits = tuple(Limits(accept=[n + 1 for n in one.accept]) for one in plan.limits)
        plan = plan.model_copy(update={"limits": limits})
    return plan


def _neighbours(plan: Plan) -> Iterator[Plan]:
    moves = [
        _Move(suspects, field, bad, by)
        for suspects, limits in enumerate(plan.limits)
        for bad in range(len(limits.accept))
        for field, steps in (("accept", _STEPS), ("reject", _STEPS))
        for by in steps
        if field == "accept" or bad
    ]
    yield from (_moved(plan, (move,)) for move in moves)
    yield from (_moved(plan, pair) for pair in combinations(moves, 2) if pair[0][:3] != pair[1][:3])


def _moved(plan: Plan, moves: tuple[_Move, ...]) -> Plan:
    rows = [
        {
            "accept": list(one.accept),
            "reject": [*one.reject, *[0] * (len(one.accept) - len(one.reject))],
        }
        for one in plan.limits
    ]
    for move in moves:
        row = rows[move.suspects][move.field]
        row[move.bad] = max(row[move.bad] + move.by, move.field == "accept")
    limits = tuple(Limits(accept=tuple(r["accept"]), reject=tuple(r["reject"])) for r in rows)
    return plan.model_copy(update={"limits": limits})


def least_mean(goal: Goal | None = None) -> float:
    """No plan on random images that holds both risks has a smaller mean cost than this."""
    goal = goal or Goal()
    paths = _paths(goal)

    def dual(log_prices: NDArray[np.float64]) -> float:
        price = np.exp(log_prices)
        return _least_loss(paths, goal, price) - float(price @ (goal.producer, goal.consumer))

    return _highest(dual, np.log([30.0, 30.0]))


def _paths(goal: Goal) -> NDArray[np.float64]:
    """Probability of one path to (inspected, bad) in a good and a bad category: (2, n, b)."""
    size, most = goal.size, max(goal.counts)
    paths = np.zeros((2, size + 1, most + 1))
    for index, bad in enumerate(goal.counts):
        paths[index, 0, 0] = 1
        for n in range(size):
            left = size - n
            for b in range(min(n, bad) + 1):
                here, good_left = paths[index, n, b], size - bad - (n - b)
                paths[index, n + 1, b] = here * max(good_left, 0) / left
                if b < bad:
                    paths[index, n + 1, b + 1] = here * (bad - b) / left
    return paths


def _least_loss(paths: NDArray[np.float64], goal: Goal, price: NDArray[np.float64]) -> float:
    """Least of mean cost + price of each risk, over all plans: backward induction."""
    share = np.array([goal.share_good, 1 - goal.share_good])
    stop = np.minimum(price[0] * paths[0], price[1] * paths[1])
    look = np.tensordot(share, paths, 1)
    value = stop[-1]
    for n in range(goal.size - 1, -1, -1):
        onward = look[n] + value
        onward[:-1] += value[1:]
        value = np.minimum(stop[n], onward)
    return float(value[0])


def _highest(function: Callable[[NDArray[np.float64]], float], start: NDArray[np.float64]) -> float:
    """Compass search; the dual is concave in the prices, so any value found is a valid bound."""
    best, step = function(start), 1.0
    while step > 1e-4:
        for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
            trial = start.copy()
            trial[axis] += sign * step
            value = function(trial)
            if value > best + 1e-12:
                best, start = value, trial
                break
        else:
            step /= 2
    return best
