"""A part data set as tasks of Label Studio with what is drawn in them, and their interface.

Pictures are named as Label Studio serves local files, relative to its document root:
`/data/local-files/?d=images/a.jpg`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from annotate.data.formats.outlines import only_polygon
from annotate.draw import palette
from annotate.studio.spelling.names import BRUSH, IMAGE, OBJECT, POLYGON
from annotate.studio.spelling.shapes import draw
from annotate.studio.spelling.writing import brush_of, head_of, shaped
from partlab.masks import BoolMask, decode
from partlab.schema import Annotation, Dataset, Image
from partlab.truth import drawn_masks

MOST_OBJECTS = 999  # what `reading` takes for the number of an object
_Item = dict[str, Any]


def interface(names: Sequence[str]) -> str:
    """The XML of a project in which every part can be painted or outlined."""
    root = ElementTree.Element("View")
    ElementTree.SubElement(root, "Image", name=IMAGE, value=f"${IMAGE}", zoom="true")
    colours = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in palette(names)]
    for tag, tool in (("BrushLabels", BRUSH), ("PolygonLabels", POLYGON)):
        control = ElementTree.SubElement(root, tag, name=tool, toName=IMAGE)
        for name, colour in zip(names, colours, strict=True):
            ElementTree.SubElement(control, "Label", value=name, background=colour)
    said = {"name": OBJECT, "toName": IMAGE, "perRegion": "true", "min": "1"}
    ElementTree.SubElement(root, "Number", said, max=str(MOST_OBJECTS))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def labels_of(file: Path) -> list[str]:
    """The labels of an interface that is there already."""
    root = ElementTree.parse(file).getroot() if file.is_file() else ElementTree.Element("View")
    return [*dict.fromkeys(label.get("value", "") for label in root.iter("Label"))]


def task(dataset: Dataset, image: Image, folder: Path) -> _Item:
    """One picture, which lies in `folder` below Label Studio's document root, with its masks."""
    place = quote((folder / image.file_name).as_posix())
    data = {IMAGE: f"/data/local-files/?d={place}"}
    data |= {"object": image.object} if image.object else {}
    drawn = [*drawn_masks(dataset, image).masks]
    numbers = _numbers([one for one, _ in drawn])
    result: list[_Item] = []
    for position, (annotation, rle) in enumerate(drawn):
        name = dataset.names[dataset.label_of[annotation.category_id]]
        result += _region(f"r{position}", image, name, annotation, decode(rle))
        if (number := numbers.get(annotation.object_id or 0, 1)) != 1:
            head = head_of(f"r{position}", (image.width, image.height))
            value = {"number": number}
            result.append({**head, "from_name": OBJECT, "type": "number", "value": value})
    return {"id": image.id, "data": data, "annotations": [{"result": result}]}


def _numbers(annotations: Sequence[Annotation]) -> dict[int, int]:
    """Object -> its number in the picture: its own, or where one is too large, counted from 1."""
    objects = [*dict.fromkeys(a.object_id for a in annotations if a.object_id is not None)]
    if all(0 < one <= MOST_OBJECTS for one in objects):
        return {one: one for one in objects}
    return {one: number for number, one in enumerate(objects, 1)}


def _region(
    id: str, image: Image, name: str, annotation: Annotation, mask: BoolMask
) -> Iterator[_Item]:
    size = image.width, image.height
    head = head_of(id, size)
    if flat := only_polygon(annotation):
        points = [
            [100 * x / size[0], 100 * y / size[1]]
            for x, y in zip(flat[::2], flat[1::2], strict=True)
        ]
        shape = {"points": points, "closed": True}
        if np.array_equal(draw(shape, size, size), mask):  # shares of the sides are rounded
            return iter(shaped(POLYGON, head, shape, name, two_lists=True))
    return iter(shaped(BRUSH, head, brush_of(mask), name, two_lists=True))
