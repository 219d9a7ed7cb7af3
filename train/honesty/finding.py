"""What an honesty check found, in numbers and in one sentence."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """`measured` against `threshold`: `ok` unless it is more. The sentence says what it means.

    `measured` is None where the check could not be run, which is not ok.
    """

    name: str
    ok: bool
    measured: float | None
    threshold: float
    sentence: str

    @classmethod
    def of(cls, name: str, measured: float, threshold: float, good: str, bad: str) -> "Finding":
        """With the sentence `good` where `measured` is at most `threshold`, `bad` where not.

        A `measured` that is not a number is not at most anything.
        """
        ok = measured <= threshold
        return cls(name, ok, float(measured), float(threshold), good if ok else bad)


@dataclass(frozen=True, slots=True)
class Honesty:
    """All findings about one model under one threat, and what they cost.

    `images` were given, of which the model was right on `right`; only those are attacked.
    `forwards` counts single images through the network. `surface` is `train.honesty.surface`'s.
    """

    threat: str
    images: int
    right: int
    findings: tuple[Finding, ...]
    surface: dict[str, Any] | None
    forwards: int
    seconds: float
    seed: int

    @property
    def ok(self) -> bool:
        """Nothing was found that makes a robust figure doubtful."""
        return not self.problems

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are not ok."""
        return tuple(each for each in self.findings if not each.ok)

    def as_json(self) -> dict[str, Any]:
        """For `evaluation.json["honesty"]`."""
        return {"ok": self.ok, **asdict(self), "findings": [asdict(f) for f in self.findings]}


def sentences(findings: Sequence[Finding]) -> list[str]:
    """One line each, as people read them."""
    return [f"{'ok  ' if each.ok else 'FAIL'} {each.name}: {each.sentence}" for each in findings]
