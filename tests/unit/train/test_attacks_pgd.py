"""PGD: what it may do to pictures, what it must leave alone, what it finds."""

import math

import pytest
import torch
from attack_networks import (
    Gradients,
    assert_same,
    cross_entropy,
    pictures,
    state_of_everything,
    tiny,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from partlab.errors import ConfigError, PartlabError
from train.attacks.ball import Ball
from train.attacks.modes import as_evaluated, bare
from train.attacks.pgd import pgd, step_size, warmth
from train.settings import AttackConfig

LINF = {"norm": "linf", "eps": 8 / 255, "steps": 3, "step_size": 4 / 255}
L2 = {"norm": "l2", "eps": 0.5, "steps": 3, "step_size": 0.25}
BOTH = pytest.mark.parametrize("how", [LINF, L2], ids=["linf", "l2"])


def losses_of(network, images, classes):
    with as_evaluated(network), torch.no_grad():
        return cross_entropy(classes)(network(images))


# What an attack leaves alone (trap G1)


@BOTH
@pytest.mark.parametrize("best", ["last", "batch", "image"])
def test_the_network_is_afterwards_as_before(how, best) -> None:
    network, (images, classes) = tiny(dropout=0.5), pictures()
    network.body[1].eval()  # a frozen norm stays frozen, the rest stays in training
    network.head.bias.requires_grad_(False)
    network.body[0].weight.grad = torch.ones_like(network.body[0].weight)
    before = state_of_everything(network)
    pgd(network, images, cross_entropy(classes), best=best, **how)
    assert_same(state_of_everything(network), before)


def test_it_is_so_after_an_error_too() -> None:
    network, (images, _) = tiny(), pictures()
    before = state_of_everything(network)
    with pytest.raises(ZeroDivisionError):
        pgd(network, images, lambda _: 1 / 0, **LINF)
    assert_same(state_of_everything(network), before)
    assert torch.is_autocast_cache_enabled()


@BOTH
def test_random_numbers_are_drawn_for_the_start_alone(how) -> None:
    network, (images, classes) = tiny(dropout=0.5), pictures()
    loss = cross_entropy(classes)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    pgd(network, images, loss, random_start=False, **how)
    assert torch.equal(torch.get_rng_state(), before)
    pgd(network, images, loss, **how)
    after = torch.get_rng_state()
    torch.manual_seed(3)
    Ball(how["norm"], how["eps"]).start(images)
    assert torch.equal(torch.get_rng_state(), after)


@BOTH
def test_the_same_seed_gives_the_same_images(how) -> None:
    network, (images, classes) = tiny(), pictures()
    found = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        found.append(pgd(network, images, cross_entropy(classes), **how))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_no_gradient_of_a_weight_is_calculated() -> None:
    network, (images, classes) = tiny(), pictures()
    with Gradients() as seen:
        pgd(network, images, cross_entropy(classes), **LINF)
    assert (seen.convolutions, seen.weights) == (2 * LINF["steps"], 0)
    with Gradients() as seen:  # the counter does count
        cross_entropy(classes)(network(images)).sum().backward()
    assert seen.weights == 2


def test_modes_are_those_of_the_raw_module() -> None:
    network = tiny()
    wrapped = torch.compile(network, backend="eager")
    assert bare(wrapped) is network
    with as_evaluated(wrapped):
        assert not any(module.training for module in network.modules())
    assert all(module.training for module in network.modules())


# Where the images may be


@BOTH
def test_images_do_not_influence_one_another(how) -> None:
    network, (images, classes) = tiny(), pictures()
    how = {**how, "random_start": False}
    together = pgd(network, images, cross_entropy(classes), **how)
    for n in range(len(images)):
        alone = pgd(network, images[n : n + 1], cross_entropy(classes[n : n + 1]), **how)
        torch.testing.assert_close(alone[0], together[n], rtol=0, atol=2e-5)
    mean = pgd(network, images, lambda z: nn.functional.cross_entropy(z, classes), **how)
    torch.testing.assert_close(mean, together, rtol=0, atol=2e-5)


@given(
    norm=st.sampled_from(["linf", "l2"]),
    count=st.integers(0, 3),
    height=st.integers(4, 9),
    width=st.integers(4, 9),
    eps=st.floats(0, 0.19),
    size=st.floats(0, 5),
    steps=st.integers(1, 3),
    best=st.sampled_from(["last", "batch", "image"]),
    random_start=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_ball_and_the_colours_hold(
    norm, count, height, width, eps, size, steps, best, random_start, seed
) -> None:
    network = tiny(seed)
    images = torch.rand(count, 3, height, width).round(decimals=1)  # 0 and 1 are among them
    classes = torch.randint(5, (count,))
    found = pgd(
        network,
        images,
        cross_entropy(classes),
        norm=norm,
        eps=eps,
        steps=steps,
        step_size=size * eps,
        random_start=random_start,
        best=best,
    )
    assert found.shape == images.shape
    assert not found.requires_grad
    Ball(norm, eps).verify(found, images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_eps_0_is_the_image_itself(norm) -> None:
    images, classes = pictures()
    found = pgd(tiny(), images, cross_entropy(classes), norm=norm, eps=0, steps=2, step_size=1)
    assert torch.equal(found, images)


def test_more_eps_more_loss() -> None:
    network, (images, classes) = tiny(), pictures(32)
    means = []
    for eps in (0, 1 / 255, 4 / 255, 16 / 255, 45 / 255):
        how = {"norm": "linf", "eps": eps, "steps": 10, "step_size": eps / 4}
        found = pgd(network, images, cross_entropy(classes), best="image", **how)
        means.append(losses_of(network, found, classes).mean())
    assert means == sorted(means)
    assert means[-1] > means[0] + 0.1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_start_is_uniform_in_the_ball(norm) -> None:
    grey = torch.full((4000, 3, 1, 1), 0.5)
    torch.manual_seed(0)
    away = Ball(norm, 0.1).distance(Ball(norm, 0.1).start(grey), grey)
    share = (away / 0.1) ** 3  # of the ball's volume within that distance: uniform in 0…1
    assert share.max() <= 1 + 1e-5
    for level in (0.1, 0.5, 0.9):
        assert abs(float((share < level).double().mean()) - level) < 0.03


# What it finds


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_linear_model_it_is_the_closed_form(norm) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2)).double()
    images = torch.full((5, 3, 4, 4), 0.5).double() + 0.2 * torch.randn(5, 3, 4, 4).clamp(-1, 1)
    classes = torch.tensor([0, 1, 0, 1, 1])
    eps = 0.05
    found = pgd(
        network,
        images,
        cross_entropy(classes),
        norm=norm,
        eps=eps,
        steps=50,
        step_size=eps / 4,
        random_start=True,
    )
    weight = network[1].weight
    up = (weight[1 - classes] - weight[classes]).view_as(images).detach()
    step = up.sign() if norm == "linf" else up / up.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, images + eps * step, rtol=0, atol=1e-6)


