"""What thin and small parts lose to resolution, before anything is learnt and at prediction.

    python benchmarks/small_parts.py --photos PARTS [--objects car person]
    python benchmarks/small_parts.py --run RUN --world WORLD

The first is a ceiling: people's masks of `val` in place of a network, averaged over the cells that
the dense decoder decides, enlarged again and decided. The second measures a dense run, untuned, on
every other picture of `heldout` at long sides that it was not trained at. Each part of
benchmarks/results/small_parts.json is written when it is measured.
"""

import argparse
import json
import os
import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from partlab.coco import read_dataset
from partlab.masks import decode, from_segmentation
from partlab.schema import Dataset, Image
from segmenter.data import fitted

RESULT = Path(__file__).resolve().parent / "results" / "small_parts.json"
STRIDE = 4  # of the cells that are decided
CEILINGS, SIDES = (288, 384, 576), (96, 128, 160, 192, 256)
Map = NDArray[np.int64]


def ceilings(data: Dataset, objects: list[str], limit: int) -> dict[str, Any]:
    """IoU of each part by long side, of the first `limit` pictures of each object category."""
    chosen = [
        image for owner in objects
        for image in [i for i in data.images if data.object_of(i) == owner][:limit]
    ]  # fmt: skip
    found = {str(side): _ious(data, chosen, side) for side in CEILINGS}
    means = {side: float(np.mean(list(each.values()))) for side, each in found.items()}
    return {"images": len(chosen), "means": means, "parts": found}


def _ious(data: Dataset, images: list[Image], side: int) -> dict[str, float]:
    common, either = Counter[str](), Counter[str]()
    for image in images:
        labels, truth = _flat(data, image)
        found = _decided(truth, len(labels), side)
        for at, label in enumerate(labels, 1):
            ours, theirs, name = found == at, truth == at, data.names[label]
            common[name] += int((ours & theirs).sum())
            either[name] += int((ours | theirs).sum())
    return {name: common[name] / either[name] for name in sorted(either)}


def _flat(data: Dataset, image: Image) -> tuple[list[int], Map]:
    """The labels drawn in an image and its label map, smaller masks on top."""
    drawn = [one for one in data.annotations_of(image) if not one.iscrowd]
    size = image.height, image.width
    rles = [from_segmentation(one.segmentation, *size) for one in drawn]
    own = [data.label_of[one.category_id] for one in drawn]
    masks = [(label, decode(rle).astype(bool)) for label, rle in zip(own, rles, strict=True)]
    labels = sorted({label for label, _ in masks})
    flat = np.zeros(size, np.int64)
    for label, mask in sorted(masks, key=lambda one: -int(one[1].sum())):
        flat[mask] = labels.index(label) + 1
    return labels, flat


def _decided(truth: Map, labels: int, side: int) -> Map:
    """The truth as the decoder could say it at this long side."""
    exact = F.one_hot(torch.from_numpy(truth), labels + 1).permute(2, 0, 1)[None].float()
    size = fitted(truth.shape, side)
    mode = "area" if side < max(truth.shape) else "bilinear"
    cells = [max(round(length / STRIDE), 1) for length in size]
    small = F.adaptive_avg_pool2d(F.interpolate(exact, size, mode=mode), cells)
    found: Map = F.interpolate(small, truth.shape, mode="bilinear").argmax(1)[0].numpy()
    return found


def sides(run: Path, world: Path) -> dict[str, Any]:
    """Scores with the filter of a dense run at each long side."""
    from segmenter.evaluate import EvaluationSettings, evaluate
    from segmenter.runs import load_segmenter

    data = read_dataset(world, "heldout")
    data = data.subset(image.id for image in data.images[::2])
    found: dict[str, Any] = {}
    for side in SIDES:
        segmenter: Any = load_segmenter(run, device="cpu", tuned=False)
        trained = segmenter.config.image_size
        segmenter.config = segmenter.config.model_copy(update={"image_size": side})
        each = evaluate(segmenter, data, EvaluationSettings(score_threshold=0.05)).with_cf
        found[str(side)] = {"miou": each.pixels.miou, "boundary_iou": each.outlines.miou}
    return {"trained_at": trained, "images": len(data.images), "long_sides": found}


def main() -> None:
    """Measure what was asked for, and write it beside what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="part data set of photographs")
    parser.add_argument("--objects", nargs="+", default=["car", "person"])
    parser.add_argument("--limit", type=int, default=60, help="pictures of each")
    parser.add_argument("--run", type=Path, help="a dense run")
    parser.add_argument("--world", type=Path, help="the part world it was trained on")
    parser.add_argument("--results", type=Path, default=RESULT)
    given = parser.parse_args()
    if not given.photos and not (given.run and given.world):
        parser.error("give --photos, or --run and --world")
    torch.set_num_threads(1)
    kept = json.loads(given.results.read_text()) if given.results.is_file() else {}
    kept["machine"] = {"platform": platform.machine(), "cores": os.cpu_count(),
                       "torch": version("torch")}  # fmt: skip
    if given.photos:
        photos = read_dataset(given.photos, "val")
        kept["ceilings"] = ceilings(photos, given.objects, given.limit)
    if given.run and given.world:
        kept["prediction"] = sides(given.run, given.world)
    given.results.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps({k: v for k, v in kept.items() if k != "machine"}, indent=1))


if __name__ == "__main__":
    main()
