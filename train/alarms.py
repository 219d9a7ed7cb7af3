"""Signs that a training has gone wrong in a way its loss does not show.

A model that says the same of every picture, a part head that calls everything background (in a
published table it passed for a result: contradiction 9 of the requirements), and a robustness
that breaks down between two epochs while the loss falls (catastrophic over-fitting, which
single-step attacks are known for).
"""

import math
from collections.abc import Mapping, Sequence

from train.settings import AttackConfig

_LOST = 0.5  # of the best PGD accuracy so far
_BACKGROUND = 0.99  # of the cells that show a part


def alarms(history: Sequence[Mapping[str, float]], config: AttackConfig) -> list[str]:
    """Sentences about the last of the validations in `history`, oldest first; mostly none.

    A validation's facts are those of `train.validation`, shares in 0…1, one of each epoch. The
    first epoch is not judged: every model begins with one answer for all. Nor is robustness
    while nothing is attacked. A fall of robustness that chance may bring about is none: two
    standard deviations of a share of `val_pictures` (runs of older versions do not tell them).
    """
    if len(history) < 2:
        return []
    now, before = history[-1], history[:-1]
    before = before[config.clean_epochs :] if config.method != "none" else []
    return [
        sentence
        for sentence in (_one_class(now), _background(now), _broken(now, before))
        if sentence
    ]


def _one_class(now: Mapping[str, float]) -> str | None:
    if now.get("val_commonest", 0.0) < 1.0:
        return None
    return "collapse: every validation picture is given the same class; lower train.lr"


def _background(now: Mapping[str, float]) -> str | None:
    if now.get("val_part_missed", 0.0) < _BACKGROUND:
        return None
    return (
        "collapse: the part outputs call every part background; look at the label maps, "
        "raise part.weight or train longer"
    )


def _broken(now: Mapping[str, float], before: Sequence[Mapping[str, float]]) -> str | None:
    best = max((each.get("val_pgd", 0.0) for each in before), default=0.0)
    found = now.get("val_pgd", best)
    if best - found <= _chance(best, now.get("val_pictures", math.inf)):
        return None
    if best < 0.1 or found > _LOST * best or now["val_clean"] < _LOST * before[-1]["val_clean"]:
        return None
    return (
        f"PGD accuracy fell from {100 * best:.1f} to {100 * found:.1f} while clean accuracy did "
        "not: the attack in training has become too weak (catastrophic over-fitting); raise "
        "attack.steps"
    )


def _chance(share: float, pictures: float) -> float:
    """Two standard deviations of a share of so many pictures."""
    return 2 * math.sqrt(share * (1 - share) / pictures)