@BOTH
def test_it_equals_a_plain_loop(how) -> None:
    network, (images, classes) = tiny(), pictures()
    torch.manual_seed(7)
    found = pgd(network, images, cross_entropy(classes), **how)
    torch.manual_seed(7)
    x = Ball(how["norm"], how["eps"]).start(images)
    network.eval()
    for _ in range(how["steps"]):
        x = x.detach().requires_grad_()
        nn.functional.cross_entropy(network(x), classes).backward()
        with torch.no_grad():
            g = x.grad
            if how["norm"] == "linf":
                away = (x + how["step_size"] * g.sign() - images).clamp(-how["eps"], how["eps"])
            else:
                g = g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
                away = x + how["step_size"] * g - images
                length = away.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
                away = away * (how["eps"] / length).clamp(max=1)
            x = (images + away).clamp(0, 1)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5)


def released(network, images, loss, eps, size, steps):
    """`use_best` as in the released code: a whole batch is replaced where its mean is higher."""
    best_loss, best = None, None
    x = Ball("linf", eps).start(images)
    network.eval()
    for turn in range(steps + 1):
        x = x.detach().requires_grad_()
        value = loss(network(x)).mean()
        (g,) = torch.autograd.grad(value, x)
        if best_loss is None or best_loss < value:
            best_loss, best = value, x
        if turn < steps:
            x = (images + (x + size * g.sign() - images).clamp(-eps, eps)).clamp(0, 1)
    return best.detach()


def bumpy(logits):
    """A loss with many hills, so that the last iterate often is not the best."""
    return (25 * logits).sin().sum(1)


def test_the_best_of_the_batch_is_the_released_codes() -> None:
    """Trap G7."""
    how = {"norm": "linf", "eps": 0.15, "steps": 4, "step_size": 0.1}
    not_last = 0
    for seed in range(6):
        network, (images, _) = tiny(seed), pictures(seed=seed)
        found = {}
        for best in ("last", "batch", "image"):
            torch.manual_seed(seed)
            found[best] = pgd(network, images, bumpy, best=best, **how)
        torch.manual_seed(seed)
        expected = released(network, images, bumpy, 0.15, 0.1, 4)
        torch.testing.assert_close(found["batch"], expected, rtol=0, atol=1e-6)
        with torch.no_grad():
            losses = {best: bumpy(network.eval()(x)) for best, x in found.items()}
        assert losses["batch"].mean() >= losses["last"].mean()
        assert (losses["image"] >= torch.maximum(losses["batch"], losses["last"]) - 1e-6).all()
        not_last += not torch.equal(found["last"], found["batch"])
    assert not_last >= 2  # else this shows nothing


def test_the_worst_of_an_image_needs_its_loss() -> None:
    images, classes = pictures()
    with pytest.raises(ConfigError, match="loss of each image"):
        pgd(tiny(), images, lambda z: cross_entropy(classes)(z).mean(), best="image", **LINF)


# Precision, layout, surroundings


