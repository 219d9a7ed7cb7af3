"""One step of a recognition training, and what is told of it.

The loop itself (exact resume, precision, checkpoints, several processes) is
`partlab.training.loop`; what a step is attacked with, `train.attacks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from train.attacks import methods
from train.attacks.methods import State
from train.attacks.pgd import Ascent, ascent
from train.attacks.situation import Situation
from train.colours import jitter
from train.losses import Facts, Objective
from train.models.base import Recognizer
from train.samples import Batch
from train.settings import TrainConfig


@dataclass
class Trainer:
    """Gives the losses of a batch: `network` is attacked bare, `model` learns (G, D4.2)."""

    network: Recognizer
    model: nn.Module
    config: TrainConfig
    device: torch.device
    epoch_steps: int
    n_parts: int  # of the label maps, which call K + 1 ignored
    state: State | None = None  # what the method keeps between steps
    ascent: Ascent = ascent
    seen: Facts = field(default_factory=lambda: Facts({}), init=False)  # since asked last

    def step(self, batch: Batch, number: int) -> Mapping[str, Tensor]:
        """The losses by name, whose sum is differentiated (L-01)."""
        objective = self.objective(batch)
        self.network.expect(objective.asked, objective.known)
        situation = Situation(
            network=self.network,
            model=self.model,
            images=jitter(self.images(batch.pixels), self.config.data.jitter),
            classes=objective.classes,
            config=self.config.attack,
            progress=number / self.epoch_steps,
            smoothing=self.config.train.smoothing,
            objective=objective,
            state=self.state,
            ascent=self.ascent,
        )
        losses = methods.losses(situation)
        self.seen = self.seen + objective.seen
        return losses

    def images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 to floats in 0…1 on the device."""
        layout = torch.channels_last if self.config.train.channels_last else torch.contiguous_format
        moved = pixels.to(self.device, non_blocking=True)
        return moved.float().div_(255).contiguous(memory_format=layout)

    def objective(self, batch: Batch) -> Objective:
        """The training loss of this batch, as a function of a model's outputs."""
        labels, sources = (
            each.to(self.device, non_blocking=True) for each in (batch.labels, batch.sources)
        )
        return Objective(
            classes=batch.classes.to(self.device, non_blocking=True),
            labels=labels,
            sources=sources,
            config=self.config.part,
            smoothing=self.config.train.smoothing,
            n_parts=self.n_parts,
            n_classes=len(self.network.classes),
        )

    def facts(self) -> dict[str, float]:
        """Of the steps since the last call: accuracy, and part loss by label source (X-03)."""
        seen, self.seen = self.seen, Facts({})
        return seen.numbers()
