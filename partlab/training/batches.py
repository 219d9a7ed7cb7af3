"""Batches that depend on the step alone, so a run can start anywhere in its plan."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from partlab.workers import end_with_parent

Plan = Callable[[int], Sequence[Sequence[int]]]
"""Epoch -> the batches of positions that this process sees; every epoch has as many."""


@dataclass(frozen=True)
class Batches:
    """Loads `data[(epoch, position)]`, batch by batch as `plan` says.

    `data` draws whatever is random from its key, and gives a `PartlabError` as a value where
    a sample cannot be had (torch garbles errors of its workers); `collate` hands it on.
    """

    data: Dataset[Any]
    plan: Plan
    collate: Callable[[list[Any]], Any]
    workers: int = 0
    pin: bool = False  # for copies to a GPU that do not wait

    @cached_property
    def epoch_steps(self) -> int:
        """Steps in each epoch."""
        return len(self.plan(0))

    def start(self, step: int, epochs: int) -> Iterable[Any]:
        """All batches from `step` to the end of the last epoch."""
        keys: Any = _Keys(self, step, epochs)  # (epoch, position), where torch expects integers
        return DataLoader(
            self.data,
            batch_sampler=keys,
            collate_fn=self.collate,
            num_workers=self.workers,
            worker_init_fn=end_with_parent,
            pin_memory=self.pin,
            generator=torch.Generator().manual_seed(0),  # else it draws from the global one
        )


@dataclass(frozen=True)
class _Keys:
    batches: Batches
    step: int
    epochs: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first, skip = divmod(self.step, self.batches.epoch_steps)
        for epoch in range(first, self.epochs):
            for positions in self.batches.plan(epoch)[skip if epoch == first else 0 :]:
                yield [(epoch, position) for position in positions]
