"""Bulk jobs: a folder or pictures, stopped anywhere and gone on with, never twice."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from colour_segmenter import draw_folder
from served import PacedSegmenter, drawing, serving, source_of

from app.serve.answers import JobAnswer
from app.serve.source import Source
from partlab.errors import BusyError
from pseudolabel.engine import label_images
from pseudolabel.settings import Settings, Thresholds
from pseudolabel.store import Store

LAUNCHER = Path(__file__).parents[3] / "plugins" / "partlab_with_colour.py"
LOW = {"default": 0.1}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = draw_folder(tmp_path / "photos", 20)
    (folder / "cat" / "broken.jpg").write_text("hello")
    return folder


def submitted(client: httpx.Client, key: str = "", **ask: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post("/v1/jobs", json=ask, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    JobAnswer.model_validate(answer.json())
    found: dict[str, Any] = answer.json()
    return found


def until(client: httpx.Client, number: str, *states: str, done: int = 0) -> dict[str, Any]:
    end = time.monotonic() + 180
    while True:
        told: dict[str, Any] = client.get(f"/v1/jobs/{number}").json()
        if told["state"] in states and told["done"] >= done:
            return told
        assert told["state"] in ("queued", "running", *states), told
        assert time.monotonic() < end
        time.sleep(0.02)


def rows(client: httpx.Client, number: str) -> Any:
    answer = client.get(f"/v1/jobs/{number}/result")
    assert answer.status_code == 200, answer.text
    return pq.read_table(io.BytesIO(answer.content))


def expected(photos: Path, run: Path, out: Path) -> Store:
    settings = Settings(thresholds=Thresholds(default=0.1), shard_size=64)
    done = label_images(photos, run, out, settings, workers=0)
    assert done is not None
    return done.store


def masks(table: Any) -> dict[str, list[tuple[int, bytes]]]:
    return {
        row["file_name"]: [(mask["label"], mask["rle"]) for mask in row["masks"]]
        for row in table.to_pylist()
    }


def test_a_folder_gives_the_masks_that_pseudolabel_gives(
    colour_run: Path, photos: Path, tmp_path: Path
) -> None:
    source, roots = Source.of_run(f"seg={colour_run}"), {"photos": photos}
    with serving(source, jobs=tmp_path / "jobs", roots=roots) as server:
        job = submitted(server.client, folder="photos", thresholds=LOW)
        assert job["state"] == "queued"
        told = until(server.client, job["id"], "done")
        table = rows(server.client, job["id"])
    assert (told["images"], told["done"]) == (21, 21)
    assert told["counts"]["unreadable"] == 1
    store = expected(photos, colour_run, tmp_path / "store")
    known = {row.file_name: [(m.label, m.rle["counts"].encode()) for m in row.masks]
             for row in store.rows()}  # fmt: skip
    assert masks(table) == known
    assert any(known.values())
    assert json.loads(table.schema.metadata[b"partlab.names"]) == list(store.names)


def test_a_sub_folder_may_be_named(colour_run: Path, photos: Path, tmp_path: Path) -> None:
    source, roots = Source.of_run(f"seg={colour_run}"), {"top": tmp_path}
    with serving(source, jobs=tmp_path / "jobs", roots=roots) as server:
        job = submitted(server.client, folder="top/photos")
        assert until(server.client, job["id"], "done")["images"] == 21


def test_pictures_may_be_sent_with_the_job(colour_run: Path, tmp_path: Path) -> None:
    data = {name: drawing(tmp_path, name, 3) for name in ("cat", "car")}
    sent = [
        {"name": f"{name}/1.png", "object": name, "image": base64.b64encode(each).decode()}
        for name, each in data.items()
    ]
    with serving(Source.of_run(f"seg={colour_run}"), jobs=tmp_path / "jobs") as server:
        job = submitted(server.client, pictures=sent, thresholds=LOW)
        until(server.client, job["id"], "done")
        table = rows(server.client, job["id"])
        alone = server.post("/v1/segment?object=cat&threshold=0.1", data["cat"]).json()
    found = {row["object"]: row for row in table.to_pylist()}
    assert found.keys() == {"cat", "car"}
    assert [mask["rle"].decode() for mask in found["cat"]["masks"]] == [
        part["mask"]["counts"] for part in alone["answers"][0]["parts"]
    ]


def test_a_repeated_job_is_the_same_also_after_a_restart(
    colour_run: Path, photos: Path, tmp_path: Path
) -> None:
    source = Source.of_run(f"seg={colour_run}")
    places = {"jobs": tmp_path / "jobs", "roots": {"photos": photos}}
    with serving(source, **places) as server:
        first = submitted(server.client, "one", folder="photos")
        assert submitted(server.client, "one", folder="photos")["id"] == first["id"]
        assert submitted(server.client, folder="photos")["id"] != first["id"]
        other = server.client.post(
            "/v1/jobs", json={"folder": "photos/cat"}, headers={"Idempotency-Key": "one"}
        )
        assert other.status_code == 422
        until(server.client, first["id"], "done")
    with serving(source, **places) as server:
        again = submitted(server.client, "one", folder="photos")
        assert (again["id"], again["state"]) == (first["id"], "done")
        assert rows(server.client, first["id"]).num_rows == 21
        assert len(server.client.get("/v1/jobs").json()) == 2


def test_a_job_that_the_server_left_goes_on_where_it_was(photos: Path, tmp_path: Path) -> None:
    """SV-12, SV-23: stopped between two shards, only the rest is looked at again."""
    places = {"jobs": tmp_path / "jobs", "roots": {"photos": photos}}
    slow, quick = PacedSegmenter(each=0.15), PacedSegmenter()
    with serving(source_of(slow), **places) as server:
        job = submitted(server.client, folder="photos", shard_size=4)
        until(server.client, job["id"], "running", done=4)
    assert 4 <= sum(slow.batches) - 1 < 20
    kept = len(list((tmp_path / "jobs" / job["id"] / "store" / "shards").glob("*.parquet")))
    assert kept >= 1
    with serving(source_of(quick), **places) as server:
        assert until(server.client, job["id"], "done")["done"] == 21
        assert rows(server.client, job["id"]).num_rows == 21
    assert sum(quick.batches) - 1 <= 20 - 4 * kept + 1


def test_a_cancelled_job_ends_and_the_next_begins(photos: Path, tmp_path: Path) -> None:
    places = {"jobs": tmp_path / "jobs", "roots": {"photos": photos}}
    with serving(source_of(PacedSegmenter(each=0.2)), **places) as server:
        first, second, third = (
            submitted(server.client, folder=f"photos{part}") for part in ("", "/cat", "/car")
        )
        until(server.client, first["id"], "running")
        early = server.client.get(f"/v1/jobs/{first['id']}/result")
        assert early.status_code == 409
        assert server.client.delete(f"/v1/jobs/{third['id']}").json()["state"] == "cancelled"
        assert server.client.delete(f"/v1/jobs/{first['id']}").status_code == 200
        until(server.client, first["id"], "cancelled")
        until(server.client, second["id"], "done", "failed")
        assert server.client.delete(f"/v1/jobs/{first['id']}").status_code == 409
        text = server.client.get("/metrics").text
        assert 'partlab_jobs{state="cancelled"} 2.0' in text


def test_a_job_that_cannot_be_done_says_why(colour_run: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "horse").mkdir(parents=True)
    drawing(tmp_path / "photos" / "horse")
    places = {"jobs": tmp_path / "jobs", "roots": {"photos": tmp_path / "photos"}}
    with serving(Source.of_run(f"seg={colour_run}"), **places) as server:
        told = until(server.client, submitted(server.client, folder="photos")["id"], "failed")
        assert "horse" in told["reason"]
        assert told["hint"]


def test_a_job_waits_for_a_model_that_is_not_served_now(
    colour_run: Path, photos: Path, tmp_path: Path
) -> None:
    places = {"jobs": tmp_path / "jobs", "roots": {"photos": photos}}
    source = Source.of_run(f"seg={colour_run}")
    with serving(source_of(PacedSegmenter(each=0.2), "seg"), **places) as server:
        job = submitted(server.client, folder="photos")
        until(server.client, job["id"], "running")
    with serving(source, **places) as server:  # the same name, another version
        told = until(server.client, job["id"], "queued")
        assert "is not served" in told["reason"]
        own = submitted(server.client, folder="photos")
        until(server.client, own["id"], "done")
    with serving(source_of(PacedSegmenter(), "seg"), **places) as server:
        until(server.client, job["id"], "done")


def started(*words: object) -> tuple[Any, str]:
    """A server in a process of its own, and its address."""
    command = [sys.executable, str(LAUNCHER), "serve", *map(str, words), "--port", "0", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLOUR_SEGMENTER_PAUSE": "0.15"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["url"]


def ready(url: str) -> httpx.Client:
    client = httpx.Client(base_url=url, timeout=30)
    end = time.monotonic() + 180
    while client.get("/ready").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)
    return client


@pytest.mark.slow
def test_after_kill_nothing_accepted_is_lost_and_nothing_is_half_written(
    colour_run: Path, photos: Path, tmp_path: Path
) -> None:
    """SV-23: kill -9 in the middle of a job, and the client repeats by its key."""
    words = (f"seg={colour_run}", "--jobs", tmp_path / "jobs", "--root", photos)
    process, url = started(*words)
    with closing(ready(url)) as client:
        job = submitted(client, "mine", folder="photos", shard_size=4, thresholds=LOW)
        until(client, job["id"], "running", done=4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process, url = started(*words)
    try:
        with closing(ready(url)) as client:
            again = submitted(client, "mine", folder="photos", shard_size=4, thresholds=LOW)
            assert again["id"] == job["id"]
            until(client, job["id"], "done")
            table = rows(client, job["id"])
    finally:
        process.terminate()
        assert process.wait(60) == 0
    store = expected(photos, colour_run, tmp_path / "store")
    assert [row["file_name"] for row in table.to_pylist()] == [r.file_name for r in store.rows()]
    assert not list((tmp_path / "jobs").rglob("*.tmp"))


def test_two_servers_do_not_share_a_folder_of_jobs(tmp_path: Path) -> None:
    first = serving(source_of(PacedSegmenter()), jobs=tmp_path)
    with first, pytest.raises(BusyError), serving(source_of(PacedSegmenter()), jobs=tmp_path):
        pass
