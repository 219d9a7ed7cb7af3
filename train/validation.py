"""What is measured after each epoch: accuracy, clean and under PGD, and the part outputs.

On pictures that training does not see, with the weights that are kept (the average, if there
is one). The best checkpoint is the one with the best PGD accuracy here, so figures of these
pictures flatter a little: report another split.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from partlab.training.loop import Score
from partlab.training.process import Group
from partlab.training.runs import read_metrics
from train.alarms import alarms
from train.attacks import evaluate_pgd
from train.models import Recognizer
from train.pictures import Pictures
from train.samples import eval_batches
from train.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass
class Validation:
    """Called by all processes at the end of an epoch; each attacks its share of the pictures."""

    network: Recognizer
    pictures: Pictures
    trainer: Trainer
    group: Group
    run: Path

    def __call__(self) -> Score | None:
        """The facts of all shares, in the process that leads."""
        self.network.eval()
        mine = self._share()
        found = self.group.gather(mine)
        if not self.group.process.leads:
            return None
        return self._score(_joined(found))
