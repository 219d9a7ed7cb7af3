"""Square attack (Andriushchenko et al., 2020): asks for logits only, no gradient."""

import torch
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from partlab.errors import ConfigError
from train.attacks.ball import Ball
from train.attacks.modes import as_evaluated

_NORMS = {"linf": "Linf", "l2": "L2"}


def square(
    network: nn.Module, images: Tensor, labels: Tensor, ball: Ball, *, queries: int, seed: int = 0
) -> Tensor:
    """pyautoattack's Square attack as AutoAttack sets it, with fewer queries.

    Torch's generators are afterwards as before; the network is asked in evaluation mode.

    Args:
        images: (B, 3, H, W) float in [0, 1], of at least 5 x 5 pixels.
        labels: (B,) integers.
        queries: at most, for each image; one that errs is asked no further.

    Returns:
        (B, 3, H, W): what the network errs on, or the image itself where nothing was found.

    Raises:
        ConfigError: images too small for it.
    """
    _fits(images.shape[2], images.shape[3], ball)

    def predict(asked: Tensor) -> Tensor:
        logits: Tensor = network(asked)
        return logits.float().clone()  # it writes into them

    attack = SquareAttack(
        predict,
        norm=_NORMS[ball.norm],
        n_queries=queries,
        eps=ball.eps,
        seed=seed,
        device=images.device,
    )
    devices = [images.device] if images.device.type == "cuda" else []
    with as_evaluated(network), torch.no_grad(), torch.random.fork_rng(devices):
        found: Tensor = attack.perturb(images.contiguous(), labels)
    found = ball.project(found, images)
    ball.verify(found, images)
    return found


def _fits(height: int, width: int, ball: Ball) -> None:
    """Its ℓ2 form begins with a grid of squares that leaves some pictures under 25 pixels."""
    side = height // 5
    first = (height - 5 * side) // 2
    if not side or (
        ball.norm == "l2" and min(height, width) - first < max(height, width) // side * side
    ):
        raise ConfigError(
            f"the Square attack under {ball.norm} does not work on {height} x {width} pixels",
            hint="use square pictures of 25 pixels or more",
        )
