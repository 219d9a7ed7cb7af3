"""What the loop saves people: three turns, drawing by hand against correcting what it suggests.

    python benchmarks/loop_saving.py --work DIR [--seeds 0 1 2]

The work folder is that of benchmarks/next_images.py, whose segmenters of the random order are the
loop's versions here: each turn brings 16 new pictures of the part world, suggested by the version
that had learnt all before, and the next version goes on from them. In the first turn there is none,
and everything is drawn by hand. Result: benchmarks/results/loop_saving.json.

The time model, in seconds (assumptions, not measurements of people; change them in MODEL):

    a mask by hand       2 to choose the part, 1 for each corner of the coarsest outline that agrees
                         with it to IoU 0.9
    a suggestion         1 to look at it; nothing more if it agrees to IoU 0.9
      to be corrected    the largest wrong region is drawn over, 1 and 1 for each corner of its
                         outline, until it agrees; but deleted and drawn by hand where that is less
      of no part there   1 to look, 1 to delete
    a part not found     by hand

Nobody is slowed down or misled by a suggestion in this model, and looking is cheap: people may save
less. What they draw by hand is as exact as what they correct.
"""

import argparse
import json
import platform
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from next_images import FIRST, MORE, pool_of, world  # noqa: E402

from partlab.files import write_json  # noqa: E402
from partlab.images import load_image  # noqa: E402
from partlab.masks import decode, union  # noqa: E402
from partlab.paired import sign_flip  # noqa: E402
from segmenter.predictor import Predictor  # noqa: E402
from segmenter.runs import load_segmenter  # noqa: E402

MODEL = {"choose": 2.0, "corner": 1.0, "look": 1.0, "stroke": 1.0, "delete": 1.0, "agrees": 0.9}
TURNS = 3
Mask = NDArray[np.bool_]


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def corners(mask: Mask) -> int:
    """Corners of the coarsest polygons that agree with a mask; at least 3 for each piece."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    best = sum(len(outline) for outline in outlines)
    for tolerance in np.geomspace(0.5, 16, 12):
        simple = [cv2.approxPolyDP(outline, float(tolerance), True) for outline in outlines]
        drawn = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(drawn, simple, 1)
        if iou(drawn.astype(bool), mask) >= MODEL["agrees"]:
            best = min(best, sum(max(len(one), 3) for one in simple))
    return best


def by_hand(mask: Mask) -> float:
    return MODEL["choose"] + MODEL["corner"] * corners(mask)


def corrected(mask: Mask, suggested: Mask) -> float:
    """Look, then draw over the largest wrong region again and again; or begin anew."""
    anew = MODEL["look"] + MODEL["delete"] + by_hand(mask)
    now, seconds = suggested.copy(), MODEL["look"]
    while iou(now, mask) < MODEL["agrees"] and seconds < anew:
        count, regions, stats, _ = cv2.connectedComponentsWithStats((now ^ mask).astype(np.uint8))
        largest = regions == 1 + int(stats[1:count, cv2.CC_STAT_AREA].argmax())
        seconds += MODEL["stroke"] + MODEL["corner"] * corners(largest)
        now[largest] = mask[largest]
    return min(seconds, anew)


def parts_of(data: Any, image: Any) -> dict[str, Mask]:
    found: dict[str, list[Any]] = {}
    for each in data.annotations_of(image):
        found.setdefault(data.category_by_id[each.category_id].name, []).append(each.segmentation)
    return {name: decode(union(rles)).astype(bool) for name, rles in found.items()}


def seconds_of(truth: dict[str, Mask], suggested: dict[str, Mask]) -> tuple[float, float]:
    """By hand and with suggestions, for one picture."""
    hand = sum(map(by_hand, truth.values()))
    helped = (MODEL["look"] + MODEL["delete"]) * len(suggested.keys() - truth.keys())
    for name, mask in truth.items():
        helped += corrected(mask, suggested[name]) if name in suggested else by_hand(mask)
    return hand, helped


def turn(work: Path, seed: int, number: int) -> list[tuple[float, float]]:
    """Seconds for each of a turn's pictures, by hand and with what the last version suggests."""
    data, _ = world(work, seed)
    pool = pool_of(data, "even", np.random.default_rng(seed))
    at = FIRST + MORE * (number - 1)
    run = work / f"even-{seed}-{'random' if number > 1 else 'first'}-{number - 1}"
    predictor = Predictor(load_segmenter(run, device="cpu"))
    found = []
    for id in pool[at : at + MORE]:
        image = data.image_by_id[id]
        answer = predictor(load_image(data.image_path(image)), data.object_of(image))
        suggested = {mask.name: decode(mask.rle).astype(bool) for mask in answer.masks}
        found.append(seconds_of(parts_of(data, image), suggested))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    turns: list[dict[str, Any]] = []
    for number in range(1, TURNS + 1):
        each = [pair for seed in args.seeds for pair in turn(args.work, seed, number)]
        hand, helped = (fmean(side) for side in zip(*each, strict=True))
        turns.append({
            "turn": number + 1, "pictures": len(each), "hand": hand, "helped": helped,
            "saved": 1 - helped / hand, "p": sign_flip([a - b for a, b in each]),
        })  # fmt: skip
        print(turns[-1], flush=True)
    saved = 1 - sum(t["helped"] for t in turns) / sum(t["hand"] for t in turns)
    result = {"model": MODEL, "machine": platform.machine(), "seeds": args.seeds, "turns": turns,
              "saved_in_all": saved}  # fmt: skip
    write_json(HERE / "results" / "loop_saving.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
