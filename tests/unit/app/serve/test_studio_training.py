"""Label Studio's training button, to the end: a real training in its own process, and its exam."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from labelling import interface
from learning_farm import TINY, accept, begin, picture, run_of
from served import Running, png, serving

from annotate.work import Work
from app.serve.source import Source
from segmenter.loop import control
from segmenter.loop.lessons import collect
from segmenter.loop.state import read_job, read_progress
from segmenter.loop.versions import Version, add_given, folder_of, versions
from segmenter.runs import read_run
from segmenter.train import train_segmenter

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[5]
PAYLOAD = ROOT / "shared" / "data" / "labelstudio-payloads" / "webhook_start_training.json"
LAUNCHER = Path(__file__).parents[3] / "plugins" / "loop_with_colour.py"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Rams were accepted, and a version that finds only heads is served."""
    monkeypatch.setattr(control, "COMMAND", (sys.executable, str(LAUNCHER)))
    monkeypatch.setenv("LOOP_PAUSE", "0.1")
    made = begin(tmp_path / "farm")
    accept(made)
    return made


def press(server: Running, work: Work) -> None:
    """The button, as Label Studio 1.23.2 was seen to send it."""
    if not PAYLOAD.is_file():
        pytest.skip(f"no captured request {PAYLOAD}")
    sent = json.loads(PAYLOAD.read_text())
    sent["body"]["project"]["label_config"] = interface(work=work.settings.id, object="ram")
    agent = {"user-agent": sent["headers"]["user-agent"]}
    answer = server.client.post(sent["path"], json=sent["body"], headers=agent)
    assert answer.json() == {"action": "START_TRAINING"}


def watched(work: Work) -> tuple[list[str], set[str], str]:
    """The states the job goes through, what it says it is doing, and how it ends."""
    states: list[str] = []
    doing: set[str] = set()
    until = time.monotonic() + 400
    while not states or states[-1] in ("queued", "running"):
        assert time.monotonic() < until, (states, doing)
        job, progress = read_job(work.folder), read_progress(work.folder)
        if job is not None and job.state not in states[-1:]:
            states.append(job.state)
        if progress is not None and progress.total:
            doing.add(progress.what)
        time.sleep(0.05)
    return states, doing, job.why if job else ""


def answering(server: Running) -> tuple[str, int]:
    """The version that answers, and how many parts it finds in a ram."""
    told = server.post("/v1/segment?object=ram&model=farm", png(picture("ram", 3))).json()
    return told["model"]["version"], len(told["answers"][0]["parts"])


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def trained(work: Work, server: Running) -> Version:
    """Press the button, and see the training to its end; the new version."""
    press(server, work)
    states, doing, why = watched(work)
    assert states == ["queued", "running", "done"], why
    assert doing, "no progress was told"
    made = versions(work)[-1]
    assert (made.number, made.who, made.parent) == (2, "Label Studio", 1)
    return made


@pytest.mark.parametrize("spoilt", [False, True])
def test_what_it_trains_is_served_only_if_it_is_better(
    work: Work, tmp_path: Path, spoilt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_given(work, run_of(tmp_path / "first", wrong=not spoilt), "lead@x.org")
    if spoilt:
        monkeypatch.setenv("LOOP_SPOIL", "1")
    with serving(Source.of_run(f"farm={work.folder}"), follow_s=0.1) as server:
        first, few = answering(server)
        made = trained(work, server)
        assert made.served is not spoilt
        if spoilt:
            time.sleep(1)  # ten looks at the history
            assert answering(server) == (first, few)
        else:
            until(lambda: answering(server)[0] != first)
            assert answering(server)[1] > few


def test_a_network_is_trained_further(work: Work, tmp_path: Path) -> None:
    """As above with a Mask R-CNN; whether so little learning helps is for the exam to say."""
    collect(work, tmp_path / "lessons")
    train_segmenter(tmp_path / "lessons", tmp_path / "run", recipe="small", overrides=TINY)
    add_given(work, tmp_path / "run", "lead@x.org")
    with serving(Source.of_run(f"farm={work.folder}"), follow_s=0.1) as server:
        first, _ = answering(server)
        made = trained(work, server)
        start = read_run(folder_of(work.folder, 2))["config"]["train"]["start"]
        assert start == str(folder_of(work.folder, 1).absolute())
        until(lambda: (answering(server)[0] != first) == made.served)
