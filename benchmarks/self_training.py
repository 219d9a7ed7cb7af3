"""What a second round from its own pseudo labels brings, and what more training alone would have.

    python benchmarks/self_training.py --work DIR --seeds 0 1

A dense run learns from 5, 20 or 100 % of the annotated pictures of the part world (252), labels
all pictures without masks (the rest of these, and a pool), and goes on from its weights in three
ways of as many steps each: with the store's pictures and a teacher by averaged weights, with the
store as it is, and with people's pictures alone (the control). A run sees as many pictures whatever
the share, and no picture picks a checkpoint. All are measured on `heldout`, with the filter, as
they are (0.5). The same command goes on where it was stopped; results are written after each run:
benchmarks/results/self_training.json.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import segmenters

RESULT = Path(__file__).resolve().parent / "results" / "self_training.json"
SHARES = (0.05, 0.2, 1.0)
WAYS = {
    "control": ["train.pseudo_share=0"],
    "teacher": [],
    "store": ["train.teacher=0"],
}


class Bench:
    """One work folder; `pictures` are how many a first and a second round see."""

    def __init__(self, work: Path, pictures: tuple[int, int]) -> None:
        self.work, self.pictures = work, pictures

    def data(self) -> Path:
        """The part world, drawn once."""
        world = self.work / "world"
        if not (world / "world.json").is_file():
            segmenters.partlab("data", "make-world", "--out", world, "--per-object", 20,
                               "--pool", 140, "--heldout", 140, "--seed", 0)  # fmt: skip
        return world

    def weak(self, share: float, seed: int) -> Path:
        """The world with masks on a share of its training pictures."""
        weak = self.work / f"weak-{share:g}-{seed}"
        if not weak.exists():
            segmenters.partlab("data", "weaken", self.data(), "--keep", share,
                               "--seed", seed, "--out", weak)  # fmt: skip
        return weak

    def train(self, run: Path, data: Path, pictures: int, epoch: int, *words: str) -> Path:
        """A finished run that has seen at least `pictures`, in epochs of `epoch` pictures."""
        done = run / "finished.json"
        if not done.is_file():
            seconds = segmenters.partlab(
                "segmenter", "train", data, "--out", run, "--backend", "dense", "--recipe",
                "small", "--val", "none", "--set", f"train.epochs={-(-pictures // epoch)}", *words,
            )  # fmt: skip
            done.write_text(json.dumps({"cpu_seconds_of_last_sitting": seconds}))
        return run

    def store(self, run: Path, data: Path) -> Path:
        """What the run finds in every picture without masks."""
        store = run.with_name(f"{run.name}-store")
        listed = run.with_name(f"{run.name}-unlabelled.txt")
        listed.write_text("".join(f"{path},{owner}\n" for path, owner in bare(data, self.data())))
        segmenters.partlab("pseudolabel", listed, "--segmenter", run, "--out", store)
        return store

    def score(self, run: Path) -> dict[str, float]:
        """Of one run, on `heldout`, kept beside it."""
        out = run / "scores.json"
        if not out.is_file():
            segmenters.partlab("segmenter", "evaluate", run, self.data(), "--split", "heldout")
            found = json.loads((run / "evaluation-world-heldout.json").read_text())
            out.write_text(json.dumps(scores(found)))
        kept: dict[str, float] = json.loads(out.read_text())
        return kept

    def measure(self, share: float, seed: int) -> Any:
        """Each run of one share and seed as (name, scores), when it is measured."""
        data, runs = self.weak(share, seed), self.work / "runs"
        few, seeded = drawn(data), f"train.seed={seed}"
        first = self.train(runs / f"{share:g}-{seed}-first", data, self.pictures[0], few,
                           "--set", seeded)  # fmt: skip
        yield "first", self.score(first), few
        store = self.store(first, data)
        for way, settings in WAYS.items():
            words = [word for each in settings for word in ("--set", each)]
            with_store = few + labelled(store)
            second = self.train(
                runs / f"{share:g}-{seed}-{way}", data, self.pictures[1], with_store,
                "--pseudo", str(store), "--set", f"train.start={first}", "--set", seeded,
                "--set", "train.warmup_steps=50", *words,
            )  # fmt: skip
            yield way, self.score(second), with_store


def scores(found: dict[str, Any]) -> dict[str, float]:
    """The figures with the filter, of an evaluation's file."""
    return {name: found["with_cf"][name] for name in segmenters.SCORES}


def bare(data: Path, world: Path) -> list[tuple[Path, str]]:
    """Pictures without masks with their objects: of `train`, and the pool."""
    from partlab.coco import read_dataset

    train = read_dataset(data, "train")
    found = [
        (train.image_path(image).resolve(), train.object_of(image) or "")
        for image in train.images
        if not train.annotations_of(image)
    ]
    pool = sorted((world / "pool").glob("*/*"))
    return [*found, *((path.resolve(), path.parent.name) for path in pool)]


def drawn(data: Path) -> int:
    """How many training pictures have masks."""
    from partlab.coco import read_dataset

    train = read_dataset(data, "train")
    return sum(bool(train.annotations_of(image)) for image in train.images)


def labelled(store: Path) -> int:
    """How many pictures something was found in."""
    found: int = json.loads((store / "manifest.json").read_text())["counts"]["labelled"]
    return found


def means(seeds: dict[str, Any]) -> dict[str, Any]:
    """Mean over the seeds that have a run, by share and way."""
    found: dict[str, Any] = {}
    for share in dict.fromkeys(share for seed in seeds.values() for share in seed):
        own = [seed[share] for seed in seeds.values() if share in seed]
        for way in dict.fromkeys(way for each in own for way in each):
            known = [each[way] for each in own if way in each]
            found.setdefault(share, {})[way] = {
                "seeds": len(known),
                **{name: mean(one[name] for one in known) for name in segmenters.SCORES},
            }
    return found


def main() -> None:
    """Measure, and write after each run what is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--pictures", type=int, nargs=2, default=[2772, 1512])
    parser.add_argument("--results", type=Path, default=RESULT)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    bench = Bench(options.work.resolve(), tuple(options.pictures))
    seeds: dict[str, Any] = {}
    for seed in options.seeds:
        for share in SHARES:
            for way, found, pictures in bench.measure(share, seed):
                own = seeds.setdefault(str(seed), {}).setdefault(f"{share:g}", {})
                own[way] = {**found, "pictures": pictures}
                content = {
                    "machine": segmenters.machine(),
                    "pictures_seen": options.pictures,
                    "means": means(seeds),
                    "seeds": seeds,
                }
                options.results.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
