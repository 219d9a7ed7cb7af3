"""A teacher by averaged weights, who corrects pseudo labels while a student learns from them.

Mean teacher (Tarvainen and Valpola, 2017): its weights are an exponential moving average of the
student's, and it sees the picture before the strong changes.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from partlab.errors import ConfigError
from partlab.schema import Dataset
from segmenter.data import Batch, joined_by

if TYPE_CHECKING:
    from segmenter.fit import Trainable, TrainConfig

DECAY = 0.99
Target = dict[str, Tensor]
Teach = Callable[[nn.Module, Tensor, Sequence[Target], float], list[Target]]
"""(network, normalised pictures (B, 3, H, W), their targets, how sure it must be) -> targets."""


def need_teachable(decay: float | None, train: Dataset, teach: Teach | None) -> None:
    """See that a teacher that was asked for has something to do.

    Raises:
        ConfigError: there are no pseudo labels, or the backend has no teacher.
    """
    if decay and not joined_by(train):
        raise ConfigError("train.teacher needs pseudo labels", hint="--pseudo STORE")
    if decay and teach is None:
        raise ConfigError(
            "this backend has no teacher", hint="leave train.teacher out, or --backend dense"
        )


def teacher_of(
    student: "Trainable", teach: Teach | None, config: "TrainConfig"
) -> "Teacher | None":
    """The teacher of a training with pseudo labels, where it has one."""
    decay = DECAY if config.teacher is None else config.teacher
    return Teacher(student, teach, decay, config.teacher_sure) if teach and decay else None


class Teacher:
    """The average of a student; `average` is saved with the run and goes on with it."""

    def __init__(self, student: "Trainable", teach: Teach, decay: float, sure: float) -> None:
        self._student, self._teach, self._sure = student, teach, sure
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self.average: Any = AveragedModel(student.network, multi_avg_fn=average)

    def follow(self, _step: int) -> None:
        """Called when the student's weights have moved."""
        self.average.update_parameters(self._student.network)

    @torch.no_grad()
    def correct(self, batch: Batch, targets: list[Target]) -> None:
        """Put what the teacher makes of them in place of the targets of pseudo labels."""
        if batch.plain is None:
            return
        network = self.average.module.eval()
        pictures = self._student.normalised(batch.plain.to(self._student.device))
        own = [targets[at] for at in batch.pseudo]
        for at, new in zip(
            batch.pseudo, self._teach(network, pictures, own, self._sure), strict=True
        ):
            targets[at] = new
