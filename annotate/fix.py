"""Repair what can be repaired without losing anything; always into a new data set.

Every change keeps the pixels inside the image and every statement a person made. What is
left (a broken polygon, an overlap, a doubtful name) stays as it was, for a person to judge.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotate.check import Report, check_folder
from annotate.checks.masks import draw, mask_findings
from annotate.checks.overlaps import same_but_id
from annotate.checks.pictures import masks_fit
from annotate.checks.settings import CheckSettings
from annotate.formats import get_format
from annotate.formats.pictures import Pictures
from partlab.coco import find_splits, read_coco
from partlab.errors import DatasetError, NotFoundError
from partlab.folders import new_folder
from partlab.images import image_size
from partlab.masks import area, bbox
from partlab.parts import Inclusions
from partlab.schema import Annotation, Dataset, Finding, Image


@dataclass(frozen=True)
class Repair:
    """How many records of each kind of defect were repaired, and what is left."""

    repaired: Counter[str]
    remaining: Report


def fix_folder(
    path: str | Path,
    out: str | Path,
    *,
    pictures: Pictures = Pictures.link,
    look: bool = True,
    force: bool = False,
    settings: CheckSettings | None = None,
) -> Repair:
    """Write a repaired copy of every split to `out`, then check the copy.

    `look` also opens the picture files, for sizes.

    Raises:
        OutputExistsError: `out` holds files, and `force` is off.
        NotFoundError: there is no data set at `path`.
    """
    splits, repaired = find_splits(path), Counter[str]()
    with new_folder(out, force=force, inputs=[path]) as folder:
        for split, file in splits.items():
            fixed, count = fix_dataset(read_coco(file, lenient=True), look=look, settings=settings)
            repaired += count
            get_format("coco").write(fixed, folder, split, pictures)
    look = look and pictures is not Pictures.none
    remaining = check_folder(out, pictures=look, settings=settings)
    return Repair(repaired, remaining)


def fix_dataset(
    dataset: Dataset, *, look: bool = True, settings: CheckSettings | None = None
) -> tuple[Dataset, Counter[str]]:
    """The repaired data set and how many repairs of each kind; the input stays as it is."""
    repaired: Counter[str] = Counter()
    images = list(_without_copies(dataset.images, repaired))
    images = [_sized(dataset, image, repaired) if look else image for image in images]
    annotations = list(_renumbered(dataset.annotations, repaired))
    by_id = {image.id: image for image in images}
    settings = settings or CheckSettings()
    annotations = [_told(a, by_id.get(a.image_id), settings, repaired) for a in annotations]
    annotations = list(_distinct(annotations, by_id, repaired))
    inclusions = _without_self(dataset.inclusions, repaired)
    return (
        replace(dataset, images=images, annotations=annotations, inclusions=inclusions),
        repaired,
    )


def _without_copies(images: Iterable[Image], repaired: Counter[str]) -> Iterator[Image]:
    """Records that repeat another one word for word go."""
    first: dict[int, list[Image]] = {}
    for image in images:
        if any(image.raw == other.raw for other in first.setdefault(image.id, [])):
            repaired["duplicate_image_id"] += 1
        else:
            first[image.id].append(image)
            yield image


def _sized(dataset: Dataset, image: Image, repaired: Counter[str]) -> Image:
    """The picture's own size, unless EXIF or the masks speak against it."""
    try:
        width, height = image_size(dataset.image_path(image))
    except (NotFoundError, DatasetError):
        return image
    stated = image.width, image.height
    if stated in ((width, height), (height, width)) or not masks_fit(dataset, image, width, height):
        return image
    repaired["wrong_image_size"] += 1
    return image.changed(width=width, height=height)


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


def _told(
    annotation: Annotation, image: Image | None, settings: CheckSettings, repaired: Counter[str]
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
    for finding in list(mask_findings(annotation, image, rle, settings)):
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
        owner: {inner: outer for inner, outer in pairs.items() if inner != outer}
        for owner, pairs in inclusions.items()
    }
    lost = sum(map(len, inclusions.values())) - sum(map(len, kept.values()))
    if lost:
        repaired["inclusion_self"] += lost
    return kept
