"""Training by the workers of a Ray cluster, through Ray Train (extra `ray`).

Ray starts the processes and gives them the variables that `torchrun` would, so what trains is the
same. A worker that dies takes the others with it; Ray starts all of them again, and they go on from
the run's last checkpoint. Data and run must lie where every machine sees them, under the same path.
"""

import logging
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

from partlab.cluster import cluster
from partlab.counts import counted
from partlab.errors import NotFoundError, PartlabError
from partlab.files import exclusive, write_bytes
from partlab.training.process import Process

log = logging.getLogger(__name__)
T = TypeVar("T")

ATTEMPTS = 10
"""How often the workers are started again before the command gives up."""

SOON = 10.0  # seconds in which processes that meet the same error have met it


@dataclass(frozen=True, slots=True)
class RayTraining:
    """`workers` of the cluster at `address` (as `partlab.cluster.cluster` takes it), or all."""

    workers: int | None = None
    address: str | None = None

    def __call__(self, work: Callable[..., T], run: Path, *, force: bool = False) -> T:
        """What `work` gives in the first of the processes; all of them do it.

        `work` is called with `force=force` until an older run was replaced, and `force=False` after
        that:
        workers that were started again go on. Ray keeps its notes beside `run` meanwhile.

        Raises:
            ConfigError: the workers do not fit on the cluster, or `torchrun` started this.
            BackendUnavailableError: Ray is not installed, or no cluster answers.
            BusyError: another command trains into `run`.
            PartlabError: what `work` raised, or workers died too often.
        """
        Process.current().need_alone("--engine ray")
        notes = run.absolute().parent / f".{run.name}.ray"
        with cluster(self.address) as found, exclusive(notes):
            gpus = 1.0 if found.total("GPU") else 0.0
            number = found.workers(self.workers, 1.0, gpus)
            machines = counted(len(found.nodes), "machine")
            log.info("%s on %s train", counted(number, "worker"), machines)
            ended = _Ended(notes)
            ended.forget()
            try:
                _train(_Worker(work, ended, force, _Older.of(run)), number, gpus)
                value: T = ended.value()
            finally:
                shutil.rmtree(notes, ignore_errors=True)
        return value


def _train(work: "_Worker", number: int, gpus: float) -> None:
    """Until the work has ended; workers that died are started again, all of them."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _trainer(work, number, gpus).fit()
            return
        except Exception as error:  # Ray Train's own errors have no common class but this one
            if work.ended:
                return
            why = _first_line(error)
            error.__traceback__ = None  # its frames hold the controller, and so the workers' room
            log.warning("a worker was lost (attempt %d of %d): %s", attempt, ATTEMPTS, why)
    raise PartlabError(
        f"Ray gave up after {counted(ATTEMPTS, 'attempt')}: {why}",
        hint="run the same command again: it goes on where this one stopped",
    )


def _trainer(work: "_Worker", number: int, gpus: float) -> Any:
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    return TorchTrainer(
        work,
        scaling_config=ScalingConfig(
            num_workers=number,
            use_gpu=bool(gpus),
            resources_per_worker={"CPU": 1.0} | ({"GPU": gpus} if gpus else {}),
        ),
        run_config=RunConfig(
            name="workers",
            storage_path=str(work.ended.notes),
            logging_config=LoggingConfig(log_level="CRITICAL"),
            failure_config=FailureConfig(max_failures=0),  # it tells not all deaths from faults
        ),
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@dataclass(frozen=True)
class _Ended:
    """How the work ended, in a folder that all processes see."""

    notes: Path

    @property
    def _result(self) -> Path:
        return self.notes / "ended.pickle"

    @property
    def _left(self) -> Path:
        return self.notes / "left"

    def __bool__(self) -> bool:
        return self._result.exists()

    def forget(self) -> None:
        """What an earlier command left there."""
        self._result.unlink(missing_ok=True)
        shutil.rmtree(self._left, ignore_errors=True)
        self._left.mkdir()

    def well(self, value: Any) -> None:
        """It is done."""
        write_bytes(self._result, pickle.dumps((value, None)))

    def badly(self, error: PartlabError) -> bool:
        """It cannot be done: the first to say so is heard. Whether all processes say so, soon."""
        if not self:
            write_bytes(self._result, pickle.dumps((None, error)))
        here, until = Process.current(), monotonic() + SOON
        (self._left / str(here.rank)).touch()
        while (alone := len(list(self._left.iterdir())) < here.world) and monotonic() < until:
            sleep(0.1)
        return not alone

    def value(self) -> Any:
        """What the work gave; its error is raised."""
        value, error = pickle.loads(self._result.read_bytes())
        if error is not None:
            raise error
        return value


@dataclass(frozen=True)
class _Older:
    """The run that is in a folder, to see later whether it is still the same."""

    run: Path
    written: tuple[int, int] | None  # which file config.json is, and from when

    @classmethod
    def of(cls, run: Path) -> "_Older":
        """What is there now."""
        run = run.absolute()
        try:
            found = (run / "config.json").stat()
        except FileNotFoundError:
            return cls(run, None)
        return cls(run, (found.st_ino, found.st_mtime_ns))

    @property
    def still_there(self) -> bool:
        return self == _Older.of(self.run)


@dataclass(frozen=True)
class _Worker:
    """What each process is told; `folder` is where the command was given."""

    work: Callable[..., Any]
    ended: _Ended
    force: bool
    older: _Older
    folder: str = field(default_factory=os.getcwd)

    def __call__(self) -> None:
        """Do the work, unless it ended in an attempt before this one."""
        logging.basicConfig(format="%(message)s", level=logging.INFO)
        if self.ended:
            return
        try:
            self._go_there()
            value = self.work(force=self.force and self.older.still_there)
        except PartlabError as error:
            if not self.ended.badly(error):
                raise  # so that Ray ends the others, who wait for this one
        else:
            if Process.current().leads:
                self.ended.well(value)

    def _go_there(self) -> None:
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise NotFoundError(
                f"a machine of the cluster has no folder {self.folder}",
                hint="data and run must lie where every machine sees them, under the same path",
            ) from error
