"""Mask AP while training: the number that picks the best checkpoint."""

import logging
from collections.abc import Iterable, Sequence

from partlab.images import load_image
from partlab.schema import Dataset, Image
from partlab.truth import usable
from segmenter.ap import Result, mask_ap
from segmenter.label_space import results
from segmenter.objects import objects_shown
from segmenter.protocol import Segmenter

log = logging.getLogger(__name__)


def quick_ap(segmenter: Segmenter, val: Dataset) -> tuple[float, float]:
    """AP and AP50 (0…1) with the category filter, over all images of `val`.

    Masks without usable pixels are left out.
    """
    val, _ = usable(val)
    return score(val, found_in(segmenter, val, val.images))


def found_in(segmenter: Segmenter, val: Dataset, images: Sequence[Image]) -> list[Result]:
    """What the segmenter finds in some images of `val`, as COCO results."""
    labels = segmenter.parts.matched(val.parts)
    objects = {image.id: objects_shown(image, val, segmenter.parts) for image in images}
    if unknown := sum(each is None for each in objects.values()):
        log.info("%d validation images without a known object category: not filtered", unknown)
    found: list[Result] = []
    for image in images:
        pixels = load_image(val.image_path(image))
        (detections,) = segmenter.predict([pixels], [objects[image.id]])
        found += results(detections, image, val, labels)
    return found


def score(val: Dataset, results: Iterable[Result]) -> tuple[float, float]:
    """AP and AP50 (0…1) of results for all images of `val`, in any order of images."""
    scored = mask_ap(val, results)
    return scored.ap or 0.0, scored.ap50 or 0.0
