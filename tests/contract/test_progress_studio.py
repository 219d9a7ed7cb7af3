"""The buttons of the page Progress, pressed in Chromium, with a real Label Studio behind them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotator import Person
from browser import CHROMIUM, follow
from fake_tasks import drawn
from farm import FARM
from learning_farm import picture, run_of
from PIL import Image as PillowImage
from playwright.sync_api import Browser, Page
from web_app import Shown, browsing, go, look, opened, showing

from annotate.inspect.service import Inspection
from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import create
from annotate.studio.api.client import Studio
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running
from annotate.work import Work
from app.web.people import Accounts, set_account
from partlab.coco import read_dataset

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.timeout(1200),
]
ANN, BEN, LEA = (f"{name}@progress.org" for name in ("ann", "ben", "lea"))
INA, PASSWORD = "ina@progress.org", "correct horse"
RAM, HAMMER = "ram", "schöner Hammer"
SIZE = (1400, 900)


@pytest.fixture
def people(studio: Studio) -> dict[str, str]:
    """Passwords of Label Studio."""
    return {one.email: str(one.password) for one in create_users(studio, [ANN, BEN])}


@pytest.fixture
def work(
    people: dict[str, str],
    studio_server: Running,
    studio: Studio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Work]:
    """Four rams and four hammers whose parts have colours, all handed out to ann."""
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    for n, object in enumerate((RAM, HAMMER)):
        for number in range(4):
            path = tmp_path / "photos" / object / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PillowImage.fromarray(picture(object, 5 * number + n)).save(path)
    plan = plan_work(FARM, tmp_path / "photos", objects=[RAM, HAMMER])
    with begin_work(tmp_path / "work", plan, name="work", per_object=4) as made:
        create(made, studio, annotators=[ANN])
        yield made


@pytest.fixture
def shown(work: Work, tmp_path: Path) -> Iterator[Shown]:
    """The app with the work and a segmenter that knows rams."""
    users = tmp_path / "people.json"
    set_account(users, ANN, "annotator", PASSWORD)
    set_account(users, LEA, "lead", PASSWORD)
    run = run_of(tmp_path / "seg")
    with showing(work.folder, run, accounts=Accounts(users)) as running:
        yield running


@pytest.fixture
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


def come(page: Page, shown: Shown, who: str) -> None:
    form = {"name": who, "password": PASSWORD}
    assert page.request.post(f"{shown.url}/login", form=form, max_redirects=0).status == 303
    go(page, f"{shown.url}/progress")


class Lead:
    """Presses buttons of rows, and reads what came of it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def row(self, object: str) -> Any:
        return self.page.locator(f'tr[data-words^="{object}"]')

    def press(self, name: str, expect: str, object: str = "") -> str:
        """Press a button; the words that `expect` is part of."""
        place = self.row(object) if object else self.page.locator(".pg")
        place.get_by_role("button", name=name, exact=True).click()
        told = self.page.locator(".pg-told", has_text=expect)
        told.wait_for()
        return told.inner_text()


def draw(server: Running, people: dict[str, str], work: Work, object: str, most: int) -> None:
    """Its annotator draws some more pictures of a category."""
    batch = work.batch(object)
    regions = drawn(FARM.object(object), two_lists=False, head=(5, 5, 20, 20), body=(30, 5, 20, 30))
    with Person(server.url, batch.assignee, people[batch.assignee]) as person:
        for _ in range(most):
            task = person.next(batch.project_id or 0)
            person.submit(task["id"], regions)


