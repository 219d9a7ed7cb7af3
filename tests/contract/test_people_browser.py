"""An annotator at the generated project in a real browser: labels, a stroke, submit, a mask."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, click, log_in, look, opened_page, save, stroke
from PIL import Image as PillowImage
from playwright.sync_api import Page
from typer.testing import CliRunner

from annotate.studio.acts.push import Suggestion, push
from annotate.studio.api.client import Studio
from annotate.studio.server.start import Running
from annotate.studio.spelling.labelconfig import colours
from annotate.studio.spelling.reading import read_result
from annotate.studio.spelling.uniting import PartMask
from annotate.vocabulary import ObjectParts, Part, Vocabulary, read_vocabulary, write_vocabulary
from annotate.vocabulary.edit import rename_part
from annotate.work import Work
from app.cli.main import app
from partlab.masks import area, decode, encode

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
SIZE = (400, 300)


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that may speak with this machine only."""
    with opened_page() as page:
        yield page


def partlab(*words: object) -> Any:
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, f"{words}\n{done.output}\n{done.stderr}"
    return json.loads(done.stdout)


@pytest.fixture
def server(studio_server: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """The server that the commands speak with."""
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    return studio_server


def begin(folder: Path, email: str, ram: ObjectParts, pictures: int = 1) -> tuple[Path, str]:
    """Pictures of rams, handed out; the work's folder and the annotator's password."""
    write_vocabulary(folder / "vocabulary.yaml", Vocabulary(name="farm", objects=(ram,)))
    (folder / "photos" / "ram").mkdir(parents=True)
    picture = PillowImage.effect_mandelbrot(SIZE, (-2, -1.5, 1, 1.5), 100).convert("RGB")
    for number in range(1, pictures + 1):
        picture.putpixel((0, 0), (number, 0, 0))  # no two are the same file
        picture.save(folder / "photos" / "ram" / f"größe & {number}.png")
    (account,) = partlab("studio", "user", email)["users"]
    given = ["--vocabulary", folder / "vocabulary.yaml", "--images", folder / "photos"]
    given += ["--annotators", email, "--per-object", pictures]
    partlab("studio", "create", folder / "work", *given)
    return folder / "work", account["password"]


def show_task(page: Page, server: Running, folder: Path) -> None:
    """The one task of the work, in the page."""
    with Work.open(folder) as work:
        project = work.batch("ram").project_id
        (task,) = work.tasks("ram", work.batch("ram").round)
    page.goto(f"{server.url}/projects/{project}/data?task={task.task_id}")
    page.wait_for_selector(".konvajs-content")


def test_a_stroke_in_the_page_comes_back_as_a_mask(
    server: Running, page: Page, tmp_path: Path
) -> None:
    names = ("head", "horn", "body", "left foot")
    ram = ObjectParts(
        name="ram", parts=tuple(Part(name=n) for n in names), inclusions={"horn": "head"}
    )
    email = "kim@x.org"
    folder, password = begin(tmp_path, email, ram)
    log_in(page, server, email, password)
    show_task(page, server, folder)
    page.get_by_text("left foot").first.wait_for()
    for name in names:
        assert page.get_by_text(name, exact=True).count() == 1  # one list for both tools
    page.wait_for_timeout(1500)  # the picture comes after the page
    look(page, "1-the-page")
    boxes = [image.bounding_box() for image in page.locator("img").all()]
    pane = page.locator(".konvajs-content").first.bounding_box()
    assert pane is not None
    assert max(box["width"] for box in boxes if box) >= pane["width"]  # small, it fills the pane
    page.keyboard.press("2")  # the key of the second part
    stroke(page, (0.3, 0.4), (0.6, 0.4))
    page.wait_for_timeout(500)
    look(page, "2-a-stroke")
    save(page, "Submit")
    page.wait_for_timeout(500)
    look(page, "3-submitted")

    partlab("studio", "pull", folder)
    with Work.open(folder) as work:
        (answer,) = work.answers("ram", 1)
        assert work.batch("ram").state == "submitted"
    assert (answer.kind, answer.annotator) == ("masks", email)
    assert answer.minutes is not None
    assert answer.minutes > 0
    (mask,) = answer.masks
    assert (mask["part"], mask["origin"]) == ("horn", "manual")
    drawn = decode(mask["rle"])
    assert drawn.shape == SIZE[::-1]
    rows, columns = np.nonzero(drawn)
    # A level stroke from 30 % to 60 % of the width, at 40 % of the height.
    assert abs(columns.min() - 0.3 * SIZE[0]) < 15
    assert abs(columns.max() - 0.6 * SIZE[0]) < 15
    assert abs(rows.mean() - 0.4 * SIZE[1]) < 6
    assert 200 < area(mask["rle"]) < 6000


def read_as(page: Page, name: str) -> tuple[int, set[str]]:
    """How often a name stands in the page (signs that nobody sees aside), and its colours."""
    found = page.get_by_text(re.compile(f"^{name}\u2060?$")).all()
    return len(found), {one.evaluate("e => getComputedStyle(e).color") for one in found}


def test_what_is_drawn_bears_ids_and_people_read_names(
    server: Running, page: Page, tmp_path: Path
) -> None:
    """Two names changed places, so that each is the id of the other part."""
    parts = (Part(id="head", name="horn"), Part(id="horn", name="head"), Part(id="f", name="foot"))
    ram = ObjectParts(name="ram", parts=parts)
    email = "lou@x.org"
    folder, password = begin(tmp_path, email, ram)
    top = np.zeros(SIZE[::-1], bool)
    top[20:80, 40:360] = True
    with Work.open(folder) as work, Studio.from_env() as studio:
        suggestion = Suggestion(1, (PartMask("head", 1, encode(top)),))
        push(work, studio, lambda images: [suggestion], model="seg@1")
    log_in(page, server, email, password)
    show_task(page, server, folder)
    page.get_by_text("foot").first.wait_for()
    assert settled(page, horn=2, head=1)  # the list of parts, and the region
    look(page, "4-a-suggestion")
    tint = str(tuple(int(colours(ram)[0][place : place + 2], 16) for place in (1, 3, 5)))
    assert f"rgb{tint}" in read_as(page, "horn")[1]
    for key, height in (("2", 0.5), ("3", 0.8)):
        page.keyboard.press("u")
        page.keyboard.press(key)
        stroke(page, (0.3, height), (0.6, height))
        page.wait_for_timeout(500)
    look(page, "5-three-parts")
    assert settled(page, horn=2, head=2, foot=3)  # what was drawn last is told once more
    result = save(page, "Submit")["result"]
    sent = [item["value"]["labels"] for item in result if item["type"] == "labels"]
    assert sent == [["head"], ["horn"], ["f"]]
    partlab("studio", "pull", folder)
    with Work.open(folder) as work:
        (answer,) = work.answers("ram", 1)
    assert [mask["part"] for mask in answer.masks] == ["head", "horn", "f"]
    before = annotations(folder, server)
    new = read_vocabulary(folder / "vocabulary.yaml")
    write_vocabulary(tmp_path / "new.yaml", rename_part(new, "ram", "foot", "hoof"))
    partlab("vocabulary", "migrate", folder, tmp_path / "new.yaml")
    assert annotations(folder, server) == before
    show_task(page, server, folder)
    page.get_by_text("hoof").first.wait_for()
    assert settled(page, horn=2, head=2, hoof=2, foot=0)
    look(page, "6-another-name")


def settled(page: Page, **counts: int) -> bool:
    """Whether these names come to be read so often; a busy page takes its time."""
    for _ in range(60):
        if all(read_as(page, name)[0] == count for name, count in counts.items()):
            return True
        page.wait_for_timeout(500)
    return False


def annotations(folder: Path, server: Running) -> list[Any]:
    """What is drawn in the one task, as the server has it."""
    with Work.open(folder) as work, server.studio() as studio:
        (task,) = work.tasks("ram", 1)
        return list(studio.get(f"/api/tasks/{task.task_id}/annotations/"))


CAR = ("bonnet", "boot", "roof", "door", "door handle", "window", "windscreen", "wheel", "bumper")
CAR += ("headlight", "rear light", "wing mirror", "number plate")


def bottom(page: Page, selector: str) -> float:
    """How far down the lowest of these things reaches, in pixels of the page."""
    boxes = [one.bounding_box() for one in page.locator(selector).all()]
    assert boxes
    assert all(boxes)
    return max(box["y"] + box["height"] for box in boxes if box)


def test_thirteen_parts_are_in_sight_and_the_tool_decides(
    server: Running, page: Page, tmp_path: Path
) -> None:
    """At 1400 x 850: every part, every reason for giving up, and the object's number."""
    boot = Part(name="boot", definition="what a boot is", example="a boot.png")
    parts = tuple(boot if n == "boot" else Part(name=n) for n in CAR)
    PillowImage.new("RGB", (480, 120), (9, 9, 9)).save(tmp_path / "a boot.png")
    email = "max@x.org"
    car = ObjectParts(name="ram", parts=parts)
    folder, password = begin(tmp_path, email, car, pictures=3)
    log_in(page, server, email, password)
    page.set_viewport_size({"width": 1400, "height": 850})
    with Work.open(folder) as work:
        page.goto(f"{server.url}/projects/{work.batch('ram').project_id}/data?labeling=1")
    page.wait_for_selector(".konvajs-content")
    shown = page.locator("img[width='160']")
    shown.wait_for()
    page.wait_for_function("e => e.naturalWidth == 240", arg=shown.element_handle())
    look(page, "6-instructions")
    page.keyboard.press("Escape")
    page.get_by_text("number plate").first.wait_for()
    page.wait_for_timeout(1500)
    assert page.get_by_text("1 of 3").count() == 1  # of the pictures, not of what was opened
    page.get_by_text("boot", exact=True).hover()
    page.get_by_text("what a boot is").wait_for()
    page.keyboard.press("2")
    stroke(page, (0.2, 0.2), (0.5, 0.2))
    page.wait_for_timeout(500)
    look(page, "7-thirteen-parts")
    bar = page.get_by_role("button", name="Submit").first.bounding_box()
    assert bar is not None
    for inside in (".lsf-label", ".lsf-choice", "input[type=number]"):
        assert bottom(page, inside) < bar["y"]
    page.keyboard.press("u")
    page.keyboard.press("p")
    page.keyboard.press("4")
    corners = ((0.6, 0.6), (0.8, 0.6), (0.8, 0.8))
    for corner in (*corners, corners[0]):
        click(page, corner)
    page.wait_for_timeout(500)
    page.keyboard.press("u")
    page.keyboard.press("b")
    stroke(page, (0.2, 0.9), (0.5, 0.9))  # without a part
    page.wait_for_timeout(500)
    look(page, "8-three-regions")
    result = save(page, "Submit")["result"]
    kinds = [item["type"] for item in result]
    assert kinds == ["brush", "labels", "polygon", "labels", "brush"]
    masks = read_result(result, car, SIZE, SIZE).masks
    assert [mask.part for mask in masks] == ["boot", "door"]
    rows, columns = np.nonzero(decode(masks[1].rle))
    assert abs(columns.min() - 0.6 * SIZE[0]) < 6
    assert abs(rows.max() - 0.8 * SIZE[1]) < 6
    partlab("studio", "pull", folder)
    with Work.open(folder) as work:
        (answer,) = work.answers("ram", 1)
        (problem,) = answer.problems
    assert (answer.kind, problem["kind"]) == ("broken", "no-label")
    assert "nothing says which part it is: click it, and choose one" in problem["message"]
