"""Which segmenter for what: Mask R-CNN, dense and both fused, before and after tuning.

    python benchmarks/segmenters.py --work DIR --seeds 0 1 2                    the part world
    python benchmarks/segmenters.py --work DIR --seeds 0 --photos PARTS         photographs

Mask R-CNN and dense are trained for about the same CPU minutes, which are measured and told. What
is tuned and fused is found on images apart: of the part world those of another seed, of photographs
a tenth of `train` that nothing is trained on; another twentieth picks the best checkpoint. The
figures are those of the world's `heldout`, or of the photographs' `val`, read once at the end. The
same command goes on where it was stopped; each step is a command of partlab in its own process.
Results: benchmarks/results/segmenters.json.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

RESULT = Path(__file__).resolve().parent / "results" / "segmenters.json"
EPOCHS = {"world": {"torchvision": 8, "dense": 11}, "photos": {"torchvision": 4, "dense": 6}}
RECIPES = {"world": "small", "photos": "light"}
SCORES = ("miou", "boundary_iou", "pixel_accuracy", "foreground_pixel_accuracy", "ap", "ap50")
COSTS = ("training_minutes", "images_per_second", "parameters")


def _named(difference: dict[str, Any]) -> dict[str, Any]:
    """Runs by their names: a result says nothing of where it was made."""
    return {**difference, **{key: Path(difference[key]).name for key in ("run", "less")}}


class Bench:
    """One kind of pictures in one work folder."""

    def __init__(self, work: Path, kind: str) -> None:
        self.work, self.kind, self.runs = work, kind, work / "runs"

    @property
    def apart(self) -> tuple[Path, str]:
        """Data set and split to tune on."""
        return (self.work / "apart", "heldout") if self.kind == "world" else (
            self.work / "photos", "apart"
        )  # fmt: skip

    def run(self, backend: str, seed: int) -> Path:
        """The run's folder."""
        prefix = "" if self.kind == "world" else "photos-"
        return self.runs / f"{prefix}{backend}-{seed}"

    def data(self, photos: Path | None) -> tuple[Path, str]:
        """Make the data; what is measured on at the end."""
        if photos is not None:
            divide(photos, self.work / "photos")
            return photos, "val"
        for name, about in (
            ("world", ["--per-object", "20", "--seed", "0"]),
            ("apart", ["--per-object", "2", "--seed", "5"]),
        ):
            if not (self.work / name / "world.json").is_file():
                partlab("data", "make-world", "--out", self.work / name, "--pool", "0",
                        "--heldout", "140", *about)  # fmt: skip
        return self.work / "world", "heldout"

    def measure(self, seed: int, measured: tuple[Path, str]) -> dict[str, Any]:
        """All of one seed; what is there already stays."""
        runs = [self.train(backend, seed) for backend in ("torchvision", "dense")]
        before = self.compare(runs, measured, f"untuned-{seed}")
        for run in runs:
            if not (run / "tuned.json").is_file():
                partlab("segmenter", "tune", run, self.apart[0], "--split", self.apart[1])
        fused = self.run("fused", seed)
        if not (fused / "tuned.json").is_file():
            partlab("segmenter", "fuse", *runs, self.apart[0], "--split", self.apart[1],
                    "--out", fused, *(["--force"] if fused.exists() else []))  # fmt: skip
        after = self.compare([*runs, fused], measured, f"tuned-{seed}")
        names = ("torchvision", "dense", "fused")
        return {
            "untuned": dict(zip(names, map(few, before["runs"]), strict=False)),
            "tuned": dict(zip(names, map(few, after["runs"]), strict=True)),
            "differences": [_named(each) for each in after["differences"]],
            "held_out_parts": after["per_part"],
            "cpu_minutes": {n: self.cpu(r) for n, r in zip(names, runs, strict=False)},
        }

    def train(self, backend: str, seed: int) -> Path:
        """A run, finished."""
        run = self.run(backend, seed)
        done = run / "finished.json"
        if not done.is_file():
            epochs = EPOCHS[self.kind][backend]
            data = self.work / self.kind
            seconds = partlab(
                "segmenter", "train", data, "--out", run, "--backend", backend,
                "--recipe", RECIPES[self.kind], "--set", f"train.epochs={epochs}",
                "--set", f"train.seed={seed}",
            )  # fmt: skip
            done.write_text(json.dumps({"cpu_seconds_of_last_sitting": seconds}))
        return run

    def cpu(self, run: Path) -> float:
        """Minutes of the last sitting of its training, all of it where it was never stopped."""
        seconds: float = json.loads((run / "finished.json").read_text())[
            "cpu_seconds_of_last_sitting"
        ]
        return round(seconds / 60, 1)

    def compare(self, runs: Sequence[Path], data: tuple[Path, str], name: str) -> dict[str, Any]:
        """The comparison, made once: `untuned` has to be made before anything is tuned."""
        out = self.work / f"{'' if self.kind == 'world' else 'photos-'}{name}.json"
        if not out.is_file():
            partlab("segmenter", "evaluate", *runs, data[0], "--split", data[1], "--out", out)
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def divide(photos: Path, folder: Path) -> None:
    """`train` in three by the names of its pictures: 85 % train, 5 % val, 10 % apart."""
    from partlab.coco import read_dataset, write_coco

    if (folder / "annotations" / "apart.json").is_file():
        return
    whole = read_dataset(photos, "train")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "images").exists():
        (folder / "images").symlink_to(whole.image_root.resolve(), target_is_directory=True)
    splits: dict[str, list[int]] = {"train": [], "val": [], "apart": []}
    for image in whole.images:
        share = hashlib.sha256(image.file_name.encode()).digest()[0] / 256
        splits["apart" if share < 0.1 else "val" if share < 0.15 else "train"].append(image.id)
    for name, ids in splits.items():
        write_coco(whole.subset(ids), folder / "annotations" / f"{name}.json")


def partlab(*words: object) -> float:
    """Run a command of partlab; CPU seconds it took."""
    before = _children()
    call = "import sys; from app.cli.main import main; sys.exit(main())"
    print("partlab", *words, file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-c", call, *map(str, words)], check=True)
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def few(run: dict[str, Any]) -> dict[str, Any]:
    """Scores and cost of one run."""
    return {key: run[key] for key in (*SCORES, *COSTS)}


def means(seeds: dict[str, Any]) -> dict[str, Any]:
    """Mean of each score over seeds."""
    first = next(iter(seeds.values()))
    return {
        kind: {
            name: {key: mean(seed[kind][name][key] for seed in seeds.values()) for key in SCORES}
            for name in first[kind]
        }
        for kind in ("untuned", "tuned")
    }


def main() -> None:
    """Measure, and write after each seed what is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULT)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kind = "photos" if options.photos else "world"
    bench = Bench(options.work.resolve(), kind)
    measured = bench.data(options.photos.resolve() if options.photos else None)
    seeds: dict[str, Any] = {}
    for seed in options.seeds:
        seeds[str(seed)] = bench.measure(seed, measured)
        kept = json.loads(options.results.read_text()) if options.results.is_file() else {}
        kept[kind] = {"machine": machine(), "means": means(seeds), "seeds": seeds}
        options.results.write_text(json.dumps(kept, indent=1) + "\n")
        print(json.dumps(kept[kind]["means"], indent=1))


def machine() -> dict[str, Any]:
    """Where it was measured."""
    return {
        "platform": platform.machine(),
        "cores": os.cpu_count(),
        "threads": os.environ["OMP_NUM_THREADS"],
        "torch": version("torch"),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
