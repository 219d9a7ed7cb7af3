"""The index of 1.2 million pictures for recognition: seconds, peak memory, and epochs drawn.

    python benchmarks/train_index.py [--scale 1]

Writes to a temporary folder, of 1,000 classes and 3,310 parts: a label-map file of 100,000
pictures by people, one of 600,000 by a network, a list of 400,000 pictures of which only the
class is known, and a folder of 300,000 (empty) files sorted by class. 200,000 of the list's
pictures have label maps, so 1.2 million are left. Opening them all, the fingerprint, two epochs
and random reads are measured in a process of its own, whose start is not counted.
The result goes to benchmarks/results/train_index.json. Aim: under 60 s and 2 GiB, and under 2 s
for an epoch.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from partlab.labelmaps import Composite, Entry, Header, write_label_maps

HERE = Path(__file__).resolve().parent
CLASSES, PARTS = 1000, 3310
HUMAN, PSEUDO, LISTED, TWICE, FILES = 100_000, 600_000, 400_000, 200_000, 300_000
OWNERS = tuple(f"n{at:08d}" for at in range(CLASSES))


def name(number: int) -> str:
    owner = OWNERS[number % CLASSES]
    return f"{owner}/{owner}_{number:07d}.JPEG"


def label_maps(path: Path, numbers: range, pseudo: bool) -> None:
    names = sorted(f"{OWNERS[part % CLASSES]}:part {part // CLASSES}" for part in range(PARTS))
    header = Header(path.name, tuple(names), OWNERS, ("pictures",))
    drawn = np.zeros((48, 64), np.int32)
    drawn[8:40, 8:56] = 1

    def entries() -> Iterator[Entry]:
        for at in numbers:
            composite = Composite(drawn * (at % PARTS + 1), PARTS + 1, pseudo, False)
            yield Entry(name(at), 0, at % CLASSES, composite)

    write_label_maps(path, header, entries())


def make(folder: Path, scale: float) -> None:
    human, pseudo, listed, twice, files = (
        int(n * scale) for n in (HUMAN, PSEUDO, LISTED, TWICE, FILES)
    )
    for owner in OWNERS:
        (folder / "pictures" / owner).mkdir(parents=True)
        (folder / "more" / owner).mkdir(parents=True)
    label_maps(folder / "human.arrow", range(human), pseudo=False)
    label_maps(folder / "pseudo.arrow", range(human, human + pseudo), pseudo=True)
    start = human + pseudo - twice
    lines = (f"{name(at)} {at % CLASSES}\n" for at in range(start, start + listed))
    (folder / "list.txt").write_text("".join(lines))
    for at in range(start + listed, start + listed + files):
        (folder / "more" / name(at)).touch()


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = perf_counter()
    found = work()
    return found, round(perf_counter() - start, 2)


def peak_gib() -> float:
    """High-water mark of this process (getrusage would count its parent's too)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 2**20, 2)
    return float("nan")


def microseconds(work: Callable[[int], Any], order: list[int]) -> float:
    spent = []
    for at in order:
        start = perf_counter()
        work(at)
        spent.append(perf_counter() - start)
    return round(median(spent) * 1e6, 1)


def measure(folder: Path) -> dict[str, Any]:
    from train.pictures import open_pictures
    from train.sampling import epoch_plan
    from train.settings import DataConfig

    before = peak_gib()
    data = [folder / "human.arrow", folder / "pseudo.arrow"]
    plain = [(folder / "list.txt", folder / "pictures"), folder / "more"]
    pictures, opened = timed(lambda: open_pictures(data, plain=plain, cache=folder / "cache"))
    opened_peak = peak_gib()
    _, hashed = timed(lambda: pictures.fingerprint)
    config = DataConfig(pseudo=0.5, plain=0.25)
    balanced = config.model_copy(update={"balance": True})
    epochs = [
        timed(lambda c=c: epoch_plan(pictures, c, 64, seed=0, epoch=3, rank=1, world=8))[1]
        for c in (DataConfig(), config, balanced)
    ]
    order = np.random.default_rng(0).permutation(len(pictures))[:5000].tolist()
    return {
        "pictures": len(pictures),
        "classes": len(pictures.classes),
        "parts": len(pictures.parts),
        "open, s": opened,
        "peak before, GiB": before,
        "peak when open, GiB": opened_peak,
        "fingerprint, s": hashed,
        "one epoch's plan, s": dict(
            zip(("all once", "by weight", "by weight, balanced"), epochs, strict=True)
        ),
        "peak in all, GiB": peak_gib(),
        "path, us": microseconds(pictures.path, order),
        "label map, us": microseconds(pictures.labels, order),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure)))
        return
    about = {
        "command": "python benchmarks/train_index.py"
        + (f" --scale {asked.scale:g}" if asked.scale != 1 else ""),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores, {platform.system()}",
        "load at start": round(os.getloadavg()[0], 1),
        "versions": {"python": platform.python_version()}
        | {one: version(one) for one in ("numpy", "pyarrow")},
    }
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), asked.scale)
        command = [sys.executable, __file__, "--measure", folder]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    text = json.dumps(about | json.loads(output), indent=2)
    if asked.scale == 1:
        (HERE / "results" / "train_index.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
