"""How a network stands up to PGD: for validation and benchmarks, with the checks of an exam.

An image is robust if the network is right on it, and on the worst that was found about it. The
noise of an image comes from (seed, its position, the restart) alone, so neither the size of
batches nor the number of processes changes a verdict.
"""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from partlab.errors import ConfigError, DatasetError, PartlabError
from train.attacks.ball import Ball
from train.attacks.modes import bare
from train.attacks.pgd import pgd

SLACK = 1e-6
"""Colours may be this far outside 0…1, by rounding; they are clamped (RK-03)."""


class Verdicts(NamedTuple):
    """(n,) bool each, in the order of the images: right as they are, right also under attack."""

    clean: NDArray[np.bool_]
    robust: NDArray[np.bool_]


def evaluate_pgd(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    ball: Ball,
    *,
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    seed: int = 0,
    positions: Sequence[int] | None = None,
) -> Verdicts:
    """Which images the network is right on, and which it stays right on under PGD (E-08).

    Args:
        network: in evaluation mode.
        batches: images (B, 3, H, W), uint8 or float in [0, 1], and classes (B,); moved to the
            network's device.
        step_size: of one step; ε / 4 unless given.
        positions: of the images, in order, that decide their noise; 0, 1, … unless given.

    Raises:
        ConfigError: the network is in training mode, or a number makes no sense.
        DatasetError: colours outside 0…1 or not finite, or a class the network does not have.
        PartlabError: the network's logits are not finite.
    """
    here = next(network.parameters()).device
    clean, robust, seen = [], [], 0
    for given, classes in batches:
        images = _colours(given.to(here), seen)
        numbers = range(seen, seen + len(images))
        own = [positions[n] for n in numbers] if positions is not None else list(numbers)
        settings = _Settings(ball, steps, step_size, restarts, seed, seen)
        right, still = _judge(network, images, classes.to(here), own, settings)
        clean.append(right.cpu().numpy())
        robust.append(still.cpu().numpy())
        seen += len(images)
    nothing = [np.zeros(0, bool)]
    return Verdicts(np.concatenate(clean or nothing), np.concatenate(robust or nothing))


class Searched(NamedTuple):
    """What PGD found about each image.

    points: (B, 3, H, W), in the ball and in 0…1: the worst of each.
    steps: (B,) integers: steps until the network first erred, earlier restarts included; 0 is
        the random start itself. -1 where it does not err on the worst.
    """

    points: Tensor
    steps: Tensor


def attack(network: nn.Module, images: Tensor, classes: Tensor, ball: Ball, **how: Any) -> Tensor:
    """The points of `search`, with its arguments and errors."""
    return search(network, images, classes, ball, **how).points


def search(
    network: nn.Module,
    images: Tensor,
    classes: Tensor,
    ball: Ball,
    *,
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    seed: int = 0,
    positions: Sequence[int] | None = None,
) -> Searched:
    """The worst that PGD finds about each image, and after how many steps it erred.

    Images must be float. The first restart in which the network errs ends the search for that
    image; the image with the highest loss is the worst. Arguments and errors are those of
    `evaluate_pgd`.
    """
    if not images.is_floating_point():
        raise ConfigError("an attack was given integer colours", hint="images.float() / 255")
    images = _colours(images, 0)
    own = list(positions) if positions is not None else list(range(len(images)))
    settings = _Settings(ball, steps, step_size, restarts, seed, 0)
    _check(network, images, classes, settings)
    _logits(network, images[:1], classes, settings)  # tells of classes that there are not
    points, _, taken = _worst(network, images, classes, own, settings)
    return Searched(points, taken)


class _Settings(NamedTuple):
    ball: Ball
    steps: int
    step_size: float | None
    restarts: int
    seed: int
    first: int  # number of the batch's first image, to name one


def _judge(
    network: nn.Module, images: Tensor, classes: Tensor, positions: list[int], settings: _Settings
) -> tuple[Tensor, Tensor]:
    """Right, and still right under attack; who is wrong already needs no attack (RK-11)."""
    _check(network, images, classes, settings)
    right = _logits(network, images, classes, settings).argmax(1) == classes
    rest = right.nonzero().flatten()
    places = [positions[n] for n in rest.tolist()]
    _, fooled, _ = _worst(network, images[rest], classes[rest], places, settings)
    still = right.clone()
    still[rest] = ~fooled
    return right, still


