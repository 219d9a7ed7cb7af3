"""One call that shows masks on a picture, for a notebook: people's, or those a network found.

    show(data)                                          # a sheet of the data set
    show(data, "ram-1.jpg")                             # one of its images
    show("photo.jpg", found, parts=segmenter.parts)     # what a segmenter found in a photo

The picture shows itself in a notebook; `.save("file.png")` keeps it.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from annotate.draw import Style, overlay
from annotate.draw.sheet import Wish, choose, make_sheet
from partlab.composite import Layer
from partlab.errors import ConfigError
from partlab.images import load_image
from partlab.masks import Rle
from partlab.parts import Parts
from partlab.schema import Dataset, Image

Picture = str | Path | NDArray[np.uint8]
LOOK = Style(side=512, legend=True)


class Found(Protocol):
    """N part masks with their labels and scores, such as a segmenter's detections."""

    @property
    def labels(self) -> Any:
        """Shape (N,), 0-based."""
        ...

    @property
    def scores(self) -> Any:
        """Shape (N,), 0…1."""
        ...

    @property
    def masks(self) -> Sequence[Rle]:
        """N run lengths, each of the picture's size."""
        ...


@overload
def show(
    source: Dataset,
    what: Image | str | int | None = None,
    *,
    part: str | None = None,
    style: Style = LOOK,
) -> PillowImage.Image: ...


@overload
def show(
    source: Picture,
    what: Found | Sequence[Layer],
    *,
    parts: Parts | Sequence[str],
    part: str | None = None,
    style: Style = LOOK,
) -> PillowImage.Image: ...


def show(
    source: Dataset | Picture,
    what: Any = None,
    *,
    parts: Parts | Sequence[str] | None = None,
    part: str | None = None,
    style: Style = LOOK,
) -> PillowImage.Image:
    """A picture with its parts in colour.

    Of a data set: one image (its record, file name or id), or a sheet of twelve. Of a picture
    (a file, or an RGB array): the masks found in it, `parts` being the segmenter's. `part`
    (`head` or `ram:head`) leaves out all others.

    Raises:
        NotFoundError: no such image in the data set, or no such picture.
        UnknownNameError: no such part.
        DatasetError: a picture is damaged, or none of a data set's can be read.
        ConfigError: masks without the names of their parts, or of another picture or segmenter.

    What of a data set cannot be drawn is told by a Python warning.
    """
    if isinstance(source, Dataset):
        return _of_dataset(source, what, part, style)
    if parts is None or what is None:
        raise ConfigError(
            "a picture is shown with the masks found in it and the names of their parts",
            hint="show(picture, found, parts=segmenter.parts)",
        )
    known = parts if isinstance(parts, Parts) else Parts.of(parts)
    pixels = source if isinstance(source, np.ndarray) else load_image(source)
    layers = list(what) if isinstance(what, Sequence) else _layers(what)
    _check(layers, pixels.shape[:2], known)
    wanted = range(len(known)) if part is None else known.called(part)
    kept = [layer for layer in layers if layer.label in wanted]
    return overlay(pixels, kept, known.names, parents=known.parents, style=style)


def _of_dataset(data: Dataset, what: Any, part: str | None, style: Style) -> PillowImage.Image:
    if part is not None:
        data.parts.called(part)
    chosen = choose([data], Wish(part=part)) if what is None else [(data, _image(data, what))]
    sheet = make_sheet(chosen, part=part, style=style)
    for note in sheet.notes():
        warnings.warn(note, stacklevel=3)
    return sheet.picture


def _image(data: Dataset, what: Image | str | int) -> Image:
    if isinstance(what, Image):
        return what
    return data.find_image(what) if isinstance(what, str) else data.find_id(what)


def _check(layers: Sequence[Layer], size: tuple[int, ...], parts: Parts) -> None:
    """Masks of another picture or of another segmenter would be left out without a word."""
    for layer in layers:
        height, width = layer.rle["size"]
        if (height, width) != size:
            raise ConfigError(
                f"a mask of {width} x {height} pixels does not belong to a picture of "
                f"{size[1]} x {size[0]}",
                hint="show masks on the picture they were found in, at the same size",
            )
        if not 0 <= layer.label < len(parts):
            raise ConfigError(
                f"a mask has the label {layer.label}, and there are {len(parts)} parts",
                hint="give the parts of the segmenter that found it",
            )


def _layers(found: Found) -> list[Layer]:
    return [
        Layer(int(label), rle, float(score))
        for label, rle, score in zip(found.labels, found.masks, found.scores, strict=True)
    ]
