"""The page Inspect: real keys in a real browser, on a work whose masks are known."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from at_inspect import begin, finish, image, pin, ready
from axe_found import serious
from playwright.sync_api import Browser, Page
from web_app import PHONE, Shown, client, go, look, opened, showing
from world_work import begin_world, draw_world

from annotate.inspect.discards import find_cases
from annotate.inspect.rounds import verdicts_of
from annotate.inspect.service import Inspection
from annotate.work import Work
from app.web.people import Accounts, set_account

DESK = (1400, 850)
PASSWORD = "correct horse"
INA, IVO, IDA, LEA, ANN = (f"{name}@x.org" for name in ("ina", "ivo", "ida", "lea", "ann"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three categories of ten; two of lamp are given up in another work."""
    folder = tmp_path_factory.mktemp("farm")
    with begin_world(folder, each=10, size=96) as work:
        for name in ("ram", "lamp", "duck"):
            draw_world(work, name)
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("people") / "people.json"
    for who in (INA, IVO, IDA, ANN):
        set_account(file, who, "inspector", PASSWORD)
    set_account(file, LEA, "lead", PASSWORD)
    return file


@contextmanager
def desk(drawn: Path, people: Path, folder: Path) -> Iterator[tuple[Shown, Path]]:
    """The app on a work of its own."""
    shutil.copytree(drawn / "work", folder / "work")
    with showing(folder / "work", accounts=Accounts(people)) as running:
        yield running, folder / "work"


@contextmanager
def inspecting(
    shown: Shown, browser: Browser, who: str, path: str = "inspect", size: Any = DESK, **how: Any
) -> Iterator[Page]:
    """Somebody signed in, with the page before them."""
    with opened(browser, size, **how) as page:
        sent = page.request.post(
            f"{shown.url}/login", form={"name": who, "password": PASSWORD}, max_redirects=0
        )
        assert sent.status == 303
        go(page, f"{shown.url}/{path}")
        ready(page)
        yield page


def marks(page: Page) -> Counter[str]:
    found = page.locator(".pi-strip button").evaluate_all("a => a.map(b => b.dataset.mark)")
    return Counter(found)


def events(folder: Path, what: str) -> list[Any]:
    with Work.open(folder) as work:
        return [event for event in work.events() if event.what == what]


def test_words_given_to_an_earlier_version_in_label_studio_are_told(
    drawn: Path, people: Path, tmp_path: Path, browser: Browser
) -> None:
    with desk(drawn, people, tmp_path) as (shown, folder):
        with Work.open(folder) as work:
            Inspection(work).sample("ram", INA)
            note = {"kind": "inspect-project", "project_id": 17}
            work.record("logged", who="partlab", object="ram", round=1, data=note)
        with inspecting(shown, browser, INA) as page:
            told = page.locator(".pi-queue", has_text="in Label Studio (project 17)")
            told.wait_for()
            look(page, "inspect-elsewhere")


def test_ten_images_of_three_categories_by_key(
    drawn: Path, people: Path, tmp_path: Path, browser: Browser
) -> None:
    """One key for a good image, two for a bad one, no reload; finishing is asked, on purpose."""
    bad = {"duck": 0, "lamp": 1, "ram": 2}
    pressed: Counter[str] = Counter()
    with desk(drawn, people, tmp_path) as (shown, folder):
        with inspecting(shown, browser, INA) as page:
            loads: list[Page] = []
            page.on("load", lambda loaded: loads.append(loaded))
            begin(page)
            pressed["begin"] += 1
            for name, failing in bad.items():
                page.locator(".pi-title b", has_text=name).wait_for()
                before = None
                for number in range(10):
                    before = image(page, before)
                    keys = ["f", "5"] if number < failing else ["p"]
                    for key in keys:
                        page.keyboard.press(key)
                    pressed["bad" if number < failing else "good"] += len(keys)
                page.locator(".pi-foot", has_text="finish").wait_for()
                assert f"{failing} of 10" in page.locator(".pi-foot").inner_text()
                finish(page)
                pressed["finish"] += 2
            page.locator(".pi-stage", has_text="Nothing waits for you").first.wait_for()
            assert loads == []
        with Work.open(folder) as work:
            states = {batch.object: batch.state for batch in work.batches()}
            timed = [e.data["minutes"] for e in work.events() if e.what == "verdict"]
        assert states == {"duck": "accepted", "lamp": "accepted", "ram": "rejected"}
        assert len(timed) == 30
        assert any(timed)  # minutes; a quick key takes none
    assert pressed == {"begin": 1, "good": 27, "bad": 6, "finish": 6}


