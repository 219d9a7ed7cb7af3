"""Pictures of which only the class is known: folders by class, and published lists."""

import hashlib
import logging
import os
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from partlab.counts import counted
from partlab.errors import DatasetError, NotFoundError
from partlab.places import is_remote, located
from partlab.walk import PassedOver, walk
from train.lists import read_list

logger = logging.getLogger(__name__)

Place = str | Path | tuple[str | Path, str | Path]
"""A folder with one sub-folder a class; a list beside its pictures; or (list, picture folder)."""
_SPLITS = frozenset({"train", "val", "valid", "validation", "test"})


@dataclass(frozen=True)
class PlainPictures:
    """Names and classes of the pictures of one place; light: an Arrow array and four bytes each."""

    root: Path
    names: Any = field(repr=False)  # pyarrow strings, below the root
    classes: tuple[str, ...] = field(repr=False)  # sorted
    class_of: NDArray[np.int32] = field(repr=False)

    def __len__(self) -> int:
        return len(self.class_of)

    def __repr__(self) -> str:
        return f"PlainPictures({self.root}: {len(self):,} of {len(self.classes)} classes)"

    @property
    def fingerprint(self) -> str:
        """Hash of names and classes: equal wherever they lie. No file is opened for it."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for array in (self.class_of, *self.names.buffers()[1:]):  # where names end, and they all
            digest.update(array)
        return digest.hexdigest()


def open_plain(place: Place, classes: Sequence[str] | None = None) -> PlainPictures:
    """Find the pictures of a folder or of a list; none of them is opened.

    `classes` are the known ones, whose positions a list's numbers must be.

    Raises:
        NotFoundError: there is no such folder or list, no picture, or no folder of a class.
        DatasetError: a name is not valid UTF-8.
        SchemaError: a list's line is not right.
    """
    if isinstance(place, tuple):
        return _listed(located(place[0]), located(place[1]), classes)
    place = located(place)
    if place.is_file():
        return _listed(place, place.parent, classes)
    if not place.is_dir():
        raise NotFoundError(f"no folder {place}", hint="name a folder with one sub-folder a class")
    return _in_folders(place)


def _in_folders(folder: Path) -> PlainPictures:
    names: list[str] = []
    owners: list[int] = []
    place: dict[str, int] = {}
    loose, others = 0, PassedOver()
    for name, owner in walk(folder, others):
        if owner is None:
            loose += 1
            continue
        names.append(name)
        owners.append(place.setdefault(owner, len(place)))
    if not names:
        raise _nothing(folder, loose, others)
    if place.keys() <= _SPLITS:
        raise DatasetError(
            f"{folder} has its pictures in {', '.join(sorted(place))}, which are no classes",
            hint=f"name one of them: {folder / min(place)}",
        )
    _tell(folder, loose, others, place)
    classes, class_of = tuple(place), np.array(owners, np.int32)  # met in sorted order
    return PlainPictures(folder.absolute(), _strings(names), classes, class_of)


def _tell(folder: Path, loose: int, others: PassedOver, classes: Container[str]) -> None:
    if not is_remote(folder) and (empty := _empty(folder, classes)):
        logger.warning("%s: %d folders hold no picture, first %s", folder, len(empty), empty[0])
    if sentence := others.sentence():
        logger.warning("%s: %s", folder, sentence)
    if loose:
        left = counted(loose, "picture")
        logger.warning("%s: %s left out, in no folder of a class", folder, left)


def _empty(folder: Path, classes: Container[str]) -> list[str]:
    """Object stores have no empty folders."""
    with os.scandir(folder) as scan:
        return sorted(e.name for e in scan if e.name not in classes and _is_shown(e))


def _is_shown(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _nothing(folder: Path, loose: int, others: PassedOver) -> NotFoundError:
    why = "holds no pictures"
    if loose:
        why = f"has its {counted(loose, 'picture')} in no folder of a class"
    hint = others.sentence() or "put them into one sub-folder a class: FOLDER/cat/a.jpg"
    return NotFoundError(f"{folder} {why}", hint=hint)


def _strings(names: Iterable[str]) -> Any:
    try:
        return pa.array(names, pa.string())
    except (UnicodeEncodeError, pa.ArrowException):
        for name in names:
            try:
                name.encode()
            except UnicodeEncodeError:
                raise DatasetError(
                    f"the file name {name!r} is not valid UTF-8", hint="rename that file"
                ) from None
        raise


def _listed(file: Path, root: Path, classes: Sequence[str] | None) -> PlainPictures:
    found = read_list(file, classes)
    if not root.is_dir():
        raise NotFoundError(f"no picture folder {root} for the list {file}")
    absent = [owner for owner in found.classes if not (root / owner).is_dir()]
    if absent:
        raise NotFoundError(
            f"{len(absent)} of the {len(found.classes)} class folders in {file} are not in {root}, "
            f"first {absent[0]}",
            hint="name the folder that holds the folders of the classes",
        )
    balance = found.balance(len(classes) if classes is not None else None)
    logger.info("%s: %s", file, balance)
    return PlainPictures(root.absolute(), _strings(found.names), found.classes, found.class_of)
