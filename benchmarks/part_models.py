"""Are the part models of Berkeley equally robust (X-08), and is it worth their cost?

    python benchmarks/part_models.py --work DIR [--photos PARTS] [--seeds 3] [--jobs 2]
                                     [--smallest] [--detectors] [--report]

Trains Downsampled, Bounding-Box, Two-Headed and Pixel, vanilla and MPM, on one backbone with one
recipe for all (RECIPE: `small_at` at 64 pixels, first clean, then under attack), seed by seed, one
core each: setting P on 30 pictures a class of the part world, setting H on photographs made free of
their backgrounds. Adds a line for each training to benchmarks/results/part_models.jsonl: accuracy
on held-out pictures, clean and under PGD-20, picture by picture, and on made sets (background,
texture, corruptions); parameters, operations and milliseconds of a picture; CPU seconds of
training. What is there is not trained again, so the same command goes on. `--detectors` adds
Hingun's. `--smallest` tries all of it in minutes, in the work folder alone. `--report` prints the
tables: differences to vanilla on the same pictures, p corrected by Holm's method.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(1, str(HERE))
RESULTS = HERE / "results" / "part_models.jsonl"
PER_CLASS, HELDOUT, STEPS = 30, 168, 20
ARMS = {
    "vanilla": "normal",
    "mpm": "",
    "Downsampled": "part-pooling-4-semi",
    "Bounding-Box": "part-wbbox-norm_img-semi",
    "Two-Headed": "part-2heads_e-semi",
    "Pixel": "part-pixel-semi",
}
DETECTORS = {
    "DINO sequential": "part-seq-semi",
    "DINO two-headed": "part-2heads-semi",
    "Mask DINO Simple": "part-sim-learn_mask-1layer-semi",
}
OURS = ("model.decoder=32", "model.detector.queries=20", "model.detector.layers=1",
        "model.detector.width=32", "model.masked.queries=20", "model.masked.encoder=1",
        "model.masked.width=32")  # fmt: skip
RECIPE = ("train.epochs=8", "attack.clean_epochs=4", "attack.warmup_epochs=2",
          "train.batch_size=16", "train.warmup_epochs=1", "train.lr=3e-3", "val.pictures=28",
          "val.steps=1")  # fmt: skip
SMALLEST = ("train.epochs=2", "attack.clean_epochs=1", "train.batch_size=8",
            "train.warmup_epochs=0", "attack.warmup_epochs=0", "data.size=32",
            "model.backbone=small_resnet8")  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One training of an arm on a split of `place`, which is in the work folder."""

    setting: str
    arm: str
    seed: int
    split: str
    place: str
    overrides: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is in the table."""
        return self.setting, self.arm, self.seed


def jobs(given: argparse.Namespace) -> Iterator[Job]:
    """Everything there is to do: the part world first, a seed after the other."""
    more = SMALLEST if given.smallest else ()
    settings = [("P", ARMS, _split(given), "world")]
    if given.detectors:
        settings.append(("P", DETECTORS, _split(given), "world"))
    if given.photos:
        settings.append(("H", ARMS, "train", "photos/mixed"))
    for setting, arms, split, place in settings:
        for seed in range(given.seeds):
            for arm in arms:
                yield Job(setting, arm, seed, split, place, more)


def _split(given: argparse.Namespace) -> str:
    return f"per{2 if given.smallest else PER_CLASS}"


def prepare(given: argparse.Namespace) -> None:
    """Draw the world, and cut the photographs out, unless they are there."""
    from part_models_made import make_sets
    from part_supervision import _make_photographs, _write_split

    from annotate.world import WorldConfig, make_world

    world, per = given.work / "world", int(_split(given)[3:])
    if not (world / "world.json").is_file():
        held = 28 if given.smallest else HELDOUT
        number = (per + 4) * 14  # a tenth of them is not for training
        make_world(world, WorldConfig(images=number, pool=14, heldout=held, size=64), force=True)
    _write_split(world, _split(given), per)
    make_sets(world)
    if given.photos:
        _make_photographs(given.photos, given.work / "photos")


def train(job: Job, work: Path) -> dict[str, Any]:
    """Train, attack, and tell."""
    import torch
    from part_models_made import elsewhere

    from train import examine, train_model
    from train.evaluate.opened import open_model
    from train.experiments import parse_experiment

    torch.set_num_threads(1)
    name = {**ARMS, **DETECTORS}[job.arm]
    named = parse_experiment(name).overrides() if name else ["model.kind=mpm"]
    run, place = work / "runs" / f"{job.setting}-{name or 'mpm'}-{job.seed}", work / job.place
    overrides = [
        *named,
        *OURS,
        *RECIPE,
        *("train.workers=0", f"train.seed={job.seed}"),
        *job.overrides,
    ]
    started = process_time()
    train_model(place / "annotations" / f"{job.split}.json", run, recipe="small_at", val=place,
                overrides=overrides, device="cpu")  # fmt: skip
    took = process_time() - started
    opened = open_model(run, checkpoint="last", device="cpu")
    facts = opened.described(job.arm, run)
    made = elsewhere(opened, facts, place, run / "made") if job.place == "world" else {}
    plain = opened.network.plain()
    found = examine(run, place, split="heldout", steps=STEPS, checkpoint="last", device="cpu")
    return {
        **asdict(job),
        "experiment": name or "mpm",
        "pictures": len(found.clean),
        "clean": float(found.clean.mean()),
        "robust": float(found.robust.mean()),
        **made,
        "right": np.packbits(found.clean).tobytes().hex(),
        "right under attack": np.packbits(found.robust).tobytes().hex(),
        "parameters": sum(each.numel() for each in plain.parameters()),
        "flops": facts.flops,
        "latency_ms": facts.latency_ms,
        "cpu_seconds": round(took, 1),
        "attack": f"PGD-{STEPS}",
        "machine": f"{platform.machine()}, 1 CPU core of {os.cpu_count()}, {platform.system()}",
        "versions": {name: version(name) for name in ("torch", "timm", "numpy")},
    }


def lines_of(table: Path) -> list[dict[str, Any]]:
    """What the table has."""
    if not table.is_file():
        return []
    return [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]


def flags(line: dict[str, Any], key: str) -> Any:
    """Right or wrong, picture by picture."""
    packed = np.frombuffer(bytes.fromhex(line[key]), np.uint8)
    return np.unpackbits(packed)[: line["pictures"]].astype(bool)


def report(lines: list[dict[str, Any]]) -> str:
    """A table for each setting: means over seeds, paired differences to vanilla, what it costs."""
    told = []
    for setting in sorted({line["setting"] for line in lines}):
        mine = [line for line in lines if line["setting"] == setting]
        arms = list(dict.fromkeys(line["arm"] for line in mine))
        gains = _gains(mine, [arm for arm in arms if arm != "vanilla"])
        told += [f"\nSetting {setting}\n", *_HEAD]
        told += [_row(mine, arm, gains) for arm in arms]
        if all("texture" in line for line in mine):
            told += ["", *_MADE, *(_made(mine, arm) for arm in arms), *_POSTER]
    return "\n".join(told)


KEYS = ("right", "right under attack")
_HEAD = (
    f"| model | seeds | clean | PGD-{STEPS} | clean − vanilla | PGD-{STEPS} − vanilla | "
    "M parameters | M operations | ms | CPU s of training |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


_MADE = ("| model | corruptions | texture | background |", "| --- | --- | --- | --- |")
_POSTER = (
    "| published: ResNet-50 | 82.3 | 40.6 | 58.6 |",
    "| published: part model | 85.8 | 45.7 | 65.1 |",
)
"""Sitawarin 2023, poster: on PartImageNet, for reference."""


def _made(lines: list[dict[str, Any]], arm: str) -> str:
    mine = [line for line in lines if line["arm"] == arm]
    shares = (np.mean([line[key] for line in mine]) for key in ("corrupted", "texture", "spurious"))
    return f"| {arm} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |"


def _row(lines: list[dict[str, Any]], arm: str, gains: dict[tuple[str, str], str]) -> str:
    mine = [line for line in lines if line["arm"] == arm]
    mean = {
        key: np.mean([line[key] for line in mine])
        for key in ("clean", "robust", "parameters", "flops", "latency_ms", "cpu_seconds")
    }
    told = " | ".join(gains.get((arm, key), "–") for key in KEYS)
    return (
        f"| {arm} | {len(mine)} | {100 * mean['clean']:.1f} | {100 * mean['robust']:.1f} | "
        f"{told} | {mean['parameters'] / 1e6:.2f} | {mean['flops'] / 1e6:.0f} | "
        f"{mean['latency_ms']:.1f} | {mean['cpu_seconds']:.0f} |"
    )


def _gains(lines: list[dict[str, Any]], arms: list[str]) -> dict[tuple[str, str], str]:
    """Arm and what was measured -> points more than vanilla, with p corrected over the table.

    p is Student's over the seeds' differences on the same pictures; with one seed McNemar's.
    """
    from train.statistics import holm

    found = {(arm, key): _tested(lines, arm, key) for arm in arms for key in KEYS}
    known = {which: each for which, each in found.items() if each is not None}
    corrected = holm([p for _, p in known.values()])
    return {
        which: f"{_points(gains)}, p {p:.2g}"
        for (which, (gains, _)), p in zip(known.items(), corrected, strict=True)
    }


def _tested(lines: list[dict[str, Any]], arm: str, key: str) -> tuple[list[float], float] | None:
    """Gains by seed and their p; None without a seed in common with vanilla."""
    from train.paired import Paired
    from train.statistics import student

    base = {line["seed"]: flags(line, key) for line in lines if line["arm"] == "vanilla"}
    pairs = [Paired.of(base[line["seed"]], flags(line, key)) for line in lines
             if line["arm"] == arm and line["seed"] in base]  # fmt: skip
    if not pairs:
        return None
    gains = [each.gain for each in pairs]
    p = student(gains)
    return gains, pairs[0].p if p is None else p


def _points(gains: list[float]) -> str:
    """The mean, and from which seed's to which."""
    mean, low, high = (100 * each for each in (np.mean(gains), min(gains), max(gains)))
    return f"{mean:+.1f}" if len(gains) == 1 else f"{mean:+.1f} ({low:+.1f}…{high:+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and runs")
    parser.add_argument("--photos", type=Path, help="part data set of photographs, for setting H")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--detectors", action="store_true", help="Hingun's detectors too")
    parser.add_argument("--smallest", action="store_true", help="try it, in the work folder alone")
    parser.add_argument("--report", action="store_true", help="print the table, train nothing")
    given = parser.parse_args()
    table = given.work / "part_models.jsonl" if given.smallest else RESULTS
    lines = lines_of(table)
    if given.report:
        print(report(lines))
        return
    have = {(line["setting"], line["arm"], line["seed"]) for line in lines}
    every = list(jobs(given))
    left = [job for job in every if job.key not in have]
    print(f"{len(every) - len(left)} of {len(every)} done")
    if left:
        prepare(given)
    sys.exit(_trained(left, given, table))


def _trained(left: list[Job], given: argparse.Namespace, table: Path) -> int:
    """Train what is left; 1 if a training failed."""
    failed = 0
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(train, job, given.work) for job in left]):
            if error := future.exception():
                failed += 1
                print(f"failed: {error}", flush=True)
                continue
            line = future.result()
            with open(table, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            told = f"clean {100 * line['clean']:.1f}, PGD {100 * line['robust']:.1f}"
            print(f"{line['setting']} {line['arm']}, seed {line['seed']}: {told}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    main()
