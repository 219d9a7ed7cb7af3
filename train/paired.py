"""Two models on the same pictures: is one better, or was it luck?"""

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Paired:
    """How many of `n` pictures each got right, and how often only one of them did."""

    n: int
    first: int
    second: int
    only_first: int
    only_second: int

    @classmethod
    def of(cls, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> "Paired":
        """From what each got right, (n,) bool, in the same order."""
        return cls(
            len(first),
            int(first.sum()),
            int(second.sum()),
            int((first & ~second).sum()),
            int((second & ~first).sum()),
        )

    @property
    def gain(self) -> float:
        """Accuracy of the second less that of the first, -1…1."""
        return (self.second - self.first) / max(self.n, 1)

    @property
    def p(self) -> float:
        """McNemar's exact test, two-sided: how likely a difference as large is by luck alone.

        It speaks of these two trained models and other pictures; another seed is another model.
        """
        return mcnemar(self.only_first, self.only_second)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of the exact test: of the pictures on which two models differ, half each."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail: float = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    return min(1.0, 2 * tail)
