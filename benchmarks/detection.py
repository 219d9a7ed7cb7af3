"""What free adversarial training does for a detector on the drawn world. A quarter hour of a core.

    python benchmarks/detection.py --work DIR

One adversarially trained recognition model is exported; detectors on its backbone are trained on
pictures as they are and by free adversarial training, with as many updates, and measured on the
held-out split as it is and under A_cls and A_reg (PGD-10, as published). `--epochs 4 16` trains
them four times as long too, which takes an hour. Stopped, the same line goes on. The result goes
to benchmarks/results/detection.json.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from annotate.world import WorldConfig, make_world
from train.detection.evaluate import Manner, evaluate_detector
from train.detection.train import train_detector
from train.export import export_model
from train.train import train_model

HERE = Path(__file__).resolve().parent
WORLD = WorldConfig(
    images=800, pool=0, heldout=160, size=64, objects=("cat", "ram", "stork", "car")
)
BACKBONE = ["train.epochs=12", "val.pictures=40"]
ATTACKS = ("cls", "reg")
REPLAYS = 4
METHODS = {
    "standard": (["attack.method=none"], 1),
    "free-AT": (["attack.method=free", f"attack.replays={REPLAYS}"], REPLAYS),
}
"""Settings, and updates with each draw of a picture."""
UPDATES = 90
"""Of one epoch: 720 pictures in batches of 8."""


def backbone(work: Path) -> Path:
    """An exported vanilla model of recipe small_at."""
    world, run, out = work / "world", work / "at", work / "model"
    if not world.exists():
        make_world(world, WORLD)
    train_model(world, run, recipe="small_at", model="vanilla", overrides=BACKBONE, device="cpu")
    if not out.exists():
        export_model(run, out)
    return out


def measured(work: Path, name: str, epochs: int, seed: int) -> dict[str, Any]:
    """One detector, trained with `epochs` updates of each picture, and attacked."""
    updates, (settings, each) = UPDATES * epochs, METHODS[name]
    run = work / f"{name}-{updates}-{seed}"
    out = work / "results" / run.name
    overrides = [*settings, f"train.epochs={epochs // each}", f"train.seed={seed}"]
    train_detector(
        work / "model", work / "world", run, recipe="small", overrides=overrides, device="cpu"
    )
    out.mkdir(parents=True, exist_ok=True)
    found = evaluate_detector(
        run, work / "world", out, manner=Manner(ATTACKS), split="heldout", device="cpu"
    )
    rows = [
        {k: row[k] for k in ("attack", "ap", "ap50", "loss") if k in row} for row in found["rows"]
    ]
    for row in rows:
        print(name, updates, seed, row, flush=True)
    return {"training": name, "seed": seed, "updates": updates, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[4], metavar="N",
        help=f"updates with each picture; free-AT draws it N / {REPLAYS} times (default: 4)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=HERE / "results" / "detection.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    backbone(args.work)
    found = [
        measured(args.work, name, epochs, seed)
        for seed in range(args.seeds)
        for epochs in args.epochs
        for name in METHODS
    ]
    result = {
        "detectors": found,
        "images": WORLD.heldout,
        "threat": "linf 4/255, PGD-10, steps of 1/255, no restart",
        "machine": f"{platform.machine()}, 1 CPU core of {os.cpu_count()}, {platform.system()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
