"""Milliseconds of each corruption, ours against the package's, in one run on one core.

    python benchmarks/corruptions.py [--rounds 3]

CPU time of a smooth synthetic picture of 224 x 224, the mean over the five severities; rounds
alternate between the two, and kept is the quickest of each. `original_ms` is a reference and not
measured here: the published code with ImageMagick, on another machine. The package's elastic
transform is another definition, so that ratio compares different work. The result goes to
benchmarks/results/corruptions.json. Aim: at most 200 ms for all types.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import imagecorruptions
import numpy as np
import torch

from train.corruptions import CORRUPTIONS, SEVERITIES, corrupt

AIM, ORIGINAL = 200, 1033
LIBRARIES = ("imagecorruptions-imaug", "numpy", "opencv-python-headless", "scipy", "torch")


def picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.float32)
    return np.clip((cv2.GaussianBlur(noise, (0, 0), 4) - 127) * 8 + 127, 0, 255).astype(np.uint8)


def milliseconds(make: Callable[[int], Any]) -> float:
    start = time.process_time()
    for severity in SEVERITIES:
        make(severity)
    return (time.process_time() - start) * 1000 / len(SEVERITIES)


def measure(rounds: int) -> dict[str, Any]:
    pixels, types = picture(), {}
    for name in CORRUPTIONS:
        both = (
            lambda severity, name=name: corrupt(pixels, name, severity, "a"),
            lambda severity, name=name: imagecorruptions.corrupt(pixels, severity, name),
        )
        for make in both:
            milliseconds(make)  # compiles, reads textures
        pairs = [[milliseconds(make) for make in both] for _ in range(rounds)]
        ours, package = (min(column) for column in zip(*pairs, strict=True))
        types[name] = {"ms": round(ours, 2), "package_ms": round(package, 2),
                       "package_over_ours": round(package / ours, 2)}  # fmt: skip
    return types


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    types = measure(rounds)
    ours, package = (sum(one[key] for one in types.values()) for key in ("ms", "package_ms"))
    result = {
        "size": 224, "rounds": rounds, "types": types,
        "sum_ms": round(ours, 1), "package_sum_ms": round(package, 1),
        "package_over_ours": round(package / ours, 2), "aim_ms": AIM, "aim_met": ours <= AIM,
        "reference": {"original_ms": ORIGINAL},
        "machine": f"{platform.machine()}, one core",
        "versions": {name: version(name) for name in LIBRARIES},
    }  # fmt: skip
    path = Path(__file__).parent / "results" / "corruptions.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
