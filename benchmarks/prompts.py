"""How many clicks a mask needs: simulated annotators with model help, against drawing from nothing.

    python benchmarks/prompts.py --work DIR                     # the part world
    python benchmarks/prompts.py --work DIR --photos PARTS      # photographs with part masks

It makes what it needs in DIR (benchmarks/prompts_made.py): a segmenter and its prompt head that
never saw one category, `--unseen`. Stopped, the same line goes on with the training; measuring
begins again.

The annotator's first click is the middle of the part (the farthest point from its border), each
later one the middle of the largest region that is still wrong: positive where pixels are missing,
negative where there are too many. NoC@80 is the mean number of clicks until IoU 0.8, a mask that
does not get there in 20 counts 20, and their share is told. The part's name is given, as Label
Studio gives it.

Ways: `network`, the run's own heads, nothing trained for prompts; `prompted`, the prompt head
beside the run; and the difference. Beside them `hand`, drawing from nothing, counted as the corners
of the coarsest polygons (one for each piece and each hole, by Douglas-Peucker) that reach the IoU.
Measured on pictures that neither learnt from: of the known categories, and of the one kept out,
whose parts have no names for the run. There the run's own heads answer in both ways by now: in the
results of November 2026 `prompted` is what the prompt head did there, and why it no longer does.

`python benchmarks/prompts.py --speed` measures the time of an answer instead.

Results are added to benchmarks/results/prompts.json.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from prompts_made import Made, Recipe, of_photos, of_world, without

from partlab.files import write_json
from partlab.images import load_image
from partlab.masks import BoolMask, decode
from partlab.parts import Parts
from partlab.schema import Dataset, Image
from partlab.truth import drawn_masks
from segmenter.part_rcnn import ModelConfig
from segmenter.prompt.head import PromptHead
from segmenter.prompt.head_file import load_head
from segmenter.prompt.network import NetworkPrompter
from segmenter.prompt.prompts import Click, Prompter, Prompts
from segmenter.prompt.simulate import iou, next_click
from segmenter.prompt.trained import TrainedPrompter
from segmenter.runs import load_segmenter
from segmenter.torchvision_backend import MaskRCNN

CAP, LEVELS = 20, (0.8, 0.9)
SMALLEST = 64  # pixels of a mask; smaller ones are said and left out
RESULTS = Path(__file__).parent / "results" / "prompts.json"


def masks(
    data: Dataset, number: int, seed: int, only: str | None
) -> Iterator[tuple[Image, str, BoolMask]]:
    """So many masks, drawn by chance over images first: no image gives two before all gave one."""
    random = np.random.default_rng(seed)
    drawn = []
    for at in random.permutation(len(data.images)):
        image = data.images[int(at)]
        if only and data.object_of(image) != only:
            continue
        own = drawn_masks(data, image).masks
        drawn += [(turn, len(drawn), image, own[int(i)])
                  for turn, i in enumerate(random.permutation(len(own)))]  # fmt: skip
    count = 0
    for _, _, image, (annotation, rle) in sorted(drawn, key=lambda one: one[:2]):
        mask = decode(rle)
        if mask.sum() >= SMALLEST and count < number:
            count += 1
            yield image, data.category_by_id[annotation.category_id].name, mask


def session(
    prompter: Prompter, pixels: NDArray[np.uint8], truth: BoolMask, key: str, part: str
) -> tuple[list[float], list[float]]:
    """IoU and seconds after each click, until all levels are reached or CAP."""
    clicks: list[Click] = []
    found, seconds = [], []
    mask = np.zeros_like(truth)
    while len(clicks) < CAP and (not found or found[-1] < max(LEVELS)):
        click = next_click(mask, truth)
        if click is None:
            break
        clicks.append(click)
        start = time.perf_counter()
        answer = prompter.answer(pixels, Prompts(tuple(clicks)), part=part, key=key)
        seconds.append(time.perf_counter() - start)
        mask = decode(answer.mask) if answer else mask
        found.append(iou(mask, truth))
    return found, seconds


def clicks_to(ious: list[float], level: float) -> int:
    return next((n for n, one in enumerate(ious, 1) if one >= level), CAP)


def corners(truth: BoolMask, level: float) -> int:
    """The fewest corners of polygons that reach this IoU."""
    contours, _ = cv2.findContours(truth.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    fewest = sum(map(len, contours))
    for tolerance in np.geomspace(0.3, max(truth.shape) / 4, 60):
        shapes = [cv2.approxPolyDP(each, float(tolerance), True) for each in contours]
        shapes = [each for each in shapes if len(each) >= 3]
        drawn = np.zeros(truth.shape, np.uint8)
        if shapes:
            cv2.drawContours(drawn, shapes, -1, 1, cv2.FILLED)  # even-odd: holes stay holes
        if iou(drawn.astype(bool), truth) >= level:
            fewest = min(fewest, sum(map(len, shapes)))
    return fewest


def measure(
    prompter: Prompter, data: Dataset, number: int, seed: int, only: str | None
) -> Iterator[Any]:
    """One way's figures after every tenth mask and the last; for each mask what it needed."""
    sessions, hand, images, looks = [], [], [], []
    chosen = list(masks(data, number, seed, only))
    for count, (image, part, truth) in enumerate(chosen, 1):
        pixels = load_image(data.image_path(image))
        found, seconds = session(prompter, pixels, truth, str(image.id), part)
        looks += seconds[:1] if image.id not in images else []
        sessions.append((found, seconds[1:]))
        images.append(image.id)
        hand.append([corners(truth, level) for level in LEVELS])
        if count % 10 == 0 or count == len(chosen):
            yield {
                "masks": len(hand),
                "images": len(set(images)),
                "hand": {
                    f"corners@{round(100 * level)}": round(float(np.mean([h[at] for h in hand])), 2)
                    for at, level in enumerate(LEVELS)
                },
                **summary(sessions),
                "seconds_first_look": round(float(np.median(looks)), 3),
                "of_image": list(images),
                "needed": [[clicks_to(ious, level) for level in LEVELS] for ious, _ in sessions],
            }


