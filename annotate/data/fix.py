"""Repair what can be repaired without losing anything; always into a new data set.

Every change keeps the pixels of every mask and every statement a person made: a mask is cut
only where the picture itself is as large as stated and little lies outside. What is left (a
broken polygon, an overlap, a doubtful size) stays as it was, for a person to judge.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotate.data.check import Report, check_folder
from annotate.data.checks.crowds import single_masks
from annotate.data.checks.masks import draw, mask_findings
from annotate.data.checks.overlaps import same_but_id
from annotate.data.checks.settings import CheckSettings
from annotate.data.checks.sizes import Sizes
from annotate.data.checks.spelling import respelled
from annotate.data.formats import get_format
from annotate.data.formats.pictures import Pictures
from annotate.data.stale import marked
from partlab.coco import find_splits, read_coco
from partlab.folders import new_folder
from partlab.inclusions import Inclusions, pairs_of, spelled
from partlab.masks import area, bbox
from partlab.schema import OURS, Annotation, Dataset, Finding, Image, Raw
from partlab.truth import holds_no_pixels


@dataclass(frozen=True)
class Repair:
    """How many records of each kind of defect were repaired, and what is left.

    `dropped` counts annotations without pixels that were taken away, as asked.
    """

    repaired: Counter[str]
    remaining: Report
    dropped: int = 0


def fix_folder(
    path: str | Path,
    out: str | Path,
    *,
    pictures: Pictures = Pictures.link,
    look: bool = True,
    drop_unusable: bool = False,
    force: bool = False,
    settings: CheckSettings | None = None,
) -> Repair:
    """Write a repaired copy of every split to `out`, then check the copy.

    `look` also opens the picture files, for sizes. `drop_unusable` takes annotations away that
    would hold no pixels in an image of any size; the file keeps them under `partlab.dropped`.

    Raises:
        OutputExistsError: `out` holds files, and `force` is off.
        NotFoundError: there is no data set at `path`.
    """
    splits, repaired, dropped = find_splits(path), Counter[str](), 0
    with new_folder(out, force=force, inputs=[path]) as folder:
        for split, file in splits.items():
            fixed, count = fix_dataset(
                marked(read_coco(file, as_is=True)), look=look, settings=settings
            )
            repaired += count
            if drop_unusable:
                before = len(fixed.annotations)
                fixed = without_unusable(fixed)
                dropped += before - len(fixed.annotations)
            get_format("coco").write(fixed, folder, split, pictures)
    look = look and pictures is not Pictures.none
    remaining = check_folder(out, pictures=look, settings=settings)
    return Repair(repaired, remaining, dropped)


def fix_dataset(
    dataset: Dataset, *, look: bool = True, settings: CheckSettings | None = None
) -> tuple[Dataset, Counter[str]]:
    """The repaired data set and how many repairs of each kind; the input stays as it is."""
    repaired: Counter[str] = Counter()
    dataset = respelled(dataset, repaired, look=look)
    images = list(_without_copies(dataset.images, repaired))
    if look:
        images = list(_sized(replace(dataset, images=images), repaired))
    sizes = Sizes(replace(dataset, images=images)) if look else None
    single = single_masks(dataset)
    annotations = [_flagless(a, repaired) if single(a) else a for a in dataset.annotations]
    annotations = list(_renumbered(annotations, repaired))
    by_id = _by_id(images)
    settings = settings or CheckSettings()
    annotations = [_told(a, by_id.get(a.image_id), settings, sizes, repaired) for a in annotations]
    annotations = list(_distinct(annotations, by_id, repaired))
    inclusions = _without_self(dataset.inclusions, repaired)
    return (
        replace(dataset, images=images, annotations=annotations, inclusions=inclusions),
        +repaired,
    )


def without_unusable(dataset: Dataset) -> Dataset:
    """The data set without annotations that hold no pixels; `partlab.dropped` keeps them.

    What may hold pixels stays: a mask of another size than its image, or all outside of it.
    """
    kept: list[Annotation] = []
    dropped: list[Raw] = []
    for position, a in enumerate(dataset.annotations):
        if holds_no_pixels(a.segmentation):
            entry = {"list": "annotations", "position": position, "reason": "holds no pixels"}
            dropped.append({**entry, "record": a.raw})
        else:
            kept.append(a)
    if not dropped:
        return dataset
    ours = dict(dataset.top.get(OURS) or {})
    ours["dropped"] = [*ours.get("dropped", []), *dropped]
    return replace(dataset, annotations=kept, top={**dataset.top, OURS: ours})


def _by_id(images: Iterable[Image]) -> dict[int, Image]:
    """The image of each id; an id that several hold has none, for nobody knows whose masks."""
    found: dict[int, Image] = {}
    shared = set()
    for image in images:
        if found.setdefault(image.id, image) is not image:
            shared.add(image.id)
    return {id: image for id, image in found.items() if id not in shared}


def _without_copies(images: Iterable[Image], repaired: Counter[str]) -> Iterator[Image]:
    """Records that repeat another one word for word go."""
    first: dict[int, list[Image]] = {}
    for image in images:
        if any(image.raw == other.raw for other in first.setdefault(image.id, [])):
            repaired["duplicate_image_id"] += 1
        else:
            first[image.id].append(image)
            yield image


def _sized(dataset: Dataset, repaired: Counter[str]) -> Iterator[Image]:
    """Images with the picture's own size, unless masks speak against it."""
    sizes = Sizes(dataset)
    for image in dataset.images:
        if size := sizes.corrected(image):
            repaired["wrong_image_size"] += 1
            image = image.changed(width=size[0], height=size[1])
        yield image


