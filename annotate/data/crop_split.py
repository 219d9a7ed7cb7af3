"""Train, val and test of objects cut out of photos: photo by photo, or as was published.

The published PACO classification set divides objects, so that crops of one photo are in several
splits (requirement H-11). That is kept as `paper`, with a report of what it leaks.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from partlab.errors import ConfigError
from partlab.schema import Dataset, Raw

SPLITS = ("train", "val", "test")
MODES = {
    "image": "whole photos, and photos of the same thing, stay together",
    "paper": "every object by itself, as published: crops of one photo are in several splits",
}


class Photo(NamedTuple):
    """A photo by the split it came in and its id there."""

    split: str
    id: int


def divided(
    photos: Sequence[Photo],
    ratios: tuple[float, float, float],
    *,
    mode: str = "image",
    seed: int = 0,
    group_of: Callable[[Photo], Hashable] = lambda photo: photo,
) -> list[str]:
    """The split of each object, whose photo is given; val and test get their share first.

    `group_of` tells photos that must stay together.

    Raises:
        ConfigError: an unknown mode, or ratios that are no shares of 1.
    """
    if mode not in MODES:
        raise ConfigError(f"unknown mode {mode!r}", hint=f"one of {', '.join(MODES)}")
    if min(ratios) < 0 or abs(sum(ratios) - 1) > 1e-6:
        raise ConfigError(f"the ratios {ratios} are no shares that add up to 1")
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for position, photo in enumerate(photos):
        groups[position if mode == "paper" else group_of(photo)].append(position)
    order = [*groups.values()]
    shuffled = [order[i] for i in np.random.default_rng(seed).permutation(len(order))]
    found = ["train"] * len(photos)
    left = {split: int(share * len(photos)) for split, share in zip(SPLITS, ratios, strict=True)}
    for members in shuffled:
        split = next((one for one in ("val", "test") if left[one] >= len(members)), "train")
        left[split] -= len(members)
        for position in members:
            found[position] = split
    return found


def leak_report(
    photos: Sequence[Photo],
    splits: Sequence[str],
    group_of: Callable[[Photo], Hashable] = lambda photo: photo,
) -> Raw:
    """How many photos are in several splits, and how many crops of val and test are of those.

    Of what `group_of` tells to be the same in several photos, `same_things_in_several_splits` says
    as much.
    """
    where: defaultdict[Photo, set[str]] = defaultdict(set)
    things: defaultdict[Hashable, set[str]] = defaultdict(set)
    for photo, split in zip(photos, splits, strict=True):
        where[photo].add(split)
        things[group_of(photo)].add(split)
    known = Counter(
        split
        for photo, split in zip(photos, splits, strict=True)
        if split != "train" and "train" in where[photo]
    )
    return {
        "photos": len(where),
        "photos_in_several_splits": sum(len(found) > 1 for found in where.values()),
        "same_things_in_several_splits": sum(len(found) > 1 for found in things.values()),
        "crops_of_training_photos": {split: known[split] for split in SPLITS[1:]},
    }


def groups(
    found: Iterable[tuple[str, Dataset]], pictures: Mapping[Photo, Hashable]
) -> dict[Photo, int]:
    """Photo -> number of its group: the same picture, or the same thing in several pictures.

    PACO says by `instance_id` that frames of a video show one thing.
    """
    first: dict[Hashable, Photo] = {}
    above: dict[Photo, Photo] = {}

    def top(photo: Photo) -> Photo:
        while above.setdefault(photo, photo) != photo:
            photo = above[photo]
        return photo

    def together(key: Hashable, photo: Photo) -> None:
        above[top(photo)] = top(first.setdefault(key, photo))

    for split, data in found:
        for image in data.images:
            photo = Photo(split, image.id)
            together(("picture", pictures[photo]), photo)
            for one in data.annotations_of(image):
                thing = one.raw.get("instance_id")
                if type(thing) is int:
                    together(("thing", split, one.category_id, thing), photo)
    numbers: dict[Photo, int] = {}
    return {photo: numbers.setdefault(top(photo), len(numbers)) for photo in [*above]}
