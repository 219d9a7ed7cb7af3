"""The data sets and folders of pictures that were given: read once, asked for by name.

A picture's name is `DATA/SPLIT/file name` or `FOLDER/path below it`. Only names of pictures that
are listed lead to a file, so an address of the browser opens nothing else.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from app.web.given import Given
from app.web.shelf import Kept
from partlab.coco import read_coco
from partlab.errors import NotFoundError, UnknownNameError
from partlab.layouts import find_layout
from partlab.schema import Dataset, Image
from partlab.walk import PassedOver, walk

_HELD_OUT = ("heldout", "test", "val")  # splits that a segmenter has not seen, best first


@dataclass(frozen=True, slots=True)
class Offered:
    """A picture by its name; `object` is the category it is known to show.

    `split` is the one of the data set that it is of.
    """

    name: str
    path: Path
    object: str | None = None
    split: str = ""


@dataclass
class Library:
    """What lies in the places that were given."""

    given: Given
    _kept: Kept = field(default_factory=Kept)

    def splits(self, data: str) -> dict[str, Path]:
        """The COCO files of a data set by split; held-out ones first.

        Raises:
            UnknownNameError: no such data set was given.
        """
        if data not in self.given.data:
            raise UnknownNameError("data set", data, self.given.data)
        found = find_layout(self.given.data[data]).splits
        first = [name for name in _HELD_OUT if name in found]
        return {name: found[name] for name in dict.fromkeys((*first, *found))}

    def dataset(self, data: str, split: str) -> Dataset:
        """One split, read when it is first asked for.

        Raises:
            UnknownNameError: no such data set or split.
            SchemaError: as `read_coco`.
        """
        splits = self.splits(data)
        if split not in splits:
            raise UnknownNameError("split", split, splits)
        found: Dataset = self._kept.get(f"{data}/{split}", lambda: read_coco(splits[split]))
        return found

    def offered(self, most: int = 24) -> list[Offered]:
        """Some pictures of each place: of data sets from all over their first split."""
        found: list[Offered] = []
        places = max(len(self.given.data) + len(self.given.pictures), 1)
        each = max(most // places, 4)
        for data in self.given.data:
            found += self._some(data, each)
        for name, folder in self.given.pictures.items():
            found += islice(_in_folder(name, folder), each)
        return found[:most]

    def find(self, name: str) -> Offered:
        """The picture of this name.

        Raises:
            NotFoundError: there is none such among those that were given.
        """
        place, _, rest = name.partition("/")
        if place in self.given.pictures:
            same = (o for o in _in_folder(place, self.given.pictures[place]) if o.name == name)
            found = next(same, None)
            if found is not None:
                return found
        if place in self.given.data:
            split, _, file_name = rest.partition("/")
            if split in self.splits(place):
                data = self.dataset(place, split)
                return _of(place, split, data, data.find_image(file_name))
        raise NotFoundError(f"no picture {name!r} among what the app was given")

    def keyed(self, keys: Collection[str]) -> dict[str, Offered]:
        """The pictures that evaluations call so (`class/file`), as far as they are here."""
        left, found = set(keys), dict[str, Offered]()
        places = chain(*(self._all(data) for data in self.given.data))
        folders = (_in_folder(name, folder) for name, folder in self.given.pictures.items())
        for offered in chain(places, *folders):
            if not left:
                break
            file = offered.name.partition("/")[2].removeprefix(f"{offered.split}/")
            key = file if file.startswith(f"{offered.object}/") else f"{offered.object}/{file}"
            if key in left:
                left.remove(key)
                found[key] = offered
        return found

    def _all(self, data: str) -> Iterator[Offered]:
        for split in self.splits(data):
            read = self.dataset(data, split)
            yield from (_of(data, split, read, image) for image in read.images)

    def _some(self, data: str, most: int) -> list[Offered]:
        """Evenly from the whole list, so that there is something of every category."""
        splits = self.splits(data)
        split = next(iter(splits))
        read = self.dataset(data, split)
        step = max(len(read.images) // most, 1)
        return [_of(data, split, read, image) for image in read.images[::step][:most]]


def _of(data: str, split: str, read: Dataset, image: Image) -> Offered:
    name = f"{data}/{split}/{image.file_name}"
    return Offered(name, read.image_path(image), read.object_of(image), split)


def _in_folder(name: str, folder: Path) -> Iterator[Offered]:
    for below, owner in walk(folder, PassedOver()):
        yield Offered(f"{name}/{below}", folder / below, owner)
