"""What a training method gets to see of one step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from train.attacks.pgd import Ascent, Loss, ascent, pgd, step_size
from train.settings import AttackConfig

Objective = Callable[[Any], dict[str, Tensor]]
"""`Outputs` for the step's images -> the training losses by name."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One step of training.

    `network` is what is attacked, bare; `model` is what is trained, `network` or its wrapper of
    several processes, called as `model(images, parts=True)`. `objective` is the training loss
    L of outputs for `images`, by name ("class", "part"). `state` is what the method keeps
    between steps (`train.attacks.methods.state_of`), `ascent` how gradients are calculated.
    """

    network: nn.Module
    model: nn.Module
    images: Tensor  # (B, 3, H, W) float in [0, 1]
    classes: Tensor  # (B,) integer
    config: AttackConfig
    progress: float  # epochs done
    smoothing: float  # of the class, in the attack as in training
    objective: Objective
    state: Any = None
    ascent: Ascent = ascent

    def class_loss(self, logits: Tensor) -> Tensor:
        """The loss that attacks raise: (B,) smoothed cross-entropy of the class alone (L-04)."""
        return F.cross_entropy(
            logits, self.classes, label_smoothing=self.smoothing, reduction="none"
        )

    def adversarial(self, loss: Loss | None = None, start: Tensor | None = None) -> Tensor:
        """The step's images attacked as its settings say, by PGD on the class loss or `loss`."""
        return pgd(
            self.network,
            self.images,
            loss or self.class_loss,
            norm=self.config.norm,
            eps=self.config.eps,
            steps=self.config.steps,
            step_size=step_size(self.config, self.progress),
            random_start=self.config.random_start,
            best=self.config.best,
            start=start,
            large_eps=self.config.large_eps,
            ascent=self.ascent,
        )

    def outputs(self, images: Tensor) -> Any:
        """What the model makes of `images`, parts included, with gradients for its weights."""
        return self.model(images, parts=True)
