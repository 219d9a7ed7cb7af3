"""Pictures on this machine while they are labelled: those of a URL come shard by shard.

A shard's pictures are asked for together, one shard ahead of the network, into a folder of this
process that holds two shards at most. What a killed process left there the next one clears away.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from threading import Lock

from partlab.errors import BusyError
from partlab.files import cache_folder, cannot_write, exclusive
from partlab.places import fetch, is_remote
from partlab.tars import fetch_members
from pseudolabel.inputs import Entry


@dataclass(frozen=True)
class Nearby:
    """Where the pictures of the shards under way are: the root itself, or a folder for a while."""

    root: Path
    folder: Path
    _needed: Counter[str] = field(default_factory=Counter, repr=False)
    _turn: Lock = field(default_factory=Lock, repr=False)

    def ahead(self, shards: Iterable[list[Entry]]) -> Iterator[list[Entry]]:
        """The same shards, each when its pictures are in the folder.

        Raises:
            PlaceError: a picture cannot be had, which says nothing about the picture.
        """
        if self.folder is self.root:
            yield from shards
            return
        following = iter(shards)
        with ThreadPoolExecutor(1) as pool:
            entries = next(following, None)
            coming = entries and pool.submit(self._bring, entries)
            while entries and coming:
                coming.result()
                here, entries = entries, next(following, None)
                coming = entries and pool.submit(self._bring, entries)
                yield here

    def _bring(self, entries: list[Entry]) -> None:
        with self._turn:  # a list may name a picture twice
            new = [path for path in {entry.path for entry in entries} if not self._needed[path]]
            self._needed.update(entry.path for entry in entries)
        try:
            packed = {path for path in new if ".tar/" in path}
            fetch(self.root, sorted({*new} - packed), self.folder)
            fetch_members(self.root, sorted(packed), self.folder)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def done(self, entries: Iterable[Entry]) -> None:
        """These are labelled."""
        if self.folder is self.root:
            return
        with self._turn:
            for entry in entries:
                self._needed[entry.path] -= 1
                if not self._needed[entry.path]:
                    (self.folder / entry.path).unlink(missing_ok=True)


@contextmanager
def nearby(root: Path) -> Iterator[Nearby]:
    """The pictures below `root`, on this machine for as long as the block lasts."""
    if not is_remote(root):
        yield Nearby(root, root)
        return
    with ExitStack() as held:
        yield Nearby(root, _own_folder(cache_folder() / "pictures", held))


def _own_folder(base: Path, held: ExitStack) -> Path:
    """A new folder that is held, and gone in the end; those that nobody holds are cleared away."""
    with exclusive(base, patience=60):
        for left in base.glob("*/"):
            with suppress(BusyError), exclusive(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = base / token_hex(8)
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        held.enter_context(exclusive(folder))
    return folder
