"""The process of a job: one for a work, seen from outside, killed and taken up again."""

import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from learning_farm import accept, run_of

from annotate.work import Work
from partlab.errors import BusyError, PartlabError
from segmenter.loop import cancel, control, start, status
from segmenter.loop.state import Job, is_alive, read_job, write_job
from segmenter.loop.versions import folder_of, versions

pytestmark = pytest.mark.usefixtures("process")
Wait = Callable[..., Job]


@pytest.fixture
def slow(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """A job on it takes at least seven seconds of training."""
    accept(work)
    run_of(tmp_path / "poor", wrong=True)
    monkeypatch.setenv("LOOP_PAUSE", "0.25")
    return work


def job_of(work: Work) -> psutil.Process:
    """The process of a work's job, by the folder in its command line."""
    name = str(work.folder.absolute())
    found = [p for p in psutil.process_iter(["cmdline"]) if name in (p.info["cmdline"] or ())]
    assert len(found) == 1, found
    return found[0]


def until_training(work: Work) -> None:
    end = time.monotonic() + 120
    while (seen := status(work.folder).progress) is None or seen.what != "fitting":
        assert time.monotonic() < end
        time.sleep(0.05)


def test_killed_it_goes_on_with_what_it_had_collected(
    slow: Work, tmp_path: Path, until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = start(slow.folder, run=tmp_path / "poor")
    until_training(slow)
    os.kill(job_of(slow).pid, signal.SIGKILL)
    stopped = until(slow.folder, "stopped")
    assert stopped.why == "its process is gone"
    collected = folder_of(slow.folder, 2) / "data" / "annotations" / "train.json"
    before = collected.stat().st_mtime_ns
    accept(slow, "schöner Hammer")  # what is accepted meanwhile is for the next version
    monkeypatch.setenv("LOOP_PAUSE", "0")
    again = start(slow.folder)
    assert (again.number, again.version) == (begun.number, begun.version)
    assert until(slow.folder, "done").why.startswith("version 2 is served")
    assert collected.stat().st_mtime_ns == before
    assert [one.number for one in versions(slow)] == [1, 2]


def test_progress_is_seen_and_one_job_runs(slow: Work, tmp_path: Path, until: Wait) -> None:
    start(slow.folder, run=tmp_path / "poor")
    until_training(slow)
    found = status(slow.folder)
    assert found.job is not None
    assert found.job.state == "running"
    assert found.progress is not None
    assert "fitting: " in found.progress.words
    with pytest.raises(BusyError, match=r"a training of .* is running \(fitting"):
        start(slow.folder)
    ended = cancel(slow.folder)
    assert ended.state == "cancelled"
    assert not folder_of(slow.folder, 2).exists()
    assert [one.number for one in versions(slow)] == [1]
    assert not is_alive(slow.folder)


def test_of_two_starts_at_once_one_begins(slow: Work, tmp_path: Path) -> None:
    def begin(_: int) -> str:
        try:
            return start(slow.folder, run=tmp_path / "poor").state
        except PartlabError as error:
            return type(error).__name__

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(begin, range(2))) == ["BusyError", "queued"]
    assert job_of(slow).is_running()
    cancel(slow.folder)


def test_killed_before_its_end_is_noted_it_makes_no_second_version(
    slow: Work, tmp_path: Path, until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the history and the job's own file: the history counts."""
    monkeypatch.setenv("LOOP_PAUSE", "0")
    start(slow.folder, run=tmp_path / "poor")
    done = until(slow.folder, "done")
    write_job(slow.folder, done, state="running", why="")
    found = read_job(slow.folder)
    assert found is not None
    assert found.state == "stopped"
    start(slow.folder)
    assert until(slow.folder, "done").why == done.why
    assert len(versions(slow)) == 2


def test_a_full_disk_is_said_and_the_same_command_goes_on(
    slow: Work, tmp_path: Path, until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file may be larger than 40 KiB there: a real refusal of the system."""
    monkeypatch.setenv("LOOP_PAUSE", "0")
    usual = control.COMMAND
    monkeypatch.setattr(
        control, "COMMAND", ("bash", "-c", f'ulimit -f 40; exec {" ".join(usual)} "$0"')
    )
    begun = start(slow.folder, run=tmp_path / "poor")
    failed = until(slow.folder, "failed")
    assert "disk I/O error" in failed.why or "File too large" in failed.why
    assert "(" in failed.why, "what to do stands behind it"
    assert [one.number for one in versions(slow)] == [1]
    monkeypatch.setattr(control, "COMMAND", usual)
    assert start(slow.folder).number == begun.number
    assert until(slow.folder, "done").why.startswith("version 2 is served")


def test_a_process_that_cannot_begin_is_said(
    slow: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(PartlabError, match="could not begin"):
        start(slow.folder, run=tmp_path / "poor")
