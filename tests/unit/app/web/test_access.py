"""Pages for everybody: axe finds nothing serious that is ours, light and dark, laptop and phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_found import serious
from colour_segmenter import draw
from playwright.sync_api import Browser
from web_app import LAPTOP, PHONE, Shown, go, opened, showing

from app.web.page import pages


@pytest.fixture(scope="module")
def shown(colour_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("given") / "photos"
    draw(folder / "cat" / "one.png", "cat", 3, (320, 240))
    with showing(colour_run, folder) as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [page.path for page in pages()])
def test_a_page_as_it_opens(shown: Shown, browser: Browser, path: str, scheme: str) -> None:
    size = LAPTOP if scheme == "light" else PHONE
    with opened(browser, size, color_scheme=scheme, bypass_csp=True) as page:
        go(page, f"{shown.url}/{path}")
        page.wait_for_timeout(1500)
        assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_parts_with_an_answer(shown: Shown, browser: Browser, scheme: str) -> None:
    with opened(browser, color_scheme=scheme, bypass_csp=True) as page:
        go(page, f"{shown.url}/parts")
        page.get_by_role("button", name="one.png").click()
        page.locator(".pl-table tbody tr").first.wait_for()
        page.get_by_text("The call that does it again").click()
        page.wait_for_timeout(500)
        assert serious(page) == []
        masks = page.locator(".pl-stage path").count()
        assert masks > 0
        assert page.locator(".pl-badge").count() == masks  # no mask is known by its colour alone


def test_the_help_and_the_sign_in(shown: Shown, browser: Browser, tmp_path: Path) -> None:
    from app.web.people import Accounts, set_account

    with opened(browser, bypass_csp=True) as page:
        go(page, f"{shown.url}/parts")
        page.keyboard.press("?")
        assert serious(page) == []
    set_account(tmp_path / "people.json", "kim@x.org", "lead", "correct horse")
    with (
        showing(accounts=Accounts(tmp_path / "people.json")) as running,
        opened(browser, bypass_csp=True) as page,
    ):
        page.goto(running.url)
        page.locator("#password").wait_for()
        assert serious(page) == []
