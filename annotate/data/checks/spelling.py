"""Rules on what categories are called, and on pieces of polygons that cover nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from annotate.data.checks.kinds import KINDS
from annotate.data.checks.sizes import Sizes
from annotate.data.renaming import united
from partlab.counts import counted, few
from partlab.masks import drawable
from partlab.objects import same_names, without_object
from partlab.schema import Annotation, Category, Dataset, Finding, Image


def spelling_findings(dataset: Dataset) -> Iterator[Finding]:
    """Categories without an object or of one name, and stray pieces of polygons."""
    if alone := without_object(dataset.categories):
        total = counted(len(dataset.categories), "category", "categories")
        verb = "names" if len(alone) == 1 else "name"
        names = few([category.part for category in alone], 8)
        what = f"{len(alone)} of {total} {verb} no object: {names}"
        yield KINDS["no_object"].at(what, category=alone[0].id)
    for group in same_names(dataset.categories):
        yield from _alike(group)
    for annotation in dataset.annotations:
        if count := _strays(annotation):
            image = dataset.image_by_id.get(annotation.image_id)
            what = f"{count} of {len(annotation.segmentation)} pieces have fewer than 3 points"
            yield KINDS["stray_piece"].at(what, image=image, annotation=annotation)


def _alike(group: list[Category]) -> Iterator[Finding]:
    first = group[0]
    for category in group[1:]:
        if category.name != first.name:  # two of exactly one name are told by their ids
            what = f"categories {first.id} ({first.name}) and {category.id} ({category.name})"
            yield KINDS["similar_category"].at(what, category=category.id)


def _strays(annotation: Annotation) -> int:
    """Pieces that may go without a pixel changing: those beside at least one drawable piece."""
    pieces = annotation.segmentation
    good = drawable(pieces) if isinstance(pieces, list) else []
    return len(pieces) - len(good) if good else 0


def respelled(dataset: Dataset, repaired: Counter[str], *, look: bool) -> Dataset:
    """Stray pieces gone, categories of exactly one name united, and sizes read if `look`."""
    if look:
        dataset = replace(dataset, images=list(_sized(dataset, repaired)))
    names = {category.name for category in dataset.categories}
    distinct_ids = len(dataset.category_by_id) == len(dataset.categories)
    if distinct_ids and len(names) < len(dataset.categories):
        repaired["duplicate_category"] += len(dataset.categories) - len(names)
        dataset = united(dataset, exactly=True)
    annotations = list(_without_strays(dataset.annotations, repaired))
    return replace(dataset, annotations=annotations)


def _sized(dataset: Dataset, repaired: Counter[str]) -> Iterator[Image]:
    """Images that state no size get the picture's own, unless masks reach out of it."""
    sizes = Sizes(dataset)
    for image in dataset.images:
        if min(image.width, image.height) < 1 and (size := sizes.readable(image)):
            repaired["bad_size"] += 1
            image = image.changed(width=size[0], height=size[1])
        yield image


def _without_strays(
    annotations: Iterable[Annotation], repaired: Counter[str]
) -> Iterator[Annotation]:
    for annotation in annotations:
        if _strays(annotation):
            repaired["stray_piece"] += 1
            annotation = annotation.changed(segmentation=drawable(annotation.segmentation))
        yield annotation
