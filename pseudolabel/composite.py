"""Composite masks from whatever holds part masks: human data sets and pseudo-label stores.

A source gives its images one by one, as layers; `compose` flattens them by the kernel's rule
(requirements P-05, B4). Several sources share one vocabulary, and people win over networks
where both labelled the same image (P-04: both count alike in training).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from partlab.composite import Layer, flatten, stack
from partlab.errors import MaskError, SchemaError
from partlab.files import sha256_file, sha256_json
from partlab.labelmaps import Composite
from partlab.masks import from_segmentation
from partlab.parts import Inclusions
from partlab.schema import Annotation, Dataset, Image
from pseudolabel.store import Row, Store

logger = logging.getLogger(__name__)

RELEASED_CHANNELS = 9  # of the released trainer's `multi` form (B3)


@dataclass(frozen=True, slots=True)
class Item:
    """One image's layers; `size` is (height, width) in pixels, labels are the source's."""

    file_name: str
    object: str | None
    size: tuple[int, int]
    layers: Sequence[Layer]
    pseudo: bool


class Source(Protocol):
    """Something that holds part masks of images."""

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        ...

    @property
    def inclusions(self) -> Inclusions:
        """Per object category: inner part -> outer part."""
        ...

    @property
    def root(self) -> Path:
        """Folder the file names are relative to."""
        ...

    @property
    def human(self) -> bool:
        """Whether people made it: then it wins over sources that networks made."""
        ...

    def fingerprint(self) -> str:
        """Hash of the content: equal hash, equal items."""
        ...

    def items(self) -> Iterator[Item]:
        """The images, in a fixed order, one in memory at a time."""
        ...

    def __len__(self) -> int:
        """Number of images, unreadable ones included."""
        ...


@dataclass(frozen=True)
class DatasetSource:
    """A part data set. Masks that cannot be decoded are left out, with a warning each."""

    dataset: Dataset

    def __post_init__(self) -> None:
        """Pictures are named as they are found, since items are known by name and root."""
        object.__setattr__(self, "dataset", self.dataset.settled())

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        return self.dataset.names

    @property
    def inclusions(self) -> Inclusions:
        """Per object category: inner part -> outer part."""
        return self.dataset.inclusions

    @property
    def root(self) -> Path:
        """The data set's picture folder."""
        return self.dataset.image_root

    @property
    def human(self) -> bool:
        """False for an exported store: all its masks have provenance `pseudo:…`."""
        records = self.dataset.annotations or self.dataset.images
        return not records or not all(map(_by_network, records))

    def fingerprint(self) -> str:
        """Hash of the COCO file, or of its records if it was made in memory."""
        path = self.dataset.path
        if path is not None and path.is_file():
            return sha256_file(path)
        records = (self.dataset.images, self.dataset.annotations, self.dataset.categories)
        return sha256_json([[record.raw for record in kind] for kind in records])

    def items(self) -> Iterator[Item]:
        """The data set's images in file order."""
        for image in self.dataset.images:
            masks = self.dataset.annotations_of(image)
            layers = [layer for a in masks if (layer := self._layer(image, a))]
            yield Item(
                image.file_name,
                self.dataset.object_of(image),
                (image.height, image.width),
                layers,
                all(map(_by_network, masks)) if masks else _by_network(image),
            )

    def _layer(self, image: Image, annotation: Annotation) -> Layer | None:
        try:
            label = self.dataset.label_of[annotation.category_id]
            rle = from_segmentation(annotation.segmentation, image.height, image.width)
        except (MaskError, KeyError) as error:
            reason = error.message if isinstance(error, MaskError) else "unknown category"
            where = f"annotation {annotation.id} of {image.file_name}"
            logger.warning("%s left out: %s (see: partlab data check)", where, reason)
            return None
        return Layer(label, rle, annotation.score if _by_network(annotation) else 1.0)

    def __len__(self) -> int:
        return len(self.dataset.images)


def _by_network(record: Annotation | Image) -> bool:
    return (record.provenance or "").startswith("pseudo:")


