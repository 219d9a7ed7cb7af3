"""Pictures below a folder, in a fixed order, fast enough for millions."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from partlab.images import is_image_name, is_litter, not_read
from partlab.places import is_remote, listing


@dataclass
class PassedOver:
    """Files beside the pictures that are none by their names, as the last listing met them."""

    first: list[str] = field(default_factory=list)
    total: int = 0

    def clear(self) -> None:
        """Before a listing begins."""
        self.first.clear()
        self.total = 0

    def add(self, name: str) -> None:
        """Note one; only the first few names are kept."""
        self.total += 1
        if self.total <= 10:
            self.first.append(name)

    def sentence(self) -> str | None:
        """How many and which, for people; None without any."""
        return not_read(self.first, self.total) if self.total else None


def walk(folder: Path, others: PassedOver) -> Iterator[tuple[str, str | None]]:
    """(path below the folder, its first sub-folder or None), sorted folder by folder.

    Links are followed, loops are not; hidden files and folders are left out, and what is no
    picture by its name goes to `others`. No file is opened or asked for its size.
    """
    others.clear()
    if is_remote(folder):
        yield from in_listing(listing(folder), others)
        return
    for name in _below(str(folder), "", frozenset(), others):
        first, slash, _ = name.partition("/")
        yield name, first if slash else None


def in_listing(names: Iterable[str], others: PassedOver) -> Iterator[tuple[str, str | None]]:
    """`walk` of names that are listed already."""
    others.clear()
    for name in names:
        first, slash, _ = name.partition("/")
        if is_image_name(name):
            yield name, first if slash else None
        elif not is_litter(name):
            others.add(name)


def _below(
    place: str, inside: str, above: frozenset[tuple[int, int]], others: PassedOver
) -> Iterator[str]:
    stat = os.stat(place)
    here = (stat.st_dev, stat.st_ino)
    if here in above:
        return
    with os.scandir(place) as scan:
        found = sorted((e.name, e.is_dir()) for e in scan if not e.name.startswith("."))
    for name, is_folder in found:
        if is_folder:
            yield from _below(f"{place}/{name}", f"{inside}{name}/", above | {here}, others)
        elif is_image_name(name):
            yield inside + name
        elif not is_litter(name):
            others.add(inside + name)
