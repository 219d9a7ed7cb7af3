"""All honesty checks of a model, which come before any robust figure of it."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from partlab.errors import DatasetError, PartlabError
from train.attacks.ball import Ball
from train.attacks.modes import as_evaluated
from train.evaluate.threats import Threat
from train.honesty import checks, gradients, surface
from train.honesty.finding import Finding, Honesty
from train.honesty.trial import Trial

ALL = (
    checks.train_mode,
    checks.randomness,
    checks.batch,
    gradients.zero_gradients,
    gradients.finite_differences,
    surface.gradient_helps,
    checks.fgsm,
    checks.more_steps,
    checks.eps_monotone,
    checks.large_eps,
    checks.black_box,
)
"""In the order in which they are reported, the cheap ones first."""

ENOUGH = 20
"""Images on which the model is right: with fewer, one image is more than `checks.FEW`."""


def check_honesty(
    network: nn.Module, images: Tensor, labels: Tensor, ball: Ball, *, seed: int = 0
) -> Honesty:
    """Whether robust figures of this model can be believed, by `ALL` checks.

    They cost some 330 passes over the images it is right on, a third of them with gradients: 64
    images are about 21,000 single ones (`Honesty.forwards` counts). All images make one batch.
    Modes, statistics, gradients and torch's generators are afterwards as before.

    Args:
        network: what is attacked: (B, 3, H, W) in 0…1 to logits (B, C).
        images: float in 0…1, 64 or so, on the network's device.
        labels: (B,) integers.
        ball: with ε above 0.

    Raises:
        DatasetError: images and labels do not fit each other or the network.
        PartlabError: logits are not finite.
    """
    began, passes = time.perf_counter(), [0]
    handle = network.register_forward_hook(lambda _, given, __: _count(passes, given))
    try:
        right = _right(network, images, labels)
        trial = Trial(network, images[right], labels[right], ball, seed)
        found = [_enough(int(right.sum()), len(images))]
        drawn = None
        if found[0].ok:
            found += [_run(check, trial) for check in ALL]
            drawn = _drawn(trial)
    finally:
        handle.remove()
    return Honesty(
        Threat(ball.norm, ball.eps, large_eps=True).name,
        len(images),
        int(right.sum()),
        tuple(found),
        drawn,
        passes[0],
        round(time.perf_counter() - began, 3),
        seed,
    )


def _run(check: Callable[[Trial], Finding], trial: Trial) -> Finding:
    """A check that the model makes impossible is a finding, since it cannot speak for it."""
    try:
        return check(trial)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, PartlabError) as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Finding(check.__name__, False, None, 0.0, f"the check could not be run: {told}")


def _drawn(trial: Trial) -> dict[str, Any] | None:
    """The loss surface; None where no gradient can be asked for, which the findings tell."""
    try:
        return surface.loss_surface(trial)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError):
        return None


def _count(passes: list[int], given: tuple[Any, ...]) -> None:
    passes[0] += len(given[0])


def _right(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """(B,) bool: images on which the network is right."""
    if len(images) != len(labels):
        raise DatasetError(f"{len(images)} images have {len(labels)} labels")
    if not images.is_floating_point():
        raise DatasetError("honesty checks were given integer colours", hint="images.float() / 255")
    with as_evaluated(network), torch.no_grad():
        logits: Tensor = network(images).float()
    if not bool(logits.isfinite().all()):
        bad = int((~logits.isfinite().all(1)).nonzero()[0])
        raise PartlabError(
            f"the model's logits of image {bad} are not finite", hint="its weights are damaged"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise DatasetError(
            f"label {int(labels.max())} is asked of a model of {logits.shape[1]} classes",
            hint="evaluate on the classes it was trained with",
        )
    return logits.argmax(1) == labels


def _enough(right: int, images: int) -> Finding:
    return Finding(
        "enough_images",
        right >= ENOUGH,
        right,
        ENOUGH,
        f"the model is right on {right} of {images} images"
        + ("" if right >= ENOUGH else f": too few to check it on, {ENOUGH} are needed"),
    )
