"""A real browser at Label Studio, for tests: what an annotator sees, and where they click."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Response, Route, sync_playwright

from annotate.studio.server.start import Running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
SCREENSHOTS = os.environ.get("PARTLAB_SCREENSHOTS")


@contextmanager
def opened_page() -> Iterator[Page]:
    """A page that may speak with this machine only."""
    outside: list[str] = []

    def guard(route: Route) -> None:
        if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost", None):
            return route.continue_()
        outside.append(route.request.url)
        return route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1400, "height": 1000})
        opened.route("**/*", guard)
        yield opened
        browser.close()
    assert outside == []


def look(page: Page, name: str) -> None:
    """Keep a picture of the page where PARTLAB_SCREENSHOTS names a folder."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def log_in(page: Page, server: Running, email: str, password: str) -> None:
    page.goto(f"{server.url}/user/login/")
    page.fill("input[name=email]", email)
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda url: "login" not in url)


def follow(browser: Browser, server: Running, who: tuple[str, str], link: str, shows: str) -> None:
    """Somebody follows a link into Label Studio: the picture with what is true of it alone."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(120_000)
    page = context.new_page()
    log_in(page, server, *who)
    page.goto(link)
    page.wait_for_selector(".konvajs-content")
    page.get_by_text(shows).first.wait_for()
    look(page, f"follow-{link.rpartition('=')[2]}")
    context.close()


def place(page: Page, share: tuple[float, float]) -> tuple[float, float]:
    """Where a place of the picture, in shares of its width and height, is in the page."""
    boxes = [image.bounding_box() for image in page.locator("img").all()]
    box = max((box for box in boxes if box), key=lambda box: box["width"])  # not the thumbnail
    return box["x"] + box["width"] * share[0], box["y"] + box["height"] * share[1]


def stroke(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw with the chosen tool."""
    page.mouse.move(*place(page, start))
    page.mouse.down()
    page.mouse.move(*place(page, end), steps=20)
    page.mouse.up()


def click(page: Page, share: tuple[float, float]) -> None:
    """Click a place of the picture."""
    page.mouse.click(*place(page, share))


def ask(page: Page, share: tuple[float, float], *, negative: bool = False) -> Response:
    """Click with the tool that asks, and wait for the answer and for the page to show it."""
    with page.expect_response(lambda answer: "interactive-annotating" in answer.url) as answered:
        if negative:
            page.keyboard.down("Alt")
        click(page, share)
        if negative:
            page.keyboard.up("Alt")
    page.get_by_test_id("bottombar-accept-suggestions-button").wait_for()
    page.wait_for_timeout(700)
    return answered.value


def save(page: Page, button: str) -> Any:
    """Press Submit or Update; the annotation that the page sent."""
    with page.expect_response(lambda a: a.request.method in ("POST", "PATCH")) as saved:
        page.get_by_role("button", name=button).first.click()
    assert saved.value.ok
    assert "/annotations" in saved.value.url
    return saved.value.json()
