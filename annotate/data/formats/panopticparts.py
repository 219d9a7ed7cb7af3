"""Cityscapes Panoptic Parts: a TIFF of numbers for each picture (requirements C5).

    gtFinePanopticParts/<split>/<city>/aachen_000000_000019_gtFinePanopticParts.tif
    leftImg8bit/<split>/<city>/aachen_000000_000019_leftImg8bit.png       Cityscapes' own

A number says class, instance and part, as far as each is known: 1 or 2 digits are a class, 4 or 5
class and instance (of three digits), 6 or 7 also a part (of two). Read are the parts of person,
rider, car, truck and bus; instance 0 is an instance like any other. Part 0 says nothing, nor does
the part 5 that some files hold on people.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered
from annotate.data.formats.layout import Layout
from partlab.errors import NotFoundError
from partlab.layouts import family_name
from partlab.masks import encode
from partlab.progress import track
from partlab.schema import Dataset

log = logging.getLogger(__name__)

_TOP, _END, _PICTURE = "gtFinePanopticParts", "_gtFinePanopticParts.tif", "_leftImg8bit.png"
_HUMAN = ("torso", "head", "arms", "legs")
_VEHICLE = ("windows", "wheels", "lights", "license plate", "chassis")
PARTS = {
    24: ("person", _HUMAN),
    25: ("rider", _HUMAN),
    26: ("car", _VEHICLE),
    27: ("truck", _VEHICLE),
    28: ("bus", _VEHICLE),
}
_LARGEST = 9_999_999
_Numbers = NDArray[np.int64]


class PanopticPartsLayout(Layout):
    """Format of Cityscapes Panoptic Parts."""

    title = "Cityscapes Panoptic Parts"
    one_split = False

    def fits(self, path: Path) -> bool:
        """A folder with gtFinePanopticParts/, or that folder."""
        return _top(path) is not None

    def read(self, source: Source) -> dict[str, Dataset]:
        """The splits train and val."""
        top = _top(source.path)
        if top is None:
            raise NotFoundError(
                f"{source.path} has no {_TOP}/<split>/<city>/*{_END}",
                hint="get gtFinePanopticParts_trainval.zip and leftImg8bit_trainvaltest.zip of "
                "Cityscapes, and unpack both into one folder",
            )
        root = source.images or top.parent / "leftImg8bit"
        found: dict[str, Gathered] = {}
        files = sorted(top.glob(f"*/*/*{_END}"))
        for file in track(files, "files", total=len(files)):
            split = family_name(file.parent.parent.name)
            _read(file, found.setdefault(split, Gathered(source, "Cityscapes Panoptic Parts")))
        for gathered in found.values():
            gathered.say()
        return {split: gathered.dataset(top, root) for split, gathered in found.items()}


def _top(path: Path) -> Path | None:
    places = [path] if path.name == _TOP else [path / _TOP]
    return next((one for one in places if any(one.glob(f"*/*/*{_END}"))), None)


def decoded(numbers: _Numbers) -> tuple[_Numbers, _Numbers, _Numbers]:
    """Class, instance and part of each number; -1 where it does not say.

    Raises:
        ValueError: one is negative, has three digits or more than seven.
    """
    wrong = (numbers < 0) | (numbers > _LARGEST) | ((numbers > 99) & (numbers < 1000))
    if wrong.any():
        raise ValueError(f"{int(numbers[wrong][0])} is no number of class, instance and part")
    none = np.full_like(numbers, -1)
    long, middle = numbers > 99_999, numbers > 99
    shorter = np.where(long, numbers // 100, numbers)
    kinds = np.where(middle, shorter // 1000, shorter)
    return kinds, np.where(middle, shorter % 1000, none), np.where(long, numbers % 100, none)


def _read(file: Path, gathered: Gathered) -> None:
    try:
        with PillowImage.open(file) as picture:
            pixels = np.asarray(picture).astype(np.int64)
        if pixels.ndim != 2:
            raise ValueError("it has several channels")
        known, where = np.unique(pixels, return_inverse=True)
        rows = [*zip(*decoded(known), strict=True)]
    except (OSError, SyntaxError, ValueError) as error:
        gathered.pass_over("file", "that cannot be read")
        log.warning("%s cannot be read: %s", file, error)
        return
    where = where.reshape(pixels.shape)
    folder = "/".join(file.parts[-3:-1])
    name = f"{folder}/{file.name.removesuffix(_END)}{_PICTURE}"
    image = gathered.image(name, (pixels.shape[1], pixels.shape[0]))
    for number, owner, label, instance in _named(rows, gathered):
        ours = {"object_id": instance + 1} if instance >= 0 else {}
        rle = encode(where == number)
        gathered.mask(image, label, rle, object=owner, provenance="human", **ours)


def _named(
    rows: list[tuple[int, int, int]], gathered: Gathered
) -> Iterator[tuple[int, str, str, int]]:
    """Position in `rows`, object, part and number of the instance, of each row that is a part."""
    for position, (kind, instance, part) in enumerate(rows):
        owner, names = PARTS.get(int(kind), ("", ()))
        if not names or part in (-1, 0):
            continue
        if part > len(names):
            gathered.pass_over("region", f"of part {int(part)} of a {owner}, which is none")
            continue
        # Instances are counted in each class, so the class makes the number one of the picture's.
        yield position, owner, names[part - 1], int(kind * 1000 + instance) if instance >= 0 else -1


layout = PanopticPartsLayout()
