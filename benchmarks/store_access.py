"""Reading single rows of a store of many shards, and the memory of one image with many masks.

    python benchmarks/store_access.py [--shards 5000] [--masks 60] [--megapixels 12]

Writes a store of small shards (its shards are links to one file where the system has links),
then times, in one process: opening it, its length, a row of a shard that is kept, a row of one
that is not. Then composes an image of large, overlapping masks in both forms, in a process
each, and measures its peak of resident memory beside the result, in masks (one byte a pixel).
Aims: under 0.1 ms for a row, whatever the number of shards; no more than 3 masks at a time.
The result goes to benchmarks/results/store_access.json.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

if sys.path[0] == str(Path(__file__).resolve().parent):
    del sys.path[0]  # it holds pseudolabel.py, which is not the room of that name

from partlab.composite import Layer
from partlab.files import sha256_json
from partlab.labelmap_sources import compose
from partlab.masks import area, bbox, encode
from partlab.parts import Parts
from pseudolabel.store import (
    Manifest,
    Row,
    Store,
    StoredMask,
    shard_path,
    write_manifest,
    write_shard,
)

SHARD, PARTS = 16, 40


def make_store(folder: Path, shards: int) -> None:
    names = tuple(f"object:{number}" for number in range(PARTS))
    mask = np.zeros((375, 500), bool)
    mask[50:200, 100:300] = True
    rle = encode(mask)
    x, y, width, height = bbox(rle)
    masks = tuple(StoredMask(i, 0.9, area(rle), (x, y, width, height), rle) for i in range(4))
    manifest = Manifest(
        partlab="0",
        run="run",
        backend="none",
        model_sha256="0",
        config={},
        config_sha256=sha256_json({}),
        names=names,
        image_root=str(folder),
        inputs_sha256="0",
        images=shards * SHARD,
        shard_size=SHARD,
        state="done",
    )
    write_manifest(folder, manifest)
    rows = [
        Row(i + 1, f"{i}.jpg", "object", "folder", 375, 500, "labelled", None, masks)
        for i in range(SHARD)
    ]
    first = write_shard(folder, 0, rows, manifest.identity)
    for shard in range(1, shards):
        os.link(first, shard_path(folder, shard))


def milliseconds(work: Callable[[int], object], times: int) -> float:
    work(0)
    spent = []
    for number in range(times):
        start = perf_counter()
        work(number)
        spent.append(perf_counter() - start)
    return round(median(spent) * 1e3, 4)


def access(folder: Path, shards: int) -> dict[str, float]:
    store = Store.open(folder)
    order = np.random.default_rng(0).permutation(shards)
    return {
        "open, ms": milliseconds(lambda _: Store.open(folder), 20),
        "length, ms": milliseconds(lambda _: len(store), 20),
        "row of a kept shard, ms": milliseconds(lambda n: store.row(n % SHARD), 500),
        "row of another shard, ms": milliseconds(
            lambda n: store.row(int(order[n % shards]) * SHARD), 50
        ),
    }


def memory(masks: int, megapixels: float, channels: int) -> float:
    """Peak beside the result, in masks of one byte a pixel."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    layers = []
    for number in range(masks):
        mask = np.zeros((height, width), bool)
        mask[number * 7 : height - number * 9, number * 11 : width - number * 5] = True
        layers.append(Layer(number, encode(mask), 0.5 + number / 1000))
    parts = Parts.of(f"object:{number}" for number in range(masks))
    with multiprocessing.get_context("fork").Pool(1) as pool:  # what was used until here is gone
        peak = pool.apply(peak_of, (layers, (height, width), parts, channels))
    return round(peak / (height * width), 1)


def peak_of(layers: list[Layer], size: tuple[int, int], parts: Parts, channels: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = compose(layers, size, parts, pseudo=True, channels=channels)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (after - before) * 1024 - made.labels.nbytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=5000)
    parser.add_argument("--masks", type=int, default=60)
    parser.add_argument("--megapixels", type=float, default=12)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_store(Path(folder), asked.shards)
        result = {"shards": asked.shards, **access(Path(folder), asked.shards)}
    result |= {"masks": asked.masks, "megapixels": asked.megapixels}
    for channels in (1, 9):
        peak = memory(asked.masks, asked.megapixels, channels)
        result[f"peak beside the result with {channels} channels, masks"] = peak
    result["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
    text = json.dumps(result, indent=2)
    (Path(__file__).parent / "results" / "store_access.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
