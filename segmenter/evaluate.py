"""Measure a segmenter with and without the category filter in one pass (P-07, H-03)."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from partlab.composite import flatten
from partlab.config import Config
from partlab.errors import DatasetError
from partlab.images import load_image
from partlab.masks import BoolMask
from partlab.objects import require_ids
from partlab.parts import Parts
from partlab.progress import track
from partlab.schema import Dataset, Image
from partlab.truth import MaskCount, need_masks, usable
from segmenter.ap import ApMeter, ApResult
from segmenter.boundary import boundary_counts
from segmenter.composite_metrics import Counts, PixelMeter, PixelScores
from segmenter.label_space import joined, layers, missing_parts, results, truth_layers
from segmenter.objects import objects_shown
from segmenter.protocol import Detections, Pixels, Segmenter
from segmenter.thresholds import Thresholds


class EvaluationSettings(Config):
    """What counts. AP ranks detections itself, so weak ones stay in: cutting lowers recall.

    `thresholds`, part by part, stand in for `composite_threshold`; a tuned run's are its own.
    """

    score_threshold: float = Field(0.001, ge=0, le=1)  # for AP; as in the authors' detectors
    composite_threshold: float = Field(0.5, ge=0, le=1)  # for the flattened masks
    thresholds: Thresholds | None = None
    max_dets: int = Field(100, ge=1)  # per image and part category, as in COCO
    batch_size: int = Field(4, ge=1)


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of predicting, measured: with or without the category filter.

    `outlines` are the scores of outlines alone: their `miou` is the mean boundary IoU. `each` has
    what was counted in each image, of pixels and of outlines, in the order of the images.
    """

    ap: ApResult
    pixels: PixelScores
    outlines: PixelScores
    detections: int
    each: tuple[tuple[Counts, Counts], ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Both ways on the same images, and what a reader must know about them."""

    without_cf: Measured
    with_cf: Measured
    images: int
    images_without_class: int  # neither stated nor told by their parts: not filtered
    missing_parts: tuple[str, ...]  # in the truth, unknown to the segmenter: their AP is 0
    masks: MaskCount  # how many of the truth's masks were measured, and which were left out
    predicting: float = field(default=0.0, compare=False)  # seconds in the segmenter, both ways


def evaluate(
    segmenter: Segmenter,
    data: Dataset,
    settings: EvaluationSettings | None = None,
) -> Evaluation:
    """Run `segmenter` over every image of `data` and compare with its masks.

    Parts are matched by name (`object:part`). The filter allows the parts of the object
    categories that `segmenter.objects.objects_shown` tells of an image. Crowd regions are
    ignored, as COCO does; masks that cannot be used are left out and named.
    Memory does not grow with the images but for COCO's match records and a few counts of each.

    Raises:
        DatasetError: no images, no masks to measure against, none of the parts known, or a
            picture that does not fit; all but the last before the network runs.
        NotFoundError: a picture is missing.
        SchemaError: an id is two images or two categories.
    """
    require_ids(data)
    settings = settings or EvaluationSettings()
    if not data.images:
        raise DatasetError(f"{data.path or 'the data set'} has no images")
    joint = joined(data, segmenter.parts)
    data, masks = usable(data)
    need_masks(data, masks)
    return _measure(segmenter, data, joint, settings, masks)


def _measure(
    segmenter: Segmenter,
    data: Dataset,
    joint: Parts,
    settings: EvaluationSettings,
    masks: MaskCount,
) -> Evaluation:
    labels = segmenter.parts.matched(joint)
    floor = (settings.thresholds or Thresholds(default=settings.composite_threshold)).of(
        segmenter.names
    )
    without, filtered = (_Meter(data, joint, labels, floor, settings) for _ in range(2))
    no_class, predicting = 0, 0.0
    loaded = _loaded(data, settings.batch_size)
    for images, pixels in track(loaded, "evaluating", -(-len(data.images) // settings.batch_size)):
        objects = [objects_shown(image, data, segmenter.parts) for image in images]
        no_class += objects.count(None)
        started = monotonic()
        found = segmenter.predict_both(pixels, objects, threshold=settings.score_threshold)
        predicting += monotonic() - started
        for image, all_parts, own_parts in zip(images, *found, strict=True):
            drawn = truth_layers(data, image)
            truth = flatten(drawn.layers, (image.height, image.width), data.parts.parents)
            for meter, own in ((without, all_parts), (filtered, own_parts)):
                meter.update(image, own, truth, drawn.ignored_pixels)
    missing = missing_parts(data, segmenter.parts)
    both = without.result(), filtered.result()
    return Evaluation(*both, len(data.images), no_class, missing, masks, predicting)


class _Meter:
    def __init__(
        self,
        data: Dataset,
        joint: Parts,
        labels: Mapping[int, int],
        floor: NDArray[np.float32],
        settings: EvaluationSettings,
    ) -> None:
        self._data, self._labels, self._floor = data, labels, floor
        self._ap = ApMeter(data, settings.max_dets)
        self._pixels, self._outlines = PixelMeter(len(joint)), PixelMeter(len(joint))
        self._joint, self._each = len(joint), list[tuple[Counts, Counts]]()
        self._count = 0

    def update(
        self,
        image: Image,
        found: Detections,
        truth: NDArray[np.int32],
        ignored: BoolMask | None,
    ) -> None:
        self._ap.update(image, results(found, image, self._data, self._labels))
        kept = layers(found, self._floor, self._labels)
        size = (image.height, image.width)
        said = flatten(kept, size, self._data.parts.parents)
        outlines = boundary_counts(said, truth, self._joint, ignored)
        self._outlines.take(outlines)
        self._each.append((self._pixels.update(said, truth, ignored), outlines))
        self._count += len(found)

    def result(self) -> Measured:
        pixels, outlines = self._pixels.result(), self._outlines.result()
        return Measured(self._ap.result(), pixels, outlines, self._count, tuple(self._each))


def _loaded(data: Dataset, size: int) -> Iterator[tuple[list[Image], list[Pixels]]]:
    """Batches of images with their pixels; those of one batch are decoded side by side."""

    def load(image: Image) -> Pixels:
        pixels = load_image(data.image_path(image))
        if pixels.shape[:2] != (image.height, image.width):
            raise DatasetError(
                f"{image.file_name} is {pixels.shape[1]}x{pixels.shape[0]} pixels, "
                f"its record says {image.width}x{image.height}",
                hint="see all defects: partlab data check DATA",
            )
        return pixels

    with ThreadPoolExecutor(max_workers=2) as pool:
        for start in range(0, len(data.images), size):
            images = list(data.images[start : start + size])
            yield images, list(pool.map(load, images))
