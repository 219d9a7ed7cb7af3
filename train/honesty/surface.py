"""The loss about an image, in two directions, for people to look at."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from train.attacks.modes import as_evaluated, attacked
from train.honesty.checks import by_chance, share
from train.honesty.finding import Finding
from train.honesty.trial import Trial
from train.honesty.watched import lenient_ascent, margin

SIDE, SHOWN = 11, 4
USELESS = 0.1
"""Share of images at which a gradient may be no better than a random step."""


def loss_surface(trial: Trial) -> dict[str, Any]:
    """Margins on a grid about the first few images: along the gradient's step, and a random one.

    The grid reaches from -ε to ε both ways, each direction of length ε in the ball's norm, and
    is clamped to the colours. `{"offsets": (SIDE,) in units of ε, "margins": (images, SIDE
    along the gradient, SIDE along the random step)}`. A smooth slope that falls along the
    gradient is what an honest model shows; steps, spikes or a plateau hide gradients.
    """
    images, labels = trial.images[:SHOWN], trial.labels[:SHOWN]
    steps = torch.stack(_steps(trial, images, labels), 1)
    offsets = torch.linspace(-1, 1, SIDE, device=images.device)
    places = torch.cartesian_prod(offsets, offsets).to(images.dtype)
    margins = []
    with as_evaluated(trial.network), torch.no_grad():
        for image, label, both in zip(images, labels, steps, strict=True):
            moved = image + torch.einsum("pd,dchw->pchw", places, both)
            found = margin(trial.network(moved.clamp(0, 1)), label.expand(len(places)))
            margins.append([round(float(v), 4) for v in found])
    grids = [[row[n * SIDE : (n + 1) * SIDE] for n in range(SIDE)] for row in margins]
    return {"offsets": [round(float(v), 4) for v in offsets], "margins": grids}


def gradient_helps(trial: Trial) -> Finding:
    """Share of images at which a random step lowers the margin as much as the gradient's.

    Steps of ε / 4, as an attack's. In thousands of dimensions a random step does next to
    nothing, and the gradient's beats it wherever it means anything. Not so where the loss bends
    within the step, which honest models do here and there: threshold `USELESS` of all images, and
    of those looked at what chance makes of it (`train.honesty.checks.by_chance`).
    """
    with as_evaluated(trial.network), torch.no_grad():
        along, aside = (
            margin(trial.network((trial.images + way / 4).clamp(0, 1)), trial.labels)
            for way in _steps(trial, trial.images, trial.labels)
        )
    useless = share(along >= aside)
    return Finding.of(
        "gradient_helps",
        useless,
        by_chance(USELESS, len(along)),
        "a step along the gradient does more harm than a random one",
        f"at {100 * useless:.0f} % of the images a random step harms as much as one along "
        "the gradient: it says nothing of the loss about them",
    )


def _steps(trial: Trial, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Steps of length ε: along the gradient of the cross-entropy, and a random one."""
    with attacked(trial.network):
        gradient, _ = lenient_ascent(
            trial.network, images, lambda z: F.cross_entropy(z, labels, reduction="none")
        )
    generator = torch.Generator(images.device).manual_seed(trial.seed)
    noise = torch.empty_like(images).normal_(generator=generator)
    nowhere = torch.zeros_like(images)
    first, second = (trial.ball.step(nowhere, way, trial.ball.eps) for way in (gradient, noise))
    return first, second
