"""`partlab app` as a process: what it says, how soon it ends, a world where there is nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser
from web_app import go, look, opened, showing

from annotate.world import WorldConfig
from app import quickstart
from partlab.coco import read_coco


@contextmanager
def started(folder: Path, *words: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address it says."""
    command = [sys.executable, "-m", "app.cli.main", *map(str, words), "--port", "0", "--json"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    ) as process:
        assert process.stdout
        try:
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            process.kill()


def test_it_ends_at_once_though_a_page_is_open(
    tmp_path: Path, browser: Browser, colour_run: Path
) -> None:
    with started(tmp_path, "app", colour_run) as (process, url), opened(browser) as page:
        go(page, url)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert time.monotonic() - began < 15  # not the half minute that requests are given
        assert process.stderr
        said = process.stderr.read()
    assert "given: segmenter seg-colour" in said
    assert "open http://127.0.0.1:" in said
    assert "Traceback" not in said
    assert not list(Path(tempfile.gettempdir()).glob(f"partlab-app-{process.pid}-*"))


def test_reading_a_large_file_ends_with_the_server(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read in a process of its own, while pages answer; nothing of either is left."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    large(tmp_path / "data")
    with started(tmp_path, "app", tmp_path / "data") as (process, url), opened(browser) as page:
        go(page, f"{url}/dataset")
        page.locator("#dataset-step", has_text="once only").wait_for()
        (reader,) = [
            each
            for each in psutil.Process(process.pid).children(recursive=True)
            if "spawn_main" in " ".join(each.cmdline())
        ]
        assert page.request.get(url).ok
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert not reader.is_running()
    assert list((tmp_path / "cache").rglob("*")) == []


def large(folder: Path) -> None:
    """A data set that takes some seconds to read."""
    (folder / "annotations").mkdir(parents=True)
    images = [{"id": n, "file_name": f"{n}.png", "width": 8, "height": 8} for n in range(200_000)]
    line = [[0.5, 0.5] * 20]
    masks = [{"id": n, "image_id": n, "category_id": 1, "segmentation": line, "area": 9,
              "bbox": [0, 0, 3, 3], "iscrowd": 0} for n in range(200_000)]  # fmt: skip
    parts = [{"id": 1, "name": "horn", "supercategory": "ram"}]
    whole = {"images": images, "annotations": masks, "categories": parts}
    (folder / "annotations" / "train.json").write_text(json.dumps(whole))


def test_the_model_server_with_pages(tmp_path: Path, browser: Browser, colour_run: Path) -> None:
    run = tmp_path / "none"
    with started(tmp_path, "serve", run, "--ui") as (process, url):
        assert url
        assert process.wait(120) == 3  # a model that is not there ends it, pages or not


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder without anything, and a world that is drawn in seconds."""
    monkeypatch.setattr(quickstart, "WORLD", WorldConfig(images=28, pool=14, heldout=28, size=48))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_given_nothing_it_draws_a_world(small: Path, browser: Browser) -> None:
    with showing() as running, opened(browser) as page:
        go(page, running.url)
        page.get_by_text("Begin with a drawn world").wait_for()
        look(page, "home-nothing")
        page.get_by_role("button", name="Draw the world").click()
        page.get_by_text("Given: data set world.").wait_for()
        assert not page.get_by_text("Begin with a drawn world").is_visible()
        assert len(read_coco(small / "quickstart/world/annotations/heldout.json").images) == 28
        go(page, f"{running.url}/parts")
        page.get_by_text(re.compile("No segmenter was given")).wait_for()
        assert not page.locator("#parts-go").is_visible()


def test_a_folder_that_holds_something_else_is_left_alone(small: Path, browser: Browser) -> None:
    (small / "quickstart").mkdir()
    (small / "quickstart" / "thesis.txt").write_text("mine")
    with showing() as running, opened(browser) as page:
        go(page, running.url)
        page.get_by_role("button", name="Draw the world").click()
        page.locator("#home-step [role=alert]").wait_for()
        assert "holds no quickstart (thesis.txt)" in page.locator("#home-step").inner_text()
    assert [path.name for path in (small / "quickstart").iterdir()] == ["thesis.txt"]
