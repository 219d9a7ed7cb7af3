"""Cityscapes and PASCAL Panoptic Parts: a TIFF of numbers for each picture (requirements C5).

    gtFinePanopticParts/<split>/<city>/aachen_000000_000019_gtFinePanopticParts.tif
    leftImg8bit/<split>/<city>/aachen_000000_000019_leftImg8bit.png       Cityscapes' own

    labels/training/2008_000008.tif, labels/validation/…
    JPEGImages/2008_000008.jpg                                            VOC2010's own

A number says class, instance and part, as far as each is known: 1 or 2 digits are a class, 4 or 5
class and instance (of three digits), 6 or 7 also a part (of two). Instance 0 is an instance like
any other. Part 0 says nothing, nor does the part 5 that some files of Cityscapes hold on people.
Parts of one kind that PASCAL's files number are masks of their own (`panoptic_names`).
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
from annotate.data.formats.panoptic_names import CITYSCAPES, PASCAL, Names
from partlab.errors import NotFoundError
from partlab.layouts import family_name
from partlab.masks import encode
from partlab.progress import track
from partlab.schema import Dataset

log = logging.getLogger(__name__)

_TOP, _END, _PICTURE = "gtFinePanopticParts", "_gtFinePanopticParts.tif", "_leftImg8bit.png"
_PASCAL_SPLITS = {"training": "train", "validation": "val"}
_HINT = (
    "get gtFinePanopticParts_trainval.zip and leftImg8bit_trainvaltest.zip of Cityscapes, or "
    "PASCAL Panoptic Parts and VOC2010's pictures (VOCtrainval_03-May-2010.tar), and unpack both "
    "into one folder"
)
_LARGEST = 9_999_999
_Numbers = NDArray[np.int64]


class PanopticPartsLayout(Layout):
    """Format of the Panoptic Parts data sets."""

    title = "Panoptic Parts"
    one_split = False

    def took(self, path: Path) -> str:
        """Which of the two it is."""
        return f"{'Cityscapes' if _cityscapes(path) else 'PASCAL'} {self.title}"

    def fits(self, path: Path) -> bool:
        """A folder with gtFinePanopticParts/ or labels/training/*.tif, or that folder."""
        return bool(_cityscapes(path) or _pascal(path))

    def read(self, source: Source) -> dict[str, Dataset]:
        """The splits train and val."""
        if top := _cityscapes(source.path):
            names, root = CITYSCAPES, source.images or top.parent / "leftImg8bit"
            files = [(file, *_of_cityscapes(file)) for file in sorted(top.glob(f"*/*/*{_END}"))]
        elif top := _pascal(source.path):
            names, root = PASCAL, source.images or _pascal_pictures(top)
            files = [
                (file, split, f"{file.stem}.jpg")
                for folder, split in _PASCAL_SPLITS.items()
                for file in sorted((top / folder).glob("*.tif"))
            ]
        else:
            missing = f"{_TOP}/<split>/<city>/*{_END}, and no labels/training/*.tif"
            raise NotFoundError(f"{source.path} has no {missing}", hint=_HINT)
        found: dict[str, Gathered] = {}
        for file, split, name in track(files, "files", total=len(files)):
            gathered = found.setdefault(split, Gathered(source, self.took(source.path)))
            _read(file, name, names, gathered)
        for gathered in found.values():
            gathered.say()
        return {split: gathered.dataset(top, root) for split, gathered in found.items()}


def _cityscapes(path: Path) -> Path | None:
    places = [path] if path.name == _TOP else [path / _TOP]
    return next((one for one in places if any(one.glob(f"*/*/*{_END}"))), None)


def _of_cityscapes(file: Path) -> tuple[str, str]:
    """Split and picture of a file."""
    folder = "/".join(file.parts[-3:-1])
    picture = f"{folder}/{file.name.removesuffix(_END)}{_PICTURE}"
    return family_name(file.parent.parent.name), picture


def _pascal(path: Path) -> Path | None:
    """The folder with training/ and validation/."""
    for top in (path / "labels", path):
        if any(any((top / folder).glob("*.tif")) for folder in _PASCAL_SPLITS):
            return top
    return None


def _pascal_pictures(top: Path) -> Path:
    """VOC's pictures, beside the labels or in a VOC folder beside them."""
    places = [place / "JPEGImages" for place in (top, top.parent, top.parent / "VOC2010")]
    return next((place for place in places if place.is_dir()), places[1])


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


def _read(file: Path, name: str, names: Names, gathered: Gathered) -> None:
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
    image = gathered.image(name, (pixels.shape[1], pixels.shape[0]))
    for number, owner, label, instance in _named(rows, names, gathered):
        ours = {"object_id": instance + 1} if instance >= 0 else {}
        rle = encode(where == number)
        gathered.mask(image, label, rle, object=owner, provenance="human", **ours)


def _named(
    rows: list[tuple[int, int, int]], known: Names, gathered: Gathered
) -> Iterator[tuple[int, str, str, int]]:
    """Position in `rows`, object, part and number of the instance, of each row that is a part."""
    for position, (kind, instance, part) in enumerate(rows):
        owner, names = known.get(int(kind), ("", ()))
        if not names or part in (-1, 0):
            continue
        if part > len(names):
            gathered.pass_over("region", f"of part {int(part)} of a {owner}, which is none")
            continue
        # Instances are counted in each class, so the class makes the number one of the picture's.
        yield position, owner, names[part - 1], int(kind * 1000 + instance) if instance >= 0 else -1


layout = PanopticPartsLayout()
