"""The four-way average of the robustness tables: which four, and never of fewer (E-04, E-05).

Nothing here needs torch.
"""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")
FOUR = ("linf-4/255", "linf-8/255", "l1-75", "l2-2")
"""Names of the threats whose mean is the published fourth column."""


def four(found: Mapping[str, T]) -> list[T] | None:
    """What is there of each of the four threats, by name; None unless all are there."""
    return [found[name] for name in FOUR] if found.keys() >= set(FOUR) else None
