"""Jobs of the loop: at once in this process, or in the process they really have."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from learning_farm import begin

from annotate.work import Work
from segmenter.loop import control
from segmenter.loop.job import run_job
from segmenter.loop.state import Job, read_job

LAUNCHER = Path(__file__).parents[3] / "plugins" / "loop_with_colour.py"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return begin(tmp_path / "farm")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """`start` does the job itself: for what does not depend on processes."""
    monkeypatch.setattr(control, "_spawn", run_job)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job's process knows the colour segmenter."""
    monkeypatch.setattr(control, "COMMAND", (sys.executable, str(LAUNCHER)))


@pytest.fixture
def until() -> Callable[..., Job]:
    """Wait for a job to be in one of some states."""

    def wait(work: Path, *states: str, seconds: float = 120) -> Job:
        end = time.monotonic() + seconds
        while (job := read_job(work)) is None or job.state not in states:
            assert time.monotonic() < end, job
            time.sleep(0.02)
        return job

    return wait
