"""Which photographs of a part data set can be taken apart, and why the others cannot (G-08)."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from partlab.coco import read_dataset
from partlab.errors import ConfigError, DatasetError, MaskError, NotFoundError
from partlab.files import sha256_file
from partlab.images import load_image
from partlab.masks import Rle, area, bbox, decode, from_segmentation, union
from partlab.progress import track
from partlab.schema import Dataset, Image
from train.ood.cutouts import Box, Mask, Pixels

MANY, NONE, SMALL = "that show several objects", "without a mask", "with too small a mask"
LEAK, BROKEN, ABSENT = "that are in training too", "with a broken mask", "without a file"


@dataclass(frozen=True)
class Source:
    """A photograph with one masked object: its union of parts as run lengths, and its box."""

    name: str  # as the data set calls the file
    object: str
    path: Path
    mask: Rle
    box: Box
    sha256: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.mask["size"]
        return height, width

    @property
    def pixels(self) -> Pixels:
        """(H, W, 3).

        Raises:
            DatasetError: the picture is damaged, or not of the size of its mask.
        """
        found = load_image(self.path)
        if found.shape[:2] != self.size:
            raise DatasetError(
                f"{self.path} has {found.shape[1]} x {found.shape[0]} pixels, and its mask "
                f"{self.size[1]} x {self.size[0]}",
                hint="partlab data check finds such pictures",
            )
        return found

    @property
    def whole(self) -> Mask:
        """(H, W)."""
        return decode(self.mask)


@dataclass(frozen=True)
class Sources:
    """The photographs of a split that can be used, by name, and what was left out."""

    data: Path
    split: str | None
    training: str | None  # the split that nothing is taken from
    found: tuple[Source, ...]
    left_out: Mapping[str, int]

    @cached_property
    def by_object(self) -> dict[str, list[Source]]:
        """Sorted by object."""
        names = sorted({each.object for each in self.found})
        return {name: [s for s in self.found if s.object == name] for name in names}

    @property
    def described(self) -> dict[str, object]:
        """What pictures depend on."""
        lines = [f"{s.name} {s.object} {s.sha256} {s.mask['counts']}\n" for s in self.found]
        return {
            "data": self.data.resolve().name,
            "split": self.split,
            "not_in": self.training,
            "sources": len(self.found),
            "sources_sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
        }


def open_sources(
    data: str | Path, split: str | None, *, training: str | None = "train", smallest: int = 48
) -> Sources:
    """Look at the masks of a split; files are read for their hashes alone.

    Args:
        training: nothing whose file is also in this split is taken, byte by byte; None, or a
            split that there is not, compares with nothing.
        smallest: pixels that the long side of an object's box must have.

    Raises:
        NotFoundError: there is no such data or split.
        ConfigError: the split is the training's own.
    """
    if training is not None and training == split:
        raise ConfigError(
            f"pictures of {split} were to be made so that none is of {split}",
            hint="--split of pictures that no model has learnt from, or --not-in none",
        )
    dataset, left = read_dataset(data, split), Counter[str]()
    known = _hashes(data, training) if training is not None else None
    seen = known or frozenset()
    found = list(_usable(dataset, smallest, left))
    kept = [each for each in found if each.sha256 not in seen]
    left[LEAK] = len(found) - len(kept)
    told = {why: n for why, n in left.items() if n}
    kept.sort(key=lambda each: each.name)
    return Sources(Path(data), split, None if known is None else training, tuple(kept), told)


def _hashes(data: str | Path, split: str) -> frozenset[str] | None:
    """Of the files of a split; None if there is no such split."""
    try:
        dataset = read_dataset(data, split)
    except NotFoundError:
        return None
    paths = [dataset.image_path(image) for image in dataset.images]
    wanted = track(paths, f"reading {split}", total=len(paths))
    return frozenset(sha256_file(path) for path in wanted if path.is_file())


def _usable(dataset: Dataset, smallest: int, left: Counter[str]) -> Iterator[Source]:
    for image in track(dataset.images, "looking at masks", total=len(dataset.images)):
        found = _source(dataset, image, smallest)
        if isinstance(found, str):
            left[found] += 1
        else:
            yield found


def _source(dataset: Dataset, image: Image, smallest: int) -> Source | str:
    """The photograph, or why it is left out."""
    drawn = dataset.annotations_of(image)
    owners = {dataset.category_by_id[each.category_id].object for each in drawn}
    owners |= set(dataset.objects_of(image))
    objects = {each.object_id for each in drawn} - {None}
    if len(owners) > 1 or len(objects) > 1:
        return MANY
    try:
        rles = [from_segmentation(each.segmentation, image.height, image.width) for each in drawn]
    except MaskError:
        return BROKEN
    whole = union(rles) if rles else None
    if whole is None or not area(whole):
        return NONE
    x, y, width, height = (round(v) for v in bbox(whole))
    if max(width, height) < smallest or area(whole) < smallest**2 / 8:
        return SMALL
    path = dataset.image_path(image)
    if not path.is_file():
        return ABSENT
    box = (x, y, width, height)
    return Source(image.file_name, owners.pop(), path, whole, box, sha256_file(path))


def named(sources: Sequence[Source]) -> list[str]:
    """`object/file`, for pictures that are made of them: no two alike, whatever their folders."""
    taken, names = set[str](), []
    for each in sources:
        owner, stem = each.object.replace("/", "-"), PurePosixPath(each.name).stem
        name, number = f"{owner}/{stem}", 2
        while name in taken:
            name, number = f"{owner}/{stem}-{number}", number + 1
        taken.add(name)
        names.append(name)
    return names


def chance(seed: int, *words: str) -> np.random.Generator:
    """Random numbers of one picture, whatever others there are."""
    digest = hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng([seed, *digest[:16]])