def summary(sessions: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for level in LEVELS:
        needed = np.array([clicks_to(ious, level) for ious, _ in sessions])
        failed = np.mean([max(ious, default=0) < level for ious, _ in sessions])
        found[f"noc@{round(100 * level)}"] = round(float(needed.mean()), 2)
        found[f"never@{round(100 * level)}"] = round(float(failed), 3)
    for at in (1, 3, 5):
        after = [ious[min(at, len(ious)) - 1] if ious else 0 for ious, _ in sessions]
        found[f"iou_after_{at}"] = round(float(np.mean(after)), 3)
    times = [second for _, seconds in sessions for second in seconds]
    found["seconds_a_click"] = round(float(np.median(times)), 3) if times else None
    return found


def paired(one: Any, other: Any, seed: int) -> dict[str, Any]:
    """By how much the second needs fewer clicks than the first; 95 % interval over images."""
    both = min(one["masks"], other["masks"])  # the order of masks follows from the seed
    images = one["of_image"][:both]
    assert images == other["of_image"][:both], "measured on other masks"
    random, where = np.random.default_rng(seed), np.array(images)
    rows = [np.flatnonzero(where == image) for image in dict.fromkeys(images)]
    found: dict[str, Any] = {"masks": both}
    for at, level in enumerate(LEVELS):
        a, b = (np.array(each["needed"])[:both, at] for each in (one, other))
        shares = []
        for _ in range(2000):
            some = np.concatenate([rows[i] for i in random.integers(len(rows), size=len(rows))])
            shares.append(1 - b[some].sum() / a[some].sum())
        found[f"fewer@{round(100 * level)}"] = round(float(1 - b.sum() / a.sum()), 3)
        found[f"interval@{round(100 * level)}"] = [
            round(float(each), 3) for each in np.quantile(shares, [0.025, 0.975])
        ]
    return found


def read(results: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(results.read_text()) if results.is_file() else {}
    return found


def keep(results: Path, name: str, group: str, way: str, found: Any, seed: int) -> None:
    """Add one way's figures to the results; once both are whole, the difference."""
    kept = read(results)
    place = kept.setdefault(name, {}).setdefault(group, {})
    if way == "network":  # measured anew: what was measured of other runs is not beside it
        place.clear()
    place[way] = found
    if {"network", "prompted"} <= place.keys():
        place["prompted_against_network"] = paired(place["network"], place["prompted"], seed)
    write_json(results, kept)


def prompter_for(way: str, segmenter: Any) -> Prompter:
    if way == "network":
        return NetworkPrompter(segmenter)
    return TrainedPrompter(segmenter, load_head(segmenter))


def speed() -> dict[str, Any]:
    """CPU seconds of one thread: the light recipe's shape, a picture of 500 x 375, 49 parts."""
    torch.manual_seed(0)
    parts = Parts.of(f"o{at // 4}:p{at}" for at in range(49))
    segmenter = MaskRCNN(parts, ModelConfig(weights="none"), "cpu")
    head = PromptHead.of(segmenter.network.roi_heads.part_masks)
    pixels = np.random.default_rng(0).integers(0, 255, (375, 500, 3), dtype=np.uint8)
    found: dict[str, Any] = {"clicks": 9}
    for way, prompter in (
        ("network", NetworkPrompter(segmenter)), ("prompted", TrainedPrompter(segmenter, head)),
    ):  # fmt: skip
        clicks, seconds = [], []
        for at in range(9):
            clicks.append(Click(200 + 12 * at, 150 + 7 * at, at % 2 == 0))
            start = time.process_time()
            prompter.answer(pixels, Prompts(tuple(clicks)), part="o1:p4", key="one")
            seconds.append(time.process_time() - start)
        found[way] = {
            "first_look_and_click": round(seconds[0], 3),
            "longest_later_click": round(max(seconds[1:]), 3),
            "bytes_kept": prompter.cache.nbytes,
        }
    return found


def add(made: Made, given: Any, name: str) -> None:
    """Measure both ways on known categories and on the one that was never seen."""
    segmenter: Any = load_segmenter(made.run)
    how = {
        "note": given.note or " ".join(["python benchmarks/prompts.py", *sys.argv[1:]]),
        "seed": given.seed,
        "threads": 1,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}",
        "torch": torch.__version__,
    }
    groups = {"known": (without(made.heldout, made.unseen), None, given.masks)}
    groups[f"never trained on: {made.unseen}"] = (made.heldout, made.unseen, given.masks // 2)
    for group, (data, only, number) in groups.items():
        for way in ("network", "prompted"):
            told = how | {"pictures_there": len(data.images)}
            for found in measure(prompter_for(way, segmenter), data, number, given.seed, only):
                keep(given.results, name, group, way, {**told, **found}, given.seed)
                shown = {k: v for k, v in found.items() if k not in ("needed", "of_image")}
                print(group, way, shown, flush=True)


def parsed() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder for data and runs; what is there is used")
    parser.add_argument("--photos", type=Path, help="photographs with splits train and val")
    parser.add_argument("--unseen", help="category kept out of training: teapot; of photos, ant")
    parser.add_argument("--recipe", default="small", help="of the segmenter: small, light, …")
    parser.add_argument("--pictures", type=int, help="to train on; else all, of the world 700")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--head-epochs", type=int, default=4)
    parser.add_argument("--masks", type=int, default=200, help="of the unseen category half")
    parser.add_argument("--name", help="in the results; else world or photos")
    parser.add_argument("--note", default="", help="kept with the results, else the command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--speed", action="store_true", help="the time of an answer instead")
    given = parser.parse_args()
    if given.work is None and not given.speed:
        parser.error("--work is missing")
    return given


def main() -> None:
    given = parsed()
    torch.set_num_threads(1)
    if given.speed:
        write_json(given.results, {**read(given.results), "speed": speed()})
        return
    recipe = Recipe(given.recipe, given.pictures, given.epochs, given.head_epochs, given.seed)
    if given.photos:
        made = of_photos(given.work, recipe, given.unseen or "ant", given.photos)
    else:
        made = of_world(given.work, recipe, given.unseen or "teapot")
    add(made, given, given.name or ("photos" if given.photos else "world"))


if __name__ == "__main__":
    main()
