"""How many masks does `partlab loop next` save? Pictures chosen by it against a random order.

    python benchmarks/next_images.py --work DIR [--seeds 0 1 2] [--pools even uneven]

On the part world a segmenter learns from 16 pictures, then three times from 16 more, each time from
the weights it had, as the loop does: once with the pictures that `segmenter.loop.choose` puts
first, once with pictures drawn at random. The first 16, the first weights and the held-out pictures
are the same. In the uneven pool object categories are as frequent as 6 : 3 : 2 : 1. Stopped, the
same line goes on. Result: benchmarks/results/next_images.json.
"""

import argparse
import itertools
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from annotate.world import WorldConfig, make_world
from partlab.coco import read_dataset
from partlab.files import write_json
from partlab.images import load_image
from partlab.schema import Dataset
from segmenter.loop.choose import Look, choose, look
from segmenter.protocol import Segmenter
from segmenter.quick_ap import quick_ap
from segmenter.runs import load_segmenter
from segmenter.torchvision_backend import backend, small
from train.statistics import student

HERE = Path(__file__).resolve().parent
OBJECTS = ("bicycle", "car", "duck", "ram")
WORLD = {"images": 144, "pool": 0, "heldout": 48, "size": 128, "val_share": 0.0}
UNEVEN = dict(zip(OBJECTS, (36, 18, 12, 6), strict=True))
FIRST, MORE, TURNS, STEPS, SIDE = 16, 16, 3, (240, 120), 80
ARMS = ("random", "chosen")


def world(work: Path, seed: int) -> tuple[Dataset, Dataset]:
    """The pool, whose masks are known, and the held-out pictures."""
    folder = work / f"world-{seed}"
    if not folder.exists():
        make_world(folder, WorldConfig(objects=OBJECTS, seed=seed, **WORLD))
    return read_dataset(folder, "train"), read_dataset(folder, "heldout")


def pool_of(data: Dataset, kind: str, rng: np.random.Generator) -> list[int]:
    """Image ids in random order; of an uneven pool some categories have few."""
    order = [data.images[i] for i in rng.permutation(len(data.images))]
    if kind == "even":
        return [image.id for image in order]
    kept: dict[str, int] = dict.fromkeys(OBJECTS, 0)
    found = []
    for image in order:
        owner = str(data.object_of(image))
        kept[owner] += 1
        if kept[owner] <= UNEVEN[owner]:
            found.append(image.id)
    return found


def trained(
    data: Dataset, ids: list[int], run: Path, steps: int, seed: int, start: Path | None
) -> Segmenter:
    """A segmenter that learnt these pictures, from the weights of `start`."""
    config = small()
    epochs = max(round(steps * config.train.batch_size / len(ids)), 1)
    told = {"epochs": epochs, "seed": seed, "start": str(start or "")}
    model = config.model.model_copy(update={"image_size": SIDE})
    config = replace_config(config, model, told)
    if not (run / "done").exists():
        backend.fit(data.subset(ids), None, run, config)
        (run / "done").touch()
    return load_segmenter(run, device="cpu")


def replace_config(config: Any, model: Any, train: dict[str, Any]) -> Any:
    return config.model_copy(
        update={"model": model, "train": config.train.model_copy(update=train)}
    )


def looked(segmenter: Segmenter, data: Dataset, ids: list[int]) -> list[Look]:
    found = []
    for id in ids:
        image = data.image_by_id[id]
        pixels = load_image(data.image_path(image))
        found += look(segmenter, [id], [pixels], [data.object_of(image)])
    return found


def next_of(segmenter: Segmenter, data: Dataset, pool: list[int], drawn: list[int]) -> list[int]:
    """What `partlab loop next` would put first."""
    left = [id for id in pool if id not in set(drawn)]
    counts = dict.fromkeys(data.names, 0)
    for annotation in data.subset(drawn).annotations:
        counts[data.category_by_id[annotation.category_id].name] += 1
    features = [one.features for one in looked(segmenter, data, drawn) if one.features is not None]
    chosen = choose(looked(segmenter, data, left), MORE, drawn=features, masks=counts)
    return [one.image_id for one in chosen]


