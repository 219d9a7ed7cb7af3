"""Pages for everybody: axe finds nothing serious that is ours, light and dark, laptop and phone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from colour_segmenter import draw
from playwright.sync_api import Browser, Page
from web_app import LAPTOP, PHONE, Shown, go, opened, showing

from app.web.page import pages

OPTIONS = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
GRADIO: dict[str, tuple[str, ...]] = {}
"""Rules broken by nodes that Gradio owns: what the node's HTML begins with."""


@pytest.fixture(scope="module")
def shown(colour_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("given") / "photos"
    draw(folder / "cat" / "one.png", "cat", 3, (320, 240))
    with showing(colour_run, folder) as running:
        yield running


def serious(page: Page) -> list[tuple[str, str]]:
    """(rule, HTML of the node) of what is serious and not known to be Gradio's."""
    found: Any = Axe().run(page, options=OPTIONS).response
    return [
        (rule["id"], node["html"][:300])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
        if not any(known in node["html"] for known in GRADIO.get(rule["id"], ()))
    ]


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