def _renumbered(annotations: Iterable[Annotation], repaired: Counter[str]) -> Iterator[Annotation]:
    """Later holders of a taken id get the next free one."""
    annotations = list(annotations)
    free = max((a.id for a in annotations), default=0) + 1
    taken: set[int] = set()
    for annotation in annotations:
        if annotation.id in taken:
            annotation, free = annotation.changed(id=free), free + 1
            repaired["duplicate_annotation_id"] += 1
        taken.add(annotation.id)
        yield annotation


def _flagless(annotation: Annotation, repaired: Counter[str]) -> Annotation:
    repaired["crowd_mask"] += 1
    return annotation.changed(iscrowd=0)


def _told(
    annotation: Annotation,
    image: Image | None,
    settings: CheckSettings,
    sizes: Sizes | None,
    repaired: Counter[str],
) -> Annotation:
    """Area and box as the mask has them; a mask that leaves its image becomes run lengths."""
    rle = draw(annotation, image) if image else None
    if image is None or rle is None or isinstance(rle, Finding):
        return annotation
    true: dict[str, dict[str, Any]] = {
        "out_of_bounds": {"segmentation": rle, "area": area(rle), "bbox": bbox(rle)},
        "wrong_area": {"area": area(rle)},
        "wrong_bbox": {"bbox": bbox(rle)},
    }
    for finding in list(mask_findings(annotation, image, rle, settings, sizes)):
        if finding.fixable:
            annotation = annotation.changed(**true[finding.kind])
            repaired[finding.kind] += 1
    return annotation


def _distinct(
    annotations: Iterable[Annotation], images: dict[int, Image], repaired: Counter[str]
) -> Iterator[Annotation]:
    """Annotations that repeat another one in everything but the id go."""
    first: dict[tuple[int, int], list[Annotation]] = {}
    for annotation in annotations:
        key = annotation.image_id, annotation.category_id
        same = any(same_but_id(annotation, other) for other in first.setdefault(key, []))
        if same and annotation.image_id in images:
            repaired["duplicate_mask"] += 1
        else:
            first[key].append(annotation)
            yield annotation


def _without_self(inclusions: Inclusions, repaired: Counter[str]) -> Inclusions:
    kept = {
        owner: spelled((inner, outer) for inner, outer in pairs_of(pairs) if inner != outer)
        for owner, pairs in inclusions.items()
    }
    lost = sum(inner == outer for pairs in inclusions.values() for inner, outer in pairs_of(pairs))
    if lost:
        repaired["inclusion_self"] += lost
    return kept
