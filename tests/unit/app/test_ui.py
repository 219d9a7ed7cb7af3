"""How far work is, in a log as on a terminal, and who speaks of several processes."""

import io
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from app.cli import _progress, _ui
from partlab.progress import track


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass only when somebody adds to them."""
    seconds = [0.0]
    monkeypatch.setattr(_progress, "monotonic", lambda: seconds[0])
    return seconds


def told(monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> io.StringIO:
    """What the console of errors and progress is given."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, soft_wrap=True, width=200)
    monkeypatch.setattr(_ui, "stderr", console)
    return written


def work(steps: int, clock: list[float], seconds: float, total: int | None = None) -> None:
    with _ui.reported():
        for _ in track(iter(range(steps)), "training 60 epochs [a]", total):
            clock[0] += seconds


def test_a_log_gets_a_line_a_minute(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    written = told(monkeypatch)
    work(400, clock, 0.5, total=9600)
    lines = written.getvalue().splitlines()
    assert lines[0] == ("training 60 epochs [a]: 120 of 9,600, 2.0/s, about 1 h 19 min left")
    assert len(lines) == 3  # after 60, 120 and 180 of 200 seconds


def test_slow_work_of_unknown_length(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    written = told(monkeypatch)
    work(2, clock, 90)
    assert written.getvalue().splitlines()[0] == "training 60 epochs [a]: 1, 0.7/min"


def test_short_work_is_quiet(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    written = told(monkeypatch)
    work(59, clock, 1, total=59)
    work(1, clock, 100, total=1)  # done when there is something to say
    assert written.getvalue() == ""


def test_a_terminal_gets_a_bar(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    written = told(monkeypatch, terminal=True)
    work(3, clock, 1, total=3)
    assert "training 60 epochs [a]" in written.getvalue()
    assert "3/3" in written.getvalue()


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RANK", "1")
    yield
    assert logging.getLogger().level != logging.ERROR


def test_of_several_processes_one_speaks(
    second: None,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = logging.getLogger("train.rows")
    written = told(monkeypatch)
    work(3, clock, 100, total=9)
    with _ui.reported():
        log.warning("3 pictures left out")
        log.error("cannot go on")
    assert written.getvalue() == ""
    assert capsys.readouterr().err == "cannot go on\n"
    monkeypatch.setenv("RANK", "0")
    with _ui.reported():
        log.warning("3 pictures left out")
    assert capsys.readouterr().err == "3 pictures left out\n"
