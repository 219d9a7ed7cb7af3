"""Checks of the input gradient itself."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.attacks.modes import as_evaluated, attacked, bare
from train.honesty.checks import few, share
from train.honesty.finding import Finding
from train.honesty.trial import Trial
from train.honesty.watched import lenient_ascent, margin

VANISHED = 1e8
"""Times the smallest number that a type holds in full (float32: 1e-38): where the largest part of
a gradient is less, digits were lost on the way through layers that differ by powers of ten."""
DIRECTIONS, IMAGES = 8, 16


def zero_gradients(trial: Trial) -> Finding:
    """Share of images of whose cross-entropy the gradient is 0, or next to (`VANISHED`).

    Rounding, clipping, thresholds, saturation and confidence beyond what float32 can tell all
    show here. Networks of smooth or rectified units have none. Threshold: `few`, since PGD on
    cross-entropy fails on as many images.
    """
    found = _vanished(trial.network, trial.images, trial.labels)
    double = _in_double(trial)
    exact = "" if double is None else f", and in float64 of {100 * double:.0f} %"
    vanished = share(found)
    return Finding.of(
        "zero_gradients",
        vanished,
        few(len(found)),
        f"the loss has a gradient at {100 * (1 - vanished):.0f} % of the images",
        f"the loss has no gradient at {100 * vanished:.0f} % of the images{exact}: PGD cannot move "
        "there; attack the logits before what hides it, or without gradients",
    )


def _vanished(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with attacked(network):
        gradient, _ = lenient_ascent(
            network, images, lambda z: F.cross_entropy(z, labels, reduction="none")
        )
    most: Tensor = gradient.abs().flatten(1).amax(1)
    return most <= VANISHED * torch.finfo(most.dtype).tiny


def _in_double(trial: Trial) -> float | None:
    """The same share where the network is computed in float64; None if it cannot be."""
    try:
        double = deepcopy(bare(trial.network)).double()
        return share(_vanished(double, trial.images.double(), trial.labels))
    except (RuntimeError, TypeError):
        return None


def finite_differences(trial: Trial) -> Finding:
    """How far slopes measured from logits alone are from what the gradient says, at the median.

    The margin is measured on both sides of an image in random directions; slope by slope,
    |measured - told| over the larger of the two, over `DIRECTIONS` of each of `IMAGES`. An exact
    gradient is off by 1e-6 in float64 and by 1e-2 in float32; threshold 0.1, which a detached
    branch or a stand-in gradient exceeds, mostly with 1.
    """
    images, labels = trial.images[:IMAGES], trial.labels[:IMAGES]
    network, images = _precise(trial.network, images)
    step = 1e-5 if images.dtype == torch.float64 else 3e-2
    with attacked(network):
        gradient, _ = lenient_ascent(network, images, lambda z: margin(z, labels))
    told, seen = _slopes(network, images, labels, gradient, step)
    size = torch.maximum(*(torch.linalg.vector_norm(each, dim=1) for each in (seen, told)))
    off = torch.linalg.vector_norm(seen - told, dim=1) / size.clamp(min=1e-12)
    error = float(off.median())
    return Finding.of(
        "finite_differences",
        error,
        0.1,
        "slopes measured from logits are what the gradient says",
        f"slopes measured from logits are off the gradient by {error:.2g} of their size: it is not "
        "the gradient of what the model computes (a detached or non-differentiable stage?)",
    )


def _slopes(
    network: nn.Module, images: Tensor, labels: Tensor, gradient: Tensor, step: float
) -> tuple[Tensor, Tensor]:
    """Slopes of the margin by gradient and by differences, (B, DIRECTIONS) each."""
    generator = torch.Generator(images.device).manual_seed(0)
    told, seen = [], []
    for _ in range(DIRECTIONS):
        way = torch.empty_like(images).normal_(generator=generator)
        way /= torch.linalg.vector_norm(way.flatten(1), dim=1).view(-1, 1, 1, 1)
        with as_evaluated(network), torch.no_grad():
            up, down = (margin(network(images + s * way), labels) for s in (step, -step))
        told.append((gradient * way).flatten(1).sum(1))
        seen.append((up - down) / (2 * step))
    return torch.stack(told, 1), torch.stack(seen, 1)


def _precise(network: nn.Module, images: Tensor) -> tuple[nn.Module, Tensor]:
    """In float64 where the network can be computed so, and as it is otherwise."""
    try:
        double = deepcopy(bare(network)).double()
        with as_evaluated(double), torch.no_grad():
            wide = double(images[:2].double()).dtype == torch.float64
    except (RuntimeError, TypeError):
        wide = False
    return (double, images.double()) if wide else (network, images)
