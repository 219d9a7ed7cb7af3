"""The pictures of docs/guide/app.md, from the app itself with what `partlab quickstart` made.

    python benchmarks/app_pictures.py quickstart

They are of the pages as people see them: run it again when a page has changed, and look at them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image as PillowImage
from playwright.sync_api import Page

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "plugins")]
from web_app import browsing, go, opened, showing  # noqa: E402

IMAGES = HERE.parent / "docs" / "guide" / "images"
LAPTOP = (1280, 900)


def parts(page: Page, url: str) -> None:
    """A picture whose parts another object has too."""
    go(page, f"{url}/parts")
    page.locator(".pl-offered button", has_text="duck").first.click()
    page.locator(".pl-result").wait_for(timeout=180_000)
    page.locator("#parts-step .pl-step").wait_for(state="detached")
    page.wait_for_timeout(800)


def robustness(page: Page, url: str) -> None:
    """The two models of the quickstart beside one another."""
    go(page, f"{url}/robustness")
    page.locator(".pl-offered button").first.click()
    page.locator(".pl-tried").wait_for()
    page.locator("#robustness-step .pl-step").wait_for(state="detached")
    page.wait_for_timeout(800)


def dataset(page: Page, url: str) -> None:
    """One part of one category, with what the filters leave out."""
    go(page, f"{url}/dataset?data=world/train&object=ram&part=ram:horn")
    page.locator(".pd-grid img").nth(10).wait_for()
    page.wait_for_timeout(1500)


def pseudolabels(page: Page, url: str) -> None:
    """Half of the masks of a category go."""
    go(page, f"{url}/pseudolabels?object=duck&threshold=0.7")
    page.locator(".pl-store").wait_for()
    page.locator("#pl-thresholds").evaluate("e => e.scrollIntoView()")
    page.wait_for_timeout(800)


def runs(page: Page, url: str) -> None:
    """The trainings of the quickstart."""
    go(page, f"{url}/runs")
    page.locator(".pl-trainings").first.wait_for()
    page.wait_for_timeout(800)


def home(page: Page, url: str) -> None:
    go(page, url)
    page.locator(".pl-tiles").wait_for()
    page.wait_for_timeout(500)


PICTURES: dict[str, tuple[Callable[[Page, str], None], tuple[int, int], str]] = {
    "app-home": (home, LAPTOP, "light"),
    "app-parts": (parts, LAPTOP, "light"),
    "app-robustness": (robustness, (1280, 950), "light"),
    "app-dataset": (dataset, LAPTOP, "light"),
    "app-pseudolabels": (pseudolabels, LAPTOP, "light"),
    "app-runs": (runs, LAPTOP, "light"),
}


def smaller(path: Path) -> None:
    """256 colours do for a guide."""
    with PillowImage.open(path) as picture:
        few = picture.convert("RGB").quantize(256, dither=PillowImage.Dither.NONE)
    few.save(path, optimize=True)


def main() -> None:
    given, out = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else IMAGES
    with showing(given) as shown, browsing() as browser:
        for name, (act, size, scheme) in PICTURES.items():
            with opened(browser, size, color_scheme=scheme) as page:
                page.set_default_timeout(180_000)
                act(page, shown.url)
                page.screenshot(path=out / f"{name}.png")
                smaller(out / f"{name}.png")
                print(out / f"{name}.png")


if __name__ == "__main__":
    main()
