"""Reading, indexing and checking one big part data set: seconds and peak memory.

    python benchmarks/dataset_index.py [--images 100000] [--masks 400000]

Writes a synthetic COCO file with 1,000 object and 3,310 part categories to a temporary folder,
once with run lengths and once with polygons of 40 points. Reading and indexing (each image's
masks and object looked up), the fingerprint (reading not counted), and the check without
pictures, each run in a process of their own.
CPU seconds include start-up; wall seconds also wait for whatever else the machine does.
The result goes to benchmarks/results/dataset_index.json. Aim: under 60 s and 4 GiB on 2 cores.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from partlab.coco import read_dataset, write_coco
from partlab.masks import area, bbox, from_segmentation
from partlab.schema import Annotation, Category, Dataset, Image

HERE = Path(__file__).resolve().parent
OBJECTS, PARTS, POINTS = 1000, 3310, 40
WIDTH, HEIGHT = 500, 375


class Made:
    """A sequence that is drawn anew each time it is gone through, so that memory stays flat."""

    def __init__(self, make: Any, length: int) -> None:
        self.make, self.length = make, length

    def __iter__(self) -> Iterator[Any]:
        return iter(self.make())

    def __len__(self) -> int:
        return self.length


def make(path: Path, images: int, masks: int, form: str) -> None:
    """Four blobs an image, one in each quarter, of the parts of the image's object."""
    parts_of: list[list[int]] = [[] for _ in range(OBJECTS)]
    for part in range(PARTS):
        parts_of[part % OBJECTS].append(part + 1)
    categories = [
        Category.new(c, f"object {o}", f"part {n}", wnid=f"n{o:08d}")
        for o, ids in enumerate(parts_of)
        for n, c in enumerate(ids)
    ]

    def make_images() -> Iterator[Image]:
        for i in range(images):
            owner = i % OBJECTS
            name, ours = f"n{owner:08d}/n{owner:08d}_{i}.JPEG", {"object": f"object {owner}"}
            yield Image.new(i + 1, name, (WIDTH, HEIGHT), **ours)

    def make_masks() -> Iterator[Annotation]:
        rng = np.random.default_rng(0)
        each = masks // images
        turns = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
        circle = np.stack([np.cos(turns), np.sin(turns)], 1)
        for i in range(images):
            own = parts_of[i % OBJECTS]
            for n in range(each):
                middle = np.array([(n % 2 + 0.5) * WIDTH / 2, (n // 2 % 2 + 0.5) * HEIGHT / 2])
                radius = rng.uniform(30, 80) + rng.normal(0, 3, (POINTS, 1))
                polygon = [[round(float(v), 2) for v in (middle + circle * radius).ravel()]]
                rle = from_segmentation(polygon, HEIGHT, WIDTH)
                shape = rle if form == "rle" else polygon
                told = {"bbox": bbox(rle), "area": area(rle), "provenance": "human:a"}
                yield Annotation.new(i * each + n + 1, i + 1, own[n % len(own)], shape, **told)

    total = masks // images * images
    write_coco(Dataset(Made(make_images, images), Made(make_masks, total), categories), path)  # type: ignore[arg-type]


def step(name: str, path: Path) -> dict[str, float]:
    """One measured step, in this process."""
    start = time.perf_counter()
    if name == "index":
        dataset = read_dataset(path)
        masks = sum(len(dataset.annotations_of(image)) for image in dataset.images)
        owners = {dataset.object_of(image) for image in dataset.images}
        assert masks == len(dataset.annotations)
        assert len(owners) == min(OBJECTS, len(dataset.images))
    elif name == "fingerprint":
        dataset = read_dataset(path)
        start = time.perf_counter()
        assert len(dataset.fingerprint) == 64
    else:
        from annotate.data.check import check_folder

        assert check_folder(path, pictures=False).errors == 0
    seconds, cpu = time.perf_counter() - start, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "peak_gib": round(peak, 2)}


def measure(name: str, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--step", name, "--path", str(path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(told)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--masks", type=int, default=400_000)
    parser.add_argument("--step", choices=("index", "fingerprint", "check"))
    parser.add_argument("--path", type=Path)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(step(asked.step, asked.path)))
        return
    result: dict[str, Any] = {
        "command": " ".join(["python benchmarks/dataset_index.py", *sys.argv[1:]]),
        "images": asked.images,
        "masks": asked.masks,
        "machine": {
            "cpus": os.cpu_count(),
            "platform": f"{platform.system()} {platform.machine()}",
            "load_at_start": round(os.getloadavg()[0], 1),
        },
        "versions": {name: version(name) for name in ("numpy", "pycocotools")},
    }
    result["versions"]["python"] = platform.python_version()
    for form in ("rle", "polygons"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "annotations.json"
            make(path, asked.images, asked.masks, form)
            steps = {name: measure(name, path) for name in ("index", "fingerprint", "check")}
            result[form] = {"file_gib": round(path.stat().st_size / 2**30, 2), **steps}
        print(form, json.dumps(result[form]))
    out = HERE / "results" / "dataset_index.json"
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