def test_everything_needed_is_in_sight(
    drawn: Path, people: Path, tmp_path: Path, browser: Browser
) -> None:
    with desk(drawn, people, tmp_path) as (shown, _):
        with inspecting(shown, browser, INA, bypass_csp=True) as page:
            begin(page)
            image(page)
            for part in (".pi-queue", ".pi-stage", ".pi-strip", ".pi-actions", ".pi-foot"):
                box = page.locator(part).first.bounding_box()
                assert box is not None
                assert box["y"] + box["height"] <= DESK[1], part
            assert page.evaluate("document.documentElement.scrollHeight") <= DESK[1]
            look(page, "inspect-desk")
            page.keyboard.press("f")
            assert serious(page) == []
        dark = {"color_scheme": "dark", "bypass_csp": True}
        with inspecting(shown, browser, INA, size=PHONE, **dark) as page:
            image(page)
            assert serious(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
            look(page, "inspect-phone")
            page.get_by_role("button", name="Pass").click()
            page.wait_for_function(
                "document.querySelectorAll('.pi-strip [data-mark=\"✓\"]').length"
            )


def test_masks_names_zoom_and_keys(
    drawn: Path, people: Path, tmp_path: Path, browser: Browser
) -> None:
    path = "inspect?kind=round&object=ram"
    with desk(drawn, people, tmp_path) as (shown, folder):  # noqa: SIM117
        with inspecting(shown, browser, INA, path) as page:
            begin(page)
            first = image(page)
            masks = page.locator(".pi-view svg").first
            page.keyboard.down("Space")
            assert not masks.is_visible()
            page.keyboard.up("Space")
            assert masks.is_visible()
            assert {"head", "body"} <= set(page.locator(".pl-badge:visible").all_inner_texts())
            page.locator(".pi-parts li", has_text="head").hover()
            lit = page.locator(".pi-canvas path[data-on]").evaluate_all(
                "a => a.map(p => p.dataset.part)"
            )
            assert set(lit) == {"head"}
            stage = page.locator(".pi-stage").first
            stage.hover()
            page.mouse.wheel(0, -400)
            page.wait_for_function(
                "Number(document.querySelector('.pi-canvas').style.getPropertyValue('--s')) > 2"
            )
            page.keyboard.press("0")
            page.keyboard.press("ArrowRight")
            second = image(page, first)
            page.keyboard.press("ArrowLeft")
            assert image(page, second) == first

            pin(page, "body", "too low")
            page.keyboard.press("n")
            page.keyboard.type("mind the legs")
            page.keyboard.press("Enter")
            page.reload()  # what was not said yet is still there
            image(page)
            assert page.locator(".pi-pins li").inner_text().split()[:3] == ["body", "too", "low"]
            assert page.locator(".pi-note textarea").input_value() == "mind the legs"
            look(page, "inspect-pin")
            page.keyboard.press("f")
            page.keyboard.press("5")
            image(page, first)
            ready(page)
            (said,) = events(folder, "verdict")
            assert said.data["reason"] == "outline"
            assert said.data["note"].startswith("mind the legs; body at ")
            assert said.data["note"].endswith("from the top: too low")
            assert said.who == INA
            page.keyboard.press("u")
            image(page, second)
            ready(page)
            assert marks(page) == {"": 10}
            assert page.locator(".pi-pins li").count() == 1  # undone, and still written
            page.keyboard.press("r")
            page.locator(".pi-grid[open] svg").nth(9).wait_for()
            look(page, "inspect-grid")
            page.keyboard.press("r")
            page.locator(".pi-foot", has_text="finish").wait_for()
            assert marks(page) == {"✓": 10}
            page.keyboard.press("Enter")
            page.locator(".pi-dialog[open]").wait_for()
            page.keyboard.press("Escape")
            page.keyboard.press("e")
            page.locator("[data-view=example] svg").wait_for()
            look(page, "inspect-example")
            assert events(folder, "decided") == []


def test_two_inspectors_at_once_and_a_reload(
    drawn: Path, people: Path, tmp_path: Path, browser: Browser
) -> None:
    with desk(drawn, people, tmp_path) as (shown, folder):
        path = "inspect?kind=round&object=ram"
        with (
            inspecting(shown, browser, INA, path) as ina,
            inspecting(shown, browser, IVO, path) as ivo,
        ):
            begin(ina)
            begin(ivo)
            first = image(ina)
            assert image(ivo) == first
            ina.keyboard.press("p")
            second = image(ina, first)
            ready(ina)
            ivo.keyboard.press("f")
            ivo.keyboard.press("1")
            ivo.locator(".pi-toasts .bad", has_text=f"already inspected by {INA}").wait_for()
            ready(ivo)
            assert image(ivo, first) == second
            assert marks(ivo) == {"✓": 1, "": 9}
            ivo.keyboard.press("p")
            image(ivo, second)
            ready(ivo)
            ina.reload()
            ready(ina)
            assert image(ina) not in (first, second)
            assert marks(ina) == {"✓": 2, "": 8}
            assert IVO in ina.locator(".pi-queue").inner_text()
        said = [(e.who, e.data["passed"]) for e in events(folder, "verdict")]
        assert said == [(INA, True), (IVO, True)]


def test_nobody_inspects_their_own_work_nor_says_who_they_are(
    drawn: Path, people: Path, tmp_path: Path, browser: Browser
) -> None:
    with desk(drawn, people, tmp_path) as (shown, folder):
        with inspecting(shown, browser, ANN) as page:
            told = page.locator(".pi-queue").inner_text()
            assert "You drew duck, ram: others inspect that." in told
            assert page.locator(".pi-queue [data-open]").count() == 1  # lamp is Ben's
        with client(shown.url) as http:
            http.post("/login", data={"name": ANN, "password": PASSWORD})

            def call(name: str, *data: Any) -> Any:
                return http.post(f"/gradio_api/run/inspect_{name}", json={"data": data})

            refused = call("open", "", "round", "ram")
            assert "nobody inspects their own work" in refused.text
            refused = call("reopen", "", "lamp", "because")
            assert "this is for the role lead" in refused.text
            assert "unknown work" in call("open", "../etc", "round", "ram").text
            assert "unknown kind of sheet" in call("open", "", "all", "lamp").text
        assert events(folder, "sampled") == []


def test_given_up_images_and_the_way_back(tmp_path: Path, people: Path, browser: Browser) -> None:
    """Uphold and restore by three inspectors, each in their own queue; then the lead reopens."""
    with begin_world(tmp_path, each=10, size=96, people={"lamp": "ben@x.org"}) as work:
        draw_world(work, "lamp", refused=[1, 4])
        folder = work.folder
    with showing(folder, accounts=Accounts(people)) as shown:
        for who, keys in ((INA, "gg"), (IVO, "gd"), (IDA, "g")):
            with inspecting(shown, browser, who) as page:
                page.locator(".pi-title", has_text="given up").wait_for()
                before = None
                for key in keys:
                    before = image(page, before)
                    if who == IVO and key == "d":
                        look(page, "inspect-discards")
                        assert "a third inspector decides" in page.locator(".pi-foot").inner_text()
                    page.keyboard.press(key)
                page.locator(".pi-title", has_text="given up").wait_for(state="detached")
                ready(page)
        with Work.open(folder) as work:
            assert {case.state for case in find_cases(work)} == {"final"}
        with inspecting(shown, browser, LEA) as page:
            image(page)  # Ida's page went on to the round when nothing else was left
            page.keyboard.press("r")
            page.locator(".pi-grid[open]").wait_for()
            page.keyboard.press("r")
            finish(page)
            page.locator(".pi-queue", has_text="accepted").wait_for()
            page.locator(".pi-queue [data-object=lamp]").click()
            page.locator(".pi-state", has_text="accepted").wait_for()
            sent = image(page)
            page.keyboard.press("b")
            page.keyboard.press("5")
            page.locator(".pi-toasts .good", has_text=f"Image {sent} of lamp goes back").wait_for()
            ready(page)
            with Work.open(folder) as work:
                assert not verdicts_of(work, work.batch("lamp"))[int(sent)].passed
            page.keyboard.press("o")
            page.locator(".pi-dialog input").fill("a slip")
            page.keyboard.press("Enter")
            page.locator(".pi-toasts .bad", has_text="has not passed since").wait_for()
