"""What moves the weights: which of them decay, how the rate goes."""

import math

import pytest
import torch
from attack_networks import pictures, tiny
from hypothesis import given
from hypothesis import strategies as st

from partlab.errors import ConfigError
from train.optimizers import make_optimizer, rate
from train.settings import OptimConfig


def learnt(network, optimizer):
    images, classes = pictures()
    out = network(images, parts=True)
    loss = torch.nn.functional.cross_entropy(out.logits, classes) + out.parts[0].square().mean()
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    loss.backward()
    optimizer.step()
    return {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_biases_and_norms_do_not_decay(kind) -> None:
    """Trap G3, seen from what happens without any gradient."""
    network = tiny()
    network.body[1].weight.data.fill_(2.0)
    config = OptimConfig(optimizer=kind, lr=0.5, weight_decay=0.1)
    optimizer = make_optimizer(network, config)
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        decayed = not torch.equal(parameter, before[name])
        assert decayed == (parameter.ndim > 1), name


def test_sgd_is_nesterovs() -> None:
    """Trap G3: w ← w - lr (g + m v) with v ← m v + g, against torch's plain formula."""
    network = tiny()
    config = OptimConfig(lr=0.1, momentum=0.9, weight_decay=0.01)
    optimizer = make_optimizer(network, config)
    weight = network.head.weight
    expected, velocity = weight.detach().clone(), 0.0
    for step in range(3):
        weight.grad = torch.full_like(weight, step + 1.0)
        gradient = weight.grad + 0.01 * expected
        velocity = 0.9 * velocity + gradient
        expected = expected - 0.1 * (gradient + 0.9 * velocity)
        optimizer.step()
    torch.testing.assert_close(weight.detach(), expected)
    plain = make_optimizer(tiny(), config.model_copy(update={"nesterov": False}))
    assert not plain.defaults["nesterov"]
    still = make_optimizer(tiny(), config.model_copy(update={"momentum": 0.0}))
    assert not still.defaults["nesterov"]  # torch refuses Nesterov without momentum


def test_everything_learns() -> None:
    network = tiny()
    assert learnt(network, make_optimizer(network, OptimConfig())) == {
        n for n, _ in network.named_parameters()
    }


def test_a_frozen_backbone_learns_nothing_but_still_counts() -> None:
    network = tiny()
    optimizer = make_optimizer(network, OptimConfig(frozen_backbone=True))
    seen = network.body[1].running_mean.clone()
    names = learnt(network, optimizer)
    assert names == {n for n, _ in network.named_parameters() if "head" in n}
    assert all(p.grad is None for p in network.body.parameters())  # clipping sees none of them
    assert not torch.equal(network.body[1].running_mean, seen)


def test_nothing_to_learn_is_told() -> None:
    with pytest.raises(ConfigError, match="no weight of this model can learn"):
        make_optimizer(tiny().requires_grad_(False), OptimConfig())


def rates(config, *, epochs, epoch_steps=50, batch_total=512, **more):
    total = epochs * epoch_steps
    return [
        rate(step, total, config, epoch_steps=epoch_steps, batch_total=batch_total, **more)
        for step in range(total + 1)
    ]


def test_the_rate_of_the_released_code() -> None:
    """E1: two epochs up from 1e-3, a cosine whose clock ran meanwhile, down to 1e-2 (trap G4)."""
    found = rates(OptimConfig(), epochs=80)
    assert found[0] == pytest.approx(1e-3)
    assert max(found) == pytest.approx(0.2, rel=1e-3)
    assert found.index(max(found)) == 99
    assert found[-1] == pytest.approx(1e-2)
    assert found[-2] == pytest.approx(1e-2, rel=1e-4)
    middle = 1e-2 + (0.2 - 1e-2) * (1 + math.cos(math.pi * 2000 / 4000)) / 2
    assert found[2000] == pytest.approx(middle)
    prefix = rates(OptimConfig(warmup_prefix=True), epochs=80)
    later = 1e-2 + (0.2 - 1e-2) * (1 + math.cos(math.pi * 1900 / 3900)) / 2
    assert prefix[2000] == pytest.approx(later)


def test_one_epoch_of_a_warm_up_of_two_climbs_half_way() -> None:
    """E2: the initialisation stage ends at about .1."""
    found = rates(OptimConfig(epochs=1), epochs=1)
    assert found[:-1] == sorted(found[:-1])
    assert found[49] == pytest.approx(0.1, abs=0.003)


@given(
    batch=st.integers(1, 4096),
    epochs=st.integers(1, 6),
    warmup=st.floats(0, 3),
    clean=st.integers(0, 6),
)
def test_rates_grow_with_the_batch_and_stay_within_bounds(batch, epochs, warmup, clean) -> None:
    config = OptimConfig(lr=0.3, min_lr=0.003, warmup_lr=0.001, warmup_epochs=warmup)
    found = rates(config, epochs=epochs, epoch_steps=5, batch_total=batch, clean_epochs=clean)
    scale = batch / 512
    assert all(0.001 * scale * 0.999 <= r <= 0.3 * scale * 1.001 for r in found)
    fixed = config.model_copy(update={"lr_batch": None})
    other = rates(fixed, epochs=epochs, epoch_steps=5, batch_total=batch, clean_epochs=clean)
    assert found == pytest.approx([r * scale for r in other])


def test_after_the_clean_epochs_all_begins_anew() -> None:
    """T-07: two trainings, each with its warm-up and its cosine."""
    config = OptimConfig(warmup_epochs=1)
    both = rates(config, epochs=10, clean_epochs=4)
    assert both[:200] == pytest.approx(rates(config, epochs=4)[:200])
    assert both[200:] == pytest.approx(rates(config, epochs=6))
    assert both[199] < 0.0101
    assert both[200] == pytest.approx(1e-3)
    assert rates(config, epochs=4, clean_epochs=4) == rates(config, epochs=4)


def test_a_floor_above_the_rate_is_told() -> None:
    with pytest.raises(ConfigError, match=r"min_lr 0\.01 is above train\.lr 0\.002") as told:
        rate(0, 10, OptimConfig(lr=2e-3), epoch_steps=5, batch_total=512)
    assert "train.min_lr=0.0001" in told.value.hint
