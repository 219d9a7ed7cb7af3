"""Errors planted into a copy of a data set, to measure how well an audit finds them.

Each kind is a mistake people make, large enough that an inspector would fail the image. Every
planted image gets one error of one kind; its random generator is seeded by the image alone,
so the same seed plants the same errors whatever else is in the data set.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFilter

from annotate.data.split import category_rng
from annotate.inspect.audit import audit, auroc
from partlab.errors import ConfigError, UnknownNameError
from partlab.masks import BoolMask, area, bbox, decode, encode, from_segmentation
from partlab.schema import Annotation, Dataset, Image

Masks = list[Annotation]
_EXTRA_ID = 1_000_000_000  # ids of masks that nobody drew


@dataclass(frozen=True, slots=True)
class Planted:
    """A data set with errors, and which: image id -> kind of error."""

    dataset: Dataset
    kinds: Mapping[int, str]


def plant_errors(
    dataset: Dataset, share: float = 0.2, *, kinds: Sequence[str] = (), seed: int = 0
) -> Planted:
    """Spoil about `share` of the images, the `kinds` (all when empty) in turn.

    A kind that an image cannot have (two parts are needed to swap their labels) goes to
    another image; where none can have it, it is left out.

    Raises:
        UnknownNameError: no such kind of error.
        ConfigError: `share` is not between 0 and 1.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownNameError("kind of error", kind, KINDS)
    if not 0 <= share <= 1:
        raise ConfigError(f"the share {share} of images to spoil is not between 0 and 1")
    order = np.random.default_rng(seed).permutation(len(dataset.images)).tolist()
    wanted = _in_turn(tuple(kinds) or tuple(KINDS), round(share * len(order)))
    spoilt: dict[int, Masks] = {}
    planted: dict[int, str] = {}
    for kind in wanted:
        for position in order:
            image = dataset.images[position]
            if image.id in planted:
                continue
            found = _spoil(dataset, image, kind, seed)
            if found is not None:
                spoilt[image.id], planted[image.id] = found, kind
                break
    return Planted(_with(dataset, spoilt), planted)


def _in_turn(kinds: Sequence[str], count: int) -> list[str]:
    wanted = [kinds[number % len(kinds)] for number in range(count)]
    return sorted(wanted, key=lambda kind: kind != "wrong instance")  # few images can have it


def _spoil(dataset: Dataset, image: Image, kind: str, seed: int) -> Masks | None:
    rng = category_rng(seed, f"{kind} {image.file_name}")
    masks = [
        a.changed(segmentation=from_segmentation(a.segmentation, image.height, image.width))
        for a in dataset.annotations_of(image)
    ]
    return KINDS[kind](masks, rng) if masks else None


def _with(dataset: Dataset, spoilt: Mapping[int, Masks]) -> Dataset:
    annotations: Masks = []
    for image in dataset.images:
        annotations += spoilt.get(image.id, dataset.annotations_of(image))
    return replace(dataset, annotations=annotations)


def _redrawn(annotation: Annotation, mask: BoolMask) -> Annotation:
    rle = encode(mask)
    return annotation.changed(segmentation=rle, bbox=bbox(rle), area=area(rle))


def _one(masks: Masks, rng: np.random.Generator) -> int:
    return int(rng.integers(len(masks)))


def _shifted(masks: Masks, rng: np.random.Generator) -> Masks | None:
    """One mask beside its part: moved by 40 to 70 % of its size."""
    index = _one(masks, rng)
    mask = decode(masks[index].segmentation)
    reach, angle = rng.uniform(0.4, 0.7) * np.sqrt(mask.sum()), rng.uniform(0, 2 * np.pi)
    moved = _moved(mask, reach * np.sin(angle), reach * np.cos(angle))
    return _replaced(masks, index, moved)


def _moved(mask: BoolMask, down: float, right: float) -> BoolMask:
    y, x = np.nonzero(mask)
    y, x = y + round(down), x + round(right)
    inside = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
    moved = np.zeros_like(mask)
    moved[y[inside], x[inside]] = True
    return moved


def _replaced(masks: Masks, index: int, mask: BoolMask) -> Masks | None:
    if not mask.any():
        return None
    return [*masks[:index], _redrawn(masks[index], mask), *masks[index + 1 :]]


def _missing(masks: Masks, rng: np.random.Generator) -> Masks | None:
    """One mask not drawn, though other parts are."""
    if len(masks) < 2:
        return None
    index = _one(masks, rng)
    return masks[:index] + masks[index + 1 :]


