"""What the honesty checks look at, and the attacks they all use."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.attacks.ball import Ball
from train.attacks.modes import as_evaluated
from train.attacks.pgd import pgd
from train.honesty.square import square
from train.honesty.watched import Watched, lenient_ascent, restart

STEPS = 20
"""Of the white-box attack: PGD on cross-entropy, as the robust figures themselves use."""
QUERIES = 100
"""Of the black-box attack, for each image."""


@dataclass(frozen=True)
class Trial:
    """A network and images on which it is right: images (B, 3, H, W) in 0…1, labels (B,)."""

    network: nn.Module
    images: Tensor
    labels: Tensor
    ball: Ball
    seed: int = 0
    _kept: dict[tuple[str, float], Tensor] = field(default_factory=dict, init=False, repr=False)

    def white_box(self, ball: Ball, steps: int) -> Tensor:
        """(B,) bool: still right on every iterate of PGD; steps of 2.5 ε / `steps`.

        One step is FGSM: of length ε from the image itself. More begin at a point of the ball.
        """
        watched = Watched(self.network, self.images, self.labels)
        found = pgd(
            watched,
            self.images,
            lambda logits: F.cross_entropy(logits.float(), self.labels, reduction="none"),
            norm=ball.norm,
            eps=ball.eps,
            steps=steps,
            step_size=ball.eps * min(1.0, 2.5 / steps),
            start=restart(self.images, ball, self.seed) if steps > 1 else self.images,
            large_eps=True,
            ascent=lenient_ascent,
        )
        with as_evaluated(self.network), torch.no_grad():
            watched(found)
        return watched.right

    def stands(self, factor: float) -> Tensor:
        """(B,) bool: still right under the white-box attack with `factor` times ε; kept."""
        if ("white", factor) not in self._kept:
            self._kept["white", factor] = self.white_box(self._times(factor), STEPS)
        return self._kept["white", factor]

    def stands_square(self, factor: float) -> Tensor:
        """(B,) bool: still right under the black-box attack with `factor` times ε; kept."""
        if ("black", factor) not in self._kept:
            ball = self._times(factor)
            given = {"queries": QUERIES, "seed": self.seed}
            found = square(self.network, self.images, self.labels, ball, **given)
            with as_evaluated(self.network), torch.no_grad():
                self._kept["black", factor] = self.network(found).argmax(1) == self.labels
        return self._kept["black", factor]

    def _times(self, factor: float) -> Ball:
        return Ball(self.ball.norm, self.ball.eps * factor, large_eps=True)