def _worst(
    network: nn.Module, images: Tensor, classes: Tensor, positions: list[int], settings: _Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """The worst about each image, whether the network errs there, and after how many steps."""
    taken = torch.full_like(classes, -1, dtype=torch.long)
    worst, fooled = images.clone(), torch.zeros_like(classes, dtype=torch.bool)
    highest = torch.full(classes.shape, -torch.inf, device=images.device)
    for restart in range(settings.restarts):
        rest = (~fooled).nonzero().flatten()
        if not len(rest):
            break
        noise = [(settings.seed, positions[n], restart) for n in rest.tolist()]
        found, first = _attack_once(network, images[rest], classes[rest], noise, settings)
        logits = _logits(network, found, classes[rest], settings)
        errs = logits.argmax(1) != classes[rest]
        losses = F.cross_entropy(logits, classes[rest], reduction="none")
        more = errs | (losses > highest[rest])
        worst[rest[more]], highest[rest[more]] = found[more], losses[more]
        fooled[rest] = errs
        taken[rest] = torch.where(errs & (first >= 0), restart * settings.steps + first, -1)
    return worst, fooled, taken


def _attack_once(
    network: nn.Module,
    images: Tensor,
    classes: Tensor,
    noise: list[tuple[int, int, int]],
    settings: _Settings,
) -> tuple[Tensor, Tensor]:
    """The worst iterates, and the number of the first on which the network errs, or -1."""
    ball, first, seen = settings.ball, torch.full_like(classes, -1, dtype=torch.long), count()

    def loss(logits: Tensor) -> Tensor:  # PGD asks it of every iterate, in order
        errs = logits.detach().argmax(1) != classes
        first.copy_(torch.where(errs & (first < 0), next(seen), first))
        return F.cross_entropy(logits.float(), classes, reduction="none")

    found = pgd(
        network,
        images,
        loss,
        norm=ball.norm,
        eps=ball.eps,
        steps=settings.steps,
        step_size=ball.eps / 4 if settings.step_size is None else settings.step_size,
        start=_starts(ball, images, noise),
        best="image",
        large_eps=ball.large_eps,
    )
    ball.verify(found, images)
    return found, first


def _starts(ball: Ball, images: Tensor, noise: list[tuple[int, int, int]]) -> Tensor:
    generator = torch.Generator(images.device)
    starts = torch.empty_like(images)
    for place, words in enumerate(noise):
        state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
        generator.manual_seed(int(state))
        one = images[place : place + 1].contiguous()
        starts[place] = ball.start(one, generator)[0]
    return starts


def _logits(network: nn.Module, images: Tensor, classes: Tensor, settings: _Settings) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(images).float()
    if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < logits.shape[1]:
        raise DatasetError(
            f"class {int(classes.max())} is asked of a network of {logits.shape[1]} classes",
            hint="evaluate on the classes it was trained with",
        )
    if not bool(logits.isfinite().all()):
        bad = int((~logits.isfinite().all(1)).nonzero()[0])
        raise PartlabError(
            f"the network's logits of image {settings.first + bad} are not finite",
            hint="its weights are damaged, or its precision too low: try train.amp=off",
        )
    return logits


def _colours(images: Tensor, first: int) -> Tensor:
    """Floats in 0…1; what is outside by more than rounding, or not finite, is refused."""
    if not images.is_floating_point():
        return images.float() / 255
    images = images if images.dtype == torch.float64 else images.float()
    inside = (images >= -SLACK) & (images <= 1 + SLACK)  # NaN is not
    if not bool(inside.all()):
        bad = int((~inside.flatten(1).all(1)).nonzero()[0])
        low, high = (float(v) for v in torch.aminmax(images[bad]))
        raise DatasetError(
            f"colours of image {first + bad} lie between {low:g} and {high:g}, not between 0 and 1",
            hint="give colours in 0…1; the network normalises them itself",
        )
    return images.clamp(0, 1)


def _check(network: nn.Module, images: Tensor, classes: Tensor, settings: _Settings) -> None:
    if any(module.training for module in bare(network).modules()):
        raise ConfigError(
            "a network in training mode was to be evaluated",
            hint="network.eval(): BatchNorm would mix the images of a batch",
        )
    if len(images) != len(classes):
        raise ConfigError(f"{len(images)} images have {len(classes)} classes")
    if settings.steps < 1 or settings.restarts < 1:
        raise ConfigError("an attack needs at least one step and one restart")
