"""Honesty checks: hidden gradients are found, honest models spared (RK-09, RK-10, RK-12)."""

import json
import math
from pathlib import Path

import pytest
import torch
from attack_networks import assert_same, state_of_everything
from honesty_networks import EPS, MAKERS, PLANTED, SIDE, honest, pictures, planted
from torch import nn

from partlab.errors import ConfigError, DatasetError, PartlabError
from train.attacks.ball import Ball
from train.honesty import checks
from train.honesty.check import ALL, ENOUGH, check_honesty
from train.honesty.eot import EoT
from train.honesty.gradients import finite_differences, zero_gradients
from train.honesty.square import square
from train.honesty.surface import gradient_helps
from train.honesty.trial import Trial

BALL = Ball("linf", EPS)
RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
SHORT = {
    "quantised input": "zero_gradients",
    "huge logits": "zero_gradients",
    "random resize": "randomness",
    "detached branch": "finite_differences",
    "saturated sigmoid": "zero_gradients",
    "BatchNorm in train mode": "train_mode",
}


def checked(network, seed=0, count=24, ball=BALL):
    images, labels = pictures(count, 500 + seed, side=SIDE if ball.norm == "linf" else 32)
    return check_honesty(network, images, labels, ball, seed=seed)


def measured(found):
    return {each.name: each.measured for each in found.findings}


@pytest.mark.parametrize("kind", SHORT)
def test_hidden_gradients_are_found(kind: str) -> None:
    found = checked(planted(kind))
    assert not found.ok
    assert SHORT[kind] in [each.name for each in found.problems]
    for each in found.problems:
        assert each.measured is None or each.measured > each.threshold


@pytest.mark.parametrize(("eps", "ball"), [(0.0, BALL), (EPS, Ball("l2", 0.8))])
def test_honest_models_are_spared_and_left_as_they_were(eps: float, ball: Ball) -> None:
    network = honest(eps=eps)
    before, state = state_of_everything(network), torch.get_rng_state()
    found = checked(network, ball=ball)
    assert found.ok, [each.sentence for each in found.problems]
    assert [each.name for each in found.findings] == ["enough_images", *(c.__name__ for c in ALL)]
    assert_same(state_of_everything(network), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not network._forward_hooks
    assert 200 * found.right < found.forwards < 450 * found.right


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLANTED)
def test_hidden_gradients_are_found_ten_times_of_ten(kind: str) -> None:
    assert [seed for seed in range(10) if checked(planted(kind, seed), seed, 64).ok] == []


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.0, EPS])
@pytest.mark.parametrize("name", MAKERS)
def test_honest_models_are_spared_ten_times_of_ten(name: str, eps: float) -> None:
    found = [checked(honest(name, seed, eps), seed, 64) for seed in range(10)]
    assert [each.sentence for one in found for each in one.problems] == []


def test_the_committed_table_is_of_these_models() -> None:
    table = json.loads((RESULTS / "honesty.json").read_text(encoding="utf-8"))
    hidden = {row["model"]: (row["flagged"], row["seeds"]) for row in table["hidden"]}
    sound = {(row["model"], row["training"]): row["flagged"] for row in table["honest"]}
    assert hidden == dict.fromkeys(PLANTED, (10, 10))
    assert sound == {(name, how): 0 for name in MAKERS for how in ("standard", "adversarial")}
    assert set(table["honest_nearest"]) == {check.__name__ for check in ALL}


def test_square_says_which_pictures_are_too_small() -> None:
    images, labels = pictures(4)
    with pytest.raises(ConfigError, match="l2 does not work on 24 x 24 pixels"):
        square(honest(), images, labels, Ball("l2", 1), queries=5)
    with pytest.raises(ConfigError, match="linf does not work on 4 x 24"):
        square(honest(), images[:, :, :4], labels, BALL, queries=5)


def test_the_result_is_json_and_tells_everything() -> None:
    found = checked(honest(), count=20)
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert said["ok"] is True
    assert said["threat"] == "linf-8/255"
    assert said["right"] == 20
    assert set(said["findings"][0]) == {"name", "ok", "measured", "threshold", "sentence"}
    grid = torch.tensor(said["surface"]["margins"])
    assert grid.shape == (4, 11, 11)
    along = grid[:, :, 5].mean(0)  # harm along the gradient, none against it
    assert along[-1] < along[5] < along[0]


# Signs that only some hidden gradients show, each on a landscape made for it


class Landscape(nn.Module):
    """The margin of class 0 is a function of how much brighter the picture is, in units of ε."""

    def __init__(self, margin) -> None:
        super().__init__()
        self.margin, self.weight = margin, nn.Parameter(torch.zeros(()))

    def forward(self, images):
        found = self.margin((images.mean((1, 2, 3)) - 0.5) / EPS) + self.weight
        return torch.stack([found, -found], 1) / 2


def trial(margin, count=32) -> Trial:
    images = 0.05 * torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images += 0.5 - images.mean((1, 2, 3), keepdim=True)
    labels = torch.zeros(count, dtype=torch.long)
    return Trial(Landscape(margin).eval(), images, labels, BALL)


def slope(shift):
    return 1 - 1.3 * shift


def ripples(shift):
    """Small steps are caught in a ripple; large ones land behind the wall."""
    return 0.5 - 0.3 * (8 * math.pi * shift).sin() - 2 * (100 * (shift - 0.9)).sigmoid()


def shell(shift):
    """Wrong only where the ball ends; larger steps leap over it."""
    inside = (500 * (shift - 0.95)).sigmoid() * (500 * (1.001 - shift)).sigmoid()
    return 1 - 0.3 * shift - 2 * inside


