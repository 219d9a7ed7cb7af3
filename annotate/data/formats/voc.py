"""Semantic and instance PNGs as Pascal VOC has them, and CVAT ("Segmentation mask 1.1"):

    JPEGImages/a.jpg
    SegmentationClass/a.png      the colour of a label at each pixel
    SegmentationObject/a.png     the colour of an instance
    ImageSets/Segmentation/train.txt      a name of a picture, without ending, a line
    labelmap.txt                 `label:red,green,blue::` a line; black is background

Each pair of a label's and an instance's colour is one mask. VOC's border (224, 224, 192) says
nothing of a pixel: crowd regions get it, and all that is not drawn where a mask is missing. Label
maps have no place for what lies under something else.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered
from annotate.data.formats.layout import Holds, Layout
from annotate.data.formats.pictures import Pictures, place
from partlab.composite import paint_order
from partlab.counts import counted
from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_lines, replacing, write_lines
from partlab.images import is_image_name
from partlab.masks import decode, encode
from partlab.progress import track
from partlab.schema import Dataset, Image
from partlab.truth import drawn_masks, layers

log = logging.getLogger(__name__)

_CLASS, _OBJECT, _SETS = "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"
_BORDER = 224 << 16 | 224 << 8 | 192
_MOST = 254  # colours beside black and the border's, which is number 255


class VocLayout(Layout):
    """Format of Pascal VOC's label maps."""

    title = "semantic and instance PNGs (Pascal VOC)"
    one_split = False
    holds = Holds(
        layers="the topmost has the pixels",
        names="are written object/part, since a colon ends a name in labelmap.txt; "
        "import them with --names",
        attributes="are left out: who drew a mask, its object, its score, crowd regions, "
        "inclusions and discards",
    )

    def fits(self, path: Path) -> bool:
        """A folder with SegmentationClass or SegmentationObject."""
        return (path / _CLASS).is_dir() or (path / _OBJECT).is_dir()

    def read(self, source: Source) -> dict[str, Dataset]:
        """The splits of ImageSets/Segmentation; without it all as `all`."""
        top, found = source.path, dict[str, Dataset]()
        names = _label_map(top)
        sets = {file.stem: read_lines(file) for file in sorted((top / _SETS).glob("*.txt"))}
        masks = sorted((top / _CLASS).rglob("*.png"))
        stems = [path.relative_to(top / _CLASS).with_suffix("").as_posix() for path in masks]
        for split, listed in (sets or {"all": stems}).items():
            gathered = Gathered(source, "Pascal VOC")
            root = source.images or top / "JPEGImages"
            for stem in track(listed, "masks", total=len(listed)):
                _read(top, root, stem, names, gathered)
            gathered.say()
            found[split] = gathered.dataset(top, root)
        return found

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """All five; labelmap.txt of an earlier split is gone on with.

        Raises:
            SchemaError: there are more labels, or instances in an image, than colours; or two
                pictures would share a mask.
        """
        dataset = dataset.settled()
        numbers = _numbers(out / "labelmap.txt", dataset)
        seen: dict[str, str] = {}
        for image in track(dataset.images, "masks", total=len(dataset.images)):
            stem = Path(image.file_name).with_suffix("").as_posix()
            if seen.setdefault(stem, image.file_name) != image.file_name:
                raise SchemaError(
                    f"the pictures {seen[stem]} and {image.file_name} would share a mask"
                )
            classes, objects = _flat(dataset, image, numbers)
            _save(out / _CLASS / f"{stem}.png", classes)
            _save(out / _OBJECT / f"{stem}.png", objects)
            target = out / "JPEGImages" / image.file_name
            place([(dataset.image_path(image), target)], pictures)
        write_lines(out / _SETS / f"{split}.txt", list(seen))
        lines = [f"{name}:{_text(_colour(number))}::" for name, number in numbers.items()]
        write_lines(out / "labelmap.txt", ["background:0,0,0::", *lines])


def _label_map(top: Path) -> dict[int, str]:
    """Colour as one number -> label; the background is none."""
    file = top / "labelmap.txt"
    if not file.is_file():
        raise NotFoundError(
            f"no list of labels {file}: the masks hold colours only",
            hint=f"write {file} with a line `label:red,green,blue::` for each colour, as CVAT does",
        )
    found: dict[int, str] = {}
    for line in read_lines(file):
        if line.startswith("#"):
            continue
        try:
            name, rest, *_ = line.rsplit(":", 3)
            red, green, blue = (int(value) for value in rest.split(","))
        except ValueError:
            raise SchemaError(f"{file}: {line!r} is not `label:red,green,blue::`") from None
        if (colour := red << 16 | green << 8 | blue) and name.lower() not in ("background", "void"):
            found[colour] = name
    return found


