"""A segmenter and a data set may number their parts differently: matched here, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partlab.composite import Layer
from partlab.counts import few
from partlab.errors import DatasetError
from partlab.masks import BoolMask, Rle, decode
from partlab.parts import Parts
from partlab.schema import Dataset, Image
from partlab.truth import drawn_masks
from partlab.truth import layers as true_layers
from segmenter.ap import Result
from segmenter.protocol import Detections


def joined(data: Dataset, parts: Parts) -> Parts:
    """The data set's parts, followed by those that only the segmenter knows.

    Raises:
        DatasetError: they have no part in common.
    """
    if not parts.matched(data.parts):
        raise DatasetError(
            f"{data.path or 'the data set'} has none of the parts this segmenter knows",
            hint=f"it knows {_few(parts.names)}; the data set has {_few(data.names)}",
        )
    foreign = (name for name in parts.names if name not in data.parts.label)
    return Parts.of([*data.names, *foreign], data.inclusions)


def missing_parts(data: Dataset, parts: Parts) -> tuple[str, ...]:
    """Parts with truth masks that the segmenter does not know."""
    used = {annotation.category_id for annotation in data.annotations}
    return tuple(c.name for c in data.categories if c.id in used and c.name not in parts.label)


def results(
    found: Detections, image: Image, data: Dataset, labels: Mapping[int, int]
) -> list[Result]:
    """COCO result records of one image; `labels` are the segmenter's and what they are in `data`.

    A part that the data set does not have is no category there: COCO cannot count it.
    """
    return [
        {
            "image_id": image.id,
            "category_id": data.categories[labels[int(label)]].id,
            "segmentation": rle,
            "score": float(score),
        }
        for label, rle, score in zip(found.labels, found.masks, found.scores, strict=True)
        if labels.get(int(label), len(data.categories)) < len(data.categories)
    ]


def layers(
    found: Detections, threshold: float | NDArray[np.floating], labels: Mapping[int, int]
) -> list[Layer]:
    """Detections of at least `threshold`, one or (K,) by label, as layers with other `labels`."""
    floor = np.broadcast_to(np.asarray(threshold, np.float32), found.probabilities.shape[1:])
    return [
        Layer(labels[int(label)], rle, float(score))
        for label, rle, score in zip(found.labels, found.masks, found.scores, strict=True)
        if score >= floor[label]
    ]


@dataclass(frozen=True, slots=True)
class TrueLayers:
    """The human masks of one image, and its crowd regions: pixels that say nothing."""

    layers: list[Layer]
    ignored: Rle | None

    @property
    def ignored_pixels(self) -> BoolMask | None:
        """Shape (height, width); None where every pixel counts."""
        return None if self.ignored is None else decode(self.ignored)


def truth_layers(data: Dataset, image: Image) -> TrueLayers:
    """The human masks of one image; those that cannot be used are left out."""
    drawn = drawn_masks(data, image)
    return TrueLayers(true_layers(data, drawn.masks), drawn.crowd_region)


def _few(names: Sequence[str]) -> str:
    return few(names) or "nothing"
