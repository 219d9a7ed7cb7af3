"""Which images of a category an inspector sees: drawn by a seed, afresh in each round (Q-01)."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from annotate.inspect.plan import Decision, Plan


def round_seed(seed: int, object: str, round: int) -> int:
    """The seed of one round of an object category, from the work's own: 31 bits."""
    digest = hashlib.sha256(f"{seed}/{round}/{object}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def random_order(seed: int, images: Iterable[int]) -> list[int]:
    """Image ids in the order the seed gives them, whatever order they came in.

    It comes from SHA-256 alone, so it stays the same with every version of every library.
    """
    return sorted(images, key=lambda i: hashlib.sha256(f"{seed}:{i}".encode()).digest())


@dataclass(frozen=True, slots=True)
class Sample:
    """The images of one round that an inspection can come to, and how far it is.

    `order` holds all images of the category in random order, `suspects` the likely wrong ones
    (higher: more likely), most likely first; empty unless the plan asks for them.
    """

    plan: Plan
    order: tuple[int, ...]
    suspects: Mapping[int, float]

    @classmethod
    def draw(
        cls,
        plan: Plan,
        seed: int,
        images: Iterable[int],
        suspicion: Mapping[int, float] | None = None,
    ) -> "Sample":
        """Draw from the images that have masks; `suspicion` is an audit's score of each."""
        order = random_order(seed, images)
        ranked = sorted(order, key=lambda i: -(suspicion or {}).get(i, float("-inf")))
        top = [i for i in ranked if i in (suspicion or {})][: plan.suspects]
        return cls(plan, tuple(order), {i: (suspicion or {})[i] for i in top})

    @property
    def images(self) -> list[int]:
        """All images the plan can come to, in the order of the draw: suspects first."""
        random = [i for i in self.order[: self.plan.max_images] if i not in self.suspects]
        return [*self.suspects, *random]

    def inspected(self, bad: Mapping[int, bool]) -> dict[int, bool]:
        """The verdicts (True: bad) that count, in the order of inspection."""
        seen: dict[int, bool] = {}
        while judged := [i for i in self._next(seen) if i in bad]:
            seen.update({i: bad[i] for i in judged})
        return seen

    def due(self, bad: Mapping[int, bool]) -> list[int]:
        """Images to look at now; none once the plan has decided."""
        return self._next(self.inspected(bad))

    def decide(self, bad: Mapping[int, bool]) -> Decision:
        """What the plan says to these verdicts (True: bad)."""
        return self.plan.decide(self.inspected(bad).values(), len(self.order))

    def _next(self, seen: Mapping[int, bool]) -> list[int]:
        return self.plan.next_images(self.order, seen, self.suspects or None)
