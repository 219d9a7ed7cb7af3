"""Contradiction 9: a collapse is told, and what is ordinary is not."""

import pytest

from train.alarms import alarms
from train.settings import AttackConfig

PGD, NONE = AttackConfig(), AttackConfig(method="none")


def seen(clean: float, pgd: float, **more: float) -> dict[str, float]:
    return {"val_clean": clean, "val_pgd": pgd, "val_commonest": 0.3, **more}


def told(*history: dict[str, float], config: AttackConfig = PGD) -> str:
    return "\n".join(alarms(history, config))


def test_one_class_for_all() -> None:
    assert "the same class" in told(seen(0.1, 0.1), seen(0.1, 0.1, val_commonest=1.0))
    assert told(seen(0.1, 0.1, val_commonest=1.0)) == ""  # every model begins so


def test_all_background() -> None:
    assert "every part background" in told(seen(0.5, 0.4), seen(0.5, 0.4, val_part_missed=1.0))
    assert told(seen(0.5, 0.4), seen(0.5, 0.4, val_part_missed=0.9)) == ""


@pytest.mark.parametrize(
    ("last", "alarming"),
    [((0.7, 0.1), True), ((0.7, 0.3), False), ((0.2, 0.1), False)],  # the last: all is lost
)
def test_robustness_that_breaks_down(last, alarming) -> None:
    assert ("over-fitting" in told(seen(0.5, 0.4), seen(*last))) == alarming


def test_without_an_attack_robustness_may_go() -> None:
    history = seen(0.5, 0.4), seen(0.8, 0.02)
    assert told(*history, config=NONE) == ""
    clean = AttackConfig(clean_epochs=2)
    assert told(*history, config=clean) == ""
    attacked = *history, seen(0.6, 0.3), seen(0.6, 0.05)
    assert "from 30.0 to 5.0" in told(*attacked, config=clean)
