"""The page Progress: the lead's table, and what each annotator is to do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_found import serious
from farm import hand_out
from playwright.sync_api import Browser, Page
from web_app import PHONE, Shown, client, go, look, opened, showing
from world_work import begin_world, draw_world

from annotate.inspect.mywork import my_work
from annotate.inspect.overview import look_over
from annotate.inspect.pins import Pin
from annotate.inspect.service import Inspection
from annotate.work import Work
from app.web.pages.progress.table import ago
from app.web.people import Accounts, set_account
from partlab.coco import read_dataset

PASSWORD = "correct horse"
ANN, BEN, INA, LEA = (f"{name}@x.org" for name in ("ann", "ben", "ina", "lea"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ram was rejected and is drawn again, lamp is being drawn, duck is accepted."""
    with begin_world(tmp_path_factory.mktemp("farm"), each=10, size=128) as work:
        draw_world(work, "ram")
        draw_world(work, "lamp", refused=[1], left=4)
        draw_world(work, "duck")
        inspection = Inspection(work)
        for name, failing in (("ram", 2), ("duck", 0)):
            desk = inspection.sample(name, INA)
            for n, card in enumerate(desk.cards):
                bad = n < failing
                more = {
                    "reason": "outline",
                    "pins": [Pin(x=0.5, y=0.4, part="head", why="too low")],
                }
                inspection.decide(name, card.image_id, not bad, INA, **(more if bad else {}))
        hand_out(work, "ram", ANN, round=2)
        return work.folder


