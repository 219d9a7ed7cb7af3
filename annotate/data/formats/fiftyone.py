"""FiftyOne: COCO as it lays it out is written, its own data set format is read.

Written: labels.json beside data/, which `fiftyone.Dataset.from_dir(dir,
dataset_type=fiftyone.types.COCODetectionDataset, label_types="segmentations")` opens, and which the
format `coco` reads. Read: what `export(dir, dataset_type=fiftyone.types.FiftyOneDataset)` writes.

    metadata.json
    samples.json    {"samples": [{"filepath": "data/a.jpg", "tags": ["train"], "metadata": {…},
                     "parts": {"_cls": "Detections", "detections": [{"label": "head",
                     "bounding_box": [x, y, w, h], "mask": {"$binary": {"base64": …}}}]}}]}
    data/, fields/  pictures, and masks that are files (`mask_path`)

Detections with masks and filled polylines are read, in all fields; boxes are set aside, and label
maps of a whole picture (Segmentation) counted. A sample's tag train, val or test is its split.
"""

import io
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered, possible, printable
from annotate.data.formats.layout import Layout
from annotate.data.formats.pictures import Pictures, in_folder, is_safe_name, place
from partlab.coco import write_coco
from partlab.errors import DatasetError, NotFoundError, SchemaError
from partlab.files import read_pieces
from partlab.images import image_size
from partlab.layouts import family_name
from partlab.masks import BoolMask, encode
from partlab.pictures import PictureFinder, plain_name
from partlab.progress import track
from partlab.schema import Dataset, Image, Raw

_SAMPLES = "samples.json"
_MANY = {"Detections": "detections", "Polylines": "polylines"}
_SPLITS = ("train", "val", "test")
_FAULTS = (LookupError, TypeError, ValueError, OverflowError, OSError, zlib.error, cv2.error)


class FiftyOneLayout(Layout):
    """Format of FiftyOne."""

    title = "FiftyOne"

    def fits(self, path: Path) -> bool:
        """A folder with samples.json beside metadata.json, or that file."""
        return _top(path) is not None

    def read(self, source: Source) -> dict[str, Dataset]:
        """The splits that tags name, else all as `all`."""
        top = _top(source.path)
        if top is None:
            raise NotFoundError(f"{source.path} has no {_SAMPLES} beside metadata.json")
        root = source.images or top
        names = [_name(sample) for sample in _samples(top) if _name(sample)]
        finder = PictureFinder(root, None, [Image.new(0, name, (0, 0)) for name in names])
        found: dict[str, Gathered] = {}
        for sample in track(_samples(top), "samples"):
            split = _split(sample) if _name(sample) else "all"
            gathered = found.setdefault(split, Gathered(source, self.title))
            if _name(sample):
                _read(sample, top, finder, gathered)
            else:
                gathered.pass_over("sample", "without a file")
        for gathered in found.values():
            gathered.say()
        if names and not any(gathered.images for gathered in found.values()):
            raise NotFoundError(
                f"{top}: none of its {len(names)} pictures is there, and no size is stated",
                hint=f"say with --images where they are; the first is {names[0]}",
            )
        return {split: gathered.dataset(top / _SAMPLES, root) for split, gathered in found.items()}

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """labels.json and data/."""
        settled = dataset.settled()
        write_coco(settled, out / "labels.json")
        place(in_folder(settled, out / "data"), pictures)


def _top(path: Path) -> Path | None:
    folder = path.parent if path.is_file() and path.name == _SAMPLES else path
    both = (folder / name for name in (_SAMPLES, "metadata.json"))
    return folder if all(one.is_file() for one in both) else None


def _samples(top: Path) -> Iterator[Raw]:
    """One by one: their masks are larger in memory than in the file."""
    there = False
    for key, value, _ in read_pieces(top / _SAMPLES):
        if key == "samples" and isinstance(value, list):
            there = True
            yield from (one if isinstance(one, dict) else {} for one in value)
    if not there:
        raise SchemaError(f"{top / _SAMPLES} is not FiftyOne's: it has no list 'samples'")


def _name(sample: Raw) -> str:
    return plain_name(str(sample.get("filepath") or ""))


def _split(sample: Raw) -> str:
    tags = sample.get("tags")
    names = (family_name(str(tag)) for tag in (tags if isinstance(tags, list) else ()))
    return next((name for name in names if name in _SPLITS), "all")


