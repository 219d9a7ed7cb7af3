"""A network that remembers the worst inputs it was shown."""

from typing import Any

import torch
from torch import Tensor, nn

from train.attacks.ball import Ball
from train.attacks.pgd import Loss


class Watched(nn.Module):
    """Passes images on to `network`, and keeps the worst of each, whatever the attack aims at.

    The worst is the input with the least margin: the logit of the true class less the highest
    other (E-10: attacks on part maps are judged by the class). Every call must be with the same
    images in the same order.

    worst: (B, 3, H, W), the clean images to begin with.
    margins: (B,) float, of `worst`; not above 0 where the network errs.
    """

    def __init__(self, network: nn.Module, images: Tensor, labels: Tensor, **asked: Any) -> None:
        super().__init__()
        self.network, self.asked, self.labels = network, asked, labels
        self.worst = images.detach().clone()
        self.margins = torch.full(labels.shape, torch.inf, device=images.device)
        self.train(network.training)

    def forward(self, images: Tensor) -> Any:
        """What the network says of these."""
        said = self.network(images, **self.asked)
        with torch.no_grad():
            found = margin(said if isinstance(said, Tensor) else said.logits, self.labels)
            lower = found < self.margins
            self.worst[lower] = images.detach()[lower].to(self.worst.dtype)
            self.margins[lower] = found[lower]
        return said

    @property
    def right(self) -> Tensor:
        """(B,) bool: the network was right on everything it was shown about each image."""
        return self.margins > 0


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the true class less the highest other: (B,) float32 or wider, differentiable."""
    wide = logits if logits.dtype == torch.float64 else logits.float()
    true = wide.gather(1, labels[:, None])[:, 0]
    hidden = torch.zeros_like(wide, dtype=torch.bool).scatter_(1, labels[:, None], True)
    return true - wide.masked_fill(hidden, -torch.inf).amax(1)


def lenient_ascent(network: nn.Module, point: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """As `train.attacks.pgd.ascent`, but of what does not depend on the images it is 0."""
    point = point.detach().requires_grad_()
    losses = loss(network(point))
    if not losses.requires_grad:
        return torch.zeros_like(point), losses.detach()
    (gradient,) = torch.autograd.grad(
        losses.sum(), point, allow_unused=True, materialize_grads=True
    )
    return gradient, losses.detach()


def restart(images: Tensor, ball: Ball, seed: int) -> Tensor:
    """A point in the ball about each image, by `seed` alone."""
    return ball.start(images, torch.Generator(images.device).manual_seed(seed))
