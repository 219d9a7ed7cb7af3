"""What an inspector says on the app's pages, read by the annotator in a real Label Studio."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from annotator import Person
from at_inspect import begin, finish, image, pin
from browser import CHROMIUM, follow
from fake_tasks import drawn
from farm import FARM
from learning_farm import picture
from PIL import Image as PillowImage
from playwright.sync_api import Browser, Page
from web_app import Shown, browsing, go, look, opened, showing

from annotate.inspect.overview import task_link
from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import create
from annotate.studio.acts.pull import pull
from annotate.studio.api.client import Studio
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running
from annotate.work import Work
from app.web.people import Accounts, set_account

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.timeout(1200),
]
ANN, INA, PASSWORD = "ann@inspect.org", "ina@inspect.org", "correct horse"
RAM, DESK = "ram", (1400, 850)
GOOD = drawn(FARM.object(RAM), two_lists=False, head=(5, 5, 20, 20), body=(30, 5, 20, 30))


@pytest.fixture
def secret(studio: Studio) -> str:
    """Ann's password in Label Studio."""
    (made,) = create_users(studio, [ANN])
    return str(made.password)


@pytest.fixture
def work(
    secret: str,
    studio_server: Running,
    studio: Studio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Work]:
    """Four rams, handed out to ann."""
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    for number in range(4):
        path = tmp_path / "photos" / RAM / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(picture(RAM, number)).save(path)
    plan = plan_work(FARM, tmp_path / "photos", objects=[RAM])
    with begin_work(tmp_path / "work", plan, name="work", per_object=4) as made:
        create(made, studio, annotators=[ANN])
        yield made


@pytest.fixture
def shown(work: Work, tmp_path: Path) -> Iterator[Shown]:
    users = tmp_path / "people.json"
    set_account(users, INA, "inspector", PASSWORD)
    with showing(work.folder, accounts=Accounts(users)) as running:
        yield running


@contextmanager
def as_ina(shown: Shown, browser: Browser) -> Iterator[Page]:
    with opened(browser, DESK) as page:
        form = {"name": INA, "password": PASSWORD}
        assert page.request.post(f"{shown.url}/login", form=form, max_redirects=0).status == 303
        yield page


def draw_all(server: Running, secret: str, work: Work, studio: Studio) -> None:
    with Person(server.url, ANN, secret) as ann:
        while (task := ann.next(work.batch(RAM).project_id or 0)) is not None:
            ann.submit(task["id"], GOOD)
    pull(work, studio)


def link_of(work: Work, image_id: str) -> str:
    return str(task_link(work, int(image_id)))


def test_pins_and_a_picture_sent_back_are_read_in_the_task(
    work: Work, shown: Shown, studio_server: Running, studio: Studio, secret: str
) -> None:
    ann = (ANN, secret)
    draw_all(studio_server, secret, work, studio)
    with browsing() as browser:
        bad = reject(shown, browser)
        assert work.batch(RAM).state == "rejected"
        create(work, studio)
        follow(browser, studio_server, ann, link_of(work, bad), "body at")
        follow(browser, studio_server, ann, link_of(work, bad), "too low")

        draw_all(studio_server, secret, work, studio)
        accept(shown, browser)
        assert work.batch(RAM).state == "accepted"
        link = send_back(shown, browser, bad)
        task = studio.get(f"/api/tasks/{link.rpartition('=')[2]}/")
        assert task["data"]["image_id"] == int(bad)
        follow(browser, studio_server, ann, link, "An inspector sent it back (outline: too wide)")


def reject(shown: Shown, browser: Browser) -> str:
    """Two of four fail, each with a pin in it; the id of the first."""
    with as_ina(shown, browser) as page:
        go(page, f"{shown.url}/inspect?kind=round&object={RAM}")
        begin(page)
        seen, bad = None, []
        for number in range(4):
            seen = image(page, seen)
            if number < 2:
                bad.append(seen)
                pin(page, "body", "too low")
                page.keyboard.press("f")
            page.keyboard.press("5" if number < 2 else "p")
        finish(page)
        page.locator(".pi-stage", has_text="Nothing waits for you").first.wait_for()
        return bad[0]


def accept(shown: Shown, browser: Browser) -> None:
    with as_ina(shown, browser) as page:
        go(page, f"{shown.url}/inspect?kind=round&object={RAM}")
        begin(page)
        seen = None
        for _ in range(4):
            seen = image(page, seen)
            page.keyboard.press("p")
        finish(page)
        page.locator(".pi-stage", has_text="Nothing waits for you").first.wait_for()


def send_back(shown: Shown, browser: Browser, image_id: str) -> str:
    """From the page Data set; the link to the task that stands there."""
    with as_ina(shown, browser) as page:
        go(page, f"{shown.url}/dataset?data=work&image={image_id}")
        link = page.locator("#dataset-studio").get_attribute("href")
        page.locator("[name=reason]").select_option("outline")
        page.locator("[name=note]").fill("too wide")
        page.locator("#dataset-back-to").click()
        page.get_by_text(f"goes back to {ANN}: outline").wait_for()
        look(page, "inspect-studio-sent-back")
        return str(link)
