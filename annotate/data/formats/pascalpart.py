"""PASCAL-Part: a MATLAB file for each picture of VOC2010 (requirements C5, N-10).

    Annotations_Part/2008_000008.mat     anno: imname, objects of class, mask, parts
    JPEGImages/2008_000008.jpg            VOC2010's own
    ImageSets/Main/train.txt, val.txt     VOC2010's own, if they are there: the splits

Every mask is read: of the whole object, and of each part. Parts that are numbered (`wheel_1`,
`wheel_2`) are instances of one part. The object a part belongs to has its number in the picture.
"""

import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered, printable
from annotate.data.formats.layout import Layout
from partlab.errors import DatasetError, NotFoundError
from partlab.files import read_lines
from partlab.images import image_size
from partlab.masks import encode
from partlab.progress import track
from partlab.schema import Dataset, Image, Raw

log = logging.getLogger(__name__)

_FOLDER = "Annotations_Part"
_NUMBER = re.compile(r"_\d+$")
_FAULTS = (
    *(LookupError, TypeError, ValueError, AttributeError, OSError),
    *(MatReadError, NotImplementedError, zlib.error, EOFError),
)


class PascalPartLayout(Layout):
    """Format of PASCAL-Part's release."""

    title = "PASCAL-Part (MATLAB files)"

    def fits(self, path: Path) -> bool:
        """A folder with Annotations_Part/*.mat, or that folder."""
        return _folder(path) is not None

    def read(self, source: Source) -> dict[str, Dataset]:
        """VOC2010's splits where its lists are there, else all as `all`."""
        folder = _folder(source.path)
        if folder is None:
            raise NotFoundError(
                f"{source.path} has no {_FOLDER}/*.mat",
                hint="get trainval.tar.gz of PASCAL-Part and VOC2010's pictures "
                "(VOCtrainval_03-May-2010.tar), and unpack both into one folder",
            )
        root = source.images or _pictures_of(folder.parent)
        found: dict[str, Gathered] = {}
        sets, files = _sets(folder.parent), sorted(folder.glob("*.mat"))
        for file in track(files, "files", total=len(files)):
            split = sets.get(file.stem, "rest" if sets else "all")
            _read(file, root, found.setdefault(split, Gathered(source, "PASCAL-Part")))
        for gathered in found.values():
            gathered.say()
        return {split: gathered.dataset(folder, root) for split, gathered in found.items()}


def _folder(path: Path) -> Path | None:
    places = [path / _FOLDER, path] if path.name == _FOLDER else [path / _FOLDER]
    return next((one for one in places if any(one.glob("*.mat"))), None)


def _pictures_of(top: Path) -> Path:
    folder = top / "JPEGImages"
    if not folder.is_dir():
        log.warning(
            "%s is not there: sizes are those of the masks. The pictures are VOC2010's "
            "(VOCtrainval_03-May-2010.tar); say with --images where its JPEGImages is",
            folder,
        )
    return folder


def _sets(top: Path) -> dict[str, str]:
    """Name of a picture -> split, as VOC2010 lists them."""
    files = {split: top / "ImageSets" / "Main" / f"{split}.txt" for split in ("val", "train")}
    there = {split: file for split, file in files.items() if file.is_file()}
    return {line.split()[0]: split for split, file in there.items() for line in read_lines(file)}


def _read(file: Path, root: Path, gathered: Gathered) -> None:
    try:
        objects = _listed(loadmat(file, simplify_cells=True)["anno"]["objects"])
        size = _size(root / f"{file.stem}.jpg", objects)
    except _FAULTS as error:
        gathered.pass_over("file", "that cannot be read")
        log.warning("%s cannot be read: %s", file, error)
        return
    if size is None:
        gathered.pass_over("file", "without an object and without a picture")
        return
    image = gathered.image(f"{file.stem}.jpg", size)
    for number, one in enumerate(objects, 1):
        owner = printable(str(one.get("class") or ""))
        _mask(one.get("mask"), owner, owner, number, image, gathered)
        for part in _listed(one.get("parts")):
            name = _NUMBER.sub("", printable(str(part.get("part_name") or "")))
            _mask(part.get("mask"), name, owner, number, image, gathered)


def _listed(value: Any) -> list[Raw]:
    """The structs of a MATLAB array: one alone is no array, and an empty one holds nothing."""
    if isinstance(value, dict):
        return [value]
    return [one for one in np.atleast_1d(value) if isinstance(one, dict)] if len(value) else []


def _size(picture: Path, objects: list[Raw]) -> tuple[int, int] | None:
    """(width, height) of the picture, or else what most masks say."""
    try:
        return image_size(picture)
    except (NotFoundError, DatasetError):
        shapes = Counter(shape[::-1] for shape in _shapes(objects))
        return shapes.most_common(1)[0][0] if shapes else None


def _shapes(objects: list[Raw]) -> Iterator[tuple[int, int]]:
    for one in objects:
        for mask in (one.get("mask"), *(part.get("mask") for part in _listed(one.get("parts")))):
            if isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.size:
                yield mask.shape[0], mask.shape[1]


def _mask(mask: Any, name: str, owner: str, number: int, image: Image, gathered: Gathered) -> None:
    if not isinstance(mask, np.ndarray) or mask.shape != (image.height, image.width):
        shape = getattr(mask, "shape", "none")
        gathered.pass_over("mask", "of another size than the picture")
        gathered.set_aside(image, f"{owner}:{name}", f"has a mask of the shape {shape}")
        return
    gathered.mask(image, name, encode(mask), object=owner, provenance="human", object_id=number)


layout = PascalPartLayout()