def curve(work: Path, kind: str, seed: int, arm: str) -> list[dict[str, Any]]:
    """Masks learnt from and AP on held-out pictures, turn by turn."""
    file = work / f"{kind}-{seed}-{arm}.json"
    if file.exists():
        return json.loads(file.read_text())
    data, heldout = world(work, seed)
    pool = pool_of(data, kind, np.random.default_rng(seed))
    drawn, rest = pool[:FIRST], pool[FIRST:]
    start, rows = None, []
    for turn in range(TURNS + 1):
        run = work / f"{kind}-{seed}-{arm if turn else 'first'}-{turn}"
        segmenter = trained(data, drawn, run, STEPS[turn > 0], seed, start)
        ap, ap50 = quick_ap(segmenter, heldout)
        masks = len(data.subset(drawn).annotations)
        rows.append({"pictures": len(drawn), "masks": masks, "ap": ap, "ap50": ap50})
        print(kind, seed, arm, rows[-1], flush=True)
        start = run
        if turn == TURNS:
            break
        if arm == "random":
            more, rest = rest[:MORE], rest[MORE:]
        else:
            more = next_of(segmenter, data, pool, drawn)
        drawn = drawn + more
    write_json(file, rows)
    return rows


def masks_for(rows: list[dict[str, Any]], ap: float) -> float | None:
    """Masks at which a curve first reaches an AP, between its points on a straight line."""
    for before, after in itertools.pairwise(rows):
        if after["ap"] >= ap:
            low, high = before["ap"], after["ap"]
            share = (ap - low) / (high - low) if high > low else 1.0
            return before["masks"] + max(share, 0.0) * (after["masks"] - before["masks"])
    return None


def at_masks(rows: list[dict[str, Any]], masks: float) -> float:
    return float(np.interp(masks, [r["masks"] for r in rows], [r["ap"] for r in rows]))


def compared(random: list[dict[str, Any]], chosen: list[dict[str, Any]]) -> dict[str, Any]:
    """Masks for the best AP that the random order came to, and AP at as many masks."""
    best = max(random, key=lambda row: row["ap"])
    needed = masks_for(chosen, best["ap"])
    grid = np.linspace(random[0]["masks"], min(random[-1]["masks"], chosen[-1]["masks"]), 50)
    gain = float(np.mean([at_masks(chosen, m) - at_masks(random, m) for m in grid]))
    share = None if needed is None else needed / best["masks"]
    return {
        "goal_ap": best["ap"],
        "masks_random": best["masks"],
        "masks_chosen": needed,
        "share": share,
        "mean_gain_in_ap": gain,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pools", nargs="+", default=["even", "uneven"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"torch": torch.__version__, "machine": platform.machine(),
                             "cores": os.cpu_count(), "threads": 1, "pools": {}}  # fmt: skip
    for kind in args.pools:
        for seed in args.seeds:
            curves = {arm: curve(args.work, kind, seed, arm) for arm in ARMS}
            seeds = found["pools"].setdefault(kind, {"seeds": {}})["seeds"]
            seeds[str(seed)] = {**curves, **compared(curves["random"], curves["chosen"])}
    for pool in found["pools"].values():
        gains = [each["mean_gain_in_ap"] for each in pool["seeds"].values()]
        shares = [each["share"] for each in pool["seeds"].values()]
        pool["mean_gain_in_ap"], pool["p"] = float(np.mean(gains)), student(gains)
        pool["shares"] = shares
        pool["mean_share"] = None if None in shares else float(np.mean(shares))
    write_json(HERE / "results" / "next_images.json", found)
    print(json.dumps({k: {n: p[n] for n in ("shares", "mean_gain_in_ap", "p")}
                      for k, p in found["pools"].items()}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
