"""The index of all pictures that a recognition model is trained on (P-04, P-06, P-08).

Part data sets, label-map files and pictures of which only the class is known become one list
with one label space. It is light: 1.2 million pictures take seconds and some tens of bytes each;
label maps stay in their memory-mapped files.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from partlab.coco import read_dataset
from partlab.counts import few
from partlab.errors import ConfigError, DatasetError, NotFoundError
from partlab.files import sha256_json
from partlab.folders import is_store
from partlab.images import load_image
from partlab.labelmap_cache import open_cache
from partlab.labelmap_sources import DatasetSource, joined
from partlab.labelmaps import LabelMaps, label_type
from partlab.parts import Parts
from partlab.places import located
from train.plain import Place, PlainPictures, open_plain
from train.rows import (
    HUMAN,
    PLAIN,
    PSEUDO,
    SOURCES,
    Provider,
    Rows,
    all_classes,
    in_order,
    numbered,
    tell_missing,
    tell_strangers,
    without_repeats,
    without_unknown,
)

__all__ = ["HUMAN", "PLAIN", "PSEUDO", "SOURCES", "Picture", "Pictures", "open_pictures"]

logger = logging.getLogger(__name__)


class Picture(NamedTuple):
    """One picture and what is known of it."""

    pixels: NDArray[np.uint8]  # (height, width, 3) RGB
    class_: int  # position in `classes`
    labels: NDArray[Any] | None  # (height, width): 0 background, 1…K parts, K + 1 ignored
    source: int  # HUMAN, PSEUDO or PLAIN


@dataclass(frozen=True, eq=False)
class Pictures:
    """All pictures, human before pseudo before class-only. `pictures[i]` reads one.

    A map-style data set; `partlab.LabelledPictures(pictures, transform)` is one with a transform.
    It goes to worker processes as the paths of its files and a few arrays. `class_of` and
    `source` have shape (n,); do not write to them.
    """

    classes: tuple[str, ...] = field(repr=False)  # sorted, which is ImageNet's order
    parts: Parts
    class_of: NDArray[np.int32] = field(repr=False)
    source: NDArray[np.uint8] = field(repr=False)
    _providers: tuple[Provider, ...] = field(repr=False)
    _place: NDArray[np.int16] = field(repr=False)  # position in `_providers`
    _row: NDArray[np.int32] = field(repr=False)  # and there

    def __len__(self) -> int:
        return len(self.class_of)

    def __repr__(self) -> str:
        return f"Pictures({self.summary})"

    @property
    def summary(self) -> str:
        """How many, of what, in words."""
        counts = np.bincount(self.source, minlength=len(SOURCES))
        told = [f"{n:,} {name}" for n, name in zip(counts.tolist(), SOURCES, strict=True) if n]
        if mute := int((self.source != PLAIN).sum()) - self.with_parts:
            told.append(f"{mute:,} of them without any part")
        return (
            f"{len(self):,} pictures ({', '.join(told)}) of {len(self.classes):,} classes, "
            f"{self.parts.summary}"
        )

    @cached_property
    def with_parts(self) -> int:
        """How many pictures have a label map that shows a part."""
        blank = np.ones(len(self), bool)
        for place, provider in enumerate(self._providers):
            if isinstance(provider, LabelMaps):
                mine = self._place == place
                blank[mine] = provider.blank[self._row[mine]]
        return int((~blank & (self.source != PLAIN)).sum())

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders that the pictures lie in."""
        found: list[Path] = []
        for each in self._providers:
            found += each.roots if isinstance(each, LabelMaps) else [each.root]
        return tuple(dict.fromkeys(found))

    @property
    def ignore(self) -> int:
        """The label of pixels of which nothing is known: K + 1."""
        return len(self.parts) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for part i, which label maps call i + 1."""
        return self.parts.names

    @property
    def objects(self) -> tuple[str, ...]:
        """The classes, as `partlab.LabelledPictures` calls them."""
        return self.classes

    def known(self, index: int) -> tuple[Path, NDArray[Any] | None, int]:
        """Path, label map and class of the picture at 0 <= index < len, not decoded."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.path(index), self.labels(index), int(self.class_of[index])

    def __getitem__(self, index: int) -> Picture:
        """The picture at 0 <= index < len, decoded, with its label map.

        Raises:
            NotFoundError, DatasetError: the picture is missing or damaged.
        """
        path, labels, owner = self.known(index)
        return Picture(load_image(path), owner, labels, int(self.source[index]))

    def name(self, index: int) -> str:
        """The picture's name as its source calls it."""
        provider, row = self._at(index)
        if isinstance(provider, LabelMaps):
            return provider.file_name(row)
        return str(provider.names[row].as_py())

    def path(self, index: int) -> Path:
        """Where the picture lies on this machine."""
        provider, row = self._at(index)
        if isinstance(provider, LabelMaps):
            return provider.image_path(row)
        return provider.root / str(provider.names[row].as_py())

    def labels(self, index: int) -> NDArray[Any] | None:
        """Label map (height, width): 0 background, 1…K parts, K + 1 ignored; None without one."""
        provider, row = self._at(index)
        if self.source[index] == PLAIN or not isinstance(provider, LabelMaps):
            return None
        found, table = provider.composite(row).labels, self._tables[int(self._place[index])]
        return found if table is None else table[found]

    def _at(self, index: int) -> tuple[Provider, int]:
        return self._providers[int(self._place[index])], int(self._row[index])

    @cached_property
    def _tables(self) -> tuple[NDArray[Any] | None, ...]:
        """Per file: its labels -> ours; None where they are the same."""
        return tuple(_table(each, self.parts) for each in self._providers)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of classes, parts, label maps and names of pictures: equal wherever they lie."""
        content = [each.fingerprint for each in self._providers]
        about = [self.classes, self.parts.names, self.parts.inclusions, content]
        digest = hashlib.sha256(sha256_json(about).encode())
        for array in (self.class_of, self.source, self._place, self._row):
            digest.update(array.tobytes())
        return digest.hexdigest()

    def without_pseudo(self) -> "Pictures":
        """The same pictures, those with pseudo labels class-only (P-08: `labels=human`).

        They are then shown as often as class-only pictures are.
        """
        source = np.where(self.source == PSEUDO, np.uint8(PLAIN), self.source)
        return replace(self, source=source)

    def with_human_share(self, share: float) -> "Pictures":
        """The same pictures, people's masks on `share` of those that have them, class by class.

        The others are class-only. Which ones is always the same; of each class at least one stays.
        """
        if share == 1:
            return self
        source, draw = self.source.copy(), np.random.default_rng(0)
        for number in range(len(self.classes)):
            own = np.flatnonzero((self.source == HUMAN) & (self.class_of == number))
            kept = max(round(share * len(own)), 1)
            source[draw.permutation(own)[kept:]] = PLAIN
        return replace(self, source=source)


def _table(provider: Provider, parts: Parts) -> NDArray[Any] | None:
    if not isinstance(provider, LabelMaps) or provider.names == parts.names:
        return None
    table = np.full(len(provider.names) + 2, len(parts) + 1, label_type(len(parts)))
    table[0] = 0
    for own, other in provider.parts.matched(parts).items():
        table[own + 1] = other + 1
    return table


def open_pictures(
    data: Sequence[str | Path],
    *,
    split: str | None = "train",
    plain: Sequence[Place] = (),
    cache: str | Path,
    classes: Sequence[str] | None = None,
    parts: Parts | None = None,
) -> Pictures:
    """Index part data sets, label-map files and class-only pictures together.

    Args:
        data: part data sets (a folder, of which `split` is taken, or one COCO file) and
            label-map files, as `partlab pseudolabel cache` makes them. Of an image in several
            of them one is kept: human before pseudo before class-only, else the earlier.
        plain: pictures of which only the class is known: folders with one sub-folder a class,
            published lists beside their pictures, or (list, picture folder).
        cache: a folder for the label maps of the data sets; made again only when they change.
            Several processes may ask at once.
        classes, parts: those of a trained model, for a validation set.

    Raises:
        ConfigError: neither data nor plain, or a label-map file of the `multi` form.
        NotFoundError: a place is not there, or has no picture or no such split.
        DatasetError: no picture is left, or classes or parts are not those given.
        SchemaError: not a label-map file; inclusions contradict each other; a bad list.
    """
    if not data and not plain:
        raise ConfigError("no pictures named", hint="name a part data set or label-map file")
    maps = _label_maps(data, split, Path(cache))
    places = [open_plain(place, classes) for place in plain]
    space = _space(maps, parts)
    tell_strangers(maps, places)
    found = _joined(maps, places, space, classes)
    logger.info("%s", found.summary)
    return found


def _label_maps(data: Sequence[str | Path], split: str | None, cache: Path) -> list[LabelMaps]:
    """Label-map files in the order given; all data sets become one, first."""
    data_places = [located(each) for each in data]
    files = [_usable(LabelMaps(each)) for each in data_places if _is_label_maps(each)]
    sets = [each for each in data_places if not _is_label_maps(each)]
    if not sets:
        return files
    sources = [DatasetSource(_dataset(place, split)) for place in sets]
    key = sha256_json([[str(place.resolve()) for place in sets], split])[:16]
    return [open_cache(cache / f"{sets[0].stem}-{key}.arrow", sources).maps, *files]


def _is_label_maps(place: Path) -> bool:
    return place.suffix == ".arrow"


def _usable(maps: LabelMaps) -> LabelMaps:
    for root in maps.roots:
        if not root.is_dir():
            raise NotFoundError(
                f"the picture folder {root} of {maps.path} is not there",
                hint="move it back, or make the label maps again: partlab pseudolabel cache",
            )
    if maps.header.channels > 1:
        raise ConfigError(
            f"{maps.path} keeps {maps.header.channels} labels a pixel, and training takes one",
            hint="make it without --channels: partlab pseudolabel cache DIR --out FILE",
        )
    return maps


def _dataset(place: Path, split: str | None) -> Any:
    if is_store(place):
        raise DatasetError(
            f"{place} is a pseudo-label store, which training does not read as it is",
            hint=f"give it as --pseudo {place}; or make its label maps: partlab pseudolabel cache "
            f"{place} --out labels.arrow",
        )
    return read_dataset(place, None if place.is_file() else split)


def _space(maps: Sequence[LabelMaps], given: Parts | None) -> Parts:
    found = joined([each.parts for each in maps])
    if given is None:
        return found
    strange = [name for name in found.names if name not in given.label]
    if strange:
        raise DatasetError(
            f"{len(strange)} parts are not among the {len(given)} of the model: {few(strange)}",
            hint="evaluate on a data set with the parts it was trained with",
        )
    return given


def _joined(
    maps: Sequence[LabelMaps],
    places: Sequence[PlainPictures],
    parts: Parts,
    classes: Sequence[str] | None,
) -> Pictures:
    providers: tuple[Provider, ...] = (*maps, *places)
    rows = without_unknown(Rows.of(providers))
    names = all_classes(providers) if classes is None else tuple(classes)
    rows = in_order(numbered(rows, providers, names))
    rows = without_repeats(rows, providers)
    if not len(rows):
        raise DatasetError("no picture is left to learn from", hint="see what was left out, above")
    tell_missing(rows, names)
    return Pictures(names, parts, rows.class_of, rows.source, providers, rows.place, rows.row)