def _read(top: Path, root: Path, stem: str, names: dict[int, str], gathered: Gathered) -> None:
    stem = stem.split()[0].strip("/")
    try:
        classes = _colours(top / _CLASS / f"{stem}.png")
        instances = top / _OBJECT / f"{stem}.png"
        objects = _colours(instances) if instances.is_file() else np.zeros_like(classes)
    except (OSError, SyntaxError, ValueError) as error:
        gathered.pass_over("mask", "that cannot be opened")
        log.warning("%s: %s", stem, error)
        return
    image = gathered.image(_picture(root, stem), (classes.shape[1], classes.shape[0]))
    if objects.shape != classes.shape:
        gathered.pass_over("pair", "of masks of two sizes")
        gathered.set_aside(image, "", "has two masks of different sizes")
        return
    pairs, where = np.unique(classes.astype(np.int64) << 24 | objects, return_inverse=True)
    where = where.reshape(classes.shape)
    for number, pair in enumerate(pairs.tolist()):
        colour = pair >> 24
        if colour in (0, _BORDER):
            continue
        if colour not in names:
            gathered.pass_over("mask", "of a colour without a name")
            gathered.set_aside(image, "", f"has the colour {_text(colour)}, which has no name")
            continue
        gathered.mask(image, names[colour], encode(where == number), provenance="human")


def _picture(root: Path, stem: str) -> str:
    found = (p for p in sorted(root.glob(f"{_escaped(stem)}.*")) if is_image_name(p))
    return next((p.relative_to(root).as_posix() for p in found), f"{stem}.jpg")


def _escaped(stem: str) -> str:
    return "".join(f"[{c}]" if c in "[*?" else c for c in stem)


def _colours(path: Path) -> NDArray[np.int32]:
    """Colours of a PNG as one number a pixel, shape (height, width)."""
    with PillowImage.open(path) as picture:
        found = np.asarray(picture.convert("RGB"), np.int32)
    return found[..., 0] << 16 | found[..., 1] << 8 | found[..., 2]


def _numbers(file: Path, dataset: Dataset) -> dict[str, int]:
    """Name as written -> number of its colour, those of an earlier split first."""
    earlier = read_lines(file)[1:] if file.is_file() else []
    numbers = {line.rpartition("::")[0].rpartition(":")[0]: n for n, line in enumerate(earlier, 1)}
    for name in dataset.names:
        numbers.setdefault(_written(name), len(numbers) + 1)
    if len(numbers) > _MOST:
        raise SchemaError(
            f"{len(numbers)} part categories are more than the {_MOST} colours of such masks",
            hint="export to prepared, which has 16 million",
        )
    return numbers


def _written(name: str) -> str:
    return name.replace(":", "/")


def _flat(
    dataset: Dataset, image: Image, numbers: dict[str, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Numbers of labels and of instances at each pixel, by the composite rule."""
    drawn = drawn_masks(dataset, image)
    masks = drawn.masks
    if len(masks) > _MOST:
        raise SchemaError(
            f"image {image.file_name} has {counted(len(masks), 'mask')}, more than {_MOST} colours",
            hint="export to coco, which keeps any number",
        )
    stacked = layers(dataset, masks)
    classes, objects = np.zeros((2, image.height, image.width), np.uint8)
    for number, position in enumerate(paint_order(stacked, dataset.parts.parents), 1):
        where = decode(stacked[position].rle)
        classes[where] = numbers[_written(dataset.names[stacked[position].label])]
        objects[where] = number
    if region := drawn.unknown_region():
        classes[decode(region)] = objects[decode(region)] = _MOST + 1
    return classes, objects


def _save(path: Path, labels: NDArray[np.uint8]) -> None:
    picture = PillowImage.fromarray(labels)
    palette = [value for n in range(256) for value in _rgb(_colour(n))]
    picture.putpalette(palette)
    with replacing(path) as scratch:
        picture.save(scratch, format="PNG")


def _colour(number: int) -> int:
    """Pascal VOC's colour of a number, as one number: bits go round red, green and blue."""
    red = green = blue = 0
    for bit in range(8):
        red |= (number >> 3 * bit & 1) << 7 - bit
        green |= (number >> 3 * bit + 1 & 1) << 7 - bit
        blue |= (number >> 3 * bit + 2 & 1) << 7 - bit
    return red << 16 | green << 8 | blue


def _rgb(colour: int) -> Iterator[int]:
    return (colour >> shift & 255 for shift in (16, 8, 0))


def _text(colour: int) -> str:
    return ",".join(map(str, _rgb(colour)))


layout = VocLayout()
