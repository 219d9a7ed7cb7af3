"""How good a segmenter is while it trains: what picks its best checkpoint."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from partlab.composite import flatten
from partlab.images import load_image
from partlab.schema import Dataset, Image
from partlab.training.loop import Score
from segmenter.composite_metrics import PixelMeter
from segmenter.label_space import joined, layers, results, truth_layers
from segmenter.objects import objects_shown
from segmenter.protocol import Segmenter
from segmenter.quick_ap import found_in, score

THRESHOLD = 0.5  # of what stands in the label maps


@dataclass(frozen=True, slots=True)
class Judge:
    """`look` at some images of a data set, in any process; `score` what all have found."""

    look: Callable[[Segmenter, Dataset, Sequence[Image]], list[Any]]
    score: Callable[[Dataset, Iterable[Any]], Score]


def _ap(val: Dataset, found: Iterable[Any]) -> Score:
    ap, ap50 = score(val, found)
    words = f"validation AP {100 * ap:.1f} AP50 {100 * ap50:.1f} (with category filter)"
    return Score(ap50, {"val_ap": ap, "val_ap50": ap50}, words)


def _look(segmenter: Segmenter, val: Dataset, images: Sequence[Image]) -> list[Any]:
    """One pair: COCO results of all images, and their label maps' counts."""
    joint = joined(val, segmenter.parts)
    labels = segmenter.parts.matched(joint)
    meter, found = PixelMeter(len(joint)), []
    for image in images:
        pixels = load_image(val.image_path(image))
        shown = objects_shown(image, val, segmenter.parts)
        (detections,) = segmenter.predict([pixels], [shown])
        found += results(detections, image, val, labels)
        size, drawn = (image.height, image.width), truth_layers(val, image)
        kept = layers(detections, THRESHOLD, labels)
        said, true = (flatten(each, size, val.parts.parents) for each in (kept, drawn.layers))
        meter.update(said, true, drawn.ignored_pixels)
    return [(found, meter)]


def _pixels(val: Dataset, found: Iterable[Any]) -> Score:
    pairs = list(found)
    ap = _ap(val, [result for results, _ in pairs for result in results])
    total = pairs[0][1]
    for _, meter in pairs[1:]:
        total.add(meter)
    scores = total.result()
    miou, accuracy = scores.miou or 0.0, scores.pixel_accuracy or 0.0
    words = f"validation mIoU {100 * miou:.1f} pixels {100 * accuracy:.1f} %, {ap.words}"
    return Score(miou, {"val_miou": miou, "val_pixel_accuracy": accuracy, **ap.facts}, words)


by_ap = Judge(found_in, _ap)
"""AP50 of masks, for networks that find instances."""
by_pixels = Judge(_look, _pixels)
"""Mean IoU of label maps, for networks that decide pixels; AP is told beside it."""
