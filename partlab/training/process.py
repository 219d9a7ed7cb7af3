"""This process among those that share a piece of work, as `torchrun` starts them.

`Process` only reads the environment and needs no torch; `joined` makes the process group.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from partlab.errors import ConfigError, PartlabError

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long processes wait for one that works; one that died ends the wait at once."""


@dataclass(frozen=True, slots=True)
class Process:
    """One of `world` processes, `local_world` of them on this machine (one of one alone)."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @classmethod
    def current(cls) -> "Process":
        """Read RANK and WORLD_SIZE (and their LOCAL_ forms) from the environment."""
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        local = int(os.environ.get("LOCAL_RANK", rank))
        return cls(rank, world, local, int(os.environ.get("LOCAL_WORLD_SIZE", world)))

    @property
    def leads(self) -> bool:
        """Whether this process claims folders, writes files and tells the result."""
        return self.rank == 0

    def need_alone(self, option: str) -> None:
        """Refuse what shares work among processes itself.

        Raises:
            ConfigError: this is one of several processes of `torchrun`.
        """
        if self.world > 1:
            raise ConfigError(
                f"torchrun and {option} both share the work among processes",
                hint="leave one of them out",
            )

    def device(self) -> str | None:
        """One GPU for each process of a machine; None: alone, so the best there is."""
        if self.world == 1:
            return None
        import torch

        return f"cuda:{self.local_rank % n}" if (n := torch.cuda.device_count()) else None

    def share(self, items: list[T]) -> list[T]:
        """Every `world`-th item: what this process does of work that all have the list of."""
        return items[self.rank :: self.world]

    @contextmanager
    def joined(self) -> Iterator["Group"]:
        """Be one of the process group; one that somebody else made is used and left alone."""
        if self.world == 1:
            yield Group(self)
            return
        import torch
        from torch import distributed as dist

        mine = not dist.is_initialized()
        if torch.cuda.is_available():
            torch.cuda.set_device(self.device())
        if mine:
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        try:
            yield Group(self, dist.new_group(backend="gloo", timeout=PATIENCE))
        finally:
            if mine:
                dist.destroy_process_group()


@dataclass(frozen=True, slots=True)
class Group:
    """The processes that train together. Alone, everything here is free.

    Words between processes go over `control`, which waits as long as one of them works:
    gradients have their own group, whose time-out is for a step.
    """

    process: Process
    control: Any = None

    def wait(self) -> None:
        """Until all are here."""
        if self.control is not None:
            from torch import distributed as dist

            dist.barrier(self.control)

    def lead(self, work: Callable[[], T]) -> T:
        """What `work` gives in the process that leads; its `PartlabError` is raised in all."""
        if self.control is None:
            return work()
        from torch import distributed as dist

        told: list[Any] = [None, None]
        if self.process.leads:
            try:
                told[0] = work()
            except PartlabError as error:
                told[1] = error
        dist.broadcast_object_list(told, src=0, group=self.control)
        if told[1] is not None:
            raise told[1]
        value: T = told[0]
        return value

    def gather(self, value: T) -> list[T]:
        """Everybody's value by rank, in the process that leads; elsewhere nothing."""
        if self.control is None:
            return [value]
        from torch import distributed as dist

        found: list[Any] | None = [None] * self.process.world if self.process.leads else None
        dist.gather_object(value, found, dst=0, group=self.control)
        return found or []

    def parallel(self, network: "nn.Module", *, one_norm: bool = True) -> "nn.Module":
        """`network` as it is trained: gradients are the mean over all processes.

        Attacks and predictions go through `network` itself, which talks to nobody. Unless
        `one_norm`, BatchNorm counts in each process apart until an epoch ends; a step that
        passes twice before it differentiates needs that.
        """
        if self.control is None:
            return network
        from torch.nn.parallel import DistributedDataParallel

        with warnings.catch_warnings():  # newer torch has another name for it, older not
            warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
            return DistributedDataParallel(network, broadcast_buffers=one_norm)

    def share_buffers(self, network: "nn.Module") -> None:
        """Everybody gets the lead's buffers: BatchNorm counts in each process apart."""
        if self.control is None:
            return
        from torch import distributed as dist

        for buffer in network.buffers():
            dist.broadcast(buffer, 0)
