"""Mask AP while training: the number that picks the best checkpoint."""

import logging

from partlab.images import load_image
from partlab.schema import Dataset
from segmenter.ap import mask_ap
from segmenter.label_space import results
from segmenter.objects import objects_shown
from segmenter.protocol import Segmenter

log = logging.getLogger(__name__)


def quick_ap(segmenter: Segmenter, val: Dataset) -> tuple[float, float]:
    """AP and AP50 (0…1) with the category filter, over all images of `val`."""
    labels = segmenter.parts.matched(val.parts)
    objects = {image.id: objects_shown(image, val, segmenter.parts) for image in val.images}
    if unknown := sum(each is None for each in objects.values()):
        log.info("%d validation images without a known object category: not filtered", unknown)
    found = []
    for image in val.images:
        pixels = load_image(val.image_path(image))
        (detections,) = segmenter.predict([pixels], [objects[image.id]])
        found += results(detections, image, val, labels)
    scored = mask_ap(val, found)
    return scored.ap or 0.0, scored.ap50 or 0.0
