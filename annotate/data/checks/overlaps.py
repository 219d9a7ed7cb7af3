"""Rules on the masks of one image together: overlaps (M-02), copies, coverage (M-01)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from annotate.data.accepted import accepted_pairs
from annotate.data.checks.kinds import KINDS
from annotate.data.checks.settings import CheckSettings
from partlab.errors import MaskError
from partlab.inclusions import related
from partlab.masks import (
    BoolMask,
    Rle,
    area,
    bbox,
    decode,
    from_segmentation,
    intersection,
    iou,
    union,
)
from partlab.schema import OURS, Annotation, Category, Dataset, Finding, Image

_WHOLE = frozenset({"object", "whole", "whole object"})
Drawn = Sequence[tuple[Annotation, Rle]]
Pair = tuple[int, int]


def overlap_findings(
    dataset: Dataset, image: Image, drawn: Drawn, settings: CheckSettings
) -> Iterator[Finding]:
    """Masks that are copies of each other, and parts that overlap without an inclusion.

    Of each pair of categories the first offending annotation is named, with how many more.
    """
    hits: dict[tuple[int, int, str], list[tuple[Annotation, Annotation, float]]] = {}
    accepted = accepted_pairs(dataset)
    for a, b, shared in _overlapping(drawn):
        if a[0].category_id == b[0].category_id:
            if a[1] == b[1]:
                yield _copy(image, a[0], b[0])
        elif not _allowed(dataset, a[0], b[0]) and not _edge_only(a[1], b[1], shared, settings):
            small, large = (a, b) if area(a[1]) <= area(b[1]) else (b, a)
            pair = small[0].category_id, large[0].category_id
            kind = "accepted_overlap" if frozenset(pair) in accepted else _kind_of(a[0], b[0])
            hits.setdefault((*pair, kind), []).append((small[0], large[0], shared))
    for (inner, outer, kind), found in hits.items():
        small, large, shared = found[0]
        names = dataset.category_by_id[inner].name, dataset.category_by_id[outer].name
        more = f", and {len(found) - 1} more such masks" if len(found) > 1 else ""
        what = f"{names[0]} shares {shared:.0f} px with {names[1]} (annotation {large.id}){more}"
        yield KINDS[kind].at(what, image=image, annotation=small, other=large)


def overlaps_of(rles: Sequence[Rle], settings: CheckSettings | None = None) -> Iterator[Pair]:
    """Positions of masks that share more than the border of two neighbours, the smaller first."""
    settings = settings or CheckSettings()
    for a, b, shared in _overlapping([(at, rle) for at, rle in enumerate(rles)]):
        if not _edge_only(a[1], b[1], shared, settings):
            small, large = (a, b) if area(a[1]) <= area(b[1]) else (b, a)
            yield small[0], large[0]


def _overlapping(drawn: Sequence[tuple[Any, Rle]]) -> Iterator[tuple[Any, Any, float]]:
    """Pairs of masks with a pixel in common, and how many pixels."""
    if len(drawn) < 2:
        return
    rles = [rle for _, rle in drawn]
    ratios = np.triu(iou(rles, rles), 1)
    for first, second in zip(*np.nonzero(ratios), strict=True):
        ratio, both = ratios[first, second], area(rles[first]) + area(rles[second])
        yield drawn[first], drawn[second], ratio * both / (1 + ratio)


def _kind_of(*pair: Annotation) -> str:
    """M-02 binds people; between a network's masks the scores decide (B4.5)."""
    predicted = any(annotation.provenance.startswith("pseudo:") for annotation in pair)
    return "predicted_overlap" if predicted else "overlap"


def _copy(image: Image, first: Annotation, second: Annotation) -> Finding:
    what = f"the same pixels as annotation {first.id}"
    same = same_but_id(first, second)
    return KINDS["duplicate_mask"].at(
        what, image=image, annotation=second, other=first, fixable=same
    )


def same_but_id(first: Annotation, second: Annotation) -> bool:
    """Whether two annotations say the same thing, so that one of them can go."""
    return {**first.raw, "id": 0} == {**second.raw, "id": 0}


def _allowed(dataset: Dataset, a: Annotation, b: Annotation) -> bool:
    """An inclusion is declared between them (maybe through others), or one is the whole object."""
    categories = [dataset.category_by_id.get(x.category_id) for x in (a, b)]
    if any(category is None or is_whole(category) for category in categories):
        return True
    labels = [dataset.label_of[x.category_id] for x in (a, b)]
    return related(labels[0], labels[1], dataset.parts.parents)


def is_whole(category: Category) -> bool:
    """Whether the category means the object itself, not one part beside others."""
    return category.whole_object or category.part.lower() in _WHOLE


def _edge_only(a: Rle, b: Rle, shared: float, settings: CheckSettings) -> bool:
    """Whether the common pixels are no more than the border of two neighbours."""
    if shared >= settings.overlap_fraction * min(area(a), area(b)):
        return False
    common = intersection([a, b])
    x, y, width, height = (int(side) for side in bbox(common))
    thick = 2 * settings.edge_pixels + 1
    if min(width, height) < thick:
        return True
    return not _erode(decode(common)[y : y + height, x : x + width], settings.edge_pixels).any()


def _erode(mask: BoolMask, pixels: int) -> BoolMask:
    """The mask without the outermost `pixels` all around."""
    mask = np.pad(mask, 1)
    for _ in range(pixels):
        inside = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1]
        mask = np.pad(inside & mask[1:-1, :-2] & mask[1:-1, 2:], 1)
    return mask


def coverage_findings(
    dataset: Dataset, image: Image, drawn: Drawn, settings: CheckSettings
) -> Iterator[Finding]:
    """Parts that leave too much of the object out, where the object itself is known."""
    try:
        share = coverage(dataset, image, drawn)
    except MaskError as error:
        yield KINDS["corrupt_rle"].at(f"its object mask: {error.message}", image=image)
        return
    if share is not None and share < settings.coverage:
        yield KINDS["uncovered_object"].at(f"parts cover {share:.0%} of the object", image=image)


def coverage(dataset: Dataset, image: Image, drawn: Drawn) -> float | None:
    """Share of the object's pixels that its parts cover (M-01); None where it is not known.

    The object is known by the image's `partlab.object_mask` (a COCO segmentation), or by the
    mask of a category that means the whole object beside others.

    Raises:
        MaskError: the stated object mask cannot be read.
    """
    whole: list[Rle] = []
    parts: list[Rle] = []
    for annotation, rle in drawn:
        category = dataset.category_by_id.get(annotation.category_id)
        if category is not None:
            (whole if is_whole(category) else parts).append(rle)
    stated = image.raw.get(OURS, {}).get("object_mask")
    if stated is not None:
        whole = [from_segmentation(stated, image.height, image.width)]
    if not whole or (not parts and stated is None):
        return None
    truth = union(whole)
    covered = area(intersection([truth, union(parts)])) if parts else area(truth) * (not drawn)
    return covered / area(truth) if area(truth) else None
