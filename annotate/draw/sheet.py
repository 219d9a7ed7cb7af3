"""Which pictures of a data set to look at, drawn as one sheet (requirements Q-01, X-07)."""

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from annotate.draw.pictures import PLAIN, Style, contact_sheet, layers_of, overlay
from partlab.counts import counted
from partlab.errors import (
    DatasetError,
    MaskError,
    NotFoundError,
    PartlabError,
    UnknownNameError,
)
from partlab.files import need_new_file, write_bytes
from partlab.images import image_size, load_image
from partlab.masks import area, from_segmentation
from partlab.progress import track
from partlab.schema import Annotation, Dataset, Image

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """What to show; every filter that is set must hold."""

    image: str | None = None  # file name, or the end of one
    object: str | None = None
    part: str | None = None  # a part's name, or object:part; only this part is drawn
    count: int = 12
    seed: int = 0


def choose(datasets: Sequence[Dataset], wish: Wish) -> list[tuple[Dataset, Image]]:
    """Up to `count` images by the seed, categories in turn.

    Raises:
        UnknownNameError: no such object or part category; near names are suggested.
        NotFoundError: nothing fits the wish.
    """
    _check(datasets, wish)
    rng = np.random.default_rng(wish.seed)
    by_object: dict[str, list[tuple[Dataset, Image]]] = {}
    for dataset in datasets:
        for image in dataset.images:
            if _fits(dataset, image, wish):
                owner = dataset.object_of(image) or ""
                by_object.setdefault(owner, []).append((dataset, image))
    shuffled = [[own[i] for i in rng.permutation(len(own))] for own in by_object.values()]
    longest = max((len(own) for own in shuffled), default=0)
    turns = [own[turn] for turn in range(longest) for own in shuffled if turn < len(own)]
    if not turns:
        raise NotFoundError("no image fits", hint="ask for another --image, --object or --part")
    return turns[: wish.count]


def _check(datasets: Sequence[Dataset], wish: Wish) -> None:
    names = {name for dataset in datasets for name in dataset.names}
    objects = {owner for dataset in datasets for owner in dataset.objects}
    if wish.object is not None and wish.object not in objects:
        raise UnknownNameError("object category", wish.object, objects)
    parts = names | {name.split(":", 1)[-1] for name in names}
    if wish.part is not None and wish.part not in parts:
        raise UnknownNameError("part category", wish.part, parts)


def _fits(dataset: Dataset, image: Image, wish: Wish) -> bool:
    if wish.image is not None and not f"/{image.file_name}".endswith(f"/{wish.image}"):
        return False
    if wish.object is not None and wish.object not in _owners(dataset, image):
        return False
    return wish.part is None or any(
        _is(dataset, label, wish.part) for label in _labels(dataset, image)
    )


def _labels(dataset: Dataset, image: Image) -> set[int]:
    known = dataset.label_of
    return {known[a.category_id] for a in dataset.annotations_of(image) if a.category_id in known}


def _owners(dataset: Dataset, image: Image) -> set[str | None]:
    owners = {dataset.categories[label].object for label in _labels(dataset, image)}
    return {*owners, image.object}


def _is(dataset: Dataset, label: int, part: str) -> bool:
    return part in (dataset.names[label], dataset.categories[label].part)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A drawn sheet, and what is missing on it: file names, and sentences that name masks."""

    picture: PillowImage.Image
    unreadable: list[str]
    not_drawn: list[str]

    def notes(self) -> list[str]:
        """What is missing, a line for each kind, for people."""
        lines = []
        if self.unreadable:
            lines.append(f"{counted(len(self.unreadable), 'picture')} cannot be read")
        if self.not_drawn:
            were = counted(len(self.not_drawn), "mask was", "masks were")
            lines.append(f"{were} not drawn, first {self.not_drawn[0]}")
        return lines


def draw_sheet(
    chosen: Sequence[tuple[Dataset, Image]],
    *,
    part: str | None = None,
    style: Style = PLAIN,
    columns: int | None = None,
    captions: bool = True,
) -> PillowImage.Image:
    """The chosen images with their masks; an unreadable one becomes an empty cell that says so.

    A single image gives the picture alone, without a sheet around it.

    Raises:
        DatasetError: none of the images can be read; the reason of the first is given.
    """
    return make_sheet(chosen, part=part, style=style, columns=columns, captions=captions).picture


def make_sheet(
    chosen: Sequence[tuple[Dataset, Image]],
    *,
    part: str | None = None,
    style: Style = PLAIN,
    columns: int | None = None,
    captions: bool = True,
) -> Sheet:
    """As `draw_sheet`, and which pictures and masks are not on it.

    Raises:
        DatasetError: none of the images can be read; the reason of the first is given.
    """
    pictures: list[PillowImage.Image] = []
    names: list[str] = []
    unreadable: list[str] = []
    not_drawn: list[str] = []
    problem: PartlabError | None = None
    for dataset, image in track(chosen, "drawing", len(chosen)):
        try:
            pictures.append(draw_image(dataset, image, part=part, style=style))
            names.append(image.file_name)
            not_drawn += _undrawn(dataset, image, part)
        except PartlabError as error:
            log.warning("%s", error.message)
            problem = problem or error
            unreadable.append(image.file_name)
            pictures.append(PillowImage.new("RGB", (style.side, style.side), (226, 228, 232)))
            names.append(f"unreadable: {image.file_name}")
    if problem and len(unreadable) == len(chosen):
        raise DatasetError(f"no image can be read: {problem.message}", hint=problem.hint)
    single = len(pictures) == 1
    sheet = pictures[0] if single else contact_sheet(pictures, names if captions else None, columns)
    return Sheet(sheet, unreadable, not_drawn)


def _undrawn(dataset: Dataset, image: Image, part: str | None) -> Iterator[str]:
    """The masks of an image that `draw_image` leaves out, and why."""
    size = image_size(dataset.image_path(image))
    for a in dataset.annotations_of(image):
        label = dataset.label_of.get(a.category_id)
        if part is not None and (label is None or not _is(dataset, label, part)):
            continue
        if reason := _why_not(a, image, size, known=label is not None):
            yield f"annotation {a.id} of {image.file_name}: {reason}"


def _why_not(a: Annotation, image: Image, size: tuple[int, int], *, known: bool) -> str | None:
    if not known:
        return f"there is no category {a.category_id}"
    if size != (image.width, image.height):
        stated = f"its record says {image.width} x {image.height}"
        return f"the picture is {size[0]} x {size[1]} as shown, {stated}"
    try:
        covers = area(from_segmentation(a.segmentation, image.height, image.width))
    except MaskError as error:
        return error.message
    return None if covers else "it covers no pixel"


def draw_image(
    dataset: Dataset, image: Image, *, part: str | None = None, style: Style = PLAIN
) -> PillowImage.Image:
    """One image with its masks; with `part` only the masks of that part.

    Raises:
        NotFoundError, DatasetError: the picture is missing or damaged.
    """
    layers = layers_of(dataset, dataset.annotations_of(image))
    if part is not None:
        layers = [layer for layer in layers if _is(dataset, layer.label, part)]
    pixels = load_image(dataset.image_path(image))
    title = dataset.object_of(image)
    return overlay(
        pixels, layers, dataset.names, parents=dataset.parts.parents, title=title, style=style
    )


def save_png(picture: PillowImage.Image, path: str | Path, *, force: bool = False) -> None:
    """Write a PNG, atomically.

    Raises:
        OutputExistsError: the file is there, and `force` is off.
    """
    need_new_file(path, force=force)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())
