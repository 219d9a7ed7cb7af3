"""Mask AP at the size of PartImageNet++: ours against pycocotools, same detections, one run.

    python benchmarks/mask_ap.py

Each side runs in its own process, reads the same files and reports seconds and peak memory;
the result goes to benchmarks/results/mask_ap.json. Requirement P-07.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SIDES = ("partlab", "pycocotools")
HEIGHT, WIDTH, CORNERS = 375, 500, 24


def make(folder: Path, categories: int, images: int, detections: int, masks: int) -> None:
    """Ellipses as truth; jittered copies, then random ones, as detections. No score ties."""
    from pycocotools import mask as coco_mask

    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    waves = np.stack([np.cos(angles), np.sin(angles)], 1)
    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for number in range(max(masks, detections)):
            centre, radius = rng.uniform((80, 80), (420, 300)), rng.uniform(10, 80, 2)
            category = int(rng.integers(1, categories + 1))
            if number < masks:
                rle = _rle(coco_mask, centre + waves * radius)
                truth.append(_truth(coco_mask, len(truth) + 1, image, category, rle))
            if number < detections:
                centre, radius = centre + rng.normal(0, 4, 2), radius * rng.uniform(0.8, 1.2, 2)
                rle = _rle(coco_mask, centre + waves * radius)
                results.append(
                    {"image_id": image, "category_id": category, "segmentation": rle}
                    | {"score": float(rng.random())}
                )
    names = [{"id": i, "name": f"object {i // 4}:part {i}"} for i in range(1, categories + 1)]
    size = {"width": WIDTH, "height": HEIGHT}
    records = [{"id": i, "file_name": f"{i}.jpg", **size} for i in range(1, images + 1)]
    whole = {"images": records, "annotations": truth, "categories": names}
    (folder / "truth.json").write_text(json.dumps(whole))
    (folder / "results.json").write_text(json.dumps(results))


def _rle(coco_mask: Any, points: Any) -> dict[str, Any]:
    rle = coco_mask.frPyObjects([points.ravel().tolist()], HEIGHT, WIDTH)[0]
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def _truth(coco_mask: Any, id: int, image: int, category: int, rle: Any) -> dict[str, Any]:
    record = {"id": id, "image_id": image, "category_id": category, "segmentation": rle}
    box = [float(side) for side in coco_mask.toBbox(rle)]
    return {**record, "area": float(coco_mask.area(rle)), "bbox": box, "iscrowd": 0}


def partlab(folder: Path) -> dict[str, float]:
    from partlab.coco import read_coco
    from segmenter.ap import mask_ap

    found = mask_ap(
        read_coco(folder / "truth.json"), json.loads((folder / "results.json").read_text())
    )
    return {name: float(getattr(found, name) or 0) for name in ("ap", "ap50", "ap75", "ap_small")}


def pycocotools(folder: Path) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(folder / "truth.json"))
    measured = COCOeval(truth, truth.loadRes(str(folder / "results.json")), "segm")
    measured.evaluate()
    measured.accumulate()
    measured.summarize()
    return dict(
        zip(("ap", "ap50", "ap75", "ap_small"), map(float, measured.stats[:4]), strict=True)
    )


def child(side: str, folder: Path) -> None:
    """Measure one side in this process; the last line of stdout is its JSON."""
    started, cpu = time.perf_counter(), time.process_time()
    scores = globals()[side](folder)
    measured = {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_gib": round(_peak_kib() / 2**20, 3),
        **scores,
    }
    print(json.dumps(measured))


def _peak_kib() -> int:
    """High-water mark of this process (getrusage would count its parent's too)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise SystemExit("this benchmark reads /proc, so it needs Linux")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--categories", type=int, default=3310)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--detections", type=int, default=10)
    parser.add_argument("--masks", type=int, default=4)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "mask_ap.json")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(HERE.parent))
    if args.child:
        child(args.child[0], Path(args.child[1]))
        return
    sizes = {name: getattr(args, name) for name in ("categories", "images", "detections", "masks")}
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), **sizes)
        found = {side: _run(side, folder) for side in SIDES}
    write(args.out, sizes, found)


def _run(side: str, folder: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", side, folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{side}: {measured}", flush=True)
    return measured


def write(out: Path, sizes: dict[str, int], found: dict[str, dict[str, float]]) -> None:
    ours, theirs = (found[side] for side in SIDES)
    gap = max(abs(ours[name] - theirs[name]) for name in ("ap", "ap50", "ap75", "ap_small"))
    record = {
        "command": "python benchmarks/mask_ap.py "
        + " ".join(f"--{name} {value}" for name, value in sizes.items()),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores, {platform.system()}",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "hotcoco", "pycocotools")},
        **sizes,
        **found,
        "times_faster": round(theirs["seconds"] / ours["seconds"], 1),
        "largest_difference": gap,
        "aim": "under 30 s and 2 GiB, AP equal to 1e-6",
        "met": ours["seconds"] < 30 and ours["peak_gib"] < 2 and gap < 1e-6,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n")
    print(out.read_text())


if __name__ == "__main__":
    main()
