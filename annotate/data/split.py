"""Train and val from one data set, inside each object category (ST-05), without a leak.

Whole pictures move: the same picture under two file names, or with parts of two objects,
never ends up on both sides.
"""

import hashlib
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from annotate.data.duplicates import hashed, near_across, near_duplicates
from partlab.coco import write_coco
from partlab.errors import BackendUnavailableError, ConfigError, DatasetError
from partlab.files import sha256_file, write_json
from partlab.folders import new_folder
from partlab.schema import OURS, Dataset, Image, Raw

log = logging.getLogger(__name__)

PROTOCOLS: dict[str, str] = {
    "seeded": "random within each category, by the seed",
    "first90": "the first part of each category in file order, as other users of PartImageNet++ do",
    "recognition": "all images train: for part models that are evaluated on other data",
}


def split_dataset(
    dataset: Dataset,
    protocol: str = "seeded",
    *,
    ratio: float = 0.9,
    seed: int = 0,
    together: int | None = None,
) -> dict[str, Dataset]:
    """Divide into `train` and `val`; `recognition` gives `train` alone.

    Pictures whose hashes differ in at most `together` bits stay on one side
    (`annotate.data.duplicates`); those of the same bytes always do.

    Each object category gives `round(ratio * n)` images to train, but at least one to each
    side where it has two. Another category more or less changes nothing for the others.

    Raises:
        ConfigError: unknown protocol, or a ratio that is not between 0 and 1.
        DatasetError: the data set has no images.
        BackendUnavailableError: `together` is given, and the package imagehash is not there.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {protocol!r}", hint=f"one of {', '.join(PROTOCOLS)}")
    if not 0 < ratio < 1:
        raise ConfigError(f"the ratio {ratio} is not between 0 and 1")
    if not dataset.images:
        raise DatasetError(f"{dataset.path or 'the data set'} has no images to split")
    if protocol == "recognition":
        return {"train": dataset}
    picture_of = _pictures(dataset)
    if together is not None:
        picture_of = _united(dataset, picture_of, together)
    val = _val_images(dataset, picture_of, ratio, None if protocol == "first90" else seed)
    train = [image.id for image in dataset.images if image.id not in val]
    return {"train": dataset.subset(train), "val": dataset.subset(val)}


def _united(dataset: Dataset, picture_of: dict[int, int], distance: int) -> dict[int, int]:
    """The same, but images that look the same share a number, also by way of others."""
    above = {picture: picture for picture in picture_of.values()}

    def top(one: int) -> int:
        while above[one] != one:
            one = above[one]
        return one

    for pair in near_duplicates({"": dataset}, distance=distance)[0]:
        first, second = (picture_of[image.id] for _, image in (pair.first, pair.second))
        above[top(second)] = top(first)
    return {image: top(picture) for image, picture in picture_of.items()}


def _val_images(
    dataset: Dataset, picture_of: dict[int, int], ratio: float, seed: int | None
) -> set[int]:
    members: dict[str, dict[int, None]] = defaultdict(dict)
    for image in dataset.images:
        for owner in _owners(dataset, image):
            members[owner][picture_of[image.id]] = None
    side: dict[int, bool] = {}
    for owner in sorted(members):
        pictures = list(members[owner])
        free = [picture for picture in pictures if picture not in side]
        missing = _val_count(len(pictures), ratio) - sum(side.get(p, False) for p in pictures)
        chosen = _last(free, max(missing, 0), owner, seed)
        side.update({picture: picture in chosen for picture in free})
    return {image_id for image_id, picture in picture_of.items() if side[picture]}


def _owners(dataset: Dataset, image: Image) -> list[str]:
    """The object categories of an image: as stated and as its parts say."""
    found = {
        dataset.category_by_id[a.category_id].object
        for a in dataset.annotations_of(image)
        if a.category_id in dataset.category_by_id
    }
    return sorted(found | ({image.object} if image.object else set())) or [""]


def _val_count(images: int, ratio: float) -> int:
    if images < 2:
        return 0
    return min(max(images - round(ratio * images), 1), images - 1)


def _last(free: Sequence[int], count: int, owner: str, seed: int | None) -> set[int]:
    if count == 0:
        return set()
    if seed is None:
        return set(free[-count:])
    order = category_rng(seed, owner).permutation(len(free))
    return {free[position] for position in order[:count]}


def category_rng(seed: int, name: str) -> np.random.Generator:
    """A random generator for one category: the same whatever other categories there are."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def _pictures(dataset: Dataset) -> dict[int, int]:
    """Image id -> number of its picture: records that show the same bytes share it."""
    numbers = same_pictures([(dataset, image) for image in dataset.images])
    return {image.id: number for image, number in zip(dataset.images, numbers, strict=True)}