def test_a_lead_takes_a_category_from_suggestions_to_a_data_set(
    work: Work,
    shown: Shown,
    browser: Browser,
    studio_server: Running,
    studio: Studio,
    people: dict[str, str],
    tmp_path: Path,
) -> None:
    with opened(browser, SIZE) as page:
        come(page, shown, LEA)
        lead = Lead(page)
        lead.row(RAM).get_by_text("Suggest").click()
        look(page, "progress-suggest")
        assert "ram round 1: 4 suggestions sent" in lead.press("Send them", "sent", RAM)
        project = work.batch(RAM).project_id
        there = studio.pages("/api/tasks/", key="tasks", project=project, fields="all")
        assert [len(task["predictions"]) for task in there] == [1] * 4

        lead.row(HAMMER).get_by_text("Reassign").click()
        lead.row(HAMMER).locator("input[type=email]").fill(BEN)
        lead.press("Give it to them", f"{HAMMER} round 1 goes to {BEN}", HAMMER)
        assert BEN in lead.row(HAMMER).inner_text()

        draw(studio_server, people, work, RAM, 3)
        flagged = work.tasks(RAM, 1)[0]
        with Person(studio_server.url, BEN, people[BEN]) as ben:
            ben.submit(flagged.task_id, drawn(FARM.object(RAM), two_lists=False, head=(1, 1, 9, 9)))
        assert "3 pictures were new" in lead.press("Pull", "pictures were new", RAM)
        lead.row(RAM).get_by_text("1 flag, 0 notes").click()
        link = lead.row(RAM).get_by_role("link", name="the picture").get_attribute("href")
        look(page, "progress-flags")
        assert link == f"{studio_server.url}/projects/{project}/data?task={flagged.task_id}"
        follow(browser, studio_server, (ANN, people[ANN]), link, "ben@prog")  # drew in it

        draw(studio_server, people, work, RAM, 1)
        page.keyboard.press("l")
        page.locator(".pg-told", has_text="ram handed in for inspection").wait_for()
        _inspect(work, failing=2)
        go(page, f"{shown.url}/progress")
        lead.press("Next round", "ram round 2 is annotating", RAM)
        assert work.batch(RAM).project_id not in (None, project)
    _my_work(shown, browser, studio_server, people, work)

    draw(studio_server, people, work, RAM, 4)
    with opened(browser, SIZE) as page:
        come(page, shown, LEA)
        lead = Lead(page)
        lead.press("Pull", "ram handed in for inspection", RAM)
        _inspect(work, failing=0)
        go(page, f"{shown.url}/progress")
        told = lead.press("Export", "4 images, 8 masks")
        assert "left out: 1 object category that is not accepted" in told
        look(page, "progress-exported")
        page.locator(".pg").get_by_role("button", name="Export", exact=True).click()
        page.get_by_text("already exists").first.wait_for()  # not replaced unasked
    assert len(read_dataset(tmp_path / "parts").images) == 4


def _inspect(work: Work, failing: int) -> None:
    inspection = Inspection(work)
    for n, card in enumerate(inspection.sample(RAM, INA).cards):
        reason = "outline" if n < failing else None
        inspection.decide(RAM, card.image_id, n >= failing, INA, reason=reason)


def _my_work(
    shown: Shown, browser: Browser, server: Running, people: dict[str, str], work: Work
) -> None:
    """One list in order; each line has one link, which leads the annotator to the picture."""
    with opened(browser, SIZE) as page:
        come(page, shown, ANN)
        items = page.locator(".pg-mine > ol > li")
        items.nth(2).wait_for()
        look(page, "progress-my-work")
        kinds = [item.get_attribute("data-kind") for item in items.all()]
        assert kinds == ["fix", "fix", "draw"]
        assert [item.locator("a").count() for item in items.all()] == [1, 1, 1]
        assert "Draw it better than in round 1: outline" in items.first.inner_text()
        assert "begin ram: 0 of 4 pictures drawn" in items.nth(2).inner_text()
        link = items.first.locator("a").get_attribute("href") or ""
    number = link.rpartition("=")[2]
    assert int(number) in {task.task_id for task in work.tasks(RAM, 2)}
    follow(browser, server, (ANN, people[ANN]), link, "Draw it better than in round 1")
