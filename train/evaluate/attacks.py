"""Attacks by name: `pgd-20`, `pgd-20x5`, `pgd-sum-20`, `autoattack`, … (E-05, E-08, E-10)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from partlab.errors import ConfigError, UnknownNameError
from train.evaluate.threats import Threat
from train.honesty.adaptive import ADAPTIVE

AUTOATTACK = ("apgd-ce", "apgd-t", "fab-t", "square")
"""The stages of the standard AutoAttack (Croce and Hein, 2020), in order."""
STAGES = (*AUTOATTACK, "apgd-dlr", "fab")
_LEAST = {"apgd-t": 4, "apgd-dlr": 3}  # classes: DLR looks at the third, targeted DLR the fourth
_PGD = re.compile(rf"(pgd|{'|'.join(ADAPTIVE)})-([1-9]\d*)(?:x([1-9]\d*))?")


@dataclass(frozen=True, slots=True)
class Attack:
    """PGD of some `steps` and `restarts`, or stages of AutoAttack one after the other.

    `aim` is one of `ADAPTIVE` where PGD goes through the part outputs, else empty.
    """

    name: str
    stages: tuple[str, ...]
    steps: int = 0
    restarts: int = 1
    aim: str = ""

    @property
    def upper_bound(self) -> bool:
        """Less than the whole of AutoAttack: true robust accuracy may be lower."""
        return not set(self.stages) >= set(AUTOATTACK)

    def fits(self, threat: Threat, classes: int, *, parts: bool = False) -> None:
        """See that it can be run on a model of so many classes, with part outputs or without.

        Raises:
            ConfigError: it has no form for that norm, or needs more classes (RK-01, RK-02), or
                part outputs (E-10).
        """
        if self.steps:
            _ = threat.ball
        if self.aim and not parts:
            raise ConfigError(
                f"{self.name} goes through part outputs, and the model has none",
                hint="pgd-20 or autoattack; an exported model has none, its run folder may have",
            )
        able = [stage for stage in self.stages if _LEAST.get(stage, 2) <= classes]
        if len(able) < len(self.stages):
            unable = ", ".join(s for s in self.stages if s not in able) or self.name
            least = max(_LEAST.get(stage, 2) for stage in self.stages)
            raise ConfigError(
                f"{unable} needs {least} classes or more, and the model has {classes}",
                hint=f"--attacks {','.join(able)}, which is an upper bound" if able else None,
            )


def parse_attack(text: str) -> Attack:
    """One value of `--attacks`; commas join stages into one attack.

    Raises:
        UnknownNameError: there is no such stage.
        ConfigError: nothing or a stage twice is named.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) == 1 and (found := _PGD.fullmatch(words[0])):
        aim = found[1] if found[1] in ADAPTIVE else ""
        return Attack(words[0], (words[0],), int(found[2]), int(found[3] or 1), aim)
    stages = tuple(s for w in words for s in (AUTOATTACK if w == "autoattack" else (w,)))
    for stage in stages:
        if stage not in STAGES:
            known = ["pgd-20", "pgd-20x5", *(f"{aim}-20" for aim in ADAPTIVE)]
            raise UnknownNameError("attack", stage, [*STAGES, "autoattack", *known])
    if not stages or len(set(stages)) < len(stages):
        raise ConfigError(f"{text!r} names no attack, or one twice", hint="autoattack, or pgd-20")
    return Attack("autoattack" if stages == AUTOATTACK else ",".join(stages), stages)


def parse_attacks(texts: Sequence[str]) -> tuple[Attack, ...]:
    """All values of `--attacks`.

    Raises:
        UnknownNameError, ConfigError: as `parse_attack`; or one is given twice.
    """
    found = tuple(parse_attack(text) for text in texts)
    if len({each.name for each in found}) < len(found):
        raise ConfigError(f"an attack is named twice in {' '.join(texts)}")
    return found
