"""Are the part models of Berkeley equally robust (X-08), and is it worth their cost?

    python benchmarks/part_models.py --work DIR [--photos PARTS] [--seeds 3] [--jobs 2]
                                     [--smallest] [--detectors] [--report]

Trains Downsampled, Bounding-Box, Two-Headed and Pixel, vanilla and MPM, on one backbone with one
recipe (`small_at`, 64 pixels), seed by seed, one core each: setting A on 60 pictures a class of the
part world, setting H on photographs made free of their backgrounds. Adds a line for each training
to benchmarks/results/part_models.jsonl: accuracy on held-out pictures, clean and under PGD-50,
picture by picture; parameters, operations and milliseconds of a picture; seconds of training. What
is there is not trained again, so the same command goes on. `--smallest` tries all of it in minutes,
in the work folder alone. `--report` prints the table: differences to vanilla on the same pictures.
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
from time import monotonic
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(1, str(HERE))
RESULTS = HERE / "results" / "part_models.jsonl"
STEPS = 50
ARMS = {
    "vanilla": "normal",
    "mpm": "",
    "Downsampled": "part-pooling-4-semi",
    "Downsampled, no background": "part-pooling-4-no_bg-semi",
    "Bounding-Box": "part-wbbox-norm_img-semi",
    "Two-Headed": "part-2heads_e-semi",
    "Pixel": "part-pixel-semi",
}
DETECTORS = {"DINO sequential": "part-seq-semi", "DINO two-headed": "part-2heads-semi"}
OURS = ("model.decoder=64", "model.detector.queries=30", "model.detector.layers=1",
        "model.detector.width=64")  # fmt: skip
PHOTOS = ("train.epochs=10", "attack.warmup_epochs=5")
SMALLEST = ("train.epochs=1", "train.batch_size=8", "train.warmup_epochs=0",
            "attack.warmup_epochs=0", "data.size=32", "model.backbone=small_resnet8",
            "val.steps=1")  # fmt: skip


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
    """Everything there is to do, a seed after the other."""
    arms = {**ARMS, **(DETECTORS if given.detectors else {})}
    more = SMALLEST if given.smallest else ()
    for seed in range(given.seeds):
        for arm in arms:
            yield Job("A", arm, seed, "per2" if given.smallest else "per60", "world", more)
            if given.photos:
                yield Job("H", arm, seed, "train", "photos/mixed", (*PHOTOS, *more))


def prepare(given: argparse.Namespace) -> None:
    """Draw the world, and cut the photographs out, unless they are there."""
    from part_supervision import HELDOUT, PER_OBJECT, _make_photographs, _write_split

    from annotate.world import WorldConfig, make_world

    world = given.work / "world"
    if not (world / "world.json").is_file():
        number, held = (4 * 14, 28) if given.smallest else (PER_OBJECT * 14, HELDOUT)
        asked = WorldConfig(images=number, pool=14, heldout=held, size=64)
        make_world(world, asked, force=True)
    _write_split(world, "per2" if given.smallest else "per60", 2 if given.smallest else 60)
    if given.photos:
        _make_photographs(given.photos, given.work / "photos")


def train(job: Job, work: Path) -> dict[str, Any]:
    """Train, attack, and tell."""
    import torch

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
        *("train.workers=0", f"train.seed={job.seed}", "val.pictures=210"),
        *job.overrides,
    ]
    started = monotonic()
    train_model(place / "annotations" / f"{job.split}.json", run, recipe="small_at", val=place,
                overrides=overrides, device="cpu")  # fmt: skip
    took = monotonic() - started
    opened = open_model(run, checkpoint="last", device="cpu")
    facts = opened.described(job.arm, run)
    plain = opened.network.plain()
    found = examine(run, place, split="heldout", steps=STEPS, checkpoint="last", device="cpu")
    return {
        **asdict(job),
        "experiment": name or "mpm",
        "pictures": len(found.clean),
        "clean": float(found.clean.mean()),
        "robust": float(found.robust.mean()),
        "right": np.packbits(found.clean).tobytes().hex(),
        "right under attack": np.packbits(found.robust).tobytes().hex(),
        "parameters": sum(each.numel() for each in plain.parameters()),
        "flops": facts.flops,
        "latency_ms": facts.latency_ms,
        "seconds": round(took, 1),
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
        told += [f"\nSetting {setting}\n", *_HEAD]
        told += [_row(mine, arm) for arm in dict.fromkeys(line["arm"] for line in mine)]
    return "\n".join(told)


_HEAD = (
    "| model | seeds | clean | PGD-50 | clean − vanilla | PGD-50 − vanilla | "
    "M parameters | M operations | ms | s of training |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


def _row(lines: list[dict[str, Any]], arm: str) -> str:
    mine = [line for line in lines if line["arm"] == arm]
    mean = {
        key: np.mean([line[key] for line in mine])
        for key in ("clean", "robust", "parameters", "flops", "latency_ms", "seconds")
    }
    gains = (_gain(lines, mine, key) for key in ("right", "right under attack"))
    return (
        f"| {arm} | {len(mine)} | {100 * mean['clean']:.1f} | {100 * mean['robust']:.1f} | "
        f"{' | '.join(gains)} | {mean['parameters'] / 1e6:.2f} | {mean['flops'] / 1e6:.0f} | "
        f"{mean['latency_ms']:.1f} | {mean['seconds']:.0f} |"
    )


def _gain(lines: list[dict[str, Any]], mine: list[dict[str, Any]], key: str) -> str:
    """Points more than vanilla on the same pictures, the mean of all seeds; the worst seed's p."""
    from train.paired import Paired

    base = {line["seed"]: flags(line, key) for line in lines if line["arm"] == "vanilla"}
    pairs = [Paired.of(base[line["seed"]], flags(line, key)) for line in mine
             if line["seed"] in base]  # fmt: skip
    if not pairs or mine[0]["arm"] == "vanilla":
        return "–"
    mean, worst = np.mean([each.gain for each in pairs]), max(each.p for each in pairs)
    return f"{100 * mean:+.1f} (p {worst:.2g})"


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
