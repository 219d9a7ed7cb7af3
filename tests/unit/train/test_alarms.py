"""Contradiction 9: a collapse is told, and what is ordinary is not."""

from pathlib import Path

import pytest
import tiny_recognition

from partlab.training.runs import read_metrics
from train.alarms import alarms
from train.report import run_summary
from train.settings import AttackConfig

ONE_CLASS = "collapse: every validation picture is given the same class; lower train.lr"
PGD, NONE = AttackConfig(), AttackConfig(method="none")


def seen(clean: float, pgd: float, **more: float) -> dict[str, float]:
    return {"val_clean": clean, "val_pgd": pgd, "val_commonest": 0.3, **more}


def told(*history: dict[str, float], config: AttackConfig = PGD) -> str:
    return "\n".join(alarms(history, config))


def test_one_class_for_all() -> None:
    assert "the same class" in told(seen(0.1, 0.1), seen(0.1, 0.1, val_commonest=1.0))
    assert told(seen(0.1, 0.1, val_commonest=1.0)) == ""  # every model begins so


def test_all_background() -> None:
    assert "every part background" in told(seen(0.5, 0.4), seen(0.5, 0.4, val_part_missed=0.995))
    assert told(seen(0.5, 0.4), seen(0.5, 0.4, val_part_missed=0.98)) == ""


@pytest.mark.parametrize(
    ("last", "alarming"),
    [((0.7, 0.1), True), ((0.7, 0.3), False), ((0.2, 0.1), False)],  # the last: all is lost
)
def test_robustness_that_breaks_down(last, alarming) -> None:
    assert ("over-fitting" in told(seen(0.5, 0.4), seen(*last))) == alarming


@pytest.mark.parametrize(
    ("pictures", "before", "after", "alarming"),
    [(14, 2, 1, False), (14, 10, 2, True), (1000, 143, 71, True), (20, 3, 0, False)],
)
def test_a_fall_that_chance_may_bring_is_none(
    pictures: int, before: int, after: int, alarming: bool
) -> None:
    shares = [right / pictures for right in (before, after)]
    history = [seen(0.8, share, val_pictures=pictures) for share in shares]
    assert ("over-fitting" in told(*history)) == alarming


def test_a_training_prints_its_alarms(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model that hardly learns gives all pictures one class, and every part is missed."""
    data = tiny_recognition.world(tmp_path / "world")
    still = ["train.lr=1e-9", "train.warmup_lr=1e-9", "train.epochs=2", "train.warmup_epochs=0"]
    run = tiny_recognition.train(data, tmp_path / "run", *still)
    assert [each.message for each in caplog.records].count(ONE_CLASS) == 1
    assert [alarm.sentence for alarm in run_summary(run).alarms] == [ONE_CLASS]
    told = [each["val_pictures"] for each in read_metrics(run) if "val_clean" in each]
    assert len(set(told)) == 1
    assert told[0] > 1


def test_without_an_attack_robustness_may_go() -> None:
    history = seen(0.5, 0.4), seen(0.8, 0.02)
    assert told(*history, config=NONE) == ""
    clean = AttackConfig(clean_epochs=2)
    assert told(*history, config=clean) == ""
    attacked = *history, seen(0.6, 0.3), seen(0.6, 0.05)
    assert "from 30.0 to 5.0" in told(*attacked, config=clean)
