"""Counts of a part data set, both of its densities, and the published table to compare with.

Nothing published is ever mixed with what was counted: references are rows of their own,
marked as such (requirements ST-01 to ST-05, A14).
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from annotate.data.about import efforts
from annotate.data.effort import Effort
from partlab.coco import find_splits, read_coco
from partlab.counts import counted
from partlab.errors import NotFoundError
from partlab.files import sha256_json
from partlab.inclusions import pairs_of
from partlab.schema import Dataset

log = logging.getLogger(__name__)

BINS: tuple[tuple[str, int, int], ...] = (
    ("1-2", 1, 2),
    ("3-4", 3, 4),
    ("5-6", 5, 6),
    ("7+", 7, 10**9),
)
"""The bins of the paper's Table S1: name, least and most distinct part categories."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, middle and most of some counts; all zero when there is nothing to count."""

    least: int
    median: float
    most: int

    @classmethod
    def of(cls, counts: Iterable[int]) -> "Spread":
        """The spread of these counts."""
        values = list(counts)
        return cls(min(values), median(values), max(values)) if values else cls(0, 0, 0)


@dataclass(frozen=True, slots=True)
class ObjectCount:
    """One object category: how many parts, images and masks, and how evenly shared."""

    object: str
    parts: int
    images: int
    masks: int
    images_per_part: Spread
    inclusions: int


@dataclass(frozen=True, slots=True)
class PartCount:
    """One part category."""

    object: str
    part: str
    images: int
    masks: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a part data set holds (ST-01 to ST-03, D-05, D-06).

    The two densities differ where an image shows a part more than once:
    `masks_per_image` counts every mask (*mask instances per image*), `parts_per_image` every
    kind of part once (*distinct part categories per image*). Both are means over all
    images. `bins` are shares of the images with at least one mask, by distinct part
    categories, as in the paper's Table S1.
    """

    name: str
    objects: int
    parts: int
    images: int
    masks: int
    masks_per_image: float
    parts_per_image: float
    images_without_masks: int
    bins: dict[str, float]
    inclusions: int
    objects_with_inclusions: int
    whole_object_parts: int
    discards: int
    images_per_object: Spread
    images_per_part: Spread
    masks_per_part: Spread
    provenance: dict[str, int]  # masks
    sources: dict[str, int]  # images
    licenses: dict[str, int]  # images
    origin_splits: dict[str, int]  # images
    effort: Effort | None = None  # what the work took, where it is known and one
    efforts: dict[str, Effort] = field(default_factory=dict)  # by the names of the works
    per_object: list[ObjectCount] = field(default_factory=list)
    per_part: list[PartCount] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reference:
    """A row of the paper's Table 1: published, not counted here (ST-04)."""

    name: str
    objects: int
    parts: int
    images: int
    masks: int
    note: str = ""


REFERENCES: tuple[Reference, ...] = (
    Reference("Cityscapes PP", 5, 23, 3_500, 100_000),
    Reference("Pascal-Part", 20, 193, 19_000, 363_500),
    Reference("ADE20K", 80, 566, 12_600, 193_200, "parts with more than 10 masks"),
    Reference("PACO", 75, 456, 76_700, 641_400),
    Reference("PartImageNet", 158, 609, 24_000, 112_000),
    Reference(
        "PartImageNet++",
        1_000,
        3_308,
        100_000,
        406_364,
        "3,308 part categories in Table 1, 3,310 in section 3.2",
    ),
)

REFERENCE_BINS = {"1-2": 0.4627, "3-4": 0.4487, "5-6": 0.0866, "7+": 0.0020}
"""Table S1 of the paper. Its mean fits distinct part categories, not 4.06 masks an image."""


def read_splits(path: str | Path, split: str | None = None) -> list[Dataset]:
    """Every split of a data set folder, or the one named.

    Raises:
        NotFoundError: no data set there, or it has no such split.
    """
    splits = find_splits(path)
    if split is not None and split not in splits:
        raise NotFoundError(
            f"no split {split!r} in {path}", hint=f"its splits: {', '.join(splits)}"
        )
    return [read_coco(file) for name, file in splits.items() if split in (None, name)]


_Part = tuple[str, str]  # object, part
_ImageKey = tuple[int, int]  # position of the data set, image id


