"""What is measured after each epoch: accuracy, clean and under PGD, and the part outputs.

On pictures that training does not see, with the weights that are kept (the average, if there
is one). The best checkpoint is the one with the best PGD accuracy here (in standard training,
clean accuracy), so these figures flatter a little: report those of another split.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from partlab.training.amp import autocast
from partlab.training.loop import Score
from partlab.training.process import Group
from partlab.training.runs import read_metrics
from train.alarms import alarms
from train.attacks.ball import Ball
from train.attacks.evaluation import attack
from train.models.base import Recognizer
from train.pictures import Pictures
from train.samples import Batch, eval_batches
from train.trainer import Trainer

log = logging.getLogger(__name__)

Counts = dict[str, Tensor]
"""(found, out of) by name; `answers`: how often each class was said."""


@dataclass
class Validation:
    """Called by all processes at the end of an epoch; each attacks its share of the pictures.

    `network` is the one whose weights are kept.
    """

    network: Recognizer
    pictures: Pictures
    trainer: Trainer
    group: Group
    run: Path

    def __call__(self) -> Score | None:
        """The facts of all shares together, in the process that leads."""
        self.network.eval()
        counts: Counts = {}
        positions = self._positions()
        for batch in self._batches(positions):
            here, positions = positions[: len(batch.classes)], positions[len(batch.classes) :]
            with autocast(self.trainer.device, self.trainer.config.train.amp):
                _add(counts, self._measured(batch, torch.tensor(here)))
        shares = self.group.gather({name: count.cpu() for name, count in counts.items()})
        if not self.group.process.leads:
            return None
        total: Counts = {}
        for share in shares:
            _add(total, share)
        return self._score(total)

    def _positions(self) -> list[int]:
        """This process's share of the pictures, a random few if there is a limit."""
        order = list(np.random.default_rng(0).permutation(len(self.pictures)))
        limit = self.trainer.config.val.pictures or len(order)
        return self.group.process.share(sorted(int(at) for at in order[:limit]))

    def _batches(self, positions: list[int]) -> Iterator[Batch]:
        config = self.trainer.config
        side = config.data.size // self.network.finest_stride
        return eval_batches(self.pictures, config.data, side, config.val.batch_size, positions)

    def _measured(self, batch: Batch, positions: Tensor) -> Counts:
        images, objective = self.trainer.images(batch.pixels), self.trainer.objective(batch)
        self.network.expect(objective.asked, objective.known)
        with torch.no_grad():
            outputs = self.network(images, parts=True)
            objective(outputs)
            said = outputs.logits.argmax(1)
        counts = {f"val_{name}": torch.stack(pair) for name, pair in objective.seen.sums.items()}
        counts["val_clean"] = counts.pop("val_class_accuracy")
        right = said == objective.classes
        self.network.expect(objective.asked[right], objective.known[right])
        robust = self._robust(images[right], objective.classes[right], positions[right.cpu()])
        counts["val_pgd"] = torch.stack([robust, counts["val_clean"][1]])
        counts["answers"] = torch.bincount(said, minlength=len(self.network.classes))
        return counts

    def _robust(self, images: Tensor, classes: Tensor, positions: Tensor) -> Tensor:
        """How many of the images stay right under PGD with steps of ε / 4."""
        if not len(images):
            return torch.tensor(0)
        config = self.trainer.config
        ball = Ball(config.attack.norm, config.attack.eps, config.attack.large_eps)
        found = attack(
            self.network,
            images,
            classes,
            ball,
            steps=config.val.steps,
            seed=config.train.seed,
            positions=positions.tolist(),
        )
        with torch.no_grad():
            still: Tensor = self.network(found).argmax(1) == classes
        return still.sum()

    def _score(self, counts: Counts) -> Score:
        answers = counts.pop("answers")
        facts = {name: float(found / of) for name, (found, of) in counts.items() if of}
        facts["val_commonest"] = float(answers.max() / answers.sum())
        facts["val_pictures"] = float(answers.sum())
        for sentence in alarms([*_history(self.run), facts], self.trainer.config.attack):
            log.warning(sentence)
        words = f"validation {100 * facts['val_clean']:.1f}, under PGD {100 * facts['val_pgd']:.1f}"
        return Score(facts[self.trainer.config.chosen_by], facts, words)


def _add(total: Counts, more: Counts) -> None:
    for name, count in more.items():
        total[name] = total[name] + count.cpu() if name in total else count.cpu()


def _history(run: Path) -> list[dict[str, float]]:
    return [each for each in read_metrics(run) if "val_clean" in each]
