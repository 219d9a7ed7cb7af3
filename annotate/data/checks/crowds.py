"""Crowd regions (COCO's `iscrowd`): which are meant, and which a tool wrote for single masks.

CVAT writes every brush mask as run lengths with `iscrowd` 1. Taken at its word such a file holds
nothing to learn from. In COCO itself a crowd region is run lengths, too, but one for a category
in an image, beside many single masks.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from annotate.data.checks.kinds import KINDS
from partlab.schema import Annotation, Dataset, Finding


def crowd_findings(dataset: Dataset) -> Iterator[Finding]:
    """Every annotation that says `iscrowd`, as what it looks like."""
    single = single_masks(dataset)
    for a in dataset.annotations:
        if a.iscrowd:
            image = dataset.image_by_id.get(a.image_id)
            kind = "crowd_mask" if single(a) else "crowd"
            yield KINDS[kind].at("iscrowd is set", image=image, annotation=a)


def single_masks(dataset: Dataset) -> Callable[[Annotation], bool]:
    """Tells whether a crowd region of this file looks like a single mask that a tool flagged.

    That is so if it carries the attributes that CVAT writes, or if the file holds nothing else;
    and, where every run-length mask is one, if its image has several of its category.
    """
    crowd = [a for a in dataset.annotations if a.iscrowd]
    brushed = [a for a in dataset.annotations if isinstance(a.segmentation, dict)]
    alone, all_brushed = len(crowd) == len(dataset.annotations), all(a.iscrowd for a in brushed)
    places = Counter((a.image_id, a.category_id) for a in crowd)

    def single(annotation: Annotation) -> bool:
        place = annotation.image_id, annotation.category_id
        several = all_brushed and places[place] > 1
        return bool(annotation.iscrowd) and (alone or several or _by_cvat(annotation))

    return single


def _by_cvat(annotation: Annotation) -> bool:
    attributes = annotation.raw.get("attributes")
    return isinstance(attributes, dict) and "occluded" in attributes
