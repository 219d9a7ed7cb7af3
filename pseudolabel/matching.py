"""Pseudo masks beside the truth: the same images, the same parts, instances united.

A store holds one mask for each part of an image (B4.3), so the truth's instances are united
in the same way before anything is measured; every figure made from here says so. Crowd regions
are no targets: a found mask that lies in one counts neither as right nor as wrong. A store made
with `--set unite=false` keeps its instances apart; then they are united here, at each threshold
those that reach it, exactly as a run with that threshold would.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from partlab.errors import NotFoundError
from partlab.masks import Rle, area, inside, iou, union
from partlab.schema import Annotation, Dataset, Image
from partlab.truth import MaskCount, drawn_masks, need_masks, usable
from pseudolabel.store import Row, Store, StoredMask
from segmenter.ap import Result

logger = logging.getLogger(__name__)

OVERLAP = 0.5  # IoU from which a mask counts as right


def united(dataset: Dataset, names: tuple[str, ...] | None = None) -> Dataset:
    """The data set with all masks of one part in one image as one mask.

    `names` keeps only these parts (`object:part`). Crowd regions of a part are united apart from
    its masks and stay crowd regions; masks without usable pixels are left out.
    """
    wanted = None if names is None else set(names)
    kept = {c.name: c for c in reversed(dataset.categories) if wanted is None or c.name in wanted}
    ids = {name: category.id for name, category in kept.items()}
    masks = [
        _one_mask(number, image, ids[name], rle, crowd=crowd)
        for number, (image, name, rle, crowd) in enumerate(_united_masks(dataset, ids), 1)
    ]
    categories = [category for category in dataset.categories if category in kept.values()]
    return Dataset(
        dataset.images, masks, categories, dataset.inclusions, (), dataset.path, dataset.image_root
    )


def _one_mask(number: int, image: Image, category: int, rle: Rle, *, crowd: bool) -> Annotation:
    new = Annotation.new(number, image.id, category, dict(rle), area=float(area(rle)))
    return new.changed(iscrowd=int(crowd))


def _united_masks(
    dataset: Dataset, ids: Mapping[str, int]
) -> Iterator[tuple[Image, str, Rle, bool]]:
    for image in dataset.images:
        drawn = drawn_masks(dataset, image)
        for crowd, masks in ((False, drawn.masks), (True, drawn.crowd)):
            parts: defaultdict[str, list[Rle]] = defaultdict(list)
            for annotation, rle in masks:
                parts[dataset.category_by_id[annotation.category_id].name].append(rle)
            for name in (name for name in parts if name in ids):
                yield image, name, union(parts[name]), crowd


@dataclass(frozen=True, slots=True)
class Step:
    """What the store says of a part at thresholds up to `score`, and how well it fits."""

    score: float
    rle: Rle
    iou: float  # with the truth; 0 where there is none
    crowd: float = 0.0  # share of the mask that lies in a crowd region of the part

    @property
    def right(self) -> bool:
        """Whether it counts as found."""
        return self.iou >= OVERLAP

    @property
    def ignored(self) -> bool:
        """Whether it counts neither as right nor as wrong: COCO's rule for crowd regions."""
        return not self.right and self.crowd >= OVERLAP


@dataclass(frozen=True, slots=True)
class Pair:
    """One part in one image: found (it has steps, best score first), true, or both.

    `truth` is whether it has masks that are targets, not whether it has a crowd region.
    """

    file_name: str
    image: Image
    name: str
    truth: bool
    steps: tuple[Step, ...]

    def at(self, tau: float) -> Step | None:
        """The mask that a threshold keeps: the union of the instances that reach it."""
        floor = np.float32(tau)  # scores are stored so, and the engine compares so
        return next((step for step in reversed(self.steps) if step.score >= floor), None)

    @property
    def best(self) -> float | None:
        """The part's score: its best instance's."""
        return self.steps[0].score if self.steps else None


