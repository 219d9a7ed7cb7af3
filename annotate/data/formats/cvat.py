"""CVAT for images 1.1: one annotations.xml, each image with masks and polygons. Read only.

A mask is run lengths, row by row, inside its box, the first of them outside the mask. Boxes,
lines, points, ellipses and video tracks are passed over and counted. Elements of one `group_id`
belong to one object; a `subset` of an image is its split.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from annotate.data.formats import Source
from annotate.data.formats.foreign import recognise
from annotate.data.formats.gather import Gathered, possible
from annotate.data.formats.readonly import ReadOnly
from partlab.errors import MaskError, NotFoundError, SchemaError
from partlab.layouts import image_root
from partlab.masks import Rle, encode, from_segmentation
from partlab.pictures import plain_name
from partlab.schema import Dataset

log = logging.getLogger(__name__)


class CvatLayout(ReadOnly):
    """Format of CVAT's XML."""

    name = "CVAT's XML"

    def fits(self, path: Path) -> bool:
        """An XML file of CVAT, or a folder with annotations.xml."""
        file = _file(path)
        return file.is_file() and (recognise(file) or ("",))[0] == "CVAT XML"

    def read(self, source: Source) -> dict[str, Dataset]:
        """One split for each subset; `annotations` where the file names none."""
        file = _file(source.path)
        root = source.images or image_root(file)
        found: dict[str, Gathered] = {}
        for element in _elements(file):
            subset = element.get("subset") or file.stem
            gathered = found.setdefault(subset, Gathered(source, "CVAT"))
            if element.tag == "track":
                gathered.pass_over("video track")
            else:
                _read(element, gathered, root)
        for gathered in found.values():
            gathered.say()
        return {name: gathered.dataset(file, root) for name, gathered in found.items()}


def _file(path: Path) -> Path:
    return path / "annotations.xml" if path.is_dir() else path


def _elements(file: Path) -> list[ElementTree.Element]:
    try:
        top = ElementTree.parse(file).getroot()
    except FileNotFoundError:
        raise NotFoundError(f"no file {file}") from None
    except ElementTree.ParseError as error:
        raise SchemaError(f"{file} is not valid XML: {error}") from error
    return [element for element in top if element.tag in ("image", "track")]


def _read(element: ElementTree.Element, gathered: Gathered, root: Path) -> None:
    name, subset = plain_name(element.get("name", "")), element.get("subset")
    try:
        size = int(element.get("width", "")), int(element.get("height", ""))
    except ValueError:
        size = 0, 0
    if not possible(*size):
        gathered.pass_over("image", "without a size")
        return
    inside = subset and (root / subset / name).is_file()
    image = gathered.image(f"{subset}/{name}" if inside else name, size)
    for shape in element:
        if shape.tag in ("tag", "attribute"):
            continue
        try:
            rle = _rle(shape.tag, shape.attrib, *size)
        except (KeyError, ValueError, OverflowError, MaskError) as error:
            gathered.pass_over("element", "that cannot be drawn")
            gathered.set_aside(image, shape.get("label", ""), f"cannot be drawn: {error!r}")
            log.warning("image %s: a %s cannot be drawn: %s", name, shape.tag, error)
            continue
        if rle is None:
            gathered.pass_over("element", f"of the kind {shape.tag}")
            gathered.set_aside(image, shape.get("label", ""), f"is of the kind {shape.tag}")
            continue
        group = shape.get("group_id", "")
        ours = {"object_id": int(group)} if group.isdecimal() and int(group) else {}
        made = shape.get("source", "manual")
        by = "human" if made in ("manual", "file") else "model-assisted:cvat"
        gathered.mask(image, shape.get("label", ""), rle, provenance=by, **ours)


def _rle(tag: str, of: Mapping[str, str], width: int, height: int) -> Rle | None:
    """The element's mask, or None for a kind that has no inside."""
    if tag == "polygon":
        points = [float(c) for point in of["points"].split(";") for c in point.split(",")]
        return from_segmentation([points], height, width)
    if tag != "mask":
        return None
    left, top, wide, high = (int(of[key]) for key in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in of["rle"].split(",")])
    if min(left, top, wide, high, runs.min()) < 0 or left + wide > width or top + high > height:
        raise ValueError("it leaves the picture")
    if runs.sum() > wide * high:
        raise ValueError("its runs are longer than its box")
    flat = np.zeros(wide * high, bool)
    drawn = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    flat[: len(drawn)] = drawn
    mask = np.zeros((height, width), bool)
    mask[top : top + high, left : left + wide] = flat.reshape(high, wide)
    return encode(mask)


layout = CvatLayout()
