"""The published lists of evaluation pictures: `wnid/ILSVRC2012_val_x.JPEG label` (E-02, E-03)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from partlab.counts import counted
from partlab.errors import NotFoundError, SchemaError
from partlab.tables import read_text


@dataclass(frozen=True, slots=True)
class PictureList:
    """A list's lines; `labels` are the class numbers it states."""

    names: tuple[str, ...] = field(repr=False)  # below the picture folder
    classes: tuple[str, ...] = field(repr=False)  # sorted, those that have a picture
    class_of: NDArray[np.int32] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)  # the stated number of each class

    def balance(self, classes: int | None = None) -> "Balance":
        """How many pictures each of the numbered classes has (E-03).

        `classes` is how many there are; by default up to the highest number in the list.
        """
        total = max(self.labels, default=-1) + 1 if classes is None else classes
        counts = np.zeros(max(total, max(self.labels, default=-1) + 1), int)
        counts[list(self.labels)] = np.bincount(self.class_of, minlength=len(self.classes))
        return Balance(
            len(self.names), tuple(np.flatnonzero(counts == 0).tolist()), *_least_and_most(counts)
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """Pictures by class: `least` and `most` are over the classes that have any."""

    pictures: int
    without: tuple[int, ...]  # numbers of classes that have no picture
    least: int
    most: int

    def __str__(self) -> str:
        """One sentence for people."""
        have = f"{self.least} in each class"
        if self.least != self.most:
            have = f"between {self.least} and {self.most} in a class"
        none = (
            f"; {counted(len(self.without), 'class has', 'classes have')} no picture"
            if self.without
            else ""
        )
        return f"{self.pictures:,} pictures, {have}{none}"


def _least_and_most(counts: NDArray[np.int64]) -> tuple[int, int]:
    some = counts[counts > 0]
    return int(some.min(initial=some.max(initial=0))), int(some.max(initial=0))


def read_list(path: str | Path, classes: Sequence[str] | None = None) -> PictureList:
    """Read a list of `class/file label` lines.

    The numbers must be those of the classes in sorted order, which is ImageNet's: positions in
    `classes` if they are given. Without them a list may leave out classes, as RobustBench's does,
    so only their order is checked.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: a line is not of that form, or its number is not that of its class; the
            message says the line.
    """
    path = Path(path)
    known = {name: at for at, name in enumerate(classes)} if classes is not None else None
    names: list[str] = []
    owners: list[str] = []
    first: dict[str, tuple[int, int]] = {}  # class -> number, line
    for line, text in enumerate(_text(path).splitlines(), 1):
        if not text.strip():
            continue
        name, owner, label = _parsed(path, line, text)
        said, _ = first.setdefault(owner, (label, line))
        if said != label:
            raise _wrong(path, line, f"{owner} is {label} here and {said} before")
        names.append(name)
        owners.append(owner)
    if not names:
        raise SchemaError(f"{path} lists no picture", hint=_FORM)
    _check_numbers(path, first, known)
    ordered = sorted(first)
    place = {owner: at for at, owner in enumerate(ordered)}
    of = np.fromiter((place[owner] for owner in owners), np.int32, len(owners))
    return PictureList(
        tuple(names), tuple(ordered), of, tuple(first[owner][0] for owner in ordered)
    )


_FORM = "each line is class/file and the number of the class: n01440764/x.JPEG 0"


def _text(path: Path) -> str:
    if not path.is_file():
        raise NotFoundError(f"no list {path}")
    return read_text(path)


def _parsed(path: Path, line: int, text: str) -> tuple[str, str, int]:
    cells = text.strip().rsplit(maxsplit=1)
    name = cells[0].replace("\\", "/")
    owner, slash, file = name.partition("/")
    if len(cells) < 2 or not (owner and slash and file) or ".." in name.split("/"):
        raise SchemaError(f"{path}, line {line} is not `class/file number`: {text}", hint=_FORM)
    if not (cells[1].isascii() and cells[1].isdigit()):
        raise SchemaError(f"{path}, line {line}: {cells[1]!r} is no class number", hint=_FORM)
    return name, owner, int(cells[1])


def _check_numbers(
    path: Path, first: dict[str, tuple[int, int]], known: dict[str, int] | None
) -> None:
    """Classes that are not among the known ones are told by who knows them."""
    before: tuple[int, str] = (-1, "")
    for owner in sorted(first):
        label, line = first[owner]
        wanted = label if known is None else known.get(owner, label)
        if label != wanted:
            raise _wrong(path, line, f"{owner} is {label} here, and class {wanted} of the model")
        if label <= before[0]:
            raise _wrong(path, line, f"{owner} is {label} here, but {before[1]} is {before[0]}")
        before = label, owner


def _wrong(path: Path, line: int, what: str) -> SchemaError:
    return SchemaError(
        f"{path}, line {line}: {what}",
        hint="classes are numbered from 0 in the order of their names",
    )
