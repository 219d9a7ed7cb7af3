"""What is on disk of a training of the loop: its job, how far it is, and a wish to end it.

WORK/loop/job.json        what is to be done, by whom, and how it ended
WORK/loop/progress.json   how far it is
WORK/loop/cancel          somebody wants it to end
WORK/loop/job.log         what it said
WORK/loop/.lock           held by its process; so whether it lives is never a guess
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Literal, TypeVar

from partlab.config import Config, validate
from partlab.errors import BusyError, PartlabError, SchemaError
from partlab.files import exclusive, read_json, replacing, write_json
from partlab.progress import duration
from segmenter.loop.versions import LOOP

T = TypeVar("T")
State = Literal["queued", "running", "done", "refused", "failed", "cancelled", "stopped"]
OPEN = ("queued", "running")  # of a job that has a process, unless that was killed
UNFINISHED = (*OPEN, "failed", "stopped")
"""States from which `start` goes on with the same job."""
_LOOK = 0.25  # seconds that others may hold the lock to see whether it is free
_TELL = 0.5  # seconds between two notes of progress


class Job(Config):
    """One training: from what was accepted to a version that is served or kept aside.

    `version` is the number it will have, `parent` the one whose weights it goes on from (None: it
    begins anew), `settings` are those of the backend, whole; `why` says
    how it ended.
    """

    number: int
    state: State
    who: str
    at: str
    version: int
    parent: int | None
    backend: str
    settings: dict[str, Any]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `done` of `total` of `what`, and about how long that still takes."""

    what: str
    done: int
    total: int | None
    seconds_left: float | None
    at: str

    @property
    def words(self) -> str:
        """`training: 34 of 120, about 2 min 10 s left`."""
        told = f"{self.what}: {self.done}" + (f" of {self.total}" if self.total else "")
        left = self.seconds_left
        return told + (f", about {duration(left)} left" if left is not None else "")


class CancelledError(PartlabError):
    """Somebody wanted the job to end."""


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_job(work: Path, *, alone: bool = False) -> Job | None:
    """The last job of a work; None if there was none.

    A job whose process is gone although it never ended is "stopped": it was killed, or the
    machine went down. One that somebody is starting has none yet; `alone`: nobody else can be.

    Raises:
        SchemaError: its file is damaged.
    """
    job = _noted(work)
    if job is None or job.state not in OPEN or _has_process(work, alone=alone):
        return job
    job = _noted(work)  # again: it may have ended meanwhile
    if job is None or job.state not in OPEN:
        return job
    return job.model_copy(update={"state": "stopped", "why": "its process is gone"})


def _noted(work: Path) -> Job | None:
    file = work / LOOP / "job.json"
    if not file.is_file():
        return None
    found = read_json(file)
    if not isinstance(found, dict):
        raise SchemaError(f"{file} is damaged", hint="move it away; versions are not lost by that")
    return validate(Job, found, str(file))


def _has_process(work: Path, *, alone: bool) -> bool:
    """Whether it has one, or will have: what was being started may live at the second look."""
    return is_alive(work) or (not alone and (_is_starting(work) or is_alive(work)))


def write_job(work: Path, job: Job, **changes: Any) -> Job:
    """Note a job, changed so."""
    job = job.model_copy(update=changes)
    write_json(work / LOOP / "job.json", job.model_dump(mode="json"))
    return job


def is_alive(work: Path) -> bool:
    """Whether a job's process holds the work's loop; who only looks holds it for a moment."""
    try:
        with exclusive(work / LOOP, patience=_LOOK):
            return False
    except BusyError:
        return True


def starting(work: Path) -> Path:
    """The folder that is held while a job's process is started."""
    return work / LOOP / ".starting"


def _is_starting(work: Path) -> bool:
    try:
        with exclusive(starting(work), patience=_LOOK):
            return False
    except BusyError:
        return True


def read_progress(work: Path) -> Progress | None:
    """How far the job is, as it said last; None if it said nothing (that can be read)."""
    try:
        return Progress(**read_json(work / LOOP / "progress.json"))
    except (PartlabError, TypeError):
        return None


def ask_to_cancel(work: Path) -> None:
    """Tell a job to end at its next step."""
    with replacing(work / LOOP / "cancel", flush=False) as scratch:
        scratch.touch()


def is_cancelled(work: Path) -> bool:
    """Whether somebody wants the job to end."""
    return (work / LOOP / "cancel").exists()


def clear(work: Path) -> None:
    """Take away what was said of an earlier attempt."""
    for name in ("cancel", "progress.json"):
        (work / LOOP / name).unlink(missing_ok=True)


@dataclass
class Telling:
    """The listener of a job (`partlab.progress`): writes how far it is, and ends it when asked."""

    work: Path
    _told: float = 0.0

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """The items, with a note of progress now and then.

        Raises:
            CancelledError: somebody wants the job to end.
        """
        began = monotonic()
        for done, item in enumerate(items):
            self._need_wanted()
            self._note(Progress(what, done, total, _left(began, done, total), now()))
            yield item
        self._need_wanted()

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Nothing: metrics stand in the run."""

    def _need_wanted(self) -> None:
        if is_cancelled(self.work):
            raise CancelledError("it was cancelled")

    def _note(self, progress: Progress) -> None:
        if monotonic() - self._told >= _TELL:
            with replacing(self.work / LOOP / "progress.json", flush=False) as scratch:
                scratch.write_text(json.dumps(asdict(progress)))
            self._told = monotonic()


def _left(began: float, done: int, total: int | None) -> float | None:
    if not total or not done:
        return None
    return round((monotonic() - began) / done * (total - done), 1)
