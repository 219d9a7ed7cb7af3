"""The page Data set with 100,000 images: seconds of CPU until its pictures stand there, and memory.

    python benchmarks/app_data.py [--images 100000] [--masks 400000] [--form polygons]

Writes a synthetic data set with 1,000 object and 3,310 part categories (that of
`dataset_index.py`) to a temporary folder, with 20 pictures of 500 x 375 pixels behind as many
names as there are images. The app runs in a process of its own, headless Chromium opens its
pages. "index": the first time ever, when the file is read and its index is kept. "first page":
from the address until 24 pictures stand there, in a new process with that index. "filter": a
part, by an address. "next page": by its button. "picture": one of them in full. CPU seconds are
those of the app's process; its start is not counted. Peak is its VmHWM, mapped files included.
"index" has these of the process that reads the file, too, as seen every 50 ms ("apart").
Aims (SV-22): the first page under 3 s and 1.5 GiB, and no mask decoded that is not shown.
"""

import argparse
import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import psutil
from PIL import Image as PillowImage
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "plugins"), str(HERE)]
import dataset_index  # noqa: E402
from web_app import CHROMIUM, FLAGS, go  # noqa: E402

AIMS = {"first_page_cpu_s": 3.0, "peak_gib": 1.5}
PICTURES = 20


def _bench_app() -> Any:
    """`benchmarks/app.py`, whose name is that of a room."""
    spec = importlib.util.spec_from_file_location("bench_app", HERE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = _bench_app()


def make(folder: Path, images: int, masks: int, form: str) -> None:
    """The data set, every name a link to one of a few pictures."""
    (folder / "annotations").mkdir(parents=True)
    dataset_index.make(folder / "annotations" / "train.json", images, masks, form)
    rng = np.random.default_rng(0)
    own = folder / "own"
    own.mkdir()
    for number in range(PICTURES):
        small = rng.integers(0, 255, (15, 20, 3), dtype=np.uint8)
        picture = PillowImage.fromarray(small).resize((500, 375), PillowImage.Resampling.BICUBIC)
        picture.save(own / f"{number}.jpg", quality=90)
    for number in range(images):
        owner = number % dataset_index.OBJECTS
        place = folder / "images" / f"n{owner:08d}"
        if number < dataset_index.OBJECTS:
            place.mkdir(parents=True)
        os.link(own / f"{number % PICTURES}.jpg", place / f"n{owner:08d}_{number}.JPEG")


def shown(page: Page, url: str) -> None:
    go(page, url)
    sheet(page)


def sheet(page: Page) -> None:
    page.locator(".pd-grid figure img").nth(23).wait_for(timeout=600_000)


def peak(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return round(int(line.split()[1]) / 2**20, 2)


@contextmanager
def beside(process: psutil.Process) -> Iterator[dict[str, float]]:
    """CPU and peak of the process that another begins meanwhile."""
    found: dict[str, float] = {}
    over = Event()

    def watch() -> None:
        while not over.wait(0.05):
            for child in process.children():
                with suppress(psutil.Error, OSError, ValueError):
                    most = max(found.get("peak_gib", 0.0), peak(child))
                    cpu = max(found.get("cpu_s", 0.0), round(bench.spent(child), 2))
                    found.update(cpu_s=cpu, peak_gib=most)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def measured(folder: Path) -> dict[str, Any]:
    """The first time, and then in a new process."""
    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 850})
        page.set_default_timeout(600_000)
        with bench.app(folder, folder) as (url, process):
            go(page, url)
            clock = bench.Clock(process)
            with beside(process) as apart:
                shown(page, f"{url}/dataset")
            found["index"] = {**clock.lap(), "peak_gib": peak(process), "apart": apart}
        with bench.app(folder, folder) as (url, process):
            go(page, url)
            clock = bench.Clock(process)
            shown(page, f"{url}/dataset")
            found["first_page"] = {**clock.lap(), "peak_gib": peak(process)}
            clock.lap()
            shown(page, f"{url}/dataset?part=object 7:part 1")
            found["filter"] = clock.lap()
            page.locator("#dataset-next").click()
            page.locator(".pd-count", has_text="page 2 of").wait_for()
            found["next_page"] = clock.lap()
            page.locator(".pd-grid button").first.click()
            page.locator(".pd-picture").wait_for()
            found["picture"] = {**clock.lap(), "peak_gib": peak(process)}
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--masks", type=int, default=400_000)
    parser.add_argument("--form", choices=("rle", "polygons"), default="rle")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "app_data.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = str(Path(scratch) / "cache")
        folder = Path(scratch) / "data"
        make(folder, asked.images, asked.masks, asked.form)
        found = measured(folder)
        kept = sum(each.stat().st_size for each in (Path(scratch) / "cache").rglob("*.arrow"))
    first = found["first_page"]
    result = {
        "command": " ".join(["python benchmarks/app_data.py", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "load": [round(each, 1) for each in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("gradio", "numpy", "pyarrow")},
        "images": asked.images,
        "masks": asked.masks,
        "form": asked.form,
        "index_gib": round(kept / 2**30, 2),
        "aims": AIMS,
        "met": {
            "first_page_cpu_s": first["cpu_s"] <= AIMS["first_page_cpu_s"],
            "peak_gib": max(first["peak_gib"], found["index"]["peak_gib"]) <= AIMS["peak_gib"],
            "apart_peak_gib": found["index"]["apart"]["peak_gib"] <= AIMS["peak_gib"],
        },
        **found,
    }
    asked.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
