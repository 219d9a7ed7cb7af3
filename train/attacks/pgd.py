"""Projected gradient descent (Madry et al., 2018), which everything else here builds on.

It attacks what `loss` makes of the logits and nothing else (L-04). Images do not influence one
another: BatchNorm uses its running statistics.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from partlab.errors import ConfigError
from train.attacks.ball import Ball, Norm
from train.attacks.modes import attacked
from train.settings import AttackConfig

Loss = Callable[[Tensor], Tensor]
"""Logits (B, C) -> what is to grow, (B,) or a scalar."""

Best = Literal["last", "batch", "image"]
"""Which iterate is kept: the last; the one with the highest mean loss over the batch, as the
released code does; or for each image its own worst."""


def ascent(network: nn.Module, point: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Gradient of the summed loss with respect to the images alone, and the losses.

    Only what the gradient passes through is calculated: no gradient of any weight (D4.1).
    """
    point = point.detach().requires_grad_()
    losses = loss(network(point))
    (gradient,) = torch.autograd.grad(losses.sum(), point)
    return gradient, losses.detach()


Ascent = Callable[[nn.Module, Tensor, Loss], tuple[Tensor, Tensor]]
"""Something like `ascent`: `train.attacks.compiled` has another."""


def pgd(
    network: nn.Module,
    images: Tensor,
    loss: Loss,
    *,
    norm: Norm,
    eps: float,
    steps: int,
    step_size: float,
    random_start: bool = True,
    best: Best = "last",
    start: Tensor | None = None,
    large_eps: bool = False,
    ascent: Ascent = ascent,
) -> Tensor:
    """Images in the ball about `images` for which the network's loss is high.

    Args:
        network: bare; called as `network(images)` for logits, in evaluation mode. Its modes,
            BatchNorm statistics and gradients are afterwards as before.
        images: (B, 3, H, W) in [0, 1]. Its memory format is kept; halves become float32.
        step_size: of one step, in units of `norm`; 0 gives the start alone.
        random_start: drawn from torch's global generator, the only thing that is.
        best: needs one more forward pass unless "last".
        start: where to begin instead; what is outside the ball is projected first.

    Returns:
        (B, 3, H, W), detached. A NaN in an image or a gradient stays one there, so that the
        training loss shows it; evaluation (`train.attacks.evaluation`) refuses it.
    """
    ball = Ball(norm, eps, large_eps)
    with attacked(network):
        clean = plain(images)
        if eps == 0 or not len(images):
            return clean
        point, worst = _start(ball, clean, start, random_start), _Worst(best)
        for _ in range(steps if step_size else 0):
            gradient, losses = ascent(network, point, loss)
            worst.see(point, losses)
            point = ball.project(ball.step(point, gradient, step_size), clean)
        if best == "last":
            return point
        with torch.no_grad():
            worst.see(point, loss(network(point)))
        return worst.point


def plain(images: Tensor) -> Tensor:
    """`images` as what gradients can be taken of: float32 or wider, no inference tensor."""
    wide = images if images.dtype == torch.float64 else images.float()
    return wide.clone() if wide.is_inference() else wide.detach()


def _start(ball: Ball, clean: Tensor, start: Tensor | None, random_start: bool) -> Tensor:
    if start is not None:
        return ball.project(plain(start), clean)
    return ball.start(clean) if random_start else clean


class _Worst:
    """The iterate with the highest loss so far; the earlier of equals, as the released code."""

    def __init__(self, best: Best) -> None:
        self.best = best
        self.point = torch.empty(0)
        self.losses: Tensor | None = None

    def see(self, point: Tensor, losses: Tensor) -> None:
        if self.best == "last":
            return
        if self.best == "batch":
            losses = losses.mean()
        elif losses.ndim != 1:
            raise ConfigError(
                "the worst of each image needs the loss of each image, not of the batch",
                hint="give a loss that returns (B,) values",
            )
        if self.losses is None:
            self.point, self.losses = point, losses
            return
        more = losses > self.losses
        self.point = torch.where(more.view(-1, *[1] * (point.ndim - 1)), point, self.point)
        self.losses = torch.where(more, losses, self.losses)


def step_size(config: AttackConfig, progress: float) -> float:
    """The step after `progress` epochs: 2 ε / t (T-01), or what the settings say."""
    full = config.step_size if config.step_size is not None else 2 * config.eps / config.steps
    return full * warmth(config, progress)


def warmth(config: AttackConfig, progress: float) -> float:
    """Share of the full step: min(whole epochs, W) / W with `warmup_epochs` W (E1).

    As the released code does: with W = 2 nothing in the first epoch, half in the second. Epochs
    count from where the attack begins.
    """
    if not config.warmup_epochs:
        return 1.0
    epoch = int(max(progress - config.clean_epochs, 0))
    return min(epoch, config.warmup_epochs) / config.warmup_epochs
