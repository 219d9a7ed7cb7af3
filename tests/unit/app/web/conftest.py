"""A browser for the tests of one file, and the small colour segmenter."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from colour_segmenter import write_colour_run
from playwright.sync_api import Browser
from web_app import CHROMIUM, browsing


@pytest.fixture(scope="session")
def colour_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_run(tmp_path_factory.mktemp("runs") / "seg-colour")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with browsing() as found:
        yield found