@dataclass(frozen=True)
class StoreSource:
    """A pseudo-label store; images that could not be read are left out."""

    store: Store
    human: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        return self.store.names

    @property
    def inclusions(self) -> Inclusions:
        """Per object category: inner part -> outer part."""
        return self.store.inclusions

    @property
    def root(self) -> Path:
        """Where the labelled pictures lie."""
        return self.store.image_root

    def fingerprint(self) -> str:
        """Hash of the shards' bytes."""
        shards = {number: sha256_file(path) for number, path in self.store.shards.items()}
        return sha256_json([self.store.manifest.identity, shards])

    def items(self) -> Iterator[Item]:
        """The store's readable images in store order."""
        for row in self.store.rows():
            if row.status != "unreadable":
                yield self._item(row)

    def _item(self, row: Row) -> Item:
        size = row.height, row.width
        return Item(row.file_name, row.object, size, self.store.layers(row), True)

    def __len__(self) -> int:
        return len(self.store)


@dataclass(frozen=True)
class Vocabulary:
    """The parts of several sources together; K = len(names), read from the data."""

    names: tuple[str, ...]
    inclusions: Inclusions

    @classmethod
    def of(cls, sources: Sequence[Source]) -> "Vocabulary":
        """Names in order of first appearance; parts of one object stay together.

        Raises:
            SchemaError: the sources' inclusions contradict each other.
        """
        every = list(dict.fromkeys(name for source in sources for name in source.names))
        objects = {owner: at for at, owner in enumerate(dict.fromkeys(map(_owner, every)))}
        names = tuple(sorted(every, key=lambda name: objects[_owner(name)]))  # stable
        merged: Inclusions = {}
        for source in sources:
            for owner, pairs in source.inclusions.items():
                _merge(merged.setdefault(owner, {}), pairs, owner)
        return cls(names, merged)

    @cached_property
    def label_of(self) -> Mapping[str, int]:
        """Label of each `object:part`."""
        return {name: label for label, name in enumerate(self.names)}

    @cached_property
    def objects(self) -> tuple[str, ...]:
        """Object categories in order."""
        return tuple(dict.fromkeys(map(_owner, self.names)))

    @cached_property
    def parents(self) -> Mapping[int, int]:
        """Label of an included part -> label of the part around it."""
        return {
            self.label_of[f"{owner}:{inner}"]: self.label_of[f"{owner}:{outer}"]
            for owner, pairs in self.inclusions.items()
            for inner, outer in pairs.items()
            if f"{owner}:{inner}" in self.label_of and f"{owner}:{outer}" in self.label_of
        }

    def relabelled(self, source: Source) -> list[int]:
        """For each label of a source, the label here."""
        return [self.label_of[name] for name in source.names]


def _owner(name: str) -> str:
    return name.partition(":")[0]


def _merge(known: dict[str, str], pairs: Mapping[str, str], owner: str) -> None:
    for inner, outer in pairs.items():
        if known.setdefault(inner, outer) != outer:
            both = f"{known[inner]!r} and {outer!r}"
            raise SchemaError(f"{owner}: {inner!r} is said to lie in {both}", hint=_AGREE)
    for start in known:
        seen, at = {start}, start
        while (at := known.get(at, "")) and at not in seen:
            seen.add(at)
        if at:
            raise SchemaError(f"{owner}: the part {at!r} is said to lie in itself", hint=_AGREE)


_AGREE = "make the sources' inclusions agree (partlab data check shows them)"


def compose(
    layers: Sequence[Layer],
    size: tuple[int, int],
    vocabulary: Vocabulary,
    *,
    pseudo: bool,
    channels: int = 1,
) -> Composite:
    """One image's composite mask (P-05); labels are the vocabulary's.

    `channels` > 1 gives the `multi` form, in which overlapping parts keep their pixels (B4.6).
    An image in which no part is left is blank: ignored everywhere, not background (B4.7).
    """
    ignore = len(vocabulary.names) + 1
    if channels == 1:
        labels = flatten(layers, size, vocabulary.parents)
    else:
        labels = stack(layers, size, vocabulary.parents, channels=channels, pad=ignore)
    blank = not ((labels > 0) & (labels < ignore)).any()
    if blank:
        labels = np.full_like(labels, ignore)
    return Composite(labels, ignore, pseudo, blank)


def composites(
    source: Source, vocabulary: Vocabulary | None = None, *, channels: int = 1
) -> Iterator[tuple[Item, Composite]]:
    """Every image of one source with its composite mask, one in memory at a time."""
    vocabulary = vocabulary or Vocabulary.of([source])
    label = vocabulary.relabelled(source)
    for item in source.items():
        layers = [Layer(label[at.label], at.rle, at.score) for at in item.layers]
        yield item, compose(layers, item.size, vocabulary, pseudo=item.pseudo, channels=channels)
