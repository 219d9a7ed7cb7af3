"""Evaluation under PGD: verdicts that do not depend on how they were asked for."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from attack_networks import Gradients, assert_same, pictures, state_of_everything, tiny
from torch import nn

from partlab.errors import ConfigError, DatasetError, PartlabError
from train.attacks.ball import Ball
from train.attacks.evaluation import attack, evaluate_pgd, search

BALL = Ball("linf", 8 / 255)


def batches(images, classes, size):
    return list(zip(images.split(size), classes.split(size), strict=True))


def trained(seed=0):
    """A network that is right on most of 60 pictures, and robust on some of them."""
    network, (images, classes) = tiny(seed, width=24), pictures(60)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02)
    for _ in range(10):
        loss = nn.functional.cross_entropy(network(images), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        for _ in range(20):  # statistics of these weights
            network(images)
    classes[::7] = (classes[::7] + 1) % 5
    return network.eval(), images, classes


@pytest.fixture(scope="module")
def learnt():
    return trained()


def test_verdicts_are_what_the_network_says(learnt) -> None:
    network, images, classes = learnt
    before, state = state_of_everything(network), torch.get_rng_state()
    found = evaluate_pgd(network, batches(images, classes, 16), BALL)
    assert_same(state_of_everything(network), before)
    assert torch.equal(torch.get_rng_state(), state)
    right = (network(images).argmax(1) == classes).numpy()
    assert np.array_equal(found.clean, right)
    assert found.clean.dtype == found.robust.dtype == bool
    assert 10 < found.robust.sum() < found.clean.sum() - 10  # else this shows little
    assert not (found.robust & ~found.clean).any()
    worst = attack(network, images, classes, BALL)
    BALL.verify(worst, images)
    still = (network(worst).argmax(1) == classes).numpy()
    assert np.array_equal(found.robust, still & right)


def test_neither_batches_nor_processes_change_a_verdict(learnt) -> None:
    network, images, classes = learnt
    whole = evaluate_pgd(network, batches(images, classes, 60), BALL, steps=3)
    small = evaluate_pgd(network, batches(images, classes, 7), BALL, steps=3)
    assert np.array_equal(whole.robust, small.robust)
    for rank in (0, 1):
        own = list(range(rank, 60, 2))
        share = batches(images[own], classes[own], 8)
        part = evaluate_pgd(network, share, BALL, steps=3, positions=own)
        assert np.array_equal(part.robust, whole.robust[own])
    a = attack(network, images, classes, BALL)
    b = attack(network, images[40:], classes[40:], BALL, positions=range(40, 60))
    torch.testing.assert_close(a[40:], b, rtol=0, atol=1e-6)
    other = attack(network, images, classes, BALL, seed=1)
    assert not torch.allclose(a, other)


def test_bytes_are_colours_in_0_to_1(learnt) -> None:
    network, images, classes = learnt
    pixels = (images * 255).round().to(torch.uint8)
    one = evaluate_pgd(network, [(pixels, classes)], BALL, steps=2)
    other = evaluate_pgd(network, [(pixels.float() / 255, classes)], BALL, steps=2)
    assert np.array_equal(one.robust, other.robust)


def test_eps_0_is_clean_and_more_eps_is_less_robust(learnt) -> None:
    """RK-12."""
    network, images, classes = learnt
    counts = []
    for eps in (0, 2 / 255, 6 / 255, 10 / 255, 20 / 255):
        found = evaluate_pgd(network, [(images, classes)], Ball("linf", eps))
        counts.append(int(found.robust.sum()))
        assert eps or np.array_equal(found.clean, found.robust)
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 50 > counts[2] > counts[3] > counts[4] == 0


def test_restarts_and_steps_only_find_more(learnt) -> None:
    network, images, classes = learnt
    one = evaluate_pgd(network, [(images, classes)], BALL, steps=2)
    five = evaluate_pgd(network, [(images, classes)], BALL, steps=2, restarts=5)
    assert not (five.robust & ~one.robust).any()
    long = evaluate_pgd(network, [(images, classes)], BALL, steps=40, restarts=2)
    assert long.robust.sum() <= one.robust.sum()
    assert evaluate_pgd(network, [(images, classes)], Ball("l2", 0.2)).robust.any()


class Waves(nn.Module):
    """A loss with many hills, so that the last iterate often is not the worst."""

    def forward(self, logits):
        return (10 * logits).sin()


def test_the_worst_of_all_iterates_and_restarts_is_given() -> None:
    network, (images, _) = nn.Sequential(tiny(), Waves()).eval(), pictures(200)
    with torch.no_grad():
        classes = network(images).argmax(1)

    def losses(**how):
        found = attack(network, images, classes, Ball("linf", 4 / 255), step_size=6 / 255, **how)
        with torch.no_grad():
            logits = network(found)
        right = logits.argmax(1) == classes
        return nn.functional.cross_entropy(logits, classes, reduction="none"), right

    by_steps = [losses(steps=n) for n in (1, 2, 4)]
    by_starts = [losses(steps=1, restarts=n) for n in (1, 4)]
    for fewer, more in (*pairwise(by_steps), *pairwise(by_starts)):
        right = fewer[1] & more[1]
        assert right.sum() > 5
        assert (more[0][right] >= fewer[0][right] - 1e-6).all()
        assert (more[0][right] > fewer[0][right] + 1e-6).any()


def test_who_is_wrong_already_is_not_attacked(learnt) -> None:
    """A whole batch of them works too, and one image, and none (RK-11)."""
    network, images, classes = learnt
    wrong = (network(images).argmax(1) + 1) % 5
    with Gradients() as seen:
        found = evaluate_pgd(network, batches(images, wrong, 32), BALL)
    assert seen.convolutions == 0
    assert not found.clean.any()
    assert not found.robust.any()
    assert len(evaluate_pgd(network, batches(images[:1], classes[:1], 1), BALL).robust) == 1
    assert len(evaluate_pgd(network, [], BALL).clean) == 0
    assert attack(network, images[:0], classes[:0], BALL).shape == (0, 3, 12, 12)
    assert attack(network, images, wrong, BALL).shape == images.shape


def test_a_training_mode_is_refused(learnt) -> None:
    """RK-10, also of one layer deep inside and behind a wrapper."""
    network, images, classes = learnt
    network.body[1].train()
    try:
        for one in (network, torch.compile(network, backend="eager")):
            with pytest.raises(ConfigError, match="training mode") as told:
                evaluate_pgd(one, [(images, classes)], BALL)
            assert "eval()" in told.value.hint
        with pytest.raises(ConfigError, match="training mode"):
            attack(network, images, classes, BALL)
    finally:
        network.eval()


def test_other_colours_are_refused_by_the_number_of_the_image(learnt) -> None:
    """RK-03, RK-05."""
    network, images, classes = learnt
    for value in (1.001, -0.001, 255.0, math.nan, math.inf):
        bad = images.clone()
        bad[20, 1, 2, 3] = value
        with pytest.raises(DatasetError, match=r"of image 20 lie between .* not between 0 and 1"):
            evaluate_pgd(network, batches(bad, classes, 16), BALL, steps=1)
        with pytest.raises(DatasetError, match="of image 20"):
            attack(network, bad, classes, BALL, steps=1)
    with pytest.raises(ConfigError, match="integer colours"):
        attack(network, (images * 255).byte(), classes, BALL)
    near = images.clone()
    near[0, 0, 0, 0] = 1 + 5e-7  # rounding
    found = attack(network, near, classes, BALL, steps=1)
    assert found.max() <= 1


def test_classes_and_numbers_that_make_no_sense(learnt) -> None:
    network, images, classes = learnt
    with pytest.raises(DatasetError, match="class 5 is asked of a network of 5 classes"):
        evaluate_pgd(network, [(images, classes.clamp(max=0) + 5)], BALL)
    with pytest.raises(DatasetError, match="class 7"):
        attack(network, images, classes.clamp(min=4) + 3, BALL)
    with pytest.raises(ConfigError, match="60 images have 59 classes"):
        attack(network, images, classes[1:], BALL)
    for wrong in ({"steps": 0}, {"restarts": 0}):
        with pytest.raises(ConfigError, match="at least one step"):
            attack(network, images, classes, BALL, **wrong)


def test_a_damaged_network_is_no_robust_one() -> None:
    network, images, classes = trained()
    network.head.weight.data[0, 0] = math.nan
    with pytest.raises(PartlabError, match="logits of image 0 are not finite"):
        evaluate_pgd(network, [(images, classes)], BALL)


def test_steps_are_those_until_the_first_error(learnt) -> None:
    """And no forward pass is more than without them."""
    network, images, classes = learnt
    with torch.no_grad():
        right = network(images).argmax(1) == classes
    images, classes, seen = images[right], classes[right], []
    handle = network.register_forward_hook(lambda _, given, out: seen.append(out.detach()))
    try:
        found = search(network, images, classes, BALL, steps=6)
    finally:
        handle.remove()
    asked = [each.argmax(1) != classes for each in seen if len(each) == len(images)]
    assert len(asked) == 6 + 2  # the start, six steps, and the verdict on the worst
    errs, fooled = torch.stack(asked[:-1]), asked[-1]
    assert torch.equal(found.steps, torch.where(fooled, errs.int().argmax(0), -1))
    assert 0 < int(fooled.sum()) < len(images)
    assert len(found.steps[fooled].unique()) > 1


class Ripples(nn.Module):
    """Wrong in narrow stripes, so that a new start finds what an old one did not."""

    def forward(self, images):
        margin = 0.8 + (3e4 * images.mean((1, 2, 3))).cos()
        return torch.stack([margin, -margin], 1)


def test_steps_of_earlier_restarts_count() -> None:
    images = torch.full((40, 3, 4, 4), 0.5)
    given = {"steps": 2, "step_size": 1e-6}
    classes = torch.zeros(40, dtype=torch.long)
    alone = search(Ripples().eval(), images, classes, BALL, **given).steps
    found = search(Ripples().eval(), images, classes, BALL, **given, restarts=6).steps
    later = found[(alone < 0) & (found >= 0)]
    assert len(later) > 5
    assert int(later.min()) >= 2
    assert int(later.max()) <= 6 * 2
    assert torch.equal(found[alone >= 0], alone[alone >= 0])
