"""What inspectors look at: each picture beside its masks, with the names of the parts (Q-01).

WORK/overlays/<object>/r<n>/01-000042.png    position in the draw, image id
WORK/overlays/<object>/r<n>/sheet.png        all of them, small
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from annotate.draw import Colour, Style, contact_sheet, overlay, palette, with_legend
from annotate.vocabulary import ObjectParts
from annotate.work import Answer, Image, Work, safe_name
from annotate.work.pictures import shown_picture
from partlab.composite import Layer
from partlab.counts import counted
from partlab.errors import PartlabError
from partlab.files import replacing
from partlab.images import load_image

log = logging.getLogger(__name__)

BESIDE = Style(side=560)
SMALL = Style(side=300)
STAND_IN = "partlab-stand-in"  # in a PNG: made with grey for a picture that could not be read
FEW = 3  # parts that a caption names
LETTERS = 22  # height in the legend, in pixels
_GREY: Colour = (200, 203, 208)


def overlay_folder(work: Work, object: str, round: int) -> Path:
    """Where the pictures of one round lie."""
    return work.folder / "overlays" / safe_name(object) / f"r{round}"


def overlay_path(work: Work, object: str, round: int, position: int, image_id: int) -> Path:
    """The picture of one drawn image; positions count from 0, file names from 1."""
    name = f"{position + 1:02d}-{image_id:06d}.png"
    return overlay_folder(work, object, round) / name


def render(work: Work, image: Image, answer: Answer, path: Path) -> None:
    """Draw one image beside its masks, unless that was done.

    A picture that cannot be read becomes grey, with a warning: the masks can still be seen. The
    next time it is tried again.
    """
    if _is_done(path):
        return
    parts = parts_of(work, answer)
    found = find_picture(work, image)
    pixels = found if found is not None else grey(image)
    captions = [f"{path.stem[:2]}. {image.file_name}", f"image {image.id}, {image.object}"]
    plain = overlay(pixels, [], [], style=BESIDE)
    drawn = draw_masks(pixels, answer.masks, parts, BESIDE)
    both = contact_sheet([plain, drawn], captions, columns=2)
    save(with_legend(both, _legend(answer.masks, parts), LETTERS), path, whole=found is not None)


def render_sheet(
    work: Work,
    rows: Sequence[tuple[Image, Answer]],
    path: Path,
    columns: int = 5,
    why: Mapping[int, str] | None = None,
) -> None:
    """Images of a round as one picture, unless that was done; `why` is said of an image id."""
    if _is_done(path) or not rows:
        return
    parts = parts_of(work, rows[0][1])
    cells, whole = [], True
    for image, answer in rows:
        pixels = find_picture(work, image)
        whole = whole and pixels is not None
        pixels = pixels if pixels is not None else grey(image)
        cells.append(draw_masks(pixels, answer.masks, parts, SMALL))
    captions = [f"{n}. {_caption(i, a.masks, parts)}" for n, (i, a) in enumerate(rows, 1)]
    if why is not None:
        captions = [f"image {image.id}, {why[image.id]}" for image, _ in rows]
    sheet = contact_sheet(cells, captions, columns)
    save(with_legend(sheet, _colours(parts), LETTERS), path, whole=whole)


def parts_of(work: Work, answer: Answer) -> ObjectParts:
    """The parts as the round of an answer knows them."""
    return work.moves(work.batch(answer.object, answer.round)).parts


def _caption(image: Image, masks: Sequence[dict[str, Any]], parts: ObjectParts) -> str:
    """What the picture alone does not say comes first: the end is cut off where it is narrow.

    Many parts that are not drawn are counted; the legend of the picture's own file names them.
    """
    there, objects = {mask["part"] for mask in masks}, {mask["object"] for mask in masks}
    told = [f"{len(objects)} objects"] if len(objects) > 1 else []
    if missing := [part.name for part in parts.parts if part.id not in there]:
        few = len(missing) <= FEW
        many = f"without {len(missing)} of {counted(len(parts.parts), 'part')}"
        told.append(f"without: {', '.join(missing)}" if few else many)
    said = f" ({', '.join(told)})" if told else ""
    return f"image {image.id}{said}, {image.file_name}"


def find_picture(work: Work, image: Image) -> NDArray[np.uint8] | None:
    """The picture as annotators saw it, in the size of the data set; None if unreadable."""
    size = (image.width, image.height)
    try:
        pixels = load_image(shown_picture(work.folder, image))
    except PartlabError as error:
        log.warning("%s", error.message)
        return None
    if pixels.shape[:2] == (image.height, image.width):
        return pixels
    resized = PillowImage.fromarray(pixels).resize(size, PillowImage.Resampling.LANCZOS)
    return np.asarray(resized)


def grey(image: Image) -> NDArray[np.uint8]:
    """What stands in for a picture that cannot be read."""
    return np.full((image.height, image.width, 3), 226, np.uint8)


def draw_masks(
    pixels: NDArray[np.uint8], masks: Sequence[dict[str, Any]], parts: ObjectParts, style: Style
) -> PillowImage.Image:
    """A picture with the masks of one answer; parts keep their colours in all pictures."""
    label = {id: position for position, id in enumerate(parts.ids)}
    layers = [Layer(label[m["part"]], m["rle"]) for m in masks if m["part"] in label]
    own = parts.categories
    tints = _palette(parts)
    return overlay(pixels, layers, own.names, parents=own.parents, colours=tints, style=style)


def _palette(parts: ObjectParts) -> list[Colour]:
    return palette(parts.categories.names)


def _colours(parts: ObjectParts) -> list[tuple[str, Colour]]:
    return [(f":{n}", c) for n, c in zip(parts.names, _palette(parts), strict=True)]


def _legend(masks: Sequence[dict[str, Any]], parts: ObjectParts) -> list[tuple[str, Colour]]:
    """Every part of the object; what was not drawn is grey and says so."""
    count = Counter(mask["part"] for mask in masks)
    entries = []
    for part, (text, colour) in zip(parts.parts, _colours(parts), strict=True):
        if not count[part.id]:
            entries.append((f"{text} (not drawn)", _GREY))
        else:
            entries.append((f"{text} x{count[part.id]}" if count[part.id] > 1 else text, colour))
    return entries


def save(picture: PillowImage.Image, path: Path, *, whole: bool = True) -> None:
    """Write a PNG, atomically; one that is not `whole` says so in its own text."""
    said = PngInfo()
    if not whole:
        said.add_text(STAND_IN, "a picture could not be read")
    with replacing(path) as scratch:
        picture.save(scratch, "PNG", compress_level=4, pnginfo=said)


def _is_done(path: Path) -> bool:
    with suppress(OSError), PillowImage.open(path) as picture:
        return STAND_IN not in picture.info
    return False
