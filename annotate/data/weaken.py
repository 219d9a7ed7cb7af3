"""The same data set with weaker masks, to learn what masks are worth (H-02, N-05)."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

from annotate.data.renaming import of_object
from annotate.data.split import category_rng
from partlab.errors import ConfigError, NotFoundError
from partlab.masks import bbox
from partlab.schema import Annotation, Dataset, Image
from partlab.truth import drawn_masks


def as_boxes(data: Dataset) -> tuple[Dataset, int]:
    """Every mask as its box, filled, and how many masks could not be read and stay as they are.

    A box is the smallest about all pixels of one mask, whatever pieces it has.
    """
    left = 0
    new: dict[int, Annotation] = {}
    for image in data.images:
        drawn = drawn_masks(data, image)
        left += len(drawn.left_out)
        for one, rle in [*drawn.masks, *drawn.crowd]:
            x, y, w, h = box = bbox(rle)
            filled = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            new[id(one)] = one.changed(segmentation=filled, bbox=box, area=float(w * h))
    return replace(data, annotations=[new.get(id(a), a) for a in data.annotations]), left


def thinned(data: Dataset, keep: float, seed: int = 0) -> Dataset:
    """Masks on a share of each object category's images only; the other images keep their object.

    What is kept of a smaller share is kept of a larger one with the same seed, so that figures of
    several shares differ by what was added alone.

    Raises:
        ConfigError: `keep` is no share.
    """
    if not 0 <= keep <= 1:
        raise ConfigError(f"{keep} is no share between 0 and 1")
    members: defaultdict[str, list[int]] = defaultdict(list)
    for image in data.images:
        if data.annotations_of(image):
            members[data.object_of(image) or ""].append(image.id)
    kept: set[int] = set()
    for owner, ids in members.items():
        order = category_rng(seed, owner).permutation(len(ids))
        kept |= {ids[position] for position in order[: round(keep * len(ids))]}
    images = [image if image.id in kept else _stating(image, data) for image in data.images]
    return replace(
        data, images=images, annotations=[a for a in data.annotations if a.image_id in kept]
    )


def _stating(image: Image, data: Dataset) -> Image:
    """The image with its object stated, which until now its masks said."""
    owner = data.object_of(image)
    return image if image.object or not owner else of_object(image, owner)


def weakened(
    found: dict[str, Dataset], split: str, *, boxes: bool, keep: float, seed: int = 0
) -> dict[str, Any]:
    """Make one split of `found` weaker, in place; returns counts.

    Raises:
        NotFoundError: there is no such split.
        ConfigError: `keep` is no share.
    """
    if split not in found:
        raise NotFoundError(f"no split {split!r}", hint=f"its splits: {', '.join(found)}")
    before = found[split]
    after, unread = thinned(before, keep, seed), 0
    if boxes:
        after, unread = as_boxes(after)
    found[split] = after
    return {
        "split": split,
        "images": len(after.images),
        "images_with_masks": len({a.image_id for a in after.annotations}),
        "masks": len(after.annotations),
        "masks_before": len(before.annotations),
        "not_readable": unread,
    }
