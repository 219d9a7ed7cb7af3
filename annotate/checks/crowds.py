"""Crowd regions (COCO's `iscrowd`): which are meant, and which a tool wrote for single masks.

CVAT writes every brush mask as run lengths with `iscrowd` 1. Taken at its word such a file holds
nothing to learn from. In COCO itself a crowd region is run lengths, too, but one for a category
in an image, beside many single masks.
"""

from collections import Counter
from collections.abc import Iterator

from annotate.checks.kinds import KINDS
from partlab.schema import Annotation, Dataset, Finding


def crowd_findings(dataset: Dataset) -> Iterator[Finding]:
    """Every annotation that says `iscrowd`, as what it looks like."""
    kind = "crowd_mask" if single_masks(dataset) else "crowd"
    for a in dataset.annotations:
        if a.iscrowd:
            image = dataset.image_by_id.get(a.image_id)
            yield KINDS[kind].at("iscrowd is set", image=image, annotation=a)


def single_masks(dataset: Dataset) -> bool:
    """Whether the crowd regions of a file look like single masks that a tool flagged.

    That is so if there is nothing else in the file; or if every run-length mask is one, and
    several are of one category in one image, or they carry the attributes that CVAT writes.
    """
    crowd = [a for a in dataset.annotations if a.iscrowd]
    if len(crowd) in (0, len(dataset.annotations)):
        return bool(crowd)
    brushed = [a for a in dataset.annotations if isinstance(a.segmentation, dict)]
    if not brushed or not all(a.iscrowd for a in brushed):
        return False
    places = Counter((a.image_id, a.category_id) for a in crowd)
    return max(places.values()) > 1 or any(map(_by_cvat, crowd))


def _by_cvat(annotation: Annotation) -> bool:
    attributes = annotation.raw.get("attributes")
    return isinstance(attributes, dict) and "occluded" in attributes
