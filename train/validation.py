"""What is measured after each epoch: accuracy, clean and under PGD, and the part outputs.

On pictures that training does not see, with the weights that are kept (the average, if there
is one). The best checkpoint is the one with the best PGD accuracy here (in standard training,
clean accuracy), so these figures flatter a little: report those of another split.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from partlab.training.amp import autocast
from partlab.training.loop import Score
from partlab.training.process import Group
from partlab.training.runs import read_metrics
from partlab.training.seeds import seed_step
from train.alarms import alarms
from train.attacks.pgd import pgd
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
        for number, batch in enumerate(self._batches()):
            seed_step(self.trainer.config.train.seed, number, self.group.process.rank)
            with autocast(self.trainer.device, self.trainer.config.train.amp):
                _add(counts, self._measured(batch))
        shares = self.group.gather({name: count.cpu() for name, count in counts.items()})
        if not self.group.process.leads:
            return None
        total: Counts = {}
        for share in shares:
            _add(total, share)
        return self._score(total)

    def _batches(self) -> Iterator[Batch]:
        config = self.trainer.config
        every = range(len(self.pictures))
        if config.val.pictures:  # some of each class: they lie class by class
            every = every[:: max(len(every) // config.val.pictures, 1)]
        side = config.data.size // self.network.finest_stride
        mine = self.group.process.share(list(every))
        return eval_batches(self.pictures, config.data, side, config.val.batch_size, mine)

    def _measured(self, batch: Batch) -> Counts:
        images, objective = self.trainer.images(batch.pixels), self.trainer.objective(batch)
        with torch.no_grad():
            outputs = self.network(images, parts=True)
            objective(outputs)
            said = outputs.logits.argmax(1)
            under_attack = self.network(self._attacked(images, objective.classes)).argmax(1)
        of = torch.tensor(len(said))
        counts = {f"val_{name}": torch.stack(pair) for name, pair in objective.seen.sums.items()}
        counts["val_clean"] = counts.pop("val_class_accuracy")
        right = (said == objective.classes) & (under_attack == objective.classes)
        counts["val_pgd"] = torch.stack([right.sum().cpu(), of])
        counts["answers"] = torch.bincount(said, minlength=len(self.network.classes))
        return counts

    def _attacked(self, images: Tensor, classes: Tensor) -> Tensor:
        attack, steps = self.trainer.config.attack, self.trainer.config.val.steps
        return pgd(
            self.network,
            images,
            lambda logits: F.cross_entropy(logits, classes, reduction="none"),
            norm=attack.norm,
            eps=attack.eps,
            steps=steps,
            step_size=attack.eps / 4,
            large_eps=attack.large_eps,
        )

    def _score(self, counts: Counts) -> Score:
        answers = counts.pop("answers")
        facts = {name: float(found / of) for name, (found, of) in counts.items() if of}
        facts["val_commonest"] = float(answers.max() / answers.sum())
        for sentence in alarms([*_history(self.run), facts]):
            log.warning(sentence)
        words = f"validation {100 * facts['val_clean']:.1f}, under PGD {100 * facts['val_pgd']:.1f}"
        standard = self.trainer.config.attack.method == "none"
        return Score(facts["val_clean" if standard else "val_pgd"], facts, words)


def _add(total: Counts, more: Counts) -> None:
    for name, count in more.items():
        total[name] = total[name] + count.cpu() if name in total else count.cpu()


def _history(run: Path) -> list[dict[str, float]]:
    return [each for each in read_metrics(run) if "val_clean" in each]
