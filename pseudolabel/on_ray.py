"""Pseudo labels by the workers of a Ray cluster, through Ray Data (extra `ray`).

A shard of the store is the unit of work: a worker gets its entries, decodes the pictures, labels
them and sends the rows back; the process that was started writes the shard. So the store is that of
the local engine, byte by byte, and what a dead worker had not sent is made again by another: a
shard is there whole or not at all. Pictures and run must lie where every machine sees them.
"""

import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from traceback import format_exc
from typing import TYPE_CHECKING

import pyarrow as pa

from partlab.cluster import Cluster, cluster
from partlab.counts import counted
from partlab.errors import NotFoundError, PartlabError
from partlab.places import located
from partlab.training.process import Process
from pseudolabel.inputs import entries_of, entry_table, frozen_shards
from pseudolabel.job import Job
from pseudolabel.settings import Settings
from pseudolabel.store import Row, rows_of, table_of
from segmenter.origin import Origin

if TYPE_CHECKING:
    from pseudolabel.engine import Labeller, Rows

logger = logging.getLogger(__name__)

WINDOW = 4096  # shards handed to Ray at once, about a million images: their names are in memory


@dataclass(frozen=True, slots=True)
class RayEngine:
    """Workers of a cluster; each holds the segmenter, and has a GPU where there are some.

    `workers`: how many, or as many as fit. `address`: as `partlab.cluster.cluster` takes it.
    """

    workers: int | None = None
    address: str | None = None

    @contextmanager
    def ready(self, origin: Origin, settings: Settings, device: str | None) -> Iterator["Rows"]:
        """A cluster on which the workers fit; errors of a worker are raised by the rows.

        Raises:
            ConfigError: the workers do not fit on the cluster, or `torchrun` started this.
            BackendUnavailableError: Ray is not installed, or no cluster answers.
        """
        Process.current().need_alone("--engine ray")
        with cluster(self.address) as found:
            gpus = 1.0 if found.total("GPU") and device != "cpu" else 0.0
            workers = Workers(found, found.workers(self.workers, 1.0, gpus), gpus)
            logger.info("%s", workers)

            def rows(job: Job, todo: list[int]) -> Iterator[Row]:
                work = ShardWork(origin, settings, device, job.manifest.image_root)
                for start in range(0, len(todo), WINDOW):
                    window = todo[start : start + WINDOW]
                    shards = frozen_shards(job.out / "inputs.parquet", window)
                    yield from workers.label([entry_table(each) for each in shards], work)

            yield rows


@dataclass(frozen=True, slots=True)
class Workers:
    """So many workers of a cluster, with so many GPUs each."""

    cluster: Cluster
    number: int
    gpus: float

    def __str__(self) -> str:
        machines = len(self.cluster.nodes)
        told = f"{counted(self.number, 'worker')} on {counted(machines, 'machine')}"
        if machines > 1:
            return told
        return f"{told}: on one machine --engine local is as fast, and starts at once"

    def label(self, shards: list[pa.Table], work: "ShardWork") -> Iterator[Row]:
        """The rows of shards whose entries are in tables."""
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False
        labelled = ray.data.from_arrow(shards).map_batches(
            ShardWorker,
            fn_constructor_args=(work,),
            batch_format="pyarrow",
            batch_size=None,  # a block, which is a shard
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=self.number, initial_size=self.number
            ),
            num_cpus=1,
            num_gpus=self.gpus,
        )
        try:
            for table in labelled.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from rows_of(_sound(table))
        except ray.exceptions.RayError as error:
            raise PartlabError(
                f"Ray gave up: {str(error).strip().splitlines()[0]}",
                hint="run the same command again: it goes on where this one stopped",
            ) from error


@dataclass(frozen=True)
class ShardWork:
    """What a worker is told."""

    origin: Origin
    settings: Settings
    device: str | None
    root: str

    def labeller(self) -> "Labeller":
        """The segmenter, loaded."""
        from pseudolabel.engine import Labeller

        if not located(self.root).exists():
            raise NotFoundError(
                f"a machine of the cluster has no folder {self.root}",
                hint="pictures must lie where every machine sees them, under the same path",
            )
        return Labeller.load(self.origin, self.settings, self.device)


class ShardWorker:
    """Lives in a process of the cluster and labels one shard after another."""

    def __init__(self, work: ShardWork) -> None:
        self.work = work

    @cached_property
    def labeller(self) -> "Labeller":
        """Loaded with the first shard: from a constructor no error could be sent."""
        return self.work.labeller()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Entries of a shard in, its rows out."""
        from pseudolabel.engine import labelled

        try:
            rows = labelled([entries_of(table)], located(self.work.root), self.labeller, workers=0)
            return table_of(list(rows))
        except Exception as error:
            return _failed(error)


_ERROR = "error"  # the only column of what a worker sends that could not do its work


def _failed(error: Exception) -> pa.Table:
    """An error as a table: one that is raised in a worker, Ray Data hands on as words alone."""
    error.add_note(f"in a worker of the cluster:\n{format_exc()}")
    return pa.table({_ERROR: [pickle.dumps(error)]})


def _sound(table: pa.Table) -> pa.Table:
    """A table of rows as it is; the error of a worker is raised here."""
    if table.column_names == [_ERROR]:
        raise pickle.loads(table[_ERROR][0].as_py())
    return table
