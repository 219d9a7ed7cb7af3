"""How long work will still take, by what its pieces took so far (RK-14)."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from typing import Any

from train.evaluate.preflight import told

logger = logging.getLogger(__name__)
FIRST, AGAIN = 0.1, 0.05
"""Shares of the work: done before anything is said, and between two times it is said."""


class Pace:
    """Says how long the rest will take; what was done in an earlier process is none of it.

    Work is of several kinds, such as attacks, each of so many pictures. Kinds take unlike times,
    so nothing is said while one that is left has not been seen at work.
    """

    def __init__(self, left: Mapping[Any, int], name: str = "") -> None:
        self.left: Counter[Hashable] = Counter({kind: n for kind, n in left.items() if n})
        self.name, self.total, self.spoken = name, self.left.total(), 0.0
        self.made, self.seconds = Counter[Hashable](), defaultdict[Hashable, float](float)
        self.at = time.perf_counter()

    def done(self, kind: Hashable, pictures: int) -> None:
        """After each piece: its kind took the time since the last one."""
        now = time.perf_counter()
        self.seconds[kind] += now - self.at
        self.at = now
        self.made[kind] += pictures
        self.left[kind] -= pictures
        share, rest = self.made.total() / self.total, self.rest
        if rest and share >= max(FIRST, self.spoken + AGAIN):
            self.spoken = share
            of = f"{self.name}: " if self.name else ""
            logger.info("%s%d %% done, %s left", of, int(100 * share), told(rest))

    @property
    def rest(self) -> float | None:
        """Seconds; None where a kind that is left has never been at work."""
        kinds = [kind for kind, n in self.left.items() if n > 0]
        if any(not self.made[kind] for kind in kinds):
            return None
        return sum(self.left[kind] * self.seconds[kind] / self.made[kind] for kind in kinds)
