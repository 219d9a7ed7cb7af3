"""The compiled attack: the eager one's images, no weight gradients, compiled once."""

import pytest
import torch
from attack_networks import assert_same, cross_entropy, pictures, state_of_everything, tiny
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.utils import counters

from partlab.errors import BackendUnavailableError
from train.attacks import compiled
from train.attacks.compiled import compiled_ascent, functional_ascent, no_compiler
from train.attacks.pgd import ascent, pgd
from train.attacks.situation import Situation
from train.attacks.trades import divergence
from train.settings import AttackConfig

CONFIG = AttackConfig(eps=8 / 255, steps=3)


def situation(network, seed=1, how=ascent):
    images, classes = pictures(seed=seed)
    return Situation(network, network, images, classes, CONFIG, 0.0, 0.1, dict, ascent=how)


@pytest.fixture
def anew():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def seeded(step, *given):
    torch.manual_seed(9)
    return step.adversarial(*given)


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("amp", [False, True])
def test_it_equals_the_eager_attack_and_compiles_once(amp) -> None:
    network, fast = tiny(dropout=0.5), compiled_ascent("cpu", "aot_eager")
    before = state_of_everything(network)
    for seed in range(4):  # other images, classes and losses of the same kind each time
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            eager = seeded(situation(network, seed))
            found = seeded(situation(network, seed, fast))
        torch.testing.assert_close(found, eager, rtol=0, atol=1e-6)
    assert_same(state_of_everything(network), before)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    divergences = [divergence(torch.randn(6, 5)) for _ in range(3)]
    for each in divergences:
        found = seeded(situation(network, 1, fast), each)
        torch.testing.assert_close(found, seeded(situation(network), each), rtol=0, atol=1e-6)
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.usefixtures("anew")
def test_new_weights_are_seen_and_training_goes_on_beside_it() -> None:
    network, fast = tiny(), compiled_ascent("cpu", "aot_eager")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for seed in range(3):
        step = situation(network, seed, fast)
        moved = seeded(step)
        torch.testing.assert_close(moved, seeded(situation(network, seed)), rtol=0, atol=1e-6)
        optimizer.zero_grad()
        step.class_loss(network(moved)).mean().backward()
        assert network.body[0].weight.grad is not None
        optimizer.step()
    assert counters["stats"]["unique_graphs"] == 1


def looked_at(function):
    """`function` compiled, and what its graphs' backward convolutions give: weight gradients?"""
    found = []

    def look(graph, _inputs):
        for node in graph.graph.nodes:
            if node.target is torch.ops.aten.convolution_backward.default:
                found.append(bool(node.args[-1][1]))
        return graph

    backend = aot_autograd(fw_compiler=look, bw_compiler=look)
    return torch.compile(function, backend=backend), found


@pytest.mark.usefixtures("anew")
def test_its_graph_has_no_weight_gradients() -> None:
    network, (images, classes) = tiny().eval(), pictures()
    loss = cross_entropy(classes)
    step, masks = looked_at(functional_ascent)
    with torch.no_grad():
        step(network, images, loss)
    assert masks == [False, False]

    usual, masks = looked_at(lambda point: loss(network(point)).sum())
    point = images.clone().requires_grad_()
    torch.autograd.grad(usual(point), point)
    assert masks == [True, True]  # so one that compiles the forward pass alone pays for them


@pytest.mark.slow
@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("amp", [False, True])
def test_it_equals_the_eager_attack_with_the_real_compiler(amp) -> None:
    if reason := no_compiler("cpu"):
        pytest.skip(reason)
    network, fast = tiny(), compiled_ascent("cpu")
    for seed in range(3):
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            eager = seeded(situation(network, seed))
            found = seeded(situation(network, seed, fast))
        differ = ((found - eager).abs() > 1e-6).double().mean()
        assert differ < (0.05 if amp else 1e-3)  # where a slope is 0 but for rounding
    assert counters["stats"]["unique_graphs"] == 1


def test_without_a_compiler_it_is_told(monkeypatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/g++")
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/nowhere/g++",))
    compiled.compiled_ascent.cache_clear()
    with pytest.raises(BackendUnavailableError, match="nothing can be compiled for cpu") as told:
        compiled_ascent("cpu")
    assert "train.compile=false" in told.value.hint
    images, classes = pictures()
    pgd(tiny(), images, cross_entropy(classes), norm="l2", eps=0.1, steps=1, step_size=0.1)
