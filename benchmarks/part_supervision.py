"""Does part supervision help? Trainings on the part world, each a line of a table.

    python benchmarks/part_supervision.py --work DIR [--settings A C …] [--jobs 2] [--list]
                                          [--photos PARTS]

Trains what is not in benchmarks/results/part_supervision.jsonl yet, seed by seed, one core each,
and adds a line for each training: accuracy on held-out pictures, clean and under PGD-50, picture
by picture (so that two models can be paired), and what validation said after every epoch. Stopped
at any moment, the same command goes on. Tables: benchmarks/part_supervision_report.py.

Settings (pictures of a class, epochs, ε, network), all at 64 pixels; the attack grows over the
first half of the epochs, as `small_at` has it:

    A   60, 20, 4/255, small_resnet16     the comparison, with all ablations
    C   60, 10                            half as long
    D   150, 12                           more pictures
    E   25, 40                            fewer
    F   small_resnet8                     a smaller network
    G   8/255                             a larger attack
    W   as A, without warm-up             the attack at full strength from the first step
    L   as A, 40 epochs                   when both have learned what they can
    S   as A, masks on a share of the pictures: PartImageNet++, Table 5
    M   as A, masks on a quarter: pseudo labels of a Mask R-CNN, of a dense segmenter and of both
        fused, each seed with segmenters of its own; they learn from four fifths of the quarter and
        are tuned on the rest, so that nobody has more masks than another
    H   photographs (benchmarks/photographs.py), 10 epochs: on backgrounds that say nothing, as
        they were found, and controls that see the background alone (standard training)
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from filelock import FileLock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # before this folder, which has a pseudolabel.py of its own
RESULTS = HERE / "results" / "part_supervision.jsonl"
PER_OBJECT, HELDOUT, STEPS = 445, 1120, 50
SEEDS = range(5)
SHARES = (5, 10, 25, 50)  # percent of the pictures that have human masks; 100 is setting A's mpm
MAKERS = ("torchvision", "dense", "fused")  # of labels, in setting M
MADE_OF, APART = 25, 5  # percent of the pictures: with masks, and of those to tune on
MAKER_EPOCHS = {"torchvision": 32, "dense": 44}  # the same CPU minutes: benchmarks/segmenters.py
SETTINGS: dict[str, tuple[int, tuple[str, ...]]] = {
    "A": (60, ()),
    "C": (60, ("train.epochs=10", "attack.warmup_epochs=5")),
    "D": (150, ("train.epochs=12", "attack.warmup_epochs=6")),
    "E": (25, ("train.epochs=40", "attack.warmup_epochs=20")),
    "F": (60, ("model.backbone=small_resnet8",)),
    "G": (60, ("attack.eps=8/255",)),
    "L": (60, ("train.epochs=40", "attack.warmup_epochs=20")),
    "W": (60, ("attack.warmup_epochs=0",)),
}
MAIN = {"vanilla": (), "object masks": ("part.targets=objects",), "mpm": ()}
ABLATIONS: dict[str, tuple[str, ...]] = {
    "mpm, weight 0.3": ("part.weight=0.3",),
    "mpm, weight 1": ("part.weight=1",),
    "mpm, weight 10": ("part.weight=10",),
    "object masks, weight 1": ("part.targets=objects", "part.weight=1"),
    "foreground": ("part.targets=foreground",),
    "masks shuffled within the class": ("part.labels=shuffled",),
    "mpm, levels 1": ("model.levels=1",),
    "mpm, levels 2": ("model.levels=2",),
    "mpm, no top-down": ("model.top_down=false",),
    "two_stage": (),
}
PHOTOS = ("train.epochs=10", "attack.warmup_epochs=5")
CONTROLS = {"the object, standard training": "mixed", "the background alone": "ground",
            "found, the object, standard training": "found",
            "found, all but the object's box": "frame"}  # fmt: skip
FEW, PHOTO_SEEDS, MAKER_SEEDS = 2, 3, 3  # seeds of what is not the main comparison


@dataclass(frozen=True)
class Job:
    """One training: `data` are splits of `place` and label-map files, all in the work folder."""

    setting: str
    arm: str
    seed: int
    kind: str
    data: tuple[str, ...]
    overrides: tuple[str, ...]
    place: str = "world"

    @property
    def name(self) -> str:
        """Of its run folder."""
        return f"{self.setting}-{self.arm}-{self.seed}".replace(" ", "_").replace(",", "")


def jobs() -> Iterator[Job]:
    """Everything there is to do, what says most first."""
    for seed in SEEDS:
        yield from _main("A", seed, MAIN)
    for seed in range(MAKER_SEEDS):
        for maker in MAKERS:
            data = (f"seen{MADE_OF}", f"made-{maker}-{seed}.arrow")
            yield Job("M", maker, seed, "mpm", data, ())
    for seed in range(PHOTO_SEEDS):
        yield from _photographs(seed)
        if seed >= FEW:
            continue
        yield from _shares(seed)
        for arm, more in ABLATIONS.items():
            yield Job("A", arm, seed, _kind(arm), ("per60",), more)
        for setting in sorted(SETTINGS.keys() - {"A"}):
            yield from _main(setting, seed, ("vanilla", "mpm"))


def _main(setting: str, seed: int, arms: Iterable[str]) -> Iterator[Job]:
    per, overrides = SETTINGS[setting]
    for arm in arms:
        data = (f"per{per}",)
        yield Job(setting, arm, seed, _kind(arm), data, (*overrides, *MAIN[arm]))


def _kind(arm: str) -> str:
    return arm if arm in ("vanilla", "two_stage") else "mpm"


def _shares(seed: int) -> Iterator[Job]:
    """Human masks on a share: alone, and with pseudo labels of a segmenter that saw just those."""
    for share in SHARES:
        yield Job("S", f"{share} % human", seed, "mpm", (f"masks{share}",), ())
    for way in ("raw", "filtered"):
        for share in SHARES:
            data = (f"seen{share}", f"pseudo{share}-{way}.arrow")
            yield Job("S", f"{share} % human, pseudo {way}", seed, "mpm", data, ())


def _photographs(seed: int) -> Iterator[Job]:
    """The main comparison on photographs; where they were found, and controls, once."""
    for arm, more in MAIN.items():
        overrides = (*PHOTOS, *more)
        yield Job("H", arm, seed, _kind(arm), ("train",), overrides, "photos/mixed")
        if not seed:
            yield Job("H", f"found, {arm}", seed, _kind(arm), ("train",), overrides, "photos/found")
    for arm, variant in {} if seed else CONTROLS.items():
        overrides = (*PHOTOS, "attack.method=none")
        yield Job("H", arm, seed, "vanilla", ("train",), overrides, f"photos/{variant}")


# --- data -----------------------------------------------------------------------------------


def prepare(work: Path, wanted: list[Job], photos: Path | None) -> None:
    """Draw the world and write the splits, the photographs too."""
    from annotate.world import WorldConfig, make_world

    if photos and any(job.setting == "H" for job in wanted):
        _make_photographs(photos, work / "photos")
    world = work / "world"
    if not (world / "world.json").is_file():
        images = PER_OBJECT * 14
        make_world(world, WorldConfig(images=images, pool=14, heldout=HELDOUT, size=64), force=True)
    names = {name for job in wanted for name in job.data}
    for name in sorted(names):
        if name.startswith("per"):
            _write_split(world, name, int(name[3:]))
    if any(job.setting == "S" for job in wanted):
        for share in SHARES:
            _write_share(world, share)
    if any(job.setting == "M" for job in wanted):
        _write_share(world, MADE_OF)
        _write_apart(world)


def _make_photographs(parts: Path, out: Path) -> None:
    from photographs import make

    if not (out / "made.json").is_file():
        make(parts, out)


def _write_split(world: Path, name: str, per: int) -> None:
    from partlab.coco import read_dataset, write_coco

    file = world / "annotations" / f"{name}.json"
    if not file.is_file():
        train = read_dataset(world, "train")
        write_coco(train.subset(_first(train, per)), file)


def _first(data: Any, per: int) -> list[int]:
    """Ids of the first pictures of each object category."""
    taken: dict[str, list[int]] = {}
    for image in data.images:
        taken.setdefault(data.object_of(image), []).append(image.id)
    return [one for ids in taken.values() for one in ids[:per]]


def _write_share(world: Path, share: int) -> None:
    """`masks…`: all pictures, masks on a share. `seen…`: the share alone. `rest…`: the others."""
    from partlab.coco import read_dataset, write_coco
    from partlab.schema import Dataset

    _write_split(world, "per60", 60)
    data = read_dataset(world, "per60")
    seen = set(_first(data, max(round(60 * share / 100), 1)))
    shown = [each for each in data.annotations if each.image_id in seen]
    some = Dataset(data.images, shown, data.categories, data.inclusions, data.discards, data.path,
                   data.image_root, data.top, data.finder)  # fmt: skip
    parts = {
        "masks": some,
        "seen": data.subset(seen),
        "rest": data.subset(data.image_by_id.keys() - seen),
    }
    for name, each in parts.items():
        file = world / "annotations" / f"{name}{share}.json"
        if each.images and not file.is_file():
            write_coco(each, file)


def _write_apart(world: Path) -> None:
    """The pictures of setting M that have masks, in two: `learn` and `apart`."""
    from partlab.coco import read_dataset, write_coco

    seen = read_dataset(world, f"seen{MADE_OF}")
    learn = set(_first(seen, round(60 * (MADE_OF - APART) / 100)))
    for name, ids in (("learn", learn), ("apart", seen.image_by_id.keys() - learn)):
        file = world / "annotations" / f"{name}.json"
        if not file.is_file():
            write_coco(seen.subset(ids), file)


def _made_labels(work: Path, name: str) -> None:
    """Label maps of one maker of setting M and one seed; made once, with its tuned thresholds."""
    from pseudolabel import Settings, label_images, label_maps

    _, maker, seed = name.removesuffix(".arrow").split("-")
    with FileLock(work / f"makers{seed}.lock"):
        if (work / name).is_file():
            return
        store = work / f"made-{maker}-{seed}"
        label_images(work / "world", _maker(work, maker, int(seed)), store, Settings(),
                     split=f"rest{MADE_OF}", workers=0)  # fmt: skip
        label_maps(store, work / name)


def _maker(work: Path, maker: str, seed: int) -> Path:
    """A tuned run; the fused one is made of the other two as they were trained."""
    from segmenter.fused.fuse import fuse_runs
    from segmenter.tuning.tune import tune_run

    run, world = work / f"maker-{maker}-{seed}", work / "world"
    if (run / "tuned.json").is_file():
        return run
    if maker == "fused":
        both = [_maker(work, each, seed) for each in MAKER_EPOCHS]
        fuse_runs(both, world, run, split="apart", force=run.exists())
        return run
    from segmenter import train_segmenter

    overrides = [f"train.epochs={MAKER_EPOCHS[maker]}", f"train.seed={seed}"]
    train_segmenter(world, run, split="learn", val_split="none", backend=maker, recipe="small",
                    overrides=overrides)  # fmt: skip
    tune_run(run, world, split="apart")
    return run


def _pseudo_labels(work: Path, name: str) -> None:
    """Label maps of a segmenter that saw a share alone; made once, by whoever needs them first."""
    from pseudolabel import Settings, label_images, label_maps

    share, way = name.removeprefix("pseudo").removesuffix(".arrow").split("-")
    with FileLock(work / f"seg{share}.lock"):
        if (work / name).is_file():
            return
        run, store = _segmenter(work, int(share)), work / f"pseudo{share}-{way}"
        settings = Settings(category_filter=way == "filtered")
        label_images(work / "world", run, store, settings, split=f"rest{share}", workers=0)
        label_maps(store, work / name)


def _segmenter(work: Path, share: int) -> Path:
    from segmenter import train_segmenter

    run = work / f"seg{share}"
    epochs = min(max(round(8 * 100 / share), 8), 60)  # few pictures, more often
    overrides = [f"train.epochs={epochs}", "train.val_images=0"]
    train_segmenter(work / "world", run, split=f"seen{share}", recipe="small", overrides=overrides)
    return run


# --- one training ---------------------------------------------------------------------------


def train(job: Job, work: Path) -> dict[str, Any]:
    """Train, attack, and tell."""
    import torch

    from partlab.training.runs import read_metrics
    from train import examine, train_model

    torch.set_num_threads(1)
    for name in job.data:
        if name.endswith(".arrow"):
            (_made_labels if name.startswith("made-") else _pseudo_labels)(work, name)
    started = monotonic()
    run, place = work / "runs" / job.name, work / job.place
    places = [work / name if name.endswith(".arrow") else
              place / "annotations" / f"{name}.json" for name in job.data]  # fmt: skip
    overrides = [
        f"train.seed={job.seed}",
        "train.workers=0",
        "val.pictures=210",
        "val.steps=5",
        *job.overrides,
    ]
    train_model(places, run, recipe="small_at", model=job.kind, val=place, overrides=overrides,
                device="cpu")  # fmt: skip
    took = monotonic() - started
    found = examine(run, place, split="heldout", steps=STEPS, checkpoint="last", device="cpu")
    metrics = read_metrics(run)
    return {
        **asdict(job),
        "pictures": len(found.clean),
        "clean": float(found.clean.mean()),
        "robust": float(found.robust.mean()),
        "right": _bits(found.clean),
        "right under attack": _bits(found.robust),
        "validation": [each for each in metrics if "val_clean" in each],
        "train accuracy": [[m["epoch"], m["class_accuracy"]] for m in metrics if "loss" in m],
        "seconds": round(took, 1),
        "attack": f"PGD-{STEPS}",
        "machine": f"{platform.machine()}, 1 CPU core of {os.cpu_count()}, {platform.system()}",
        "versions": {name: version(name) for name in ("torch", "timm", "numpy")},
    }


def _bits(flags: Any) -> str:
    return np.packbits(flags).tobytes().hex()


def done() -> set[tuple[str, str, int]]:
    """What the table has."""
    if not RESULTS.is_file():
        return set()
    lines = map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())
    return {(line["setting"], line["arm"], line["seed"]) for line in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and runs")
    parser.add_argument("--settings", nargs="*", help="only these: A C D E F G L W S M H")
    parser.add_argument("--photos", type=Path, help="part data set of photographs, for setting H")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="only the first few")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="say what is done, do nothing")
    given = parser.parse_args()
    have = done()
    every = [job for job in jobs() if not given.settings or job.setting in given.settings]
    wanted = [job for job in every if job.seed < given.seeds]
    if not given.photos:  # the trainings that are left out are counted as left out
        wanted, without = [job for job in wanted if job.setting != "H"], wanted
        if len(wanted) < len(without):
            print(f"{len(without) - len(wanted)} need photographs (--photos)")
    for job in wanted if given.list else ():
        state = "done" if (job.setting, job.arm, job.seed) in have else "to do"
        print(f"{state:<6} {job.setting}  seed {job.seed}  {job.arm}")
    left = [job for job in wanted if (job.setting, job.arm, job.seed) not in have]
    print(f"{len(wanted) - len(left)} of {len(wanted)} done")
    if given.list or not left:
        return
    prepare(given.work, left, given.photos)
    failed = 0
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(train, job, given.work) for job in left]):
            if error := future.exception():
                failed += 1
                print(f"failed: {error}", flush=True)
                continue
            line = future.result()
            with open(RESULTS, "a", encoding="utf-8") as table:
                table.write(json.dumps(line) + "\n")
            told = f"clean {100 * line['clean']:.1f}, PGD {100 * line['robust']:.1f}"
            print(f"{line['setting']}  seed {line['seed']}  {line['arm']}: {told}", flush=True)
    if failed:
        raise SystemExit(f"{failed} failed; the same command tries them again")


if __name__ == "__main__":
    main()
