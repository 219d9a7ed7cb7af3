"""CVAT for images 1.1: one annotations.xml, each image with masks and polygons.

A mask is run lengths, row by row, inside its box, the first of them outside the mask. Boxes,
lines, points, ellipses and video tracks are passed over and counted. Elements of one `group_id`
belong to one object; a `subset` of an image is its split.

Written are the pictures under images/, annotations.xml, and labels.json: the labels as a new task
in CVAT takes them (Raw). A part that is one polygon stays one that people can edit; every other
one becomes a mask.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from annotate.data.formats import Source
from annotate.data.formats.foreign import recognise
from annotate.data.formats.gather import Gathered, possible
from annotate.data.formats.layout import Holds, Layout
from annotate.data.formats.outlines import only_polygon
from annotate.data.formats.pictures import Pictures, in_folder, place
from partlab.errors import MaskError, NotFoundError, SchemaError
from partlab.files import refuse_web_page, replacing, write_text
from partlab.layouts import image_root
from partlab.masks import Rle, bbox, decode, encode, from_segmentation
from partlab.pictures import plain_name
from partlab.progress import track
from partlab.schema import Annotation, Dataset, Image
from partlab.truth import drawn_masks

log = logging.getLogger(__name__)


class CvatLayout(Layout):
    """Format of CVAT's XML."""

    title = "CVAT for images 1.1 (XML)"
    holds = Holds(
        attributes="only a mask's object and whether a person or a model drew it are kept; crowd "
        "regions, scores, inclusions and discards are left out",
        known=frozenset({"object_id"}),
    )

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

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """images/, annotations.xml and labels.json.

        Raises:
            SchemaError: a file name points outside the data set.
        """
        dataset = dataset.settled()
        place(in_folder(dataset, out / "images"), pictures)
        with replacing(out / "annotations.xml") as scratch, open(scratch, "wb") as handle:
            handle.write(_TOP)
            for image in track(dataset.images, "pictures", total=len(dataset.images)):
                handle.write(ElementTree.tostring(_element(dataset, image, split)) + b"\n")
            handle.write(b"</annotations>\n")
        labels = [{"name": name, "attributes": [], "type": "any"} for name in dataset.names]
        write_text(out / "labels.json", json.dumps(labels, indent=1, ensure_ascii=False))


_TOP = b'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>\n'


def _element(dataset: Dataset, image: Image, split: str) -> ElementTree.Element:
    about = {"id": image.id, "name": image.file_name, "subset": split}
    about |= {"width": image.width, "height": image.height}
    top = ElementTree.Element("image", {key: str(value) for key, value in about.items()})
    for annotation, rle in drawn_masks(dataset, image).masks:
        label = dataset.names[dataset.label_of[annotation.category_id]]
        made = "auto" if annotation.provenance.startswith(("pseudo", "model")) else "manual"
        said = {"label": label, "source": made, "occluded": "0", "z_order": "0"}
        said |= {"group_id": str(annotation.object_id)} if annotation.object_id else {}
        tag, shape = _shape(annotation, rle)
        ElementTree.SubElement(top, tag, said | shape)
    return top


def _shape(annotation: Annotation, rle: Rle) -> tuple[str, dict[str, str]]:
    if polygon := only_polygon(annotation):
        pairs = zip(polygon[::2], polygon[1::2], strict=True)
        return "polygon", {"points": ";".join(f"{x!r},{y!r}" for x, y in pairs)}
    left, top, wide, high = (int(side) for side in bbox(rle))
    flat = decode(rle)[top : top + high, left : left + wide].ravel()
    box = {"left": str(left), "top": str(top), "width": str(wide), "height": str(high)}
    return "mask", {"rle": ", ".join(map(str, _runs(flat))), **box}


def _runs(flat: NDArray[np.bool_]) -> Iterator[int]:
    """Lengths of runs, the first of them outside."""
    ends = np.flatnonzero(np.diff(flat)) + 1
    edges = [0, *([0] if flat[0] else []), *ends.tolist(), len(flat)]
    return (end - start for start, end in pairwise(edges))


def _file(path: Path) -> Path:
    return path / "annotations.xml" if path.is_dir() else path


def _elements(file: Path) -> Iterator[ElementTree.Element]:
    """Images and tracks, one after the other: a file of 100,000 is never in memory as a whole."""
    try:
        refuse_web_page(file)
        depth, top = 0, None
        for event, element in ElementTree.iterparse(file, ("start", "end")):
            top = element if top is None else top
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 1:
                if element.tag in ("image", "track"):
                    yield element
                top.clear()
    except FileNotFoundError:
        raise NotFoundError(f"no file {file}") from None
    except ElementTree.ParseError as error:
        raise SchemaError(f"{file} is not valid XML: {error}", hint="get it again") from error


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