@pytest.fixture(scope="module")
def shown(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    people = tmp_path_factory.mktemp("people") / "people.json"
    for who in (ANN, BEN):
        set_account(people, who, "annotator", PASSWORD)
    set_account(people, LEA, "lead", PASSWORD)
    with showing(folder, accounts=Accounts(people)) as running:
        yield running


def come(page: Page, shown: Shown, who: str) -> None:
    form = {"name": who, "password": PASSWORD}
    assert page.request.post(f"{shown.url}/login", form=form, max_redirects=0).status == 303
    go(page, f"{shown.url}/progress")


def test_every_image_of_a_round_is_counted_once(folder: Path) -> None:
    with Work.open(folder) as work:
        rows = {row.drawing.object: row for row in look_over(work).rows}
    shares = {name: {k: n for k, n in row.shares.items() if n} for name, row in rows.items()}
    assert shares == {
        "duck": {"accepted": 10},
        "lamp": {"drawn": 5, "given up": 1, "open": 4},
        "ram": {"open": 10},
    }
    assert rows["ram"].rejected_share == 1
    assert rows["duck"].rejected_share == 0
    assert rows["lamp"].rejected_share is None


def test_what_an_annotator_is_to_do_in_order(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", "http://127.0.0.1:1/")
    with Work.open(folder) as work:
        first, second, last = my_work(work, ANN)
        assert [first.kind, second.kind, last.kind] == ["fix", "fix", "draw"]
        assert first.words.startswith("Draw it better than in round 1: outline: head at 50%")
        assert first.pins == (Pin(x=0.5, y=0.4, part="head", why="too low"),)
        assert (
            first.url == f"http://127.0.0.1:1/projects/72/data?task={1000 + (first.image_id or 0)}"
        )
        assert last.words == "begin ram: 0 of 10 pictures drawn"
        (chore,) = my_work(work, BEN)
        assert chore.words == "continue lamp: 6 of 10 pictures drawn"
        assert my_work(work, INA) == []


def test_the_leads_table(shown: Shown, browser: Browser) -> None:
    with opened(browser, (1400, 850), bypass_csp=True) as page:
        come(page, shown, LEA)
        rows = page.locator(".pg tbody tr[data-words]")
        rows.nth(2).wait_for()
        assert page.locator(".pg h2").first.inner_text() == "1 of 3 categories accepted"
        lamp = page.locator("tr[data-words^=lamp]")
        assert lamp.get_by_role("img").get_attribute("aria-label") == "5 drawn, 1 given up, 4 open"
        assert "ben@x.org: 4 to draw" in lamp.inner_text()
        look(page, "progress-lead")
        assert serious(page) == []
        page.locator("[data-filter]").fill("ann@ annotating")
        assert [row.is_visible() for row in rows.all()] == [False, False, True]
        page.locator("[data-filter]").fill("")
        page.locator("[data-sort='2']").click()
        page.locator("[data-sort='2']").click()  # most drawn first
        assert rows.first.inner_text().startswith("duck")
        lamp.get_by_role("button", name="Pull").click()
        page.get_by_text("PARTLAB_STUDIO_URL").first.wait_for()  # no server is named


def test_one_category_is_exported_from_its_row(
    shown: Shown, folder: Path, browser: Browser
) -> None:
    with opened(browser, (1400, 850), bypass_csp=True) as page:
        come(page, shown, LEA)
        duck, ram = (page.locator(f"tr[data-words^={name}]") for name in ("duck", "ram"))
        duck.wait_for()
        assert ram.get_by_text("Export").count() == 0  # it is not accepted
        duck.locator("summary", has_text="Export").click()
        inside = duck.get_by_role("link", name="what is in it and what is left out")
        look(page, "progress-export")
        assert serious(page) == []
        duck.get_by_role("button", name="Write it").click()
        told = page.locator(".pg-told", has_text="duck-parts")
        told.wait_for()
        assert "left out: 2 object categories that were not named" in told.inner_text()
        inside.evaluate("link => link.click()")
        page.locator("[data-out]", has_text="2 object categories that were not named").wait_for()
        assert "1 object category" in page.locator("[data-in]").inner_text()
    written = read_dataset(folder.parent / "duck-parts")
    assert {category.object for category in written.categories} == {"duck"}


@pytest.mark.parametrize("size", [(1400, 850), PHONE])
def test_my_work(shown: Shown, browser: Browser, size: tuple[int, int]) -> None:
    with opened(browser, size, bypass_csp=True, color_scheme="dark") as page:
        come(page, shown, ANN)
        page.locator(".pg-mine > ol > li").nth(2).wait_for()
        assert page.locator(".pg-mine h2").inner_text() == "My work: fix 2 first"
        assert page.locator(".pg-pin").count() == 2
        assert page.locator(".pg").count() == 0  # the table is for leads
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        look(page, f"progress-mine-{size[0]}")
        assert serious(page) == []


def test_an_address_in_an_error_is_a_link_that_can_be_read(
    shown: Shown, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", "ftp://x")
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", "0" * 40)
    with opened(browser, (1400, 850), bypass_csp=True) as page:
        come(page, shown, LEA)
        page.locator("#progress-pull").wait_for()
        page.keyboard.press("l")
        for place in (".toast-body", "[role=alert].pl-note"):  # what goes by, and what stays
            link = page.locator(place).get_by_role("link", name="http://127.0.0.1:8080")
            link.wait_for()
            assert link.get_attribute("href") == "http://127.0.0.1:8080"
        look(page, "progress-error")
        assert serious(page) == []


def test_what_waits_for_an_inspector_is_opened_on_its_page(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTLAB_ME", INA)
    with begin_world(tmp_path / "farm", each=4, size=96) as work:
        draw_world(work, "duck")
        draw_world(work, "lamp", refused=[1])
    with showing(work.folder) as running, opened(browser, (1400, 850), bypass_csp=True) as page:
        go(page, f"{running.url}/progress")
        page.get_by_role("link", name="1 given up").wait_for()
        page.get_by_role("link", name="to inspect").click()
        page.get_by_text("duck round 1, drawn by").wait_for()
        assert page.url.endswith("kind=round&object=duck")
        go(page, f"{running.url}/progress")
        page.get_by_role("link", name="1 given up").click()
        page.get_by_role("button", name="Rightly given up").wait_for()


def test_annotators_pull_nothing(shown: Shown) -> None:
    with client(shown.url) as http:
        http.post("/login", data={"name": ANN, "password": PASSWORD})
        told = http.post("/gradio_api/run/progress_show", json={"data": [""]}).json()["data"]
        assert "My work" in told[0]
        assert told[1] == ""
        sent = http.post("/gradio_api/call/progress_pull", json={"data": [""]})
        event = sent.json()["event_id"]
        answer = http.get(f"/gradio_api/call/progress_pull/{event}").text
        assert "this is for the role lead" in answer


def test_how_long_ago() -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    words = [ago(at, now) for at in ("2026-03-02T11:59:30+00:00", "2026-03-02T09:00:00+00:00", "")]
    assert words == ["just now", "3 hours ago", "–"]
    assert ago("2026-02-28T12:00:00+00:00", now) == "2 days ago"
