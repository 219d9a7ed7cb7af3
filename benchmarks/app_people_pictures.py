"""The pictures of the pages Inspect and Progress in docs/guide/app.md, on a work of drawn pictures.

    python benchmarks/app_people_pictures.py

A work is made with people who know the truth, mostly; then the pages are used as people use them.
"""

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).resolve().parent))
from app_pictures import IMAGES, smaller
from farm import hand_out
from web_app import browsing, go, opened, showing
from world_work import begin_world, draw_world

from annotate.inspect.pins import Pin
from annotate.inspect.service import Inspection

SIZE = (1400, 850)


def made(folder: Path) -> Path:
    """Ram is drawn a second time, lamp is being drawn, duck waits for an inspector."""
    with begin_world(folder, size=512) as work:
        draw_world(work, "ram", spoilt=(0, 3))
        draw_world(work, "lamp", refused=(1,), left=4)
        draw_world(work, "duck", spoilt=(2, 5))
        inspection = Inspection(work)
        for n, card in enumerate(inspection.sample("ram", "ina@example.org").cards):
            pins = [Pin(x=0.42, y=0.5, part="body", why="too low")] if n < 2 else []
            words = {"reason": "outline", "pins": pins} if n < 2 else {}
            inspection.decide("ram", card.image_id, n >= 2, "ina@example.org", **words)
        hand_out(work, "ram", "ann@x.org", round=2)
        return work.folder


def inspect(page: Page, url: str) -> None:
    """Two verdicts, and a reason about to be chosen."""
    go(page, f"{url}/inspect")
    page.locator(".pi-stage button", has_text="Begin").click()
    for key in ("p", "p", "f"):
        page.locator(".pi:not([data-loading]) .pi-canvas svg").first.wait_for()
        page.wait_for_timeout(1500)
        page.keyboard.press(key)
    page.locator(".pi-strip svg").nth(9).wait_for()


def progress(page: Page, url: str) -> None:
    """The lead's table; ann's chores stand above it where ann asks."""
    go(page, f"{url}/progress")
    page.locator(".pg tbody tr").nth(2).wait_for()


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    with tempfile.TemporaryDirectory() as scratch:
        folder = made(Path(scratch))
        for name, who, act in (
            ("app-inspect", "ina@example.org", inspect),
            ("app-progress", "ann@x.org", progress),
        ):
            os.environ["PARTLAB_ME"] = who
            with showing(folder) as shown, browsing() as browser, opened(browser, SIZE) as page:
                page.set_default_timeout(180_000)
                act(page, shown.url)
                page.wait_for_timeout(800)
                page.screenshot(path=out / f"{name}.png", full_page=name == "app-progress")
            smaller(out / f"{name}.png")
            print(out / f"{name}.png")


if __name__ == "__main__":
    main()
