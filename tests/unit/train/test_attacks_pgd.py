"""PGD: what it may do to pictures, what it must leave alone."""

import torch
from torch import nn
from torch.nn import functional as F

from train.attacks.pgd import pgd


def test_smoke():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 3])
    for norm, eps in (("linf", 8 / 255), ("l2", 0.5)):
        for best in ("last", "batch", "image"):
            adv = pgd(
                net,
                x,
                lambda z: F.cross_entropy(z, y, reduction="none"),
                norm=norm,
                eps=eps,
                steps=3,
                step_size=eps / 2,
                best=best,
            )
            assert adv.shape == x.shape