def _extra(masks: Masks, rng: np.random.Generator) -> Masks | None:
    """A part drawn once more where it is not: on the background or on other parts."""
    index = _one(masks, rng)
    mask = decode(masks[index].segmentation)
    same = [decode(a.segmentation) for a in masks if a.category_id == masks[index].category_id]
    taken = np.any(same, axis=0)
    for _ in range(20):
        down, right = rng.uniform(-0.5, 0.5, 2) * mask.shape
        moved = _moved(mask, down, right) & ~taken
        if moved.sum() > 0.8 * mask.sum():
            drawn = _redrawn(masks[index], moved)
            return [*masks, drawn.changed(id=_EXTRA_ID + drawn.id)]
    return None


def _swapped(masks: Masks, rng: np.random.Generator) -> Masks | None:
    """The labels of two parts exchanged."""
    first = _one(masks, rng)
    others = [
        i
        for i, other in enumerate(masks)
        if other.category_id != masks[first].category_id
        and other.object_id == masks[first].object_id
    ]
    if not others:
        return None
    second = others[int(rng.integers(len(others)))]
    changed = list(masks)
    changed[first] = masks[first].changed(category_id=masks[second].category_id)
    changed[second] = masks[second].changed(category_id=masks[first].category_id)
    return changed


def _sloppy(masks: Masks, rng: np.random.Generator) -> Masks | None:
    """One outline far outside or inside its part: at least twice or at most half the area."""
    index = _one(masks, rng)
    mask = decode(masks[index].segmentation)
    outside = bool(rng.integers(2))
    for radius in range(1, max(mask.shape)):
        drawn = _grown(mask, radius) if outside else ~_grown(~mask, radius)
        if not outside and not drawn.any():
            return None
        if (drawn.sum() >= 2 * mask.sum()) if outside else (drawn.sum() <= mask.sum() / 2):
            return _replaced(masks, index, drawn)
    return None


def _grown(mask: BoolMask, radius: int) -> BoolMask:
    picture = PillowImage.fromarray(mask.astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.MaxFilter(2 * radius + 1)), bool)


def _wrong_instance(masks: Masks, rng: np.random.Generator) -> Masks | None:
    """A part of one object drawn on another object of the image."""
    pairs = [
        (i, j)
        for i, a in enumerate(masks)
        for j, b in enumerate(masks)
        if a.category_id == b.category_id and a.object_id != b.object_id
    ]
    if not pairs:
        return None
    index, other = pairs[int(rng.integers(len(pairs)))]
    return _replaced(masks, index, decode(masks[other].segmentation))


def _careless(masks: Masks, rng: np.random.Generator) -> Masks | None:
    """The whole image in a hurry: every part a rough ellipse, not quite in its place."""
    drawn = []
    for annotation in masks:
        mask = decode(annotation.segmentation)
        rough = _ellipse(bbox(annotation.segmentation), mask.shape, rng)
        drawn.append(_redrawn(annotation, rough) if rough.any() else annotation)
    return drawn


def _ellipse(box: list[float], shape: tuple[int, ...], rng: np.random.Generator) -> BoolMask:
    left, top, width, height = box
    jitter = rng.uniform(-0.2, 0.2, 4) * (width, height, width, height)
    corners: NDArray[np.float64] = np.array([left, top, left + width, top + height]) + jitter
    x0, y0, x1, y1 = corners.tolist()
    picture = PillowImage.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(picture).ellipse((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)), fill=1)
    return np.asarray(picture, bool)


KINDS: dict[str, Callable[[Masks, np.random.Generator], Masks | None]] = {
    "shifted": _shifted,
    "missing": _missing,
    "extra": _extra,
    "swapped": _swapped,
    "sloppy": _sloppy,
    "wrong instance": _wrong_instance,
    "careless": _careless,
}
"""Kinds of error by name; each takes an image's masks, and gives None where it cannot be."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How well an audit found planted errors: AUROC over images, and for each kind alone.

    `counts` tells how many images each kind spoilt: of one or two, an AUROC says little.
    """

    images: int
    planted: int
    auroc: float
    by_kind: Mapping[str, float]
    counts: Mapping[str, int]


def measure(
    dataset: Dataset, predictions: Dataset | None, *, share: float = 0.2, seed: int = 0
) -> Trial:
    """Plant errors in a copy, audit it, and see where they are ranked.

    `dataset` should hold no errors of its own: every image left alone counts as right.
    """
    planted = plant_errors(dataset, share, seed=seed)
    suspicion = audit(planted.dataset, predictions).suspicion

    def found(kinds: Sequence[str]) -> float:
        asked = {i: s for i, s in suspicion.items() if planted.kinds.get(i) in (None, *kinds)}
        return auroc(list(asked.values()), [i in planted.kinds for i in asked])

    spoilt = Counter(planted.kinds.values())
    counts = {kind: spoilt[kind] for kind in KINDS if spoilt[kind]}
    by_kind = {kind: found([kind]) for kind in counts}
    return Trial(len(dataset.images), len(planted.kinds), found([*counts]), by_kind, counts)
