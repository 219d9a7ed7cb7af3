"""Pictures that look the same, though their files differ: scaled, recompressed, slightly cut.

Two perceptual hashes of 64 bits (of frequencies and of gradients) are compared. Near is a pair of
which neither differs in more than `distance` bits; pictures of one colour all look the same to
both hashes, and are compared by their files alone.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from partlab.errors import BackendUnavailableError, DatasetError, NotFoundError
from partlab.images import load_image
from partlab.progress import track
from partlab.schema import Dataset, Image

log = logging.getLogger(__name__)

DISTANCE = 6  # of 64 bits
_ROWS = 512  # pictures compared with all others at once
_FLAT = 3.0  # standard deviation of grey values under which a picture shows nothing
Hashes = tuple[int, int]
"""Of frequencies and of gradients, 64 bits each."""


@dataclass(frozen=True, slots=True)
class Near:
    """Two images that look the same; `bits` is by how much their hashes differ."""

    first: tuple[str, Image]  # split, image
    second: tuple[str, Image]
    bits: int

    @property
    def leaks(self) -> bool:
        """Whether they are in different splits or data sets."""
        return self.first[0] != self.second[0]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        names = [f"{split}/{image.file_name}" for split, image in (self.first, self.second)]
        return {"first": names[0], "second": names[1], "bits": self.bits, "leak": self.leaks}


def near_duplicates(
    splits: Mapping[str, Dataset], *, distance: int = DISTANCE
) -> tuple[list[Near], list[str]]:
    """Pairs of all splits, leaks first and then the nearest, and the pictures not looked at.

    Raises:
        BackendUnavailableError: the package imagehash is not there.
    """
    images = [(split, data, image) for split, data in splits.items() for image in data.images]
    kept: list[tuple[str, Image]] = []
    hashes: list[Hashes] = []
    passed: list[str] = []
    for split, data, image in track(images, "pictures", total=len(images)):
        found = _hashes_of(data.image_path(image))
        if found is None:
            passed.append(f"{split}/{image.file_name}")
        else:
            kept.append((split, image))
            hashes.append(found)
    pairs = [Near(kept[i], kept[j], bits) for i, j, bits in _pairs(hashes, distance)]
    return sorted(pairs, key=lambda pair: (not pair.leaks, pair.bits)), passed


def hashed(data: Dataset) -> dict[str, Hashes | None]:
    """File name -> both hashes of the picture; None of one that cannot be read or shows one colour.

    Raises:
        BackendUnavailableError: the package imagehash is not there.
    """
    images = track(data.images, "looking at pictures", total=len(data.images))
    return {image.file_name: _hashes_of(data.image_path(image)) for image in images}


def near_across(
    first: Mapping[str, Hashes | None],
    second: Mapping[str, Hashes | None],
    *,
    distance: int = DISTANCE,
) -> list[tuple[str, str, int]]:
    """Pairs (first's name, second's name, bits) that look the same, the nearest first."""
    left, right = ({n: h for n, h in one.items() if h} for one in (first, second))
    if not left or not right:
        return []
    names, others = list(left), list(right)
    found = _near(
        np.array([*left.values()], np.uint64), np.array([*right.values()], np.uint64), distance
    )
    return sorted(((names[i], others[j], bits) for i, j, bits in found), key=lambda one: one[2])


def _hashes_of(path: Path) -> Hashes | None:
    """Both hashes of a picture; None of one that cannot be read or shows one colour."""
    imagehash = _package()
    try:
        pixels = load_image(path)
    except (NotFoundError, DatasetError):
        return None
    grey = PillowImage.fromarray(pixels).convert("L")
    if float(np.asarray(grey).std()) < _FLAT:
        return None
    kinds = (imagehash.phash(grey), imagehash.dhash(grey))
    first, second = (int(str(one), 16) for one in kinds)
    return first, second


def _package() -> Any:
    try:
        return import_module("imagehash")
    except ImportError:
        raise BackendUnavailableError(
            "near-duplicates are found by the package imagehash, which is not installed",
            hint="pip install 'partlab[duplicates]'",
        ) from None


def _pairs(hashes: Sequence[Hashes], distance: int) -> Iterator[tuple[int, int, int]]:
    """Positions of each pair that is near, and its bits."""
    if hashes:
        both = np.array(hashes, np.uint64)
        yield from (pair for pair in _near(both, both, distance) if pair[0] < pair[1])


def _near(
    first: NDArray[np.uint64], second: NDArray[np.uint64], distance: int
) -> Iterator[tuple[int, int, int]]:
    """Rows of `first` and `second`, shapes (n, 2) and (m, 2), that are near; memory is flat."""
    for start in range(0, len(first), _ROWS):
        rows = first[start : start + _ROWS]
        bits = np.maximum(
            *(np.bitwise_count(rows[:, None, k] ^ second[None, :, k]) for k in (0, 1))
        )
        for row, column in np.argwhere(bits <= distance).tolist():
            yield start + row, column, int(bits[row, column])
