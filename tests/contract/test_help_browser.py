"""Model help in a real browser: a click, a mask without a reload, accepted, and pulled back."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, ask, log_in, look, opened_page, place, save
from colour_segmenter import COLOURS, NAMES
from PIL import Image as PillowImage
from PIL import ImageDraw
from playwright.sync_api import Page, Response
from served import PacedSegmenter, serving, source_of
from served import Running as Served
from typer.testing import CliRunner

from annotate.studio.server.start import Running
from annotate.studio.spelling.reading import read_result
from annotate.vocabulary import ObjectParts, Part, Vocabulary, write_vocabulary
from annotate.work import Work
from app.cli.main import app
from partlab.masks import BoolMask, decode

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
SIZE = (480, 360)
CAT = ObjectParts(name="cat", parts=(Part(id="h", name="head"), Part(id="e", name="ear")))
EARS = ((150, 60), (270, 60))  # left, top
LEFT, RIGHT, BETWEEN = (0.36, 0.30), (0.61, 0.30), (0.5, 0.2)  # in shares of the picture


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


def draw_cat(path: Path) -> None:
    """Its head is plain; its ears are so thin that the segmenter suggests none of them unasked."""
    noise = np.random.default_rng(3).integers(105, 135, (*SIZE[::-1], 1)).repeat(3, 2)
    picture = PillowImage.fromarray(noise.astype(np.uint8))
    drawing = ImageDraw.Draw(picture)
    head, ear = (tuple(int(c) for c in COLOURS[NAMES.index(f"cat:{n}")]) for n in ("head", "ear"))
    drawing.ellipse((130, 130, 350, 310), fill=head)
    for x, y in EARS:
        corners = [(x, y + 90), (x + 30, y), (x + 60, y + 90), (x + 30, y + 60)]
        drawing.polygon(corners, fill=ear)
    path.parent.mkdir(parents=True)
    picture.save(path)


def begin(folder: Path, email: str) -> tuple[Path, str]:
    """A picture of a cat, handed out; the work's folder and the annotator's password."""
    write_vocabulary(folder / "vocabulary.yaml", Vocabulary(name="farm", objects=(CAT,)))
    draw_cat(folder / "photos" / "cat" / "one.png")
    (account,) = partlab("studio", "user", email)["users"]
    given = ["--vocabulary", folder / "vocabulary.yaml", "--images", folder / "photos"]
    partlab("studio", "create", folder / "work", *given, "--annotators", email, "--per-object", 1)
    return folder / "work", account["password"]


def colour_at(page: Page, share: tuple[float, float]) -> tuple[int, ...]:
    """What the page shows at a place of the picture."""
    x, y = place(page, share)
    clip = {"x": x, "y": y, "width": 1, "height": 1}
    return PillowImage.open(BytesIO(page.screenshot(clip=clip))).convert("RGB").getpixel((0, 0))


def said(answer: Response) -> BoolMask:
    """The one mask that the server answered with, an ear."""
    result = answer.json()["data"]["result"]
    (mask,) = read_result(result, CAT, SIZE, SIZE, min_pixels=1).masks
    assert mask.part == "e"
    return decode(mask.rle)


def test_a_click_shows_a_mask_that_comes_back_as_the_server_said_it(
    server: Running, model: Served, page: Page, tmp_path: Path
) -> None:
    """SV-07."""
    email = "hal@x.org"
    folder, password = begin(tmp_path, email)
    version = partlab("studio", "connect", folder, model.url)["model"]
    log_in(page, server, email, password)
    page.set_viewport_size({"width": 1200, "height": 620})
    with Work.open(folder) as work:
        project = work.batch("cat").project_id
        (task,) = work.tasks("cat", 1)
    page.goto(f"{server.url}/projects/{project}/data?task={task.task_id}")
    page.wait_for_selector(".konvajs-content")
    page.get_by_text("Auto-Annotation").click()
    page.locator(".lsf-tool_smart").first.wait_for()
    page.wait_for_timeout(1500)
    look(page, "model-help-1-opened")
    loaded: list[str] = []
    page.on("framenavigated", lambda frame: loaded.append(frame.url))
    page.locator(".lsf-tool_smart").first.click()  # the switch keeps the keyboard to itself
    page.keyboard.press("2")
    page.wait_for_timeout(300)
    before = colour_at(page, (0.36, 0.27))
    first = ask(page, LEFT)
    assert first.request.post_data_json["context"]["result"][0]["value"]["labels"] == ["e"]
    assert colour_at(page, (0.36, 0.27)) != before
    look(page, "model-help-2-asked")
    page.get_by_test_id("bottombar-accept-suggestions-button").click()
    page.wait_for_timeout(700)
    ask(page, RIGHT)
    second = ask(page, BETWEEN, negative=True)
    signs = [item.get("is_positive") for item in second.request.post_data_json["context"]["result"]]
    assert set(signs) == {True, False}
    look(page, "model-help-3-refined")
    page.get_by_test_id("bottombar-accept-suggestions-button").click()
    page.wait_for_timeout(700)
    look(page, "model-help-4-accepted")
    assert loaded == []
    save(page, "Submit")

    partlab("studio", "pull", folder)
    with Work.open(folder) as work:
        (answer,) = work.answers("cat", 1)
    assert answer.problems == []
    assert [(m["part"], m["origin"], m["model"]) for m in answer.masks] == [
        ("h", "prediction", version),  # suggested when the picture was opened
        ("e", "prediction", version),
    ]
    ears = said(first) | said(second)
    assert (decode(answer.masks[1]["rle"]) == ears).all()
    assert ears.sum() > 2 * 1500
