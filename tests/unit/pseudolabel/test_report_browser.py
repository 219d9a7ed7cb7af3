"""The report page in a real browser without any network."""

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image as PillowImage

from pseudolabel.report import make_report, write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def browser(page, profile, *options: str) -> str:
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    alone = [
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={profile}",
        "--no-first-run",
    ]
    base = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    done = subprocess.run(
        [*base, *quiet, *alone, *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.fixture
def page(make_store, make_dataset, tmp_path):
    store = make_store(
        [
            ("cat/a.png", "cat", [(0, (4, 20, 30, 15), 0.9), (1, (30, 5, 15, 15), 0.7)]),
            ("cat/b.png", "cat", []),
            ("car/c.png", "car", "truncated"),
        ]
    )
    human = make_dataset([("cat/h.png", "cat", [("cat:body", (4, 20, 30, 15))])])
    target = tmp_path / "report.html"
    write_page(make_report(store, human=human), target)
    return target


def test_it_shows_words_and_pictures_offline(page, tmp_path) -> None:
    shown = browser(page, tmp_path / "profile", "--dump-dom")
    assert "could not be read" in shown or "could not\n" in shown
    assert "truncated" in shown
    assert "http://" not in shown.replace("http://www.w3.org", "")
    assert "https://" not in shown


def test_it_fits_a_phone(page, tmp_path) -> None:
    picture = tmp_path / "phone.png"
    browser(page, tmp_path / "profile", "--window-size=500,900", f"--screenshot={picture}")
    pixels = np.asarray(PillowImage.open(picture).convert("L"))
    assert pixels.shape == (900, 500)
    assert pixels.std() > 5  # not an empty page
