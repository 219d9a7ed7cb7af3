"""Mask AP while training: the number that picks the best checkpoint."""

from collections.abc import Iterable, Sequence

from partlab.images import load_image
from partlab.schema import Dataset, Image
from partlab.truth import usable
from segmenter.ap import Result, mask_ap
from segmenter.protocol import Segmenter, object_labels


def quick_ap(segmenter: Segmenter, val: Dataset) -> tuple[float, float]:
    """AP and AP50 (0…1) with the category filter, over all images of `val`.

    Masks without usable pixels are left out.
    """
    val, _ = usable(val)
    return score(val, found_in(segmenter, val, val.images))


def found_in(segmenter: Segmenter, val: Dataset, images: Sequence[Image]) -> list[Result]:
    """What the segmenter finds in some images of `val`, as COCO results."""
    allowed = object_labels(segmenter.names)
    category = {label: c.id for label, c in enumerate(val.categories)}
    results = []
    for image in images:
        labels = allowed.get(val.object_of(image) or "")
        found = segmenter.predict([load_image(val.image_path(image))], [labels])[0]
        results += [
            {
                "image_id": image.id,
                "category_id": category[int(label)],
                "segmentation": rle,
                "score": float(score),
            }
            for label, rle, score in zip(found.labels, found.masks, found.scores, strict=True)
        ]
    return results


def score(val: Dataset, results: Iterable[Result]) -> tuple[float, float]:
    """AP and AP50 (0…1) of results for all images of `val`, in any order of images."""
    scored = mask_ap(val, results)
    return scored.ap or 0.0, scored.ap50 or 0.0
