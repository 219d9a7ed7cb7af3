"""TRADES (Zhang et al., 2019): accuracy and stability told apart."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from train.attacks.modes import attacked
from train.attacks.situation import Situation

START = 0.001
"""Deviation of the paper's start."""


def trades(situation: Situation) -> dict[str, Tensor]:
    """The objective on clean images, parts included, + β · KL(clean ‖ adversarial).

    The attack raises that divergence. Without `random_start` it begins at 0.001 · N(0, 1) about
    the image, as the paper's: at the image itself the slope is 0. In bf16 so near a start is lost
    in rounding. The model passes twice before the loop differentiates, so a wrapper for several
    processes needs `one_norm=False` (`Group.parallel`).
    """
    with attacked(situation.network), torch.no_grad():
        clean = situation.network(situation.images)
    near = None
    if not situation.config.random_start:
        near = situation.images + START * torch.randn_like(situation.images)
    moved = situation.adversarial(divergence(clean), start=near)
    outputs = situation.outputs(situation.images)
    robust = divergence(outputs.logits)(situation.model(moved)).mean()
    return {**situation.objective(outputs), "robust": situation.config.beta * robust}


def divergence(clean: Tensor) -> Callable[[Tensor], Tensor]:
    """KL(clean ‖ ·) of each image (B,), from logits (B, C)."""
    target = F.log_softmax(clean, 1)

    def loss(logits: Tensor) -> Tensor:
        found = F.log_softmax(logits, 1)
        return F.kl_div(found, target, reduction="none", log_target=True).sum(1)

    return loss
