"""What an attack may change: a norm and a radius, `linf:4/255` (E-01, E-05)."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from partlab.errors import ConfigError, PartlabError
from train.attacks.ball import Ball
from train.evaluate.average import FOUR
from train.settings import LARGE_EPS, of_colours

_NORMS = ("linf", "l2", "l1")
_ORDER = {"linf": math.inf, "l2": 2, "l1": 1}
_FORM = "linf:4/255, l2:2, l1:75, or standard for the usual four"
SLACK = 1e-5
"""Share of ε that float32 may add to a distance; a sum over 150,528 colours needs as much."""


@dataclass(frozen=True, slots=True)
class Threat:
    """All pictures within `eps` of one, in 0…1; colours are floats between 0 and 1.

    Raises:
        ConfigError: an unknown norm, or an eps that is negative, not finite, or (under ℓ∞)
            0.2 or more without `large_eps` (RK-13).
    """

    norm: Literal["linf", "l2", "l1"]
    eps: float
    large_eps: bool = False

    def __post_init__(self) -> None:
        if self.norm not in _NORMS:
            raise ConfigError(f"unknown norm {self.norm!r}", hint=_FORM)
        if not (self.eps >= 0 and math.isfinite(self.eps)):
            raise ConfigError(f"eps {self.eps:g} is no radius", hint=_FORM)
        if self.norm == "linf" and self.eps >= LARGE_EPS and not self.large_eps:
            raise ConfigError(
                of_colours(self.eps),
                hint=f"{self.eps:g}/255? Else say --large-eps",
            )

    @classmethod
    def parse(cls, text: str, *, large_eps: bool = False) -> "Threat":
        """From `linf:4/255` or, as in records, `linf-4/255`."""
        norm, _, size = text.strip().replace("-", ":", 1).partition(":")
        try:
            eps = float(Fraction(size.replace(" ", "")))
        except (ValueError, ZeroDivisionError):
            raise ConfigError(f"{text!r} is no threat", hint=_FORM) from None
        return cls(norm, eps, large_eps)  # type: ignore[arg-type]  # it is looked at above

    @property
    def name(self) -> str:
        """`linf-4/255`, `l2-2`, `l1-75`."""
        levels = self.eps * 255
        whole = self.norm == "linf" and self.eps > 0 and abs(levels - round(levels)) < 1e-6
        return f"{self.norm}-{round(levels)}/255" if whole else f"{self.norm}-{self.eps:g}"

    @property
    def label(self) -> str:
        """For people: `ℓ∞ 4/255`."""
        norm, size = self.name.split("-", 1)
        return f"{ {'linf': 'ℓ∞', 'l2': 'ℓ2', 'l1': 'ℓ1'}[norm] } {size}"

    @property
    def ball(self) -> Ball:
        """For plain PGD, which has no ℓ1 form here.

        Raises:
            ConfigError: the norm is ℓ1.
        """
        if self.norm == "l1":
            raise ConfigError(
                "plain PGD attacks linf and l2, not l1", hint="--attacks apgd-ce, or autoattack"
            )
        return Ball(self.norm, self.eps, self.large_eps)

    def verify(self, points: Tensor, images: Tensor) -> None:
        """See that each of `points` (B, …) is within the ball and 0…1 (RK-05).

        Raises:
            PartlabError: one is not finite, outside the ball or outside 0…1.
        """
        if not len(points):
            return
        away = torch.linalg.vector_norm(
            (points.double() - images.double()).flatten(1), ord=_ORDER[self.norm], dim=1
        )
        low, high = (float(each) for each in torch.aminmax(points))
        inside = bool((away <= self.eps * (1 + SLACK) + 1e-6).all()) and low >= 0 and high <= 1
        if not inside:  # NaN is not inside either
            raise PartlabError(
                f"an attack left its ball of {self.name}: the farthest is at "
                f"{float(away.max()):g}, colours from {low:g} to {high:g}",
                hint="the gradients are not finite, or this is a fault of partlab",
            )


STANDARD = tuple(Threat.parse(name) for name in FOUR)
"""Those of the robustness tables, whose average is the fourth column (E-01)."""


def parse_threats(texts: list[str], *, large_eps: bool = False) -> tuple[Threat, ...]:
    """From `--threats`: each several with commas between, `standard` for the four.

    Raises:
        ConfigError: one is no threat, none is given, or one is given twice.
    """
    words = [word for text in texts for word in text.split(",") if word.strip()]
    found: list[Threat] = []
    for word in words:
        new = STANDARD if word.strip() == "standard" else (Threat.parse(word, large_eps=large_eps),)
        found += new
    if not found:
        raise ConfigError("no threat named", hint=_FORM)
    if len({each.name for each in found}) < len(found):
        raise ConfigError(f"a threat is named twice in {', '.join(words)}", hint=_FORM)
    return tuple(found)
