"""A server follows the loop of a work: promoted and rolled back without a restart."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from colour_segmenter import write_colour_run
from learning_farm import begin, picture, run_of
from served import Running, png, serving

from annotate.work import Work
from app.serve.batcher import StoppingError
from app.serve.source import Source
from partlab.errors import NotFoundError
from segmenter.loop.versions import add_given, current, folder_of, record, roll_back

LEAD = "lead@x.org"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    made = begin(tmp_path / "farm")
    add_given(made, run_of(tmp_path / "poor", wrong=True), LEAD)
    return made


def promote(work: Work, number: int, *, broken: bool = False, names: tuple[str, ...] = ()) -> None:
    """A better version, as a job records it; other `names` make it another to the server too."""
    run = run_of(folder_of(work.folder, number), names=names)
    from partlab.files import sha256_file

    first = current(work)
    assert first is not None
    facts: dict[str, Any] = {"served": True, "why": "it is better", "parts": dict(first.parts)}
    facts |= {"weights_sha256": sha256_file(run / "best.safetensors"), "vocabulary": 1}
    record(work, LEAD, number, parent=first.number, **facts)
    if broken:
        (run / "best.safetensors").write_bytes(b"half")


def heads_and_bodies(running: Running) -> tuple[str, int]:
    """The version that answers, and how many parts it finds."""
    found = running.post("/v1/segment?object=ram", png(picture("ram", 3))).json()
    return found["model"]["version"], len(found["answers"][0]["parts"])


def soon(holds: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_promotion_and_rollback_are_seen_without_a_restart(work: Work) -> None:
    source = Source.of_run(f"loop={work.folder}")
    with serving(source, follow_s=0.1) as running:
        first, few = heads_and_bodies(running)
        promote(work, 2)
        soon(lambda: heads_and_bodies(running)[0] != first)
        second, more = heads_and_bodies(running)
        assert more > few
        roll_back(work, None, LEAD)
        soon(lambda: heads_and_bodies(running)[0] == first)
        assert heads_and_bodies(running) == (first, few)
        pinned = running.post(f"/v1/segment?object=ram&model=loop@{second}", png(picture("ram", 3)))
        assert pinned.status_code == 200, "who asked for that very version still gets it"
        assert running.client.get("/ready").status_code == 200


def test_no_answer_is_lost_while_versions_change(work: Work) -> None:
    with serving(Source.of_run(f"loop={work.folder}"), follow_s=0.05) as running:
        for number in (2, 3, 4):
            promote(work, number)
            for _ in range(15):
                answer = running.post("/v1/segment?object=ram", png(picture("ram", 3)))
                assert answer.status_code == 200, answer.text


def answering(running: Running) -> str:
    told: str = running.client.get("/v1/models/loop").json()["version"]
    return told


def replace_twice(work: Work, running: Running) -> None:
    """The first version is neither served nor the one before any more."""
    for number, names in ((2, ("ram:head", "ram:horn")), (3, ("ram:head", "ram:body"))):
        before = answering(running)
        promote(work, number, names=names)
        soon(lambda before=before: answering(running) != before)  # type: ignore[misc]


def job_of(running: Running, number: str) -> dict[str, Any]:
    found: dict[str, Any] = running.client.get(f"/v1/jobs/{number}").json()
    return found


@pytest.fixture
def asked(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a server that takes jobs, whose models are slow enough to be replaced."""
    monkeypatch.setenv("COLOUR_SEGMENTER_PAUSE", "0.3")
    folder = tmp_path / "photos" / "ram"
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"{number}.png").write_bytes(png(picture("ram", number)))
    return {"jobs": tmp_path / "jobs", "roots": {"p": tmp_path / "photos"}, "follow_s": 0.05}


SMALL_SHARDS = {"folder": "p", "shard_size": 2}


def test_a_job_ends_with_the_version_it_began_with(work: Work, asked: dict[str, Any]) -> None:
    with serving(Source.of_run(f"loop={work.folder}"), **asked) as running:
        first = answering(running)
        (model,) = running.state.models.segmenters
        job = running.client.post("/v1/jobs", json=SMALL_SHARDS).json()
        soon(lambda: job_of(running, job["id"])["done"] > 0)
        replace_twice(work, running)
        assert job_of(running, job["id"])["state"] == "running", "it was replaced too late to tell"
        assert f"loop@{first}" not in running.client.get("/ready").json()["models"]
        soon(lambda: job_of(running, job["id"])["state"] != "running")
        told = job_of(running, job["id"])
        assert (told["state"], told["model"]) == ("done", f"loop@{first}"), told
        with pytest.raises(StoppingError):  # and then it is let go
            model.submit(picture("ram", 1), None, None)


def test_a_job_that_was_stopped_goes_on_with_its_version_when_others_are_served(
    work: Work, asked: dict[str, Any]
) -> None:
    source = Source.of_run(f"loop={work.folder}")
    with serving(source, **asked) as running:
        first = answering(running)
        job = running.client.post("/v1/jobs", json=SMALL_SHARDS).json()
        soon(lambda: job_of(running, job["id"])["done"] > 0)
    promote(work, 2, names=("ram:head", "ram:horn"))
    with serving(source, **asked) as running:
        assert answering(running) != first
        soon(lambda: job_of(running, job["id"])["state"] == "done")
        assert job_of(running, job["id"])["model"] == f"loop@{first}"


def test_a_version_that_cannot_be_loaded_changes_nothing_and_is_said(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Source.of_run(f"loop={work.folder}"), follow_s=0.1) as running:
        first, _ = heads_and_bodies(running)
        promote(work, 2, broken=True)
        soon(lambda: "version 2 cannot be served, so 1 stays" in caplog.text)
        assert heads_and_bodies(running)[0] == first
        told = running.client.get("/v1/models/loop").json()
        assert told["version"] == first
        assert caplog.text.count("cannot be served") == 1, "said once, not at every look"
        promote(work, 3)
        soon(lambda: heads_and_bodies(running)[0] != first)


def test_a_work_without_a_version_cannot_be_served(tmp_path: Path) -> None:
    begin(tmp_path / "new")
    source = Source.of_run(str(tmp_path / "new"))
    assert source.name == "new"
    with pytest.raises(NotFoundError, match="serves no version yet"):
        source.load("new", None, None)  # type: ignore[arg-type]


def test_a_run_is_served_as_before(tmp_path: Path) -> None:
    run = write_colour_run(tmp_path / "seg")
    assert Source.of_run(str(run)).newest is None