def _read(sample: Raw, top: Path, finder: PictureFinder, gathered: Gathered) -> None:
    name = _name(sample)
    size = _size(sample, finder.find(name).path)
    if size is None:
        gathered.pass_over("picture", "not there, so that no size is known")
        return
    image = gathered.image(name, size)
    for label in _labels(sample, gathered):
        words = printable(str(label.get("label") or ""))
        try:
            mask = _drawn(label, top, size)
        except _FAULTS as error:
            gathered.pass_over("label", "that cannot be drawn")
            gathered.set_aside(image, words, f"cannot be drawn: {error!r}")
            continue
        if mask is None:
            gathered.pass_over("label", "without an inside (a box, a line)")
            gathered.set_aside(image, words, "has no inside")
            continue
        _take(label, words, mask, image, gathered)


def _take(label: Raw, words: str, mask: BoolMask, image: Image, gathered: Gathered) -> None:
    number = label.get("index")
    ours = {"object_id": number} if type(number) is int else {}
    gathered.mask(image, words, encode(mask), provenance="human", **ours)


def _size(sample: Raw, picture: Path) -> tuple[int, int] | None:
    """(width, height) of the picture, else as the sample states it."""
    try:
        return image_size(picture)
    except (NotFoundError, DatasetError):
        stated = sample.get("metadata")
        about = stated if isinstance(stated, dict) else {}
        width, height = about.get("width"), about.get("height")
        if type(width) is int and type(height) is int and possible(width, height):
            return width, height
        return None


def _labels(sample: Raw, gathered: Gathered) -> Iterator[Raw]:
    """Detections and polylines in any field."""
    for value in sample.values():
        kind = value.get("_cls") if isinstance(value, dict) else None
        if kind == "Segmentation":
            gathered.pass_over("label map", "of a whole picture")
        elif kind in ("Detection", "Polyline"):
            yield value
        elif kind in _MANY:
            yield from (one for one in value.get(_MANY[kind]) or () if isinstance(one, dict))


def _drawn(label: Raw, top: Path, size: tuple[int, int]) -> BoolMask | None:
    """The pixels of a label, shape (height, width); None where it has no inside."""
    if label.get("_cls") == "Polyline":
        return _filled(label["points"], size) if label.get("filled") else None
    mask = _mask(label, top)
    return None if mask is None else _placed(mask, label["bounding_box"], size)


def _mask(label: Raw, top: Path) -> NDArray[Any] | None:
    """The mask within its box: numpy's file format, deflated, or a picture beside."""
    if isinstance(inside := label.get("mask"), dict):
        text = inside["$binary"]
        packed = b64decode(text["base64"] if isinstance(text, dict) else text)
        return np.asarray(np.load(io.BytesIO(zlib.decompress(packed)), allow_pickle=False))
    if path := label.get("mask_path"):
        if not is_safe_name(str(path)):
            raise ValueError("its mask lies outside the data set")
        with PillowImage.open(top / str(path)) as picture:
            return np.asarray(picture.convert("L"))
    return None


def _placed(mask: NDArray[Any], box: list[float], size: tuple[int, int]) -> BoolMask:
    """The mask scaled to its box between whole pixels, as FiftyOne draws it."""
    width, height = size
    x, y, w, h = (float(side) for side in box)
    left, right = _pixels(np.array([x, x + w]), width).tolist()
    top, bottom = _pixels(np.array([y, y + h]), height).tolist()
    if mask.ndim != 2 or not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError("its mask does not fit its box")
    whole: BoolMask = np.zeros((height, width), bool)
    shape = (right - left, bottom - top)
    scaled = cv2.resize((mask > 0).astype(np.uint8), shape)
    whole[top:bottom, left:right] = scaled.astype(bool)
    return whole


def _filled(shapes: list[Any], size: tuple[int, int]) -> BoolMask:
    """Outlines in shares of the picture, filled as FiftyOne does: crossings are counted."""
    width, height = size
    rings = [_pixels(np.array(ring, float), np.array([width, height])) for ring in shapes]
    canvas: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
    cv2.fillPoly(canvas, rings, (1,))
    return canvas.astype(bool)


def _pixels(shares: NDArray[np.floating], side: Any) -> NDArray[np.int32]:
    """Cut to whole pixels, as FiftyOne does; what is one but for the last digits stays one."""
    return np.asarray(np.floor(shares * side + 1e-6), np.int32)


layout = FiftyOneLayout()
