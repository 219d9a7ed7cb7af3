"""What a run logged, line by line: its training steps and its validations, in order."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from partlab.training.runs import scan_metrics

Record = Mapping[str, float]

_COUNTS = ("step", "epoch", "loss", "lr", "seconds", "pictures_per_second")
_SEEN = ("class_accuracy", "part_human", "part_pseudo", "part_accuracy", "part_missed")
NO_LOSS = frozenset((*_COUNTS, *_SEEN))
"""What a training line says besides the losses by name."""


@dataclass(frozen=True, slots=True)
class History:
    """The lines of metrics.jsonl.

    `steps` are single training steps, `validations` ends of epochs. `damaged` lines are left
    out. `epoch_steps` is None while the first epoch runs and nothing tells its length.
    """

    steps: tuple[Record, ...]
    validations: tuple[Record, ...]
    damaged: int
    epoch_steps: int | None

    @property
    def step(self) -> int:
        """The last one that was logged; 0 before the first."""
        return int(max((each["step"] for each in self._ends()), default=0))

    @property
    def epochs_done(self) -> int:
        """Whole epochs: the validated ones, or without validation those whose steps are done."""
        if self.validations:
            return int(self.validations[-1]["epoch"])
        return self.step // self.epoch_steps if self.epoch_steps else 0

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses whose sum was differentiated, such as class and part."""
        return tuple(dict.fromkeys(n for each in self.steps for n in each if n not in NO_LOSS))

    @property
    def not_finite(self) -> int:
        """Logged steps whose loss was infinite or NaN."""
        return sum(not math.isfinite(each["loss"]) for each in self.steps)

    @property
    def seconds(self) -> float:
        """Time of all attempts up to their last logged step, validations between included."""
        return sum(segment[-1]["seconds"] for segment in self._attempts())

    @property
    def speed(self) -> float | None:
        """Median pictures a second, of all processes together."""
        found = [r["pictures_per_second"] for r in self.steps if "pictures_per_second" in r]
        return median(found) if found else None

    def seconds_left(self, steps: int, step_pictures: int) -> float | None:
        """Time that so many more steps take, as fast as in the last attempt.

        `step_pictures` helps where that one has logged a single line. Validations are in it as
        soon as the attempt went through one.
        """
        attempts = self._attempts()
        first, last = (attempts[-1][0], attempts[-1][-1]) if attempts else ({}, {})
        if first and last["step"] > first["step"]:
            each = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
            return steps * each
        return steps * step_pictures / self.speed if self.speed else None

    def _ends(self) -> list[Record]:
        return [*self.steps[-1:], *self.validations[-1:]]

    def _attempts(self) -> list[list[Record]]:
        """Lines between resumes: after one "seconds" begins anew."""
        timed = [each for each in self.steps if "seconds" in each]
        attempts = [timed[:1]] if timed else []
        for before, now in pairwise(timed):
            if now["seconds"] < before["seconds"]:
                attempts.append([])
            attempts[-1].append(now)
        return attempts


def read_history(run: Path) -> History:
    """Read metrics.jsonl; lines that say nothing of a step or a validation count as damaged."""
    records, broken = scan_metrics(run)
    usable = [record for record in records if _is_usable(record)]
    steps = tuple(record for record in usable if "loss" in record)
    validations = tuple(record for record in usable if "loss" not in record)
    length = _epoch_steps(steps, validations, (run / "last.safetensors").is_file())
    return History(steps, validations, broken + len(records) - len(usable), length)


def _is_usable(record: Mapping[str, Any]) -> bool:
    """Numbers only, a step and its epoch counted from 1, and a loss or how good it was."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in record.values())
    counted = numbers and all(record.get(k, 0) >= 1 for k in ("step", "epoch"))
    return counted and not record.keys().isdisjoint(("loss", "val_clean", "val_ap50"))


def _epoch_steps(steps: Sequence[Record], validations: Sequence[Record], saved: bool) -> int | None:
    """The last step of an epoch is always logged, and weights are saved at its end."""
    ends: list[Record] = [*validations[:1]]
    ends += [before for before, now in pairwise(steps) if now["epoch"] > before["epoch"]]
    ends += steps[-1:] if saved else []
    return int(ends[0]["step"] // ends[0]["epoch"]) if ends else None
