"""A network of 8 x 8 pictures that is worth attacking, trained in a second."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.evaluate.victim import Victim

COLOURS, SIDE = 3, 8


def pictures(classes: int, each: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy copies of one random picture a class: (classes * each, 3, 8, 8), and labels."""
    random = torch.Generator().manual_seed(seed)
    means = torch.rand(classes, COLOURS, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
    labels = torch.arange(classes).repeat(each)
    noise = 0.25 * torch.randn(len(labels), COLOURS, SIDE, SIDE, generator=random)
    return (means[labels] + noise).clamp(0, 1), labels


@cache
def network(classes: int = 10) -> nn.Module:
    """Convolutions, BatchNorm and GELU, 97 % right or so."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = nn.Sequential(
            nn.Conv2d(COLOURS, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(8 * 16, classes),
        )
        optimizer = torch.optim.AdamW(found.parameters(), 1e-2)
        for step in range(30):
            x, y = pictures(classes, 8, seed=step + 1)
            optimizer.zero_grad()
            F.cross_entropy(found(x), y).backward()
            optimizer.step()
    return found.eval()


def victim(classes: int = 10) -> Victim:
    return Victim(network(classes), [f"class{n:04d}" for n in range(classes)])
