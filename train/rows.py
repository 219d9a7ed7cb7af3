"""Joining the pictures of several places: one row each, as NumPy columns."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from partlab.counts import counted, few
from partlab.errors import DatasetError
from partlab.labelmaps import LabelMaps
from train.duplicates import first_of_each
from train.plain import PlainPictures

logger = logging.getLogger(__name__)

HUMAN, PSEUDO, PLAIN = 0, 1, 2
"""Who made a picture's label map: people, a network, nobody."""
SOURCES = ("human", "pseudo", "class-only")

Provider = LabelMaps | PlainPictures


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Columns of shape (n,): `row` in provider `place`; `class_of` is -1 where unknown."""

    place: NDArray[np.int16]
    row: NDArray[np.int32]
    source: NDArray[np.uint8]
    class_of: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, providers: Sequence[Provider]) -> "Rows":
        """All rows of all providers; classes are still numbered as each of them does."""
        sizes = [len(each) for each in providers]
        return cls(
            np.repeat(np.arange(len(providers), dtype=np.int16), sizes),
            np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
            np.concatenate([_sources(each) for each in providers]),
            np.concatenate([_own_classes(each) for each in providers]),
        )

    def take(self, chosen: NDArray[Any]) -> "Rows":
        """The rows that an index or a mask array picks."""
        return Rows(
            self.place[chosen], self.row[chosen], self.source[chosen], self.class_of[chosen]
        )


def _sources(provider: Provider) -> NDArray[np.uint8]:
    if isinstance(provider, LabelMaps):
        return np.where(provider.pseudo, np.uint8(PSEUDO), np.uint8(HUMAN))
    return np.full(len(provider), PLAIN, np.uint8)


def _own_classes(provider: Provider) -> NDArray[np.int32]:
    return provider.objects_of_all if isinstance(provider, LabelMaps) else provider.class_of


def _names(provider: Provider) -> tuple[str, ...]:
    return provider.objects if isinstance(provider, LabelMaps) else provider.classes


def without_unknown(rows: Rows) -> Rows:
    """A picture whose object nobody knows cannot be learnt from: left out, and said.

    Label maps know only the objects that have parts; others can come as class-only pictures.
    """
    known = rows.class_of >= 0
    if lost := int((~known).sum()):
        logger.warning(
            "%s left out: of no known object category, or of one without parts",
            counted(lost, "picture"),
        )
    return rows.take(known)


def all_classes(providers: Sequence[Provider]) -> tuple[str, ...]:
    """The names of all classes, sorted: those of parts and those of folders."""
    return tuple(sorted({name for each in providers for name in _names(each)}))


def numbered(rows: Rows, providers: Sequence[Provider], names: Sequence[str]) -> Rows:
    """The rows with classes as positions in `names`.

    Raises:
        DatasetError: pictures show classes that are not among `names`.
    """
    place = {name: at for at, name in enumerate(names)}
    class_of, strange = np.empty_like(rows.class_of), Counter[str]()
    for at, each in enumerate(providers):
        mine = rows.place == at
        table = np.array([place.get(name, -1) for name in _names(each)], np.int32)
        class_of[mine] = table[rows.class_of[mine]]
        lost = np.bincount(rows.class_of[mine][class_of[mine] < 0], minlength=len(table))
        strange.update({_names(each)[i]: int(lost[i]) for i in np.flatnonzero(lost)})
    if strange:
        pictures = counted(strange.total(), "picture shows", "pictures show")
        raise DatasetError(
            f"{pictures} classes that the model does not know: {few(sorted(strange))}",
            hint=f"it knows {few(sorted(names))}",
        )
    return replace(rows, class_of=class_of)


def in_order(rows: Rows) -> Rows:
    """Human before pseudo before class-only; else as they came."""
    return rows.take(np.argsort(rows.source, kind="stable"))


def without_repeats(rows: Rows, providers: Sequence[Provider]) -> Rows:
    """Each picture once, the first time it comes; what was dropped is said."""
    if not len(rows):
        return rows
    roots = [each.roots if isinstance(each, LabelMaps) else (each.root,) for each in providers]
    before = np.cumsum([0, *map(len, roots)])
    offset = np.cumsum([0, *map(len, providers)])
    at = offset[rows.place] + rows.row
    root = np.concatenate([n + _roots(each) for n, each in zip(before, providers, strict=False)])
    names = pa.chunked_array([*chain(*map(_names_of, providers))], pa.string()).combine_chunks()
    keep = first_of_each(
        [*chain(*roots)], root[at], names.take(pa.array(at)), rows.place, rows.class_of
    )
    _tell_repeats(rows.source[~keep])
    return rows.take(keep)


def _roots(provider: Provider) -> NDArray[np.int16]:
    if isinstance(provider, LabelMaps):
        return provider.roots_of_all
    return np.zeros(len(provider), np.int16)


def _names_of(provider: Provider) -> list[Any]:
    """Arrow arrays."""
    names = provider.file_names if isinstance(provider, LabelMaps) else provider.names
    return list(names.chunks) if isinstance(names, pa.ChunkedArray) else [names]


def _tell_repeats(dropped: NDArray[np.uint8]) -> None:
    counts = np.bincount(dropped, minlength=len(SOURCES)).tolist()
    told = [f"{n:,} {name}" for n, name in zip(counts, SOURCES, strict=True) if n]
    if told:
        logger.info("pictures in several places count once, left out: %s", ", ".join(told))


def tell_missing(rows: Rows, names: Sequence[str]) -> None:
    """Warn of classes that have no picture."""
    counts = np.bincount(rows.class_of, minlength=len(names))
    missing = [names[at] for at in np.flatnonzero(counts == 0)]
    if missing:
        logger.warning(
            "%d of %d classes have no picture: %s", len(missing), len(names), few(missing)
        )


def tell_strangers(maps: Sequence[LabelMaps], places: Sequence[PlainPictures]) -> None:
    """Warn where a place seems to be of other data, or calls the same classes by other names.

    The first label maps are people's, where there are any: what others add to their classes and
    parts is said.
    """
    objects = {name for each in maps for name in each.objects}
    for place in places if objects else ():
        if objects.isdisjoint(place.classes):
            logger.warning(
                "none of the classes of %s has parts: it says %s, and the parts are of %s",
                place.root,
                few(place.classes),
                few(sorted(objects)),
            )
        elif more := sorted(set(place.classes) - objects):
            what = "%s has %d classes without parts, so that nothing is known of theirs: %s"
            logger.warning(what, place.root, len(more), few(more))
    for each in maps[1:]:
        _tell_added(each, maps[0])


def _tell_added(maps: LabelMaps, first: LabelMaps) -> None:
    """Other classes or parts than those of the first: another data set's, perhaps."""
    for what, theirs, ours in (
        ("classes", maps.objects, first.objects),
        ("parts", maps.names, first.names),
    ):
        if more := sorted(set(theirs) - set(ours)):
            said = "%s adds %d %s to the %d of %s: %s"
            logger.warning(said, maps.path, len(more), what, len(ours), first.path, few(more))
