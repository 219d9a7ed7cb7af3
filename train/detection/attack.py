"""Attacks on a detector's losses, by PGD within ℓ∞ (G-05).

A_cls raises what the heads lose on classes, A_reg what they lose on boxes: on the loss of
training, against the true boxes, for the pictures as the detector sees them. As in Li et al.'s
released code the losses of proposals are left alone, there is no random start, and which regions
count is drawn anew in each step.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from partlab.errors import UnknownNameError
from segmenter.part_rcnn import Size, Targets
from train.attacks.ball import Ball
from train.attacks.modes import as_evaluated
from train.attacks.pgd import pgd
from train.detection.network import Detector, Losses

ATTACKS: Mapping[str, tuple[str, ...]] = {
    "cls": ("classifier",),
    "reg": ("box",),
    "cwa": ("classifier", "box"),
    "cls+rpn": ("classifier", "objectness"),
    "reg+rpn": ("box", "proposal_box"),
}
"""By name, the losses whose sum an attack raises; cls and reg are A_cls and A_reg of Table S5."""


def losses_attacked(name: str) -> tuple[str, ...]:
    """The losses that an attack raises.

    Raises:
        UnknownNameError: there is no such attack.
    """
    if name not in ATTACKS:
        raise UnknownNameError("attack on a detector", name, ATTACKS)
    return ATTACKS[name]


class Shown(NamedTuple):
    """Pictures (B, 3, H, W) in 0…1, their sizes without padding, and what they show."""

    images: Tensor
    sizes: list[Size]
    targets: Targets


class _Raised(nn.Module):
    """A detector as PGD knows networks: images in, what is to grow out."""

    def __init__(self, detector: Detector, shown: Shown, raised: tuple[str, ...]) -> None:
        super().__init__()
        self.detector, self.shown, self.raised = detector, shown, raised

    def forward(self, images: Tensor) -> Tensor:
        losses = self.detector(images, self.shown.sizes, self.shown.targets)
        return torch.stack([losses[name] for name in self.raised]).sum()


def attack(
    detector: Detector,
    shown: Shown,
    name: str,
    ball: Ball,
    *,
    steps: int = 10,
    step_size: float | None = None,
    seed: int = 0,
    first: int = 0,
) -> Tensor:
    """The pictures after PGD: (B, 3, H, W), in the ball and in 0…1; padding is as it was.

    `step_size` is ε / 4 unless given. The regions that count are drawn from (seed, first),
    `first` being the number of the batch's first picture; torch's generators are left alone.

    Raises:
        UnknownNameError: there is no such attack.
        PartlabError: a gradient is not finite (RK-05).
    """
    raised = _Raised(detector, shown, losses_attacked(name))
    with _drawn_from(shown.images.device, seed, first):
        found = pgd(
            raised,
            shown.images,
            lambda losses: losses,
            norm=ball.norm,
            eps=ball.eps,
            steps=steps,
            step_size=ball.eps / 4 if step_size is None else step_size,
            random_start=False,
            large_eps=ball.large_eps,
        )
    ball.verify(found, shown.images)
    return found


@torch.no_grad()
def losses_of(
    detector: Detector, shown: Shown, images: Tensor, *, seed: int = 0, first: int = 0
) -> Losses:
    """The losses of `images` in the place of those shown, in evaluation mode.

    For one (seed, first) the same lots are drawn, so that two pictures' losses compare.
    """
    with as_evaluated(detector), _drawn_from(images.device, seed, first):
        found: Losses = detector(images, shown.sizes, shown.targets)
    return found


@contextmanager
def _drawn_from(device: torch.device, seed: int, first: int) -> Iterator[None]:
    """Random numbers of (seed, first); afterwards torch's generators are as before."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence((seed, first)).generate_state(1)[0]))
        yield
