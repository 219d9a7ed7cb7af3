"""A pin without a mouse: a cross that arrow keys move, and a form that stays in sight."""

from pathlib import Path

import pytest
from at_inspect import begin, image, ready
from playwright.sync_api import Browser, Page
from web_app import go, look, opened, showing
from world_work import begin_world, draw_world

from annotate.work import Work

DESK = (1400, 850)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten ducks that wait for Ina."""
    monkeypatch.setenv("PARTLAB_ME", "ina@x.org")
    with begin_world(tmp_path, each=10, size=96, people={"duck": "ann@x.org"}) as work:
        draw_world(work, "duck")
        return work.folder


def foot(page: Page) -> str:
    return page.locator(".pi-foot").inner_text()


def shares(page: Page, name: str) -> tuple[float, float]:
    """Where the name of a part stands in the picture; the part is under it."""
    badge = page.locator(".pi-canvas .pl-badge", has_text=name).first
    left, top = badge.evaluate("e => [parseFloat(e.style.left), parseFloat(e.style.top)]")
    return left / 100, top / 100


def move(page: Page, to: tuple[float, float]) -> None:
    """From the middle in steps of a fiftieth."""
    ways = (("ArrowLeft", "ArrowRight"), ("ArrowUp", "ArrowDown"))
    for share, (back, on) in zip(to, ways, strict=True):
        steps = round((share - 0.5) / 0.02)
        for _ in range(abs(steps)):
            page.keyboard.press(on if steps > 0 else back)


def test_a_place_is_pinned_by_key_alone(folder: Path, browser: Browser) -> None:
    with showing(folder) as shown, opened(browser, DESK) as page:
        go(page, f"{shown.url}/inspect")
        begin(page)
        first = image(page)
        page.keyboard.press("i")
        assert page.locator(".pi-cross").count() == 1
        page.keyboard.press("p")  # no verdict slips through meanwhile
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        assert page.locator(".pi").get_attribute("data-image") == first
        place = shares(page, "body")
        move(page, place)
        assert "The cross is on body" in foot(page)
        lit = page.locator(".pi-canvas path[data-on]").evaluate_all(
            "a => a.map(p => p.dataset.part)"
        )
        assert lit == ["body"]
        look(page, "inspect-cross")
        page.keyboard.press("Enter")
        page.keyboard.type("too low")
        page.keyboard.press("Enter")
        assert page.locator(".pi-cross").count() == 0
        page.keyboard.press("i")
        page.keyboard.press("Escape")  # none
        assert page.locator(".pi-pins li").count() == 1
        page.keyboard.press("f")
        page.keyboard.press("5")
        image(page, first)
        ready(page)
    with Work.open(folder) as work:
        (said,) = [event for event in work.events() if event.what == "verdict"]
    (pin,) = said.data["pins"]
    assert (pin["part"], pin["why"]) == ("body", "too low")
    assert abs(pin["x"] - place[0]) <= 0.011
    assert abs(pin["y"] - place[1]) <= 0.011


def test_what_is_written_at_an_edge_stays_in_sight(folder: Path, browser: Browser) -> None:
    """Below, at the sides, and zoomed in: the form is whole, and the picture stays where it is."""
    with showing(folder) as shown, opened(browser, (900, 850)) as page:
        go(page, f"{shown.url}/inspect")
        begin(page)
        image(page)
        stage = page.locator(".pi-stage").first
        whole = stage.bounding_box()
        assert whole is not None
        for zoomed in (False, True):
            if zoomed:
                stage.hover()
                page.mouse.wheel(0, -500)
            for keys in (("Left", "Down"), ("Right", "Down"), ("Left", "Up"), ("Right", "Up")):
                page.keyboard.press("i")
                for key in keys:
                    for _ in range(2 if zoomed else 25):  # zoomed, not out of the stage
                        page.keyboard.press(f"Arrow{key}")
                page.keyboard.press("Enter")
                box = page.locator(".pi-why").bounding_box()
                assert box is not None
                assert box["x"] >= whole["x"] - 1
                assert box["x"] + box["width"] <= whole["x"] + whole["width"] + 1
                assert box["y"] >= whole["y"] - 1
                assert box["y"] + box["height"] <= whole["y"] + whole["height"] + 1
                assert stage.evaluate("e => [e.scrollLeft, e.scrollTop]") == [0, 0]
                page.keyboard.press("Escape")
        look(page, "inspect-pin-edge")