def same_pictures(images: Sequence[tuple[Dataset, Image]]) -> list[int]:
    """For each image the number of its picture: those that show the same bytes share it.

    Same bytes: the same stated sha256, the same file, or files equal in length and content.
    """
    paths = [data.image_path(image) for data, image in images]
    stated = {path: i.sha256 for path, (_, i) in zip(paths, images, strict=True) if i.sha256}
    sizes = [path.stat().st_size if path.is_file() else -1 - n for n, path in enumerate(paths)]
    repeated = {size for size, count in Counter(sizes).items() if count > 1}
    numbers: dict[str, int] = {}
    found = []
    for path, size, (_, image) in zip(paths, sizes, images, strict=True):
        identity = image.sha256 or stated.get(path) or str(path)
        if identity == str(path) and size in repeated:
            identity = sha256_file(path)
        found.append(numbers.setdefault(identity, len(numbers)))
    return found


def look_alikes(parts: Mapping[str, Dataset]) -> Raw:
    """How many pictures of `val` look like one of `train`, with the nearest training picture.

    `not_compared` says why pictures were not looked at, `not_looked_at` how many of them cannot
    be read or show one colour; None and 0 where all were.
    """
    if len(parts) < 2:
        return {}
    try:
        known, new = hashed(parts["train"]), hashed(parts["val"])
    except BackendUnavailableError as error:
        return {"not_compared": f"{error.message} ({error.hint})"}
    nearest: dict[str, tuple[str, int]] = {}
    for first, second, bits in near_across(known, new):
        nearest.setdefault(second, (first, bits))
    return {
        "pairs": [
            {"val": name, "train": first, "bits": bits} for name, (first, bits) in nearest.items()
        ],
        "not_looked_at": sum(one is None for one in [*known.values(), *new.values()]),
        "not_compared": None,
    }


def write_splits(
    parts: dict[str, Dataset], out: str | Path, about: dict[str, object], *, force: bool = False
) -> dict[str, int]:
    """Write annotations/<split>.json and split.json; pictures stay where they are.

    Raises:
        OutputExistsError: the folder holds files, and `force` is off; or it holds the source.
    """
    inputs = [place for part in parts.values() for place in (part.path, part.image_root)]
    counts = {name: len(dataset.images) for name, dataset in parts.items()}
    with new_folder(out, force=force, inputs=inputs) as folder:
        for name, dataset in parts.items():
            whole = placed(dataset, Path(out) / "annotations")
            write_coco(whole, folder / "annotations" / f"{name}.json")
        write_json(folder / "split.json", {**about, "images": counts})
    log.info("split into %s", ", ".join(f"{count} {name}" for name, count in counts.items()))
    return counts


def placed(dataset: Dataset, folder: Path, root: Path | None = None) -> Dataset:
    """The same data set for a file in `folder`, naming where its pictures are (or will be)."""
    dataset = dataset.settled()
    there = os.path.relpath(root or dataset.image_root, folder)
    ours = {**dataset.top.get(OURS, {}), "images": Path(there).as_posix()}
    return replace(dataset, top={**dataset.top, OURS: ours})
