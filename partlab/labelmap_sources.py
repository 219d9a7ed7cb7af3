"""Composite masks from whatever holds part masks: data sets here, stores in `pseudolabel`.

A source gives its images one by one, as layers; `compose` flattens them by the kernel's rule
(requirements P-05, B4). Several sources share their parts, and people win over networks where
both labelled the same image (P-04: both count alike in training).
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from partlab.composite import BACKGROUND, Layer, flatten, stack
from partlab.errors import SchemaError
from partlab.inclusions import Inclusions, circles, merged
from partlab.labelmaps import Composite, label_type
from partlab.masks import Rle, decode
from partlab.parts import Parts, join_name
from partlab.schema import Annotation, Dataset, Image
from partlab.truth import drawn_masks, layers

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """One image's layers; `size` is (height, width) in pixels, labels are the source's.

    `ignored` are pixels of which nothing is known: crowd regions, or all but the layers where a
    mask had to be left out; `left_out` counts those masks.
    """

    file_name: str
    object: str | None
    size: tuple[int, int]
    layers: Sequence[Layer] = field(repr=False)
    pseudo: bool
    ignored: Rle | None = field(default=None, repr=False)
    left_out: int = 0


class Source(Protocol):
    """Something that holds part masks of images."""

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        ...

    @property
    def inclusions(self) -> Inclusions:
        """Per object category: inner part -> outer part, or several."""
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
    """A part data set.

    A mask without usable pixels is left out, with a warning; what is not drawn in its image is
    then ignored, as crowd regions are.
    """

    dataset: Dataset = field(repr=False)

    def __repr__(self) -> str:
        where = self.dataset.path or "in memory"
        return f"DatasetSource({where}: {len(self):,} images)"

    def __post_init__(self) -> None:
        """Pictures are named as they are found, since items are known by name and root."""
        object.__setattr__(self, "dataset", self.dataset.settled())

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        return self.dataset.names

    @property
    def inclusions(self) -> Inclusions:
        """Per object category: inner part -> outer part, or several."""
        return self.dataset.inclusions

    @property
    def root(self) -> Path:
        """The data set's picture folder."""
        return self.dataset.image_root

    @property
    def human(self) -> bool:
        """False for an exported store: all its masks have provenance `pseudo:…`."""
        records = self.dataset.annotations or self.dataset.images
        return not records or not all(map(by_network, records))

    def fingerprint(self) -> str:
        """The data set's own."""
        return self.dataset.fingerprint

    def items(self) -> Iterator[Item]:
        """The data set's images in file order."""
        for image in self.dataset.images:
            masks = self.dataset.annotations_of(image)
            drawn = drawn_masks(self.dataset, image)
            for one in drawn.left_out:
                where = f"annotation {one.annotation.id} of {image.file_name}"
                logger.warning("%s left out: %s (see: partlab data check)", where, one.reason)
            yield Item(
                image.file_name,
                self.dataset.object_of(image),
                (image.height, image.width),
                layers(self.dataset, drawn.masks),
                all(map(by_network, masks)) if masks else by_network(image),
                drawn.unknown_region(),
                len(drawn.left_out),
            )

    def __len__(self) -> int:
        return len(self.dataset.images)


def by_network(record: Annotation | Image) -> bool:
    """Whether a mask, or an image's masks, are pseudo labels by its provenance (D-05)."""
    return (record.provenance or "").startswith("pseudo:")


class Named(Protocol):
    """What `joined` asks of a source; `Parts` is one too."""

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        ...

    @property
    def inclusions(self) -> Inclusions:
        """Per object category: inner part -> outer part, or several."""
        ...


def joined(sources: Sequence[Named]) -> Parts:
    """The parts of several sources together, in order of first appearance.

    Parts of one object stay together; K = len(names), read from the data.

    Raises:
        SchemaError: the sources' inclusions contradict each other.
    """
    every = Parts.of(dict.fromkeys(name for source in sources for name in source.names))
    inclusions = merged(source.inclusions for source in sources)
    for owner, pairs in inclusions.items():
        for circle in circles(pairs):
            raise SchemaError(
                f"{join_name(owner, circle[0])} is said to lie in itself",
                hint="make the sources' inclusions agree (partlab data check shows them)",
            )
    names = (every.names[label] for own in every.by_object.values() for label in own)
    return Parts.of(names, inclusions)


def compose(
    layers: Sequence[Layer],
    size: tuple[int, int],
    parts: Parts,
    *,
    pseudo: bool,
    channels: int = 1,
    ignored: Rle | None = None,
) -> Composite:
    """One image's composite mask (P-05); labels are those of `parts`, in the narrowest type.

    `ignored` pixels (crowd regions) say nothing: neither background nor a part.

    `channels` > 1 gives the `multi` form, in which overlapping parts keep their pixels (B4.6).
    An image in which no part is left is blank: ignored everywhere, not background (B4.7).
    """
    ignore, dtype = len(parts) + 1, label_type(len(parts))
    if channels == 1:
        labels = flatten(layers, size, parts.parents, dtype=dtype)
    else:
        labels = stack(layers, size, parts.parents, channels=channels, pad=ignore, dtype=dtype)
    if ignored is not None:
        labels[..., decode(ignored)] = ignore
    blank = not any(_has_part(channel, ignore) for channel in labels.reshape(-1, *size))
    if blank:
        labels[...] = ignore
    return Composite(labels, ignore, pseudo, blank)


def _has_part(labels: NDArray[Any], ignore: int) -> bool:
    part = labels > BACKGROUND
    part &= labels < ignore
    return bool(part.any())


def composites(
    source: Source, parts: Parts | None = None, *, channels: int = 1
) -> Iterator[tuple[Item, Composite]]:
    """Every image of one source with its composite mask, one in memory at a time."""
    parts = parts or joined([source])
    label = Parts.of(source.names).matched(parts)
    for item in source.items():
        layers = [Layer(label[at.label], at.rle, at.score) for at in item.layers]
        found = compose(
            layers,
            item.size,
            parts,
            pseudo=item.pseudo,
            channels=channels,
            ignored=item.ignored,
        )
        yield item, found
