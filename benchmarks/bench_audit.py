"""The audit of annotations: how well planted errors are found, and how fast 100,000 masks go.

    python -m benchmarks.bench_audit [--work FOLDER]

Draws a part world, trains the small segmenter on it (minutes on a CPU), labels pictures it has
never seen, plants errors in their true masks, and measures where the audit ranks the spoilt
images (AUROC, overall and for each kind of error), with the segmenter and by sizes alone. Then
it audits 100,000 masks of 512-pixel images. Written to results/audit.json. With --work the
world and the run are kept, and a second call goes on from there.
"""

import argparse
import json
import platform
import resource
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter

import numpy as np
from pycocotools import mask as coco_mask

from annotate.data.formats.pictures import Pictures
from annotate.inspect.audit import audit
from annotate.inspect.plant import measure
from annotate.world import WorldConfig, make_world
from partlab.coco import read_coco
from partlab.files import read_json, write_json
from partlab.schema import Annotation, Dataset, Image
from pseudolabel.engine import label_images
from pseudolabel.export import export_coco
from pseudolabel.settings import Settings, Thresholds
from pseudolabel.store import Store
from segmenter.evaluation_file import evaluate_run
from segmenter.train import train_segmenter

# Nothing in the audit was chosen by looking at this world.
WORLD = WorldConfig(images=560, pool=0, heldout=280, size=128, seed=77)
MASKS = 100_000


def predicted(work: Path) -> tuple[Dataset, Dataset, float, float]:
    """True masks, the segmenter's masks, its AP with the category filter, and seconds spent."""
    world, run = work / "world", work / "seg"
    if not (world / "world.json").is_file():
        make_world(world, WORLD)
    if not (work / "seconds.json").is_file():
        start = perf_counter()
        train_segmenter(world, run, recipe="small")
        write_json(work / "seconds.json", perf_counter() - start)
    settings = Settings(thresholds=Thresholds(default=0.05), unite=False)
    label_images(world, run, work / "pseudo", settings, split="heldout", workers=0)
    out = work / "predictions"
    export_coco(Store.open(work / "pseudo"), out, pictures=Pictures.none, force=True)
    scores = evaluate_run(run, world, split="heldout")
    truth = read_coco(world / "annotations" / "heldout.json")
    return (
        truth,
        read_coco(out / "annotations" / "pseudo.json"),
        ap(scores),
        read_json(work / "seconds.json"),
    )


def ap(scores: object) -> float:
    values = scores if isinstance(scores, dict) else vars(scores)
    return round(float(values["with_cf"]["ap"]), 4)


def found(truth: Dataset, predictions: Dataset | None) -> dict[str, object]:
    trials = [measure(truth, predictions, share=0.2, seed=seed) for seed in range(10)]
    kinds = {kind for trial in trials for kind in trial.by_kind}
    return {
        "auroc": round(mean(trial.auroc for trial in trials), 4),
        "standard deviation over seeds": round(stdev(trial.auroc for trial in trials), 4),
        "by kind": {
            kind: round(mean(t.by_kind[kind] for t in trials if kind in t.by_kind), 4)
            for kind in sorted(kinds)
        },
    }


def enlarged(dataset: Dataset, factor: int) -> Dataset:
    """Masks and images `factor` times as large each way."""

    def grown(annotation: Annotation) -> Annotation:
        mask = np.kron(
            coco_mask.decode(annotation.segmentation), np.ones((factor, factor), np.uint8)
        )
        rle = coco_mask.encode(np.asfortranarray(mask))
        return annotation.changed(segmentation={**rle, "counts": rle["counts"].decode()})

    images = [i.changed(width=i.width * factor, height=i.height * factor) for i in dataset.images]
    return replace(dataset, images=images, annotations=[grown(a) for a in dataset.annotations])


def repeated(dataset: Dataset, times: int) -> Dataset:
    images: list[Image] = []
    annotations: list[Annotation] = []
    for turn in range(times):
        offset = turn * 1_000_000
        for image in dataset.images:
            name = f"{turn}/{image.file_name}"
            images.append(image.changed(id=image.id + offset, file_name=name))
        for one in dataset.annotations:
            annotations.append(one.changed(id=one.id + offset, image_id=one.image_id + offset))
    return replace(dataset, images=images, annotations=annotations)


def speed(truth: Dataset, predictions: Dataset) -> dict[str, object]:
    times = -(-MASKS // len(truth.annotations))
    drawn = repeated(enlarged(truth, 4), times)
    seen = repeated(enlarged(predictions, 4), times)
    start = perf_counter()
    audit(drawn, seen)
    spent = perf_counter() - start
    return {
        "drawn masks": len(drawn.annotations),
        "predicted masks": len(seen.annotations),
        "images": len(drawn.images),
        "pixels a side": drawn.images[0].width,
        "seconds": round(spent, 1),
        "microseconds per drawn mask": round(spent / len(drawn.annotations) * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        truth, predictions, quality, spent = predicted(asked.work or Path(scratch))
        result = {
            "images": len(truth.images),
            "share spoilt": 0.2,
            "segmenter AP with category filter": quality,
            "training seconds": round(spent, 1),
            "with the segmenter": found(truth, predictions),
            "by sizes alone": found(truth, None),
            "speed": speed(truth, predictions),
            "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "machine": f"{platform.machine()}, Python {platform.python_version()}",
        }
    text = json.dumps(result, indent=2)
    (Path(__file__).parent / "results" / "audit.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