def measure(datasets: Sequence[Dataset], name: str) -> Statistics:
    """Count the splits of one data set together; a part category counts once for all.

    Masks of unknown images or categories are left out (`partlab data check` finds them), as are
    boxes without a mask; these are counted and said.
    """
    boxes = sum(not a.segmentation for dataset in datasets for a in dataset.annotations)
    if boxes:
        log.warning("%s: not counted: %s without a mask", name, counted(boxes, "annotation"))
    known = _parts(datasets)
    masks: Counter[_Part] = Counter()
    seen: defaultdict[_ImageKey, set[_Part]] = defaultdict(set)
    provenance: Counter[str] = Counter()
    for position, dataset in enumerate(datasets):
        for annotation in dataset.annotations:
            category = dataset.category_by_id.get(annotation.category_id)
            if category is None or annotation.image_id not in dataset.image_by_id:
                continue
            if not annotation.segmentation:
                continue
            part = category.object, category.part
            masks[part] += 1
            seen[position, annotation.image_id].add(part)
            provenance[annotation.provenance] += 1
    images = [(dataset, image) for dataset in datasets for image in dataset.images]
    by_object = _images_by_object(datasets, seen)
    by_part = Counter(part for parts in seen.values() for part in parts)
    relations = {
        (owner, pair)
        for d in datasets
        for owner, around in d.inclusions.items()
        for pair in pairs_of(around)
    }
    took = efforts(datasets)
    return Statistics(
        name=name,
        objects=len({owner for owner, _ in known}),
        parts=len(known),
        images=len(images),
        masks=sum(masks.values()),
        masks_per_image=sum(masks.values()) / len(images) if images else 0.0,
        parts_per_image=sum(by_part.values()) / len(images) if images else 0.0,
        images_without_masks=len(images) - len(seen),
        bins=_bins([len(parts) for parts in seen.values()]),
        inclusions=len(relations),
        objects_with_inclusions=len({owner for owner, _ in relations}),
        whole_object_parts=sum(known.values()),
        discards=len({sha256_json(d.raw) for dataset in datasets for d in dataset.discards}),
        images_per_object=Spread.of(by_object[owner] for owner in {o for o, _ in known}),
        images_per_part=Spread.of(by_part[part] for part in known),
        masks_per_part=Spread.of(masks[part] for part in known),
        provenance=_sorted(provenance),
        sources=_tally(image.source or image.raw.get("source") for _, image in images),
        licenses=_tally(image.license for _, image in images),
        origin_splits=_tally(image.origin_split for _, image in images),
        effort=next(iter(took.values())) if len(took) == 1 else None,
        efforts=took,
        per_object=_per_object(known, by_object, by_part, masks, relations),
        per_part=[PartCount(*part, by_part[part], masks[part]) for part in known],
    )


def _parts(datasets: Sequence[Dataset]) -> dict[_Part, bool]:
    """Part categories in order of appearance -> whether it is the whole object."""
    known: dict[_Part, bool] = {}
    for dataset in datasets:
        for category in dataset.categories:
            known.setdefault((category.object, category.part), category.whole_object)
    return known


def _images_by_object(
    datasets: Sequence[Dataset], seen: dict[_ImageKey, set[_Part]]
) -> Counter[str]:
    found: Counter[str] = Counter()
    for position, dataset in enumerate(datasets):
        for image in dataset.images:
            owners = {owner for owner, _ in seen.get((position, image.id), ())}
            found.update({image.object} if image.object else owners)
    return found


def _bins(counts: Sequence[int]) -> dict[str, float]:
    return {
        name: mean(least <= count <= most for count in counts) if counts else 0.0
        for name, least, most in BINS
    }


def _tally(stated: Iterable[object]) -> dict[str, int]:
    return _sorted(Counter(str(value or "not stated") for value in stated))


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _per_object(
    known: dict[_Part, bool],
    by_object: Counter[str],
    by_part: Counter[_Part],
    masks: Counter[_Part],
    relations: set[tuple[str, tuple[str, str]]],
) -> list[ObjectCount]:
    owned: dict[str, list[_Part]] = {}
    for part in known:
        owned.setdefault(part[0], []).append(part)
    return [
        ObjectCount(
            owner,
            len(parts),
            by_object[owner],
            sum(masks[part] for part in parts),
            Spread.of(by_part[part] for part in parts),
            sum(relation[0] == owner for relation in relations),
        )
        for owner, parts in owned.items()
    ]
