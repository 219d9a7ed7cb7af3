"""`partlab loop`: what a lead reads, and a real training in its own process."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from learning_farm import TINY, accept, begin, run_of, two_versions
from typer.testing import CliRunner, Result

from annotate.work import Work
from app.cli.main import app
from segmenter.loop.versions import add_given, folder_of
from segmenter.runs import load_segmenter


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return begin(tmp_path / "farm")


def partlab(*words: object, code: int = 0) -> Result:
    told = CliRunner().invoke(app, ["loop", *map(str, words)])
    assert told.exit_code == code, told.output
    return told


def test_nothing_yet_says_what_comes_first(work: Work) -> None:
    assert f"next: partlab loop start {work.folder}" in partlab("status", work.folder).output
    assert "no version yet" in partlab("versions", work.folder).output
    told = partlab("start", work.folder, code=1).output
    assert "error: no picture is accepted yet in" in told
    assert "partlab inspect decide" in told
    assert "nothing is being trained" in partlab("cancel", work.folder, code=1).output
    partlab("status", work.folder / "no", code=3)


def test_versions_and_rollback(work: Work, tmp_path: Path) -> None:
    two_versions(work, tmp_path)
    told = partlab("versions", work.folder).output
    assert "2 (served)" in told
    assert "28, 84" in told
    assert "66.7, 29.0" in told
    assert "version 2 was served: it is better" in told
    found = json.loads(partlab("versions", work.folder, "--json").output)
    assert [(one["number"], one["current"]) for one in found["versions"]] == [(1, False), (2, True)]
    assert partlab("rollback", work.folder).output == "version 1 is served again\n"
    assert "version 1 of 2 is served" in partlab("status", work.folder).output
    assert json.loads(partlab("rollback", work.folder, 2, "--json").output) == {"served": 2}
    partlab("rollback", work.folder, 9, code=3)


def test_next_without_a_server_only_says(work: Work, tmp_path: Path) -> None:
    from farm import hand_out

    assert "has no segmenter that could choose" in partlab("next", work.folder, code=1).output
    add_given(work, run_of(tmp_path / "poor", wrong=True), "lead@x.org")
    assert "nothing is being drawn" in partlab("next", work.folder, "--dry-run", code=1).output
    hand_out(work)
    told = partlab("next", work.folder, "--n", 3, "--dry-run").output
    assert told.count("(image ") == 3
    assert "chosen by version 1 from 28 pictures not drawn yet" in told
    assert "besides, 12 keep their place: for the exam" in told
    assert "nothing was changed" in told
    found = json.loads(partlab("next", work.folder, "--n", 3, "--dry-run", "--json").output)
    assert len(found["images"]) == 3
    assert not [event for event in work.events() if event.what == "ordered"]


def test_a_real_training_from_nothing_and_on_from_it(work: Work) -> None:
    """The default backend in a process of its own; its weights are carried into the next turn."""
    accept(work, "schöner Hammer")
    settings = [word for each in TINY for word in ("--set", each)]
    partlab("start", work.folder, *settings, "--recipe", "small")
    until = time.monotonic() + 240
    while '"state": "done"' not in (told := partlab("status", work.folder, "--json").output):
        assert time.monotonic() < until, told
        assert '"state": "failed"' not in told, told
        time.sleep(0.5)
    assert "kept aside: too few pictures are held out" in told
    found = load_segmenter(folder_of(work.folder, 1), device="cpu")
    assert found.names == ("schöner Hammer:handle",)


def test_the_program_itself_says_how_it_stands(work: Work) -> None:
    command = [sys.executable, "-m", "app.cli.main", "loop", "status", str(work.folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    assert "nothing was trained yet" in told.stdout
