"""What an attack may do to a picture: a ball of a norm about it, within the colours 0…1."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from partlab.errors import ConfigError, PartlabError
from train.settings import LARGE_EPS, of_colours

Norm = Literal["linf", "l2"]

TOLERANCE = 1e-6
"""What rounding may add to a distance."""


@dataclass(frozen=True, slots=True)
class Ball:
    """All pictures within `eps` of one; images are (B, …) float in [0, 1].

    Raises:
        ConfigError: an unknown norm, or an eps that is negative, not finite, or (under ℓ∞)
            0.2 or more without `large_eps` (RK-13).
    """

    norm: Norm
    eps: float
    large_eps: bool = False

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise ConfigError(f"unknown norm {self.norm!r}", hint="linf or l2")
        if not (self.eps >= 0 and math.isfinite(self.eps)):
            raise ConfigError(f"eps {self.eps:g} is no radius", hint="0 or more, e.g. 4/255")
        if self.norm == "linf" and self.eps >= LARGE_EPS and not self.large_eps:
            raise ConfigError(
                of_colours(self.eps),
                hint=f"{self.eps:g}/255? Else say large_eps=True",
            )

    def start(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A point drawn uniformly from the ball about each of `images`, then clamped."""
        if self.norm == "linf":
            noise = torch.empty_like(images).uniform_(-self.eps, self.eps, generator=generator)
        else:
            noise = _unit(torch.empty_like(images).normal_(generator=generator))
            share = torch.rand(len(images), generator=generator, device=images.device)
            radius = self.eps * share.double() ** (1 / max(images[0].numel(), 1))
            noise = noise * _wide(radius.to(images.dtype), images)
        return (images + noise).clamp_(0, 1)

    def step(self, point: Tensor, gradient: Tensor, size: float) -> Tensor:
        """`point` moved by `size` where the loss grows fastest, in the sense of the norm."""
        return point + size * (gradient.sign() if self.norm == "linf" else _unit(gradient))

    def project(self, point: Tensor, images: Tensor) -> Tensor:
        """The nearest of the ball about `images`, then clamped to 0…1."""
        if self.norm == "linf":
            low, high = (images - self.eps).clamp_(min=0), (images + self.eps).clamp_(max=1)
            return torch.clamp(point, low, high)
        away = point - images
        far = _length(away) > self.eps
        return torch.where(far, images + self.shrink(away), point).clamp_(0, 1)

    def shrink(self, away: Tensor) -> Tensor:
        """The nearest of the ball about 0."""
        if self.norm == "linf":
            return away.clamp(-self.eps, self.eps)
        length = _length(away)
        return away * (self.eps / length.clamp(min=self.eps)).where(length > self.eps, 1)

    def distance(self, point: Tensor, images: Tensor) -> Tensor:
        """How far each is from its image, in this norm: (B,) float64."""
        away = (point - images).double().flatten(1)
        order = math.inf if self.norm == "linf" else 2
        length: Tensor = torch.linalg.vector_norm(away, ord=order, dim=1)
        return length

    def verify(self, point: Tensor, images: Tensor) -> None:
        """See that each is where it may be (RK-05).

        Raises:
            PartlabError: one is not finite, outside the ball or outside 0…1.
        """
        if not len(point):
            return
        slack = TOLERANCE * max(self.eps, 1)
        away, (low, high) = self.distance(point, images), torch.aminmax(point)
        inside = bool((away <= self.eps + slack).all()) and float(low) >= 0 and float(high) <= 1
        if not inside:  # NaN is not inside either
            raise PartlabError(
                f"an attack left its ball of {self.norm} {self.eps:g}: the farthest is at "
                f"{float(away.max()):g}, colours from {float(low):g} to {float(high):g}",
                hint="the gradients are not finite, or this is a fault of partlab",
            )


def _wide(each: Tensor, images: Tensor) -> Tensor:
    return each.view(-1, *[1] * (images.ndim - 1))


def _length(away: Tensor) -> Tensor:
    """(B, 1, …): Euclidean lengths."""
    each = tuple(range(1, away.ndim))
    length: Tensor = torch.linalg.vector_norm(away, dim=each, keepdim=True)
    return length


def _unit(gradient: Tensor) -> Tensor:
    """Each of length 1; 0 stays 0. Scaled first, since squares of small numbers vanish."""
    most = gradient.abs().amax(tuple(range(1, gradient.ndim)), keepdim=True)
    scaled = gradient / torch.where(most == 0, 1, most)
    length = _length(scaled)
    return scaled / torch.where(length == 0, 1, length)
