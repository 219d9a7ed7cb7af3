"""Small networks to be attacked, and a plain look at what an attack does to them."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

CLASSES, PARTS = 5, 3


class Outputs(NamedTuple):
    logits: Tensor
    parts: tuple[Tensor, ...]


class Tiny(nn.Module):
    """Two convolutions with BatchNorm and GELU, a class layer and a part layer."""

    def __init__(self, width: int = 6, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, 2, 1),
            nn.BatchNorm2d(width),
            nn.GELU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, CLASSES)
        self.part_head = nn.Conv2d(width, PARTS + 1, 1)

    def forward(self, images: Tensor, *, parts: bool = False) -> Any:
        maps = self.body(images)
        logits = self.head(self.dropout(maps.mean((2, 3))))
        return Outputs(logits, (self.part_head(maps),)) if parts else logits

    def new_parameters(self) -> list[nn.Parameter]:
        return [*self.head.parameters(), *self.part_head.parameters()]


def tiny(seed: int = 0, **options: Any) -> Tiny:
    """With BatchNorm statistics that are not those of a batch, in training mode."""
    torch.manual_seed(seed)
    network = Tiny(**options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.05, 0.4)
    for weight in network.head.parameters():  # logits that differ
        weight.data.mul_(6)
    return network


def pictures(count: int = 6, side: int = 12, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, side, side, generator=generator)
    return images, torch.randint(CLASSES, (count,), generator=generator)


def cross_entropy(classes: Tensor) -> Any:
    return lambda logits: F.cross_entropy(logits, classes, reduction="none")


def state_of_everything(network: nn.Module) -> dict[str, Any]:
    """All that an attack must leave as it was."""
    return {
        "weights": {k: v.clone() for k, v in network.state_dict().items()},
        "modes": [module.training for module in network.modules()],
        "wanted": [p.requires_grad for p in network.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in network.parameters()],
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["modes"] == other["modes"]
    assert one["wanted"] == other["wanted"]
    torch.testing.assert_close(one["weights"], other["weights"], rtol=0, atol=0)
    for a, b in zip(one["grads"], other["grads"], strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


class Gradients(TorchDispatchMode):
    """Counts backward convolutions, and those of them that are asked for a weight's gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = self.weights = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is torch.ops.aten.convolution_backward.default:
            self.convolutions += 1
            self.weights += bool(args[-1][1])
        return func(*args, **(kwargs or {}))
