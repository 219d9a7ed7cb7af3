"""The average of the weights: timm's formula, buffers included, exact after a resume."""

import copy

import pytest
import torch
from attack_networks import pictures, tiny
from timm.utils import ModelEmaV2

from train.averages import Average


def training(network, averages, steps, seed=0):
    """Steps of SGD in training mode, so that BatchNorm's statistics move too."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2)
    for step in steps:
        images, classes = pictures(seed=seed + step)
        loss = torch.nn.functional.cross_entropy(network.train()(images), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for average in averages:
            average.update(network)


def test_it_is_timms_of_the_released_code() -> None:
    network = tiny()
    ours, theirs = Average(network, 0.9), ModelEmaV2(network, decay=0.9)
    training(network, [ours, theirs], range(7))
    found, wanted = ours.module.state_dict(), theirs.module.state_dict()
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-6)


def test_statistics_of_norms_are_averaged_and_counters_copied() -> None:
    """Trap G5, written out by hand."""
    network = tiny()
    average, key = Average(network, 0.8), "body.1.running_var"
    expected = network.state_dict()[key].clone()
    for step in range(4):
        training(network, [average], [step])
        expected = 0.8 * expected + 0.2 * network.state_dict()[key]
    found = average.module.state_dict()
    torch.testing.assert_close(found[key], expected)
    assert not torch.allclose(found[key], network.state_dict()[key])
    assert int(found["body.1.num_batches_tracked"]) == 4


@pytest.mark.parametrize("stop", [0, 1, 5])
def test_it_goes_on_exactly(stop, tmp_path) -> None:
    whole = tiny()
    average = Average(whole, 0.9)
    training(whole, [average], range(8))
    first = tiny()
    early = Average(first, 0.9)
    training(first, [early], range(stop))
    torch.save([first.state_dict(), early.state_dict()], tmp_path / "state.pt")
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    again = tiny(5)
    late = Average(again, 0.9)
    again.load_state_dict(weights)
    late.load_state_dict(state)
    training(again, [late], range(stop, 8))
    for a, b in zip(
        average.module.state_dict().values(), late.module.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


def test_the_network_itself_is_left_alone() -> None:
    network = tiny()
    before = copy.deepcopy(network.state_dict())
    average = Average(network, 0.5)
    assert not average.module.training
    assert network.training
    assert type(average.module) is type(network)
    assert not any(p.requires_grad for p in average.module.parameters())
    assert all(p.requires_grad for p in network.parameters())
    average.update(network)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_a_state_of_another_network_is_refused() -> None:
    average = Average(tiny(), 0.5)
    with pytest.raises(RuntimeError, match="size mismatch"):
        average.load_state_dict(Average(tiny(width=4), 0.5).state_dict())
