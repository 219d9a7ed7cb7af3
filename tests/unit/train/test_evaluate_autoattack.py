"""AutoAttack as the authors' package has it, bit for bit, and where it cannot be run."""

import sys
from itertools import pairwise
from typing import Any

import pyautoattack
import pytest
import torch
from tiny_victim import network, pictures, victim
from torch import Tensor, nn

from partlab.errors import ConfigError, UnknownNameError
from train.evaluate.attacks import AUTOATTACK, parse_attack, parse_attacks
from train.evaluate.autoattack import Found, autoattack, targets
from train.evaluate.preflight import passes
from train.evaluate.threats import Threat
from train.evaluate.victim import Victim

NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
BATCH = 8


def direct(threat: Threat, stages: tuple[str, ...], images: Tensor, labels: Tensor) -> Any:
    """The package's own loop over the same batch."""
    before = sys.gettrace()
    suite = pyautoattack.AutoAttack(
        network(), norm=NORMS[threat.norm], eps=threat.eps, seed=0, device="cpu"
    )
    suite.attacks_to_run = list(stages)
    try:
        return suite.run_standard_evaluation(images, labels, batch_size=BATCH)
    finally:
        sys.settrace(before)


def ours(threat: Threat, stages: tuple[str, ...], images: Tensor, labels: Tensor) -> Found:
    return autoattack(victim(), images, labels, threat, stages, batch=BATCH)


@pytest.mark.parametrize(
    ("threat", "stages"),
    [
        (Threat("linf", 0.08), ("apgd-ce", "apgd-t")),
        (Threat("l2", 0.8), ("apgd-ce", "fab-t")),
        (Threat("l1", 5.0), ("apgd-ce",)),
        pytest.param(Threat("linf", 0.08), AUTOATTACK, marks=pytest.mark.slow),
        pytest.param(Threat("l2", 0.8), AUTOATTACK, marks=pytest.mark.slow),
        pytest.param(Threat("l1", 5.0), AUTOATTACK, marks=pytest.mark.slow),
    ],
    ids=lambda each: each.name if isinstance(each, Threat) else f"{len(each)} stages",
)
def test_points_and_flags_are_the_packages_own(threat: Threat, stages: tuple[str, ...]) -> None:
    images, labels = pictures(10, 1)
    points, predictions = direct(threat, stages, images, labels)
    found = ours(threat, stages, images, labels)
    assert torch.equal(found.points, points)
    flags = torch.tensor([by is None for by in found.broken_by])
    assert torch.equal(flags, predictions == labels)
    assert 0 < int(flags.sum()) < len(flags)  # else nothing was compared


def test_a_rerun_gives_the_same_and_leaves_no_trace() -> None:  # RK-06, A4.4
    images, labels = pictures(10, 1)
    threat, stages = Threat("linf", 0.06), ("apgd-ce",)

    def trace(*_: Any) -> None:
        return None

    before, state = sys.gettrace(), torch.get_rng_state()
    sys.settrace(trace)
    try:
        one = ours(threat, stages, images, labels)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert torch.equal(torch.get_rng_state(), state)
    again = ours(threat, stages, images, labels)
    assert torch.equal(one.points, again.points)
    assert not any(module.training for module in network().modules())


def test_one_image_and_batches_that_are_all_wrong() -> None:  # RK-11
    images, labels = pictures(10, 1)
    stages = ("apgd-ce", "apgd-t", "fab-t")
    for n in range(3):
        assert len(ours(Threat("l2", 0.5), stages, images[n : n + 1], labels[n : n + 1])[1]) == 1
    wrong = (labels + 1) % 10
    found = ours(Threat("linf", 0.06), AUTOATTACK, images, wrong)
    assert found.broken_by == ["clean"] * 10
    assert torch.equal(found.points, images)


def test_eps_0_is_the_clean_picture_and_more_eps_never_helps() -> None:  # RK-12
    images, labels = pictures(10, 2)
    right = (network()(images).argmax(1) == labels).tolist()
    none = ours(Threat("linf", 0.0), AUTOATTACK, images, labels)
    assert [by is None for by in none.broken_by] == right
    stand = [
        ours(Threat("linf", eps), ("apgd-ce", "apgd-t"), images, labels).broken_by.count(None)
        for eps in (0.0, 0.03, 0.06, 0.12)
    ]
    assert all(more >= less for more, less in pairwise(stand))
    assert stand[0] > stand[-1]


@pytest.mark.parametrize("classes", [*range(2, 13), 1000])
def test_any_number_of_classes_runs_or_is_refused(classes: int) -> None:  # RK-01, RK-02
    model = victim(classes) if classes < 1000 else wide()
    threat = Threat("linf", 0.06)
    attack = parse_attack("apgd-ce,apgd-t,fab-t")
    if classes < 4:
        with pytest.raises(ConfigError, match=f"apgd-t needs 4 .* has {classes}") as told:
            attack.fits(threat, classes)
        assert "apgd-ce,fab-t" in str(told.value.hint)
        attack = parse_attack("apgd-ce,fab-t")
    attack.fits(threat, classes)
    images, _ = pictures(4, 1)
    labels = model(images).argmax(1)
    found = autoattack(model, images, labels, threat, attack.stages, batch=4)
    assert "clean" not in found.broken_by
    aims = targets(threat, classes)
    assert aims == {"apgd-t": min(9, classes - 1), "fab-t": min(9, classes - 1)}
    assert targets(Threat("l1", 1.0), classes)["apgd-t"] == min(5, classes - 1)


def wide() -> Victim:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 1000)).eval()
    return Victim(linear, [f"class{n:04d}" for n in range(1000)])


def test_a_subset_is_an_upper_bound() -> None:
    assert not parse_attack("autoattack").upper_bound
    assert parse_attack("apgd-ce,apgd-t,fab-t,square").name == "autoattack"
    for text in ("pgd-20", "pgd-20x5", "apgd-ce,apgd-t", "square"):
        assert parse_attack(text).upper_bound, text
    assert (parse_attack("pgd-20x5").steps, parse_attack("pgd-20x5").restarts) == (20, 5)
    with pytest.raises(UnknownNameError, match="apgd-c"):
        parse_attack("apgd-c")
    for bad in ([""], ["square,square"], ["pgd-20", "pgd-20"]):
        with pytest.raises(ConfigError):
            parse_attacks(bad)
    with pytest.raises(ConfigError, match="not l1"):
        parse_attack("pgd-20").fits(Threat("l1", 75.0), 10)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("stage", ["apgd-ce", "apgd-t", "fab-t", "fab"])
def test_passes_are_those_that_were_counted(norm: Any, stage: str) -> None:  # RK-14
    model, images = wide_of(6), pictures(4, 1)[0]
    count = [0]
    model.register_forward_hook(lambda _, given, __: count.__setitem__(0, count[0] + len(given[0])))
    labels = model(images).argmax(1)
    count[0] = 0
    found = autoattack(model, images, labels, Threat(norm, 1e-7), (stage,), batch=4)
    assert found.broken_by == [None] * 4
    told, _ = passes(Threat(norm, 1e-7), parse_attack(stage), 6)
    assert count[0] / 4 == pytest.approx(told, rel=0.02)


def wide_of(classes: int) -> Victim:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, classes)).eval()
    return Victim(linear, [f"class{n}" for n in range(classes)])