@pytest.mark.parametrize(
    ("check", "landscape"),
    [
        (checks.fgsm, ripples),
        (checks.more_steps, ripples),
        (checks.eps_monotone, shell),
    ],
)
def test_attacks_that_get_lost_are_told(check, landscape) -> None:
    assert check(trial(slope)).ok
    found = check(trial(landscape))
    assert not found.ok
    assert found.measured > 0.2
    assert "%" in found.sentence or "0." in found.sentence


def first(few, gradient):
    """A slope of which the first few images tell another gradient than their own."""

    def margin(shift):
        told = shift.detach() + gradient * (shift - shift.detach())
        return slope(torch.where(torch.arange(len(shift)) < few, told, shift))

    return margin


@pytest.mark.parametrize(
    ("check", "gradient", "images", "spared"),
    [
        (gradient_helps, -1, 62, 12),  # one in ten, and what chance makes of it
        (gradient_helps, -1, 20, 6),
        (zero_gradients, 0, 64, 3),  # one in twenty
        (zero_gradients, 0, 20, 2),  # of so few, what chance makes of one in a hundred
        (zero_gradients, 0, 400, 20),
    ],
)
def test_shares_are_flagged_beyond_chance(check, gradient, images: int, spared: int) -> None:
    at, above = (check(trial(first(n, gradient), images)) for n in (spared, spared + 1))
    assert (at.ok, above.ok) == (True, False)
    assert at.measured == at.threshold or check is zero_gradients
    assert above.measured == (spared + 1) / images


def test_chance_alone_flags_once_in_a_hundred() -> None:
    draws = torch.Generator().manual_seed(0)
    for images in (20, 62, 300):
        seen = (torch.rand(20_000, images, generator=draws) < 0.1).double().mean(1)
        beyond = float((seen > checks.by_chance(0.1, images)).double().mean())
        assert 0.002 < beyond < 0.0125


def test_zero_gradients_in_double_are_told_apart() -> None:
    """In float32 the softmax is full; in float64 it is not yet."""
    found = zero_gradients(trial(lambda shift: 150 - shift))
    assert found.measured == 1
    assert "float64 of 0 %" in found.sentence
    assert zero_gradients(trial(lambda shift: 20 - shift)).ok


class InHalf(nn.Module):
    """Computes in float32 whatever it is given, as a victim that casts does."""

    def __init__(self, network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images.to(next(self.network.parameters()).dtype)).float()


def test_slopes_are_measured_in_single_precision_too() -> None:
    images, labels = pictures(16)
    for kind, ok in ((None, True), ("detached branch", False)):
        network = honest() if kind is None else planted(kind)
        found = finite_differences(Trial(InHalf(network).eval(), images, labels, BALL))
        assert found.ok is ok
        assert not ok or 1e-6 < found.measured < 0.05


# Square


@pytest.mark.parametrize("ball", [Ball("linf", 0.1), Ball("l2", 3)])
def test_square_finds_errors_without_gradients(ball: Ball) -> None:
    network = planted("quantised input")
    images, labels = pictures(24, seed=3, side=32)
    state = torch.get_rng_state()
    found = square(network, images, labels, ball, queries=60)
    again = square(network, images, labels, ball, queries=60)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found, again)
    assert not torch.equal(found, square(network, images, labels, ball, queries=60, seed=1))
    assert (ball.distance(found, images) <= ball.eps * (1 + 1e-5)).all()
    broken = network(found).argmax(1) != labels
    assert broken.sum() > 3
    assert torch.equal(found[~broken], images[~broken])


# EoT


def test_a_random_model_is_judged_by_its_mean() -> None:
    network = planted("random noise")
    images, labels = pictures(8)
    mean = EoT(network, samples=3).eval()
    alone = Trial(mean, images, labels, BALL)
    assert not checks.randomness(Trial(network, images, labels, BALL)).ok
    state = torch.get_rng_state()
    for check in (checks.randomness, checks.batch, finite_differences):
        assert check(alone).ok
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(mean(images).exp().sum(1), torch.ones(8))
    assert mean(images[:0]).shape == (0, 4)
    with pytest.raises(ConfigError, match="0 draws"):
        EoT(network, samples=0)


# What cannot be checked


def test_too_few_images_are_a_finding() -> None:
    images, labels = pictures(24)
    found = check_honesty(honest(), images, (labels + 1) % 4, BALL)
    assert not found.ok
    assert [each.name for each in found.findings] == ["enough_images"]
    assert (
        f"right on 0 of 24 images: too few to check it on, {ENOUGH}" in found.problems[0].sentence
    )


def test_a_check_that_cannot_be_run_is_a_finding() -> None:
    network = honest()

    class Once(nn.Module):
        """Refuses gradients."""

        def forward(self, images):
            if images.requires_grad:
                raise RuntimeError("this stage has no backward pass")
            return network(images)

    found = checked(Once().eval(), count=20)
    named = {each.name: each for each in found.problems}
    assert named["zero_gradients"].measured is None
    assert "no backward pass" in named["zero_gradients"].sentence
    json.dumps(found.as_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda x, y: (x, y[:3]), DatasetError, "24 images have 3 labels"),
        (lambda x, y: ((255 * x).byte(), y), DatasetError, "integer colours"),
        (lambda x, y: (x * float("nan"), y), PartlabError, "image 0 are not finite"),
        (lambda x, y: (x, y + 4), DatasetError, "of 4 classes"),
    ],
)
def test_mistakes_are_told(change, kind, words: str) -> None:
    images, labels = change(*pictures(24))
    with pytest.raises(kind, match=words):
        check_honesty(honest(), images, labels, BALL)
