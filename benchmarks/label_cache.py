"""The label-map cache: microseconds for a random read, targets against the dense way, size.

    python benchmarks/label_cache.py [--images 4000] [--side 384]

Draws label maps of blobs (4 parts an image, as in a real store), writes the cache, then times,
in one process: a random read; cut and resize to 224; sparse targets at 28, 14 and 7; and the
same targets by a dense one-hot array and average pooling. The result, with the ratio, is
written to results/label_cache.json.
"""

import argparse
import json
import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from partlab.labelmaps import Composite, Entry, Header, LabelMaps, write_label_maps
from partlab.targets import SIDES, crop, pyramid

PARTS = 3310


def blobs(rng: np.random.Generator, side: int, part: int) -> np.ndarray:
    """Four nested and overlapping ellipses on background."""
    labels = np.zeros((side * 3 // 4, side), np.int32)
    y, x = np.mgrid[: labels.shape[0], :side] / side
    for offset, size in enumerate((0.3, 0.2, 0.12, 0.06)):
        top, left = rng.uniform(0.2, 0.55, 2)
        stretch = rng.uniform(0.6, 1.6)
        labels[((y - top) * stretch) ** 2 + (x - left) ** 2 < size**2] = part + offset + 1
    return labels


def entries(images: int, side: int) -> Iterator[Entry]:
    rng = np.random.default_rng(0)
    for number in range(images):
        labels = blobs(rng, side, int(rng.integers(0, PARTS - 4)))
        yield Entry(f"{number}.jpg", 0, 0, Composite(labels, PARTS + 1, True, False))


def dense(labels: np.ndarray, parts: int) -> list[np.ndarray]:
    """One-hot with background, then average pooling: the way that needs (K + 1) x 224 x 224."""
    one_hot = np.zeros((parts + 1, *labels.shape), np.float32)
    np.put_along_axis(one_hot, labels[None].astype(np.intp), 1, axis=0)
    return [
        one_hot.reshape(parts + 1, side, 224 // side, side, 224 // side).mean(axis=(2, 4))
        for side in SIDES
    ]


def microseconds(work: Callable[[int], object], times: int) -> float:
    work(0)
    spent = []
    for number in range(times):
        start = perf_counter()
        work(number)
        spent.append(perf_counter() - start)
    return round(median(spent) * 1e6, 1)


def measure(path: Path, images: int, side: int) -> dict[str, object]:
    header = Header("benchmark", tuple(f"o:{i}" for i in range(PARTS)), ("o",), ("/",))
    start = perf_counter()
    write_label_maps(path, header, entries(images, side))
    written = perf_counter() - start
    start = perf_counter()
    maps = LabelMaps(path)
    opened = perf_counter() - start
    order = np.random.default_rng(1).permutation(images)
    read = microseconds(lambda n: maps.composite(int(order[n % images])), 2000)
    some = [maps.composite(int(i)).labels for i in order[:50]]
    box = (20, 10, side * 0.7, side * 0.6)
    cut = [crop(labels, box, 224) for labels in some]
    ignore = maps.header.ignore
    sparse = microseconds(lambda n: pyramid(cut[n % 50], ignore=ignore), 500)
    ways = {k: microseconds(lambda n, k=k: dense(cut[n % 50] % (k + 1), k), 20) for k in (5, 40)}
    ways[PARTS] = microseconds(lambda n: dense(cut[n % 50], PARTS), 2)
    return {
        "images": images,
        "pixels": list(some[0].shape),
        "bytes per image": round(path.stat().st_size / images, 1),
        "write and draw, us per image": round(written / images * 1e6, 1),
        "open, ms": round(opened * 1e3, 2),
        "random read, us": read,
        "crop and resize to 224, us": microseconds(lambda n: crop(some[n % 50], box, 224), 500),
        "sparse targets 28/14/7, us": sparse,
        "dense targets 28/14/7, us, by K": {str(k): us for k, us in ways.items()},
        "dense over sparse, by K": {str(k): round(us / sparse, 1) for k, us in ways.items()},
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--side", type=int, default=384)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder) / "labels.arrow", asked.images, asked.side)
    text = json.dumps(result, indent=2)
    (Path(__file__).parent / "results" / "label_cache.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
