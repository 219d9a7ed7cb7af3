"""What a segmenter finds in images with known masks, and what each mask adds to them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partlab.composite import Layer, flatten
from partlab.images import load_image
from partlab.masks import BoolMask, Rle, area, decode, intersection, union
from partlab.progress import track
from partlab.schema import Dataset, Image
from segmenter.label_space import joined, truth_layers
from segmenter.objects import objects_shown
from segmenter.protocol import Detections, Segmenter

LEAST = 0.01
"""Lowest score that is looked at: what scores less is in no label map."""


@dataclass(frozen=True, slots=True)
class Looked:
    """One image: masks with labels (n,) of the segmenter, surest first, scores (n,), and what each
    adds (n,): the share of its pixels that are right and in no surer mask of its part, NaN where
    no pixel counts. Its label map as people drew it, and where that says nothing."""

    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    added: NDArray[np.float64]
    masks: list[Rle]
    truth: NDArray[np.int32]
    ignored: BoolMask | None


def look(segmenter: Segmenter, data: Dataset) -> Iterator[Looked]:
    """What is found in each image of `data` with the category filter."""
    labels = segmenter.parts.matched(joined(data, segmenter.parts))
    for image in track(data.images, "looking", len(data.images)):
        pixels = load_image(data.image_path(image))
        shown = objects_shown(image, data, segmenter.parts)
        (found,) = segmenter.predict([pixels], [shown], threshold=LEAST)
        yield _looked(found, data, image, labels)


def _looked(found: Detections, data: Dataset, image: Image, labels: Mapping[int, int]) -> Looked:
    drawn = truth_layers(data, image)
    truth = flatten(drawn.layers, (image.height, image.width), data.parts.parents)
    own = [labels[label] for label in found.labels.tolist()]
    added = what_masks_add(own, found.masks, drawn.layers, drawn.ignored)
    ignored = None if drawn.ignored is None else decode(drawn.ignored)
    return Looked(found.labels, found.scores, added, found.masks, truth, ignored)


def what_masks_add(
    labels: Sequence[int], masks: Sequence[Rle], drawn: Sequence[Layer], ignored: Rle | None
) -> NDArray[np.float64]:
    """(n,) of the masks of an image, surest first: what share of each one's pixels is right and in
    no surer mask of its label; NaN where all its pixels are `ignored`."""
    added = [_added(at, labels, masks, drawn, ignored) for at in range(len(masks))]
    return np.array(added, float)


def _added(
    at: int,
    labels: Sequence[int],
    masks: Sequence[Rle],
    drawn: Sequence[Layer],
    ignored: Rle | None,
) -> float:
    mask, true = masks[at], [layer.rle for layer in drawn if layer.label == labels[at]]
    surer = [masks[i] for i in range(at) if labels[i] == labels[at]]
    counting = area(mask) - (area(intersection([mask, ignored])) if ignored else 0)
    if not counting:
        return float("nan")
    if not true:
        return 0.0
    right = intersection([mask, union(true)])
    known = area(intersection([right, union(surer)])) if surer else 0
    return min((area(right) - known) / counting, 1.0)
