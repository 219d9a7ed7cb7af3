"""How much of each object its parts cover (M-01, V-05), where the object itself is known."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from annotate.data.checks.masks import draw
from annotate.data.checks.overlaps import coverage
from partlab.errors import MaskError
from partlab.progress import track
from partlab.schema import Dataset, Finding

WORST = 10


@dataclass(frozen=True, slots=True)
class Covered:
    """One image: the share of its object's pixels that parts cover."""

    object: str
    file_name: str
    share: float


@dataclass(frozen=True, slots=True)
class ObjectCoverage:
    """One object category: mean and least share over the images where it is known."""

    object: str
    measured: int
    mean: float
    least: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """Coverage of a data set, worst first.

    Without a mask of the object nobody can tell what its parts leave out, so only images with
    one count: `partlab.object_mask`, or a category that means the whole object beside others.
    `measured` of `images` have one; `mean` is None when none has.
    """

    images: int
    measured: int
    mean: float | None
    objects: list[ObjectCoverage]
    worst: list[Covered]


def measure_coverage(datasets: Sequence[Dataset]) -> Coverage:
    """Measure every image whose object is known; masks that cannot be drawn are left out."""
    found: list[Covered] = []
    for dataset in datasets:
        for image in track(dataset.images, "measuring coverage", len(dataset.images)):
            masks = [(a, draw(a, image)) for a in dataset.annotations_of(image)]
            drawn = [(a, rle) for a, rle in masks if not isinstance(rle, Finding)]
            try:
                share = coverage(dataset, image, drawn)
            except MaskError:
                continue
            if share is not None:
                found.append(Covered(dataset.object_of(image) or "?", image.file_name, share))
    found.sort(key=lambda one: one.share)
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for one in found:
        shares[one.object].append(one.share)
    objects = [
        ObjectCoverage(o, len(own), sum(own) / len(own), min(own)) for o, own in shares.items()
    ]
    return Coverage(
        images=sum(len(dataset.images) for dataset in datasets),
        measured=len(found),
        mean=sum(one.share for one in found) / len(found) if found else None,
        objects=sorted(objects, key=lambda one: one.least),
        worst=found[:WORST],
    )
