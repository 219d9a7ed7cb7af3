"""What a step of adversarial training costs, counted and not timed (robustness notes, D1).

On the meta device: shapes only, so ResNet-50 at 224 pixels takes no arithmetic.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from train.attacks import methods
from train.attacks.situation import Situation
from train.losses import Objective
from train.models.base import Recognizer
from train.models.build import create_model
from train.settings import AttackConfig, PartConfig

CLASSES, PARTS, SIZE = 1000, 3310, 224
CONVOLUTIONS = 53  # of ResNet-50


def model(kind: str) -> Recognizer:
    with torch.device("meta"):
        return create_model(f"{kind}_resnet50", classes=CLASSES, parts=PARTS).train()


def situation(network: Recognizer) -> Situation:
    """One picture, PGD with two steps at 4/255, and the whole training loss."""
    side, where = SIZE // network.finest_stride, {"device": "meta"}
    objective = Objective(
        classes=torch.zeros(1, dtype=torch.long, **where),
        labels=torch.zeros(1, side, side, dtype=torch.int32, **where),
        sources=torch.zeros(1, dtype=torch.uint8, **where),
        config=PartConfig(),
        smoothing=0.1,
        n_parts=PARTS,
        n_classes=CLASSES,
    )
    return Situation(
        network=network,
        model=network,
        images=torch.zeros(1, 3, SIZE, SIZE, **where),
        classes=objective.classes,
        config=AttackConfig(steps=2),
        progress=0.0,
        smoothing=0.1,
        objective=objective,
        state=None,
    )


def step(network: Recognizer) -> None:
    losses = methods.losses(situation(network))
    torch.stack(list(losses.values())).sum().backward()


class Gradients(TorchDispatchMode):
    """How many convolutions gave a gradient of their input, and of their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = self.weights = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            mask = args[10]
            self.inputs += mask[0]
            self.weights += mask[1]
        return func(*args, **(kwargs or {}))


class Largest(TorchDispatchMode):
    """The operations that made storage for at least so many elements."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.made: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_storage(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        result = func(*args, **(kwargs or {}))
        large = isinstance(result, Tensor) and result.numel() >= self.size
        if large and _storage(result) not in given:
            self.made.append(str(func))
        return result


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class Flops(TorchDispatchMode):
    """Of convolutions and matrix products; a multiply-add is two.

    Not torch's `FlopCounterMode`: it cannot stand `autograd.grad` within a module, and takes the
    weight gradient of a depthwise convolution for that of a dense one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            self.total += convolution(result, args[1])
        elif func is torch.ops.aten.convolution_backward.default:
            self.total += convolution(args[0], args[2]) * sum(args[10][:2])
        elif formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def convolution(output: Tensor, weight: Tensor) -> int:
    batch, _, height, width = output.shape
    return 2 * batch * height * width * weight.numel()


@pytest.mark.parametrize(("kind", "expected"), [("vanilla", 57.0), ("mpm", 61.5)])
def test_a_pgd_2_step_of_resnet_50(kind: str, expected: float) -> None:
    """Two attack steps of forward + input gradients, and one whole training step."""
    network = model(kind)
    with Flops() as counted:
        step(network)
    assert counted.total / 1e9 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kind", ["vanilla", "mpm"])
def test_the_attack_calculates_no_gradient_of_a_weight(kind: str) -> None:
    network = model(kind)
    with Gradients() as seen:
        situation(network).adversarial()
    assert (seen.inputs, seen.weights) == (2 * CONVOLUTIONS, 0)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_every_weight_learns_once_in_a_step() -> None:
    network = model("vanilla")
    with Gradients() as seen:
        step(network)
    assert (seen.inputs, seen.weights) == (3 * CONVOLUTIONS - 1, CONVOLUTIONS)


def test_no_dense_targets_in_a_step() -> None:
    """Of the size of the part logits at 28 x 28 there are only these and their gradient."""
    network = model("mpm")
    with Largest((PARTS + 1) * (SIZE // network.finest_stride) ** 2) as seen:
        step(network)
    assert len(seen.made) == 2, seen.made
    assert "convolution" in seen.made[0]
    assert "empty" in seen.made[1]
