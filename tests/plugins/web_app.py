"""The app in a real server and a real browser, for the tests of its pages."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, Route, sync_playwright

from app.serve.listen import server_of
from app.web.given import Given
from app.web.run import create_web
from app.web.shelf import LocalShelf
from app.web.site import Site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
LAPTOP, PHONE = (1280, 850), (390, 844)


@dataclass
class Shown:
    """A running app."""

    url: str
    site: Site


@contextmanager
def listening(app: FastAPI, **config: Any) -> Iterator[str]:
    """A server of this application on a free port; its address."""
    server = server_of(app, "127.0.0.1", 0, drain_s=10, **config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 120
    while not server.started:
        assert time.monotonic() < until
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()


@contextmanager
def showing(*given: str | Path, shelf: Any = None, **how: Any) -> Iterator[Shown]:
    """The app of these places, until the block ends."""
    found = Given.of(given)
    site = Site(found, shelf or LocalShelf(found.segmenters, found.recognition), **how)
    with listening(create_web(site)) as url:
        yield Shown(url, site)
    site.uploads.close()


@contextmanager
def browsing() -> Iterator[Browser]:
    """Headless Chromium of this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, size: tuple[int, int] = LAPTOP, **how: Any) -> Iterator[Page]:
    """A page that may speak with this machine only, and in which no script may fail."""
    outside: list[str] = []
    faults: list[str] = []

    def guard(route: Route) -> None:
        if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost", None):
            return route.continue_()
        outside.append(route.request.url)
        return route.abort()

    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **how)
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.route("**/*", guard)
    yield page
    context.close()
    assert outside == []
    wrong = [fault for fault in faults if "the server responded with" not in fault]
    assert not wrong, wrong


def go(page: Page, url: str) -> None:
    """Open an address, and wait until the page knows who looks at it."""
    page.goto(url)
    page.locator(".pl-head[data-known]").wait_for()


def look(page: Page, name: str) -> None:
    """Keep a picture of the page where PARTLAB_SCREENSHOTS names a folder."""
    if folder := os.environ.get("PARTLAB_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def client(url: str) -> httpx.Client:
    """Plain HTTP."""
    return httpx.Client(base_url=url, timeout=60)
