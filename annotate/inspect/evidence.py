"""What an audit sees in one image: drawn masks beside those a network found.

All by run lengths: nothing is decoded, so an image costs well under a millisecond.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from partlab.errors import DatasetError, MaskError
from partlab.masks import Rle, area, from_segmentation, iou, union
from partlab.parts import split_name
from partlab.schema import Annotation, Dataset, Image


class Broken(NamedTuple):
    """A drawn mask that cannot be read, and why."""

    name: str
    annotation_id: int
    message: str


@dataclass(slots=True)
class Drawn:
    """One drawn mask (or, beside united predictions, all of a part) and what lies there."""

    name: str
    annotation_id: int
    overlap: float = 0.0  # IoU with the network's mask of this part
    growth: float | None = None  # log of its area over that mask's
    share: float | None = None  # log of its area over the object's
    twin: tuple[str, float] | None = None  # another part found here, and its IoU
    judged: bool = True  # whether there is something to compare with


@dataclass(slots=True)
class Found:
    """One mask of the network, and how much of it nobody drew."""

    name: str
    score: float
    uncovered: float  # share of its pixels outside what was drawn of this part


@dataclass(slots=True)
class Evidence:
    """Everything that was compared in one image."""

    image: Image
    object: str | None
    drawn: list[Drawn] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Predictions:
    """The network's masks, found by file name and part name."""

    dataset: Dataset | None
    images: Mapping[str, Image]
    known: frozenset[str]
    unknown: frozenset[str]  # parts of the data set that the network does not know
    united: bool  # at most one mask of each part in an image

    @classmethod
    def of(cls, dataset: Dataset, predictions: Dataset | None) -> "Predictions":
        """Index the predictions.

        Raises:
            DatasetError: they share no image, or no part, with the data set.
        """
        if predictions is None:
            return cls(None, {}, frozenset(), frozenset(), False)
        images = {image.file_name: image for image in predictions.images}
        if not any(image.file_name in images for image in dataset.images):
            raise DatasetError(
                f"no image of {dataset.path or 'the data set'} is among the predictions of "
                f"{predictions.path or 'the segmenter'}",
                hint="label these very images: the file names must be the same in both",
            )
        known, names = frozenset(predictions.names), frozenset(dataset.names)
        if not known & names:
            raise DatasetError(
                "the predictions know none of the parts of the data set",
                hint="use a segmenter that was trained on these part categories",
            )
        keys = [(a.image_id, a.category_id) for a in predictions.annotations]
        return cls(predictions, images, known, names - known, len(set(keys)) == len(keys))


def gather(dataset: Dataset, image: Image, seen: Predictions) -> Evidence:
    """Compare one image's masks with the network's."""
    evidence = Evidence(image, dataset.object_of(image))
    masks = _readable(dataset, image, evidence)
    shares = _shares(masks)
    predicted = seen.images.get(image.file_name)
    if seen.united and predicted is not None:
        masks, shares = _united(masks), {}
    evidence.drawn = [Drawn(a.name, a.id, share=shares.get(a.id), judged=False) for a in masks]
    if seen.dataset is not None and predicted is not None:
        owner = evidence.object
        found = [
            mask
            for mask in _readable(seen.dataset, predicted, None, size=(image.height, image.width))
            if owner is None or split_name(mask.name)[0] == owner
        ]
        _compare(evidence, masks, found, seen.known)
    return evidence


@dataclass(frozen=True, slots=True)
class _Mask:
    name: str
    id: int
    rle: Rle
    area: int
    score: float
    object_id: int | None


def _readable(
    dataset: Dataset,
    image: Image,
    evidence: Evidence | None,
    size: tuple[int, int] | None = None,
) -> list[_Mask]:
    """The masks that can be read; broken ones of people become reasons."""
    height, width = size or (image.height, image.width)
    masks = []
    for annotation in dataset.annotations_of(image):
        category = dataset.category_by_id.get(annotation.category_id)
        name = category.name if category else f"category {annotation.category_id}"
        try:
            rle = from_segmentation(annotation.segmentation, height, width)
            if not (pixels := area(rle)):
                raise MaskError("the mask is empty")
        except MaskError as error:
            if evidence is not None:
                evidence.broken.append(Broken(name, annotation.id, error.message))
            continue
        masks.append(_mask(annotation, name, rle, pixels))
    return masks


def _mask(annotation: Annotation, name: str, rle: Rle, pixels: int) -> _Mask:
    return _Mask(name, annotation.id, rle, pixels, annotation.score, annotation.object_id)


def _shares(masks: Sequence[_Mask]) -> dict[int, float]:
    """Log of each mask's share of all pixels drawn on its object."""
    objects: defaultdict[int | None, int] = defaultdict(int)
    for mask in masks:
        objects[mask.object_id] += mask.area
    return {mask.id: log(mask.area / objects[mask.object_id]) for mask in masks}


def _united(masks: Sequence[_Mask]) -> list[_Mask]:
    """One mask for each part, as united predictions have it."""
    groups: defaultdict[str, list[_Mask]] = defaultdict(list)
    for mask in masks:
        groups[mask.name].append(mask)
    united = []
    for name, group in groups.items():
        rle = union([mask.rle for mask in group]) if len(group) > 1 else group[0].rle
        united.append(_Mask(name, group[0].id, rle, area(rle), 1.0, None))
    return united


def _compare(
    evidence: Evidence, masks: Sequence[_Mask], found: Sequence[_Mask], known: frozenset[str]
) -> None:
    overlaps = iou([mask.rle for mask in masks], [mask.rle for mask in found])
    same = np.array([[a.name == b.name for b in found] for a in masks]).reshape(overlaps.shape)
    for drawn, mask in zip(evidence.drawn, masks, strict=True):
        drawn.judged = mask.name in known
    for row, column in best_pairs(np.where(same, overlaps, 0)):
        drawn = evidence.drawn[row]
        drawn.overlap = float(overlaps[row, column])
        drawn.growth = log(masks[row].area / found[column].area)
    for row, drawn in enumerate(evidence.drawn):
        others = np.where(same[row], 0, overlaps[row])
        if others.size and others.max() > 0:
            best = int(others.argmax())
            drawn.twin = found[best].name, float(others[best])
    evidence.found = [
        Found(mask.name, mask.score, 1 - _covered(mask, masks, overlaps[:, column]))
        for column, mask in enumerate(found)
    ]


def best_pairs(overlaps: NDArray[np.float64]) -> Iterable[tuple[int, int]]:
    """Best pairs first, each mask in one pair at most."""
    rows, columns = np.nonzero(overlaps)
    order = np.argsort(-overlaps[rows, columns], kind="stable")
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            yield row, column


def _covered(found: _Mask, masks: Sequence[_Mask], overlaps: NDArray[np.float64]) -> float:
    """Share of a found mask inside drawn masks of its part, which do not overlap (M-02)."""
    inside = sum(
        overlap / (1 + overlap) * (found.area + mask.area)
        for mask, overlap in zip(masks, overlaps.tolist(), strict=True)
        if mask.name == found.name
    )
    return min(float(inside) / found.area, 1.0)
