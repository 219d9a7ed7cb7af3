"""What a work took: people, hours, rounds, rejections, discards, help of a model (Q-03, Q-04).

The figures stand in every exported file; `annotate.inspect.effort` counts them.
"""

from dataclasses import dataclass, field
from typing import Any

from annotate.facts import Facts
from partlab.errors import SchemaError

PUBLISHED: dict[str, float] = {
    "inspectors": 5,
    "annotators": 50,
    "hours": 8_000,
    "discarded": 37_505,
    "kept": 91_000,
    "discard_rate": 37_505 / (37_505 + 91_000),
}
"""What the authors of PartImageNet++ report: references, never counted here (Q-03 to Q-05)."""


@dataclass(frozen=True, slots=True)
class PersonEffort:
    """One person in one role.

    `images` are answers or verdicts given, `rounds` the rounds drawn or inspected, `rejected`
    those of them that were. Hours count what Label Studio measured and what was noted by hand.
    """

    who: str
    role: str
    hours: float = 0.0
    images: int = 0
    rounds: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Effort(Facts):
    """The effort of one work so far. Shares are None where there is nothing to divide by."""

    annotators: int
    inspectors: int
    hours: float
    minutes_per_image: float | None
    categories: int
    accepted: int
    rounds: int
    rejections: int
    rejected_share: float | None  # of the rounds that were decided
    verdicts: int
    failed_verdicts: int
    fail_reasons: dict[str, int]
    looked_at: int
    discarded: int
    discards_final: int
    discards_restored: int
    discards_waiting: int
    discard_rate: float | None
    regions: dict[str, int]  # masks of the newest rounds: manual, prediction, prediction-changed
    flags: int  # open ones, as `partlab status` shows them
    people: list[PersonEffort] = field(default_factory=list)
    flags_seen: int | None = None  # all of them, settled ones too; None in files of before

    @classmethod
    def from_json(cls, values: Any) -> "Effort":
        """The figures of an exported file.

        Raises:
            SchemaError: they are not what partlab writes.
        """
        try:
            return cls(**{**values, "people": [PersonEffort(**one) for one in values["people"]]})
        except (TypeError, KeyError) as error:
            raise SchemaError(f"the effort in the file cannot be read: {error}") from None
