"""Start, watch and end a training of the loop: one for each work, in a process of its own.

start(work_folder, who="lead@example.org")     what the command and Label Studio's button call
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from time import monotonic, sleep
from typing import Any

from annotate.work import Work
from annotate.work.store import settings_of
from partlab.errors import BusyError, PartlabError, StateError
from partlab.files import cannot_write, exclusive
from segmenter.loop.lessons import nothing_accepted
from segmenter.loop.state import (
    UNFINISHED,
    Job,
    Progress,
    ask_to_cancel,
    clear,
    is_alive,
    now,
    read_job,
    read_progress,
    starting,
    write_job,
)
from segmenter.loop.versions import (
    LOOP,
    Version,
    add_given,
    current,
    folder_of,
    versions,
    whole_run,
)
from segmenter.origin import RunFolder
from segmenter.protocol import backends
from segmenter.train import training_config

COMMAND = (sys.executable, "-m", "segmenter.loop.job")
"""What the work's folder is given to, in a process of its own."""

DEFAULT_BACKEND = "torchvision"
_BEGUN = 300.0  # seconds until a process holds the work's loop; it needs some to load torch
_ENDED = 30.0  # seconds that `cancel` waits


def start(
    work: str | Path,
    *,
    run: str | Path | None = None,
    who: str = "partlab",
    backend: str | None = None,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
) -> Job:
    """Begin to train the work's next segmenter on what is accepted; or go on with what was cut off.

    It goes on from the version that is served, with that one's settings; with another backend it
    begins anew. `run` is a run trained
    elsewhere that becomes the first version, and is served from then on; without it the first one
    is trained from nothing, by a `recipe` of the `backend`. `overrides` are settings (`a.b=c`).

    Returns at once, when a process has the job.

    Raises:
        NotFoundError: no such work, or run.
        StateError: nothing is accepted yet; or there is a first version already.
        ConfigError: an unknown setting or recipe.
        BusyError: a training of this work is running.
        PartlabError: the process cannot be started.
    """
    work = Path(work)
    settings_of(work)
    with _alone(work):
        if is_alive(work):
            raise BusyError(_running(work), hint=f"see how far it is: partlab loop status {work}")
        with Work.open(work) as opened:
            if run is not None:
                add_given(opened, Path(run), who)
            chosen = (backend, recipe, tuple(overrides))
            job = _cut_off(work, chosen) or _new(opened, who, chosen)
        clear(work)
        job = write_job(work, job, state="queued", why="")
        _spawn(work)
    return job


def _alone(work: Path) -> Any:
    return exclusive(starting(work), patience=_BEGUN)


def _running(work: Path) -> str:
    progress = read_progress(work)
    return f"a training of {work} is running" + (f" ({progress.words})" if progress else "")


def _cut_off(work: Path, chosen: tuple[Any, ...]) -> Job | None:
    job = read_job(work, alone=True)
    if job is None or job.state not in UNFINISHED:
        return None
    if any(chosen):
        raise StateError(
            f"job {job.number} of {work} was cut off, and has settings of its own",
            hint=f"go on with it: partlab loop start {work}; "
            f"or drop it first: partlab loop cancel {work}",
        )
    return job


def _new(work: Work, who: str, chosen: tuple[Any, ...]) -> Job:
    if not any(
        batch.state == "accepted" for o in work.batches() for batch in work.rounds(o.object)
    ):
        raise StateError(
            nothing_accepted(work), hint="inspectors accept rounds: partlab inspect decide"
        )
    parent = current(work)
    backend, settings = _settings(work.folder, parent, *chosen)
    begun = parent if parent and _goes_on(work.folder, parent, backend) else None
    last = read_job(work.folder, alone=True)
    return Job(
        number=last.number + 1 if last else 1,
        state="queued",
        who=who,
        at=now(),
        version=len(versions(work)) + 1,
        parent=begun.number if begun else None,
        backend=backend,
        settings=settings,
    )


def _settings(
    work: Path,
    parent: Version | None,
    backend: str | None,
    recipe: str | None,
    overrides: Sequence[str],
) -> tuple[str, dict[str, Any]]:
    """The backend and its whole settings: those of the version it goes on from, or a recipe's."""
    base: Any = recipe
    if parent is not None and recipe is None:
        described = RunFolder(whole_run(work, parent)).description()
        backend, config = backend or described["backend"], described["config"]
        if backend == described["backend"]:
            kind = type(training_config(backend, None, None, ()))
            base = kind.model_validate(_anew(config))
    backend = backend or DEFAULT_BACKEND
    settings: dict[str, Any] = training_config(backend, base, None, overrides).model_dump(
        mode="json"
    )
    return backend, settings


def _goes_on(work: Path, parent: Version, backend: str) -> bool:
    """Whether training can go on from its weights; to another backend they mean nothing."""
    described = RunFolder(whole_run(work, parent)).description()
    known: Any = backends.get(backend)
    return described["backend"] == backend and bool(getattr(known, "goes_on", False))


def _anew(config: dict[str, Any]) -> dict[str, Any]:
    """Settings without where that run had begun."""
    train = {k: v for k, v in config.get("train", {}).items() if k not in ("start", "start_parts")}
    return {**config, "train": train} if train else config


def _spawn(work: Path) -> None:
    """Start the process, and see that it holds the work's loop: so two never run."""
    log = work / LOOP / "job.log"
    try:
        with open(log, "ab") as said:
            process = subprocess.Popen(
                [*COMMAND, str(work.absolute())],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,  # it lives on when a terminal or a server ends
            )
    except OSError as error:
        raise cannot_write(log, error) from error
    until = monotonic() + _BEGUN
    while process.poll() is None and not is_alive(work) and monotonic() < until:
        sleep(0.05)
    job = read_job(work, alone=True)
    if process.poll() not in (None, 0) and job is not None and job.state in ("queued", "stopped"):
        raise PartlabError(f"the training of {work} could not begin", hint=f"see {log}")


@dataclass(frozen=True, slots=True)
class Standing:
    """A work's loop: its last job with how far it is, and its versions."""

    job: Job | None
    progress: Progress | None
    served: Version | None
    versions: Sequence[Version]


def status(work: str | Path) -> Standing:
    """How the work's loop stands.

    Raises:
        NotFoundError: no such work.
        SchemaError: the file of its job is damaged.
    """
    work = Path(work)
    settings_of(work)
    job = read_job(work)
    with Work.open(work) as opened:
        return Standing(
            job,
            read_progress(work) if job and job.state == "running" else None,
            current(opened),
            versions(opened),
        )


def cancel(work: str | Path) -> Job:
    """End the work's training, and drop what it has done; the job as it stands then.

    Raises:
        NotFoundError: no such work.
        StateError: nothing is being trained.
    """
    work = Path(work)
    settings_of(work)
    job = read_job(work)
    if job is None or job.state not in UNFINISHED:
        raise StateError(f"nothing is being trained in {work}")
    ask_to_cancel(work)
    until = monotonic() + _ENDED
    while is_alive(work) and monotonic() < until:
        sleep(0.1)
    if not is_alive(work):
        with _alone(work):
            job = read_job(work, alone=True) or job
            if job.state in UNFINISHED:  # it was dead already
                with Work.open(work) as opened:
                    noted = len(versions(opened)) >= job.version
                if not noted:
                    rmtree(folder_of(work, job.version), ignore_errors=True)
                job = write_job(work, job, state="cancelled", why="it was cancelled")
    return job
