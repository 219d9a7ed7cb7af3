"""Model help in a real browser: a click, a mask without a reload, accepted, and pulled back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, click, log_in, look, opened_page, save
from colour_segmenter import COLOURS, NAMES
from PIL import Image as PillowImage
from playwright.sync_api import Page
from served import PacedSegmenter, serving, source_of
from served import Running as Served
from typer.testing import CliRunner

from annotate.studio.server.start import Running
from annotate.vocabulary import ObjectParts, Part, Vocabulary, write_vocabulary
from annotate.work import Work
from app.cli.main import app
from partlab.masks import decode

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
SIZE = (400, 300)
HEAD, EAR = (100, 100, 260, 240), (120, 40, 180, 90)


def partlab(*words: object) -> Any:
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, f"{words}\n{done.output}\n{done.stderr}"
    return json.loads(done.stdout)


@pytest.fixture
def page() -> Iterator[Page]:
    with opened_page() as page:
        yield page


@pytest.fixture
def server(studio_server: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    return studio_server


@pytest.fixture
def model() -> Iterator[Served]:
    with serving(source_of(PacedSegmenter())) as running:
        yield running


def begin(folder: Path, email: str) -> tuple[Path, str]:
    """Pictures of a cat, handed out; the work's folder and the annotator's password."""
    parts = (Part(id="h", name="head"), Part(id="ear", name="ear"))
    cat = ObjectParts(name="cat", parts=parts)
    write_vocabulary(folder / "vocabulary.yaml", Vocabulary(name="farm", objects=(cat,)))
    (folder / "photos" / "cat").mkdir(parents=True)
    picture = PillowImage.new("RGB", SIZE, (120, 120, 120))
    for part, box in (("cat:head", HEAD), ("cat:ear", EAR)):
        picture.paste(tuple(int(c) for c in COLOURS[NAMES.index(part)]), box)
    picture.save(folder / "photos" / "cat" / "one.png")
    (account,) = partlab("studio", "user", email)["users"]
    given = ["--vocabulary", folder / "vocabulary.yaml", "--images", folder / "photos"]
    partlab("studio", "create", folder / "work", *given, "--annotators", email, "--per-object", 1)
    return folder / "work", account["password"]


def test_explore(server: Running, model: Served, page: Page, tmp_path: Path) -> None:
    email = "hal@x.org"
    folder, password = begin(tmp_path, email)
    print(partlab("studio", "connect", folder, model.url))
    log_in(page, server, email, password)
    with Work.open(folder) as work:
        project = work.batch("cat").project_id
        (task,) = work.tasks("cat", 1)
    page.goto(f"{server.url}/projects/{project}/data?task={task.task_id}")
    page.wait_for_selector(".konvajs-content")
    page.wait_for_timeout(2500)
    look(page, "h1-page")
    seen = []
    page.on("request", lambda r: seen.append((r.method, r.url, r.post_data)) if "interactive" in r.url else None)
    page.on("response", lambda r: seen.append((r.status, r.text()[:300])) if "interactive" in r.url else None)
    page.get_by_text("Auto-Annotation").click()
    page.wait_for_timeout(800)
    look(page, "h2-auto")
    smart = page.locator(".lsf-tool_smart")
    smart.first.click()
    page.wait_for_timeout(500)
    look(page, "h2-smart")
    page.keyboard.press("1")
    click(page, (0.4, 0.5))
    page.wait_for_timeout(2500)
    look(page, "h3-clicked")
    print(seen)
    from browser import SCREENSHOTS
    if SCREENSHOTS:
        (Path(SCREENSHOTS) / "page.html").write_text(page.content())
    page.keyboard.down("Alt")
    click(page, (0.6, 0.75))
    page.keyboard.up("Alt")
    page.wait_for_timeout(2000)
    look(page, "h4-negative")
    print(seen[-2:])
    page.get_by_test_id("bottombar-accept-suggestions-button").click()
    page.wait_for_timeout(800)
    look(page, "h5-accepted")
    with page.expect_request(lambda r: r.method in ("POST","PATCH") and "/annotations" in r.url) as sent:
        page.get_by_role("button", name="Submit").first.click()
    body = sent.value.post_data_json
    for item in body["result"]:
        item["value"].pop("rle", None)
        print(item)
    partlab("studio", "pull", folder)
    with Work.open(folder) as work:
        (answer,) = work.answers("cat", 1)
        print(answer.kind, answer.problems, [{k: v for k, v in m.items() if k != "rle"} for m in answer.masks])
