"""Do the honesty checks find hidden gradients, and spare honest models? Half an hour.

    python benchmarks/honesty.py

Every way of hiding gradients of tests/plugins/honesty_networks.py, and every honest network of
it, standard and adversarially trained, over ten seeds: own weights, own images, own attacks. The
result goes to benchmarks/results/honesty.json: of each, how many of the ten were flagged, by which
checks, and how far the honest ones stayed below each threshold.
"""

import argparse
import json
import platform
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "plugins"))

from honesty_networks import EPS, MAKERS, PLANTED, honest, pictures, planted  # noqa: E402

from train.attacks.ball import Ball  # noqa: E402
from train.honesty.check import check_honesty  # noqa: E402
from train.honesty.finding import Honesty  # noqa: E402


def checked(network: torch.nn.Module, seed: int, images: int) -> Honesty:
    pixels, labels = pictures(images, seed=500 + seed)
    return check_honesty(network, pixels, labels, Ball("linf", EPS), seed=seed)


def row(name: str, training: str, found: list[Honesty]) -> dict[str, Any]:
    by = Counter(each.name for one in found for each in one.problems)
    flagged = sum(not one.ok for one in found)
    print(f"{name:28} {training:12} {flagged:2} of {len(found)}  {dict(by)}", flush=True)
    return {
        "model": name,
        "training": training,
        "flagged": flagged,
        "seeds": len(found),
        "by_check": dict(by.most_common()),
        "seconds": round(sum(one.seconds for one in found) / len(found), 2),
        "forwards": round(sum(one.forwards for one in found) / len(found)),
    }


def nearest(found: list[Honesty]) -> dict[str, dict[str, float]]:
    """By check, what the honest model nearest to its threshold measured, beside that."""
    most: dict[str, dict[str, float]] = {}
    for each in (f for one in found for f in one.findings if f.name != "enough_images"):
        assert each.measured is not None
        told = {"most": each.measured, "threshold": each.threshold}
        held = most.setdefault(each.name, told)
        if told["most"] - told["threshold"] > held["most"] - held["threshold"]:
            most[each.name] = told
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "honesty.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began, seeds = time.perf_counter(), range(args.seeds)
    spared, hidden, sound = [], [], []
    for name in MAKERS:
        for training, eps in (("standard", 0.0), ("adversarial", EPS)):
            found = [checked(honest(name, s, eps), s, args.images) for s in seeds]
            spared += found
            sound.append(row(name, training, found))
    for name in PLANTED:
        found = [checked(planted(name, s), s, args.images) for s in seeds]
        hidden.append(row(name, "standard", found))
    result = {
        "hidden": hidden,
        "honest": sound,
        "honest_nearest": nearest(spared),
        "images": args.images,
        "threat": f"linf {EPS * 255:g}/255",
        "seconds": round(time.perf_counter() - began),
        "python": platform.python_version(),
        "torch": version("torch"),
        "threads": 1,
    }
    args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