@dataclass(frozen=True)
class Matched:
    """The readable images of a store that a truth data set knows too.

    `truth` holds only those images and the parts the store can find, united.
    """

    store: Store
    rows: list[tuple[Row, Image]]
    truth: Dataset
    unknown_parts: tuple[str, ...]  # in the truth, not among the store's parts
    masks: MaskCount  # of the shared images: how many count, and which were left out

    @cached_property
    def category_of(self) -> Mapping[str, int]:
        """The truth's category id of each `object:part` both know."""
        return {category.name: category.id for category in self.truth.categories}

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every part that is true, or found, of every image."""
        return tuple(pair for row, image in self.rows for pair in self._pairs(row, image))

    def results(self, tau: float) -> Iterator[Result]:
        """What a threshold keeps, as COCO results with the truth's ids."""
        for pair in self.pairs:
            if step := pair.at(tau):
                yield {
                    "image_id": pair.image.id,
                    "category_id": self.category_of[pair.name],
                    "segmentation": step.rle,
                    "score": pair.best,
                }

    def _pairs(self, row: Row, image: Image) -> Iterator[Pair]:
        names = {category.id: category.name for category in self.truth.categories}
        truth: dict[str, Rle] = {}
        crowd: dict[str, Rle] = {}
        for a in self.truth.annotations_of(image):
            (crowd if a.iscrowd else truth)[names[a.category_id]] = a.segmentation
        found: defaultdict[str, list[StoredMask]] = defaultdict(list)
        for mask in sorted(row.masks, key=lambda mask: -mask.score):
            found[self.store.names[mask.label]].append(mask)
        for name in sorted((truth.keys() | found.keys()) & self.category_of.keys()):
            steps = tuple(_steps(found.get(name, []), truth.get(name), crowd.get(name)))
            yield Pair(row.file_name, image, name, name in truth, steps)

    def quality(self) -> dict[str, float]:
        """File name -> mean IoU over the parts that are true or found, all masks kept."""
        overlaps: defaultdict[str, list[float]] = defaultdict(list)
        for pair in self.pairs:
            if not pair.truth and pair.steps[-1].ignored:
                continue
            overlaps[pair.file_name].append(pair.steps[-1].iou if pair.steps else 0.0)
        return {name: sum(found) / len(found) for name, found in overlaps.items()}


def _steps(masks: list[StoredMask], truth: Rle | None, crowd: Rle | None) -> Iterator[Step]:
    for count, mask in enumerate(masks, 1):
        rle = union([each.rle for each in masks[:count]]) if count > 1 else mask.rle
        right = float(iou([rle], [truth])[0, 0]) if truth else 0.0
        yield Step(mask.score, rle, right, float(inside([rle], [crowd])[0, 0]) if crowd else 0.0)


def match(store: Store, truth: Dataset) -> Matched:
    """Find the store's images in a data set: by the picture's path, else by file name.

    Raises:
        NotFoundError: no image, or no part, is in both.
        DatasetError: all masks of the shared images are crowd regions, or have no usable pixels.
    """
    by_path = {_absolute(truth.image_path(image)): image for image in truth.images}
    by_name = {image.file_name: image for image in truth.images}
    rows = []
    for row in store.rows():
        image = by_path.get(_absolute(store.image_path(row))) or by_name.get(row.file_name)
        if image is not None and (row.height, row.width) == (image.height, image.width):
            rows.append((row, image))
    both = set(truth.names) & set(store.names)
    if not rows or not both:
        what = "parts" if rows else "readable images"
        raise NotFoundError(
            f"{store.path} and {truth.path or 'the truth'} share no {what}",
            hint="make the store from the truth's own pictures: partlab pseudolabel DATA …",
        )
    shared, masks = usable(truth.subset(image.id for _, image in rows))
    need_masks(shared, masks)
    if sentence := masks.sentence():
        logger.warning("%s (all of them: partlab data check)", sentence)
    unknown = tuple(name for name in dict.fromkeys(truth.names) if name not in both)
    return Matched(store, rows, united(shared, store.names), unknown, masks)


def _absolute(path: Path) -> str:
    return str(path.absolute())