@BOTH
def test_in_bf16_the_perturbation_stays_float32(how) -> None:
    network, (images, classes) = tiny(), pictures()
    seen = set()
    network.body[0].register_forward_hook(lambda _m, _x, out: seen.add(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        found = pgd(network, images, cross_entropy(classes), **how)
        assert pgd(network, images.half(), cross_entropy(classes), **how).dtype == torch.float32
        assert torch.is_autocast_cache_enabled()
    assert seen == {torch.bfloat16}
    assert found.dtype == torch.float32
    Ball(how["norm"], how["eps"]).verify(found, images)


@pytest.mark.parametrize("best", ["last", "batch"])
def test_an_attack_before_starves_no_weight_of_its_gradient(best) -> None:
    network, (images, classes) = tiny(), pictures()
    with torch.autocast("cpu", torch.bfloat16):
        found = pgd(network, images, cross_entropy(classes), best=best, **LINF)
        loss = cross_entropy(classes)(network(found)).mean()
    loss.backward()
    missing = [n for n, p in network.named_parameters() if p.grad is None]
    assert missing == ["part_head.weight", "part_head.bias"]


@BOTH
def test_channels_last_is_kept(how) -> None:
    network, (images, classes) = tiny(), pictures()
    network = network.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    found = pgd(network, images, cross_entropy(classes), **how)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_it_finds_gradients_wherever_it_is_called(around) -> None:
    network, (images, classes) = tiny(), pictures()
    with around():
        inside = pgd(network, images.clone(), cross_entropy(classes), random_start=False, **LINF)
        assert not torch.is_grad_enabled()
    outside = pgd(network, images, cross_entropy(classes), random_start=False, **LINF)
    assert torch.equal(inside, outside)


@BOTH
def test_tiny_gradients_move_as_far_as_large_ones(how) -> None:
    """Squares of gradients below 1e-20 vanish in float32."""
    network, (images, classes) = tiny(), pictures()
    loss = cross_entropy(classes)
    how = {**how, "random_start": False}
    wanted = pgd(network.double(), images.double(), loss, **how)
    small = pgd(network.float(), images, lambda z: 1e-25 * loss(z), **how)
    torch.testing.assert_close(small.double(), wanted, rtol=0, atol=2e-5)


@BOTH
def test_no_gradient_no_step(how) -> None:
    network, (images, _) = tiny(), pictures()
    found = pgd(network, images, lambda z: 0 * z.sum(1), random_start=False, **how)
    assert torch.equal(found, images)


@BOTH
@pytest.mark.parametrize("best", ["last", "batch"])
def test_a_broken_image_is_not_mended_in_silence(how, best) -> None:
    """The training loop sees the NaN in the loss; the other images are attacked all the same."""
    network, (images, classes) = tiny(), pictures()
    images[2, 0, 3, 3] = math.nan
    found = pgd(network, images, cross_entropy(classes), best=best, **how)
    assert found[2].isnan().any()
    assert not found[[0, 1, 3]].isnan().any()
    assert losses_of(network, found, classes)[2].isnan()
    with pytest.raises(PartlabError, match="left its ball"):
        Ball(how["norm"], how["eps"]).verify(found, images)


# Settings


@pytest.mark.parametrize(("eps", "named"), [(4, "eps 4 is the whole range"), (-1, "no radius")])
def test_a_slip_in_eps_is_refused(eps, named) -> None:
    images, classes = pictures()
    with pytest.raises(ConfigError, match=named):
        pgd(tiny(), images, cross_entropy(classes), norm="linf", eps=eps, steps=1, step_size=1)


def test_a_large_ball_that_is_meant_is_none() -> None:
    assert Ball("l2", 3.0).eps == 3
    assert Ball("linf", 0.3, large_eps=True).eps == 0.3
    with pytest.raises(ConfigError, match="no radius"):
        Ball("l2", math.nan)
    with pytest.raises(ConfigError, match="unknown norm 'l1'"):
        Ball("l1", 1)  # type: ignore[arg-type]


def test_two_steps_are_of_eps() -> None:
    assert step_size(AttackConfig(eps=4 / 255, steps=2), 0) == pytest.approx(4 / 255)
    assert step_size(AttackConfig(eps=8 / 255, steps=10), 0) == pytest.approx(1.6 / 255)
    assert step_size(AttackConfig(step_size=0.01), 7) == 0.01


def test_the_step_warms_up_by_whole_epochs() -> None:
    """Trap G2: nothing at epoch 0, half at epoch 1, all from epoch 2."""
    config = AttackConfig(eps=4 / 255, steps=2, warmup_epochs=2)
    shares = [step_size(config, at) / config.eps for at in (0, 0.99, 1, 1.99, 2, 2.5, 50)]
    assert shares == pytest.approx([0, 0, 0.5, 0.5, 1, 1, 1])
    late = config.model_copy(update={"clean_epochs": 10})
    assert [warmth(late, at) for at in (3, 10, 10.9, 11, 12)] == [0, 0, 0, 0.5, 1]


def test_a_step_of_0_is_the_start_alone() -> None:
    network, (images, classes) = tiny(), pictures()
    torch.manual_seed(4)
    with Gradients() as seen:
        found = pgd(network, images, cross_entropy(classes), **{**LINF, "step_size": 0})
    torch.manual_seed(4)
    assert torch.equal(found, Ball("linf", LINF["eps"]).start(images))
    assert seen.convolutions == 0
