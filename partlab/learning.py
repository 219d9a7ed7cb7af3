"""Pictures with their label maps, as a training loop takes them; no torch needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from partlab.images import load_image
from partlab.labelmaps import LabelMaps

Pixels = NDArray[np.uint8]
Labels = NDArray[Any]
Transform = Callable[[Pixels, Labels], tuple[Any, Any]]


class Labelled(NamedTuple):
    """One picture and what is known of its pixels."""

    pixels: Any  # (height, width, 3) RGB, or what the transform made of it
    labels: Any  # (height, width): 0 background, part label + 1, `ignore` where nothing is known
    object: int  # position in `objects`, -1 if unknown


class Index(Protocol):
    """Pictures by position: `LabelMaps`, or those of several places, as `train` joins them."""

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for part i, which label maps call i + 1."""
        ...

    @property
    def objects(self) -> tuple[str, ...]:
        """Object categories by their position."""
        ...

    @property
    def ignore(self) -> int:
        """K + 1."""
        ...

    def __len__(self) -> int:
        """Number of pictures."""
        ...

    def known(self, index: int) -> tuple[Path, Labels | None, int]:
        """Where a picture lies, its label map if it has one, the position of its object.

        Raises IndexError outside 0 <= index < len, so iterating ends.
        """
        ...


class LabelledPictures:
    """A map-style data set for `torch.utils.data.DataLoader`, over a label-map file or an index.

    In a picture of which only the object is known, every label is `ignore`.

    `transform(pixels, labels)` crops, turns and converts both together, so that pictures of a
    batch have one size. Safe in worker processes: it pickles as the paths of its files.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is not a label-map file of this version.
    """

    def __init__(self, maps: Index | str | Path, transform: Transform | None = None) -> None:
        self.maps: Index = LabelMaps(maps) if isinstance(maps, str | Path) else maps
        self.transform = transform

    def __repr__(self) -> str:
        return f"LabelledPictures({self.maps!r})"

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for part i, which label maps call i + 1."""
        return self.maps.names

    @property
    def objects(self) -> tuple[str, ...]:
        """Object categories by their position."""
        return self.maps.objects

    @property
    def ignore(self) -> int:
        """The label of pixels about which nothing is known: K + 1."""
        return self.maps.ignore

    def __getitem__(self, index: int) -> Labelled:
        """The picture at 0 <= index < len.

        Raises:
            NotFoundError, DatasetError: the picture is missing or damaged.
        """
        path, found, owner = self.maps.known(index)
        pixels = load_image(path)
        labels = np.full(pixels.shape[:2], self.ignore) if found is None else found
        labels = labels.astype(np.int64)
        if self.transform is None:
            return Labelled(pixels, labels, owner)
        return Labelled(*self.transform(pixels, labels), owner)
