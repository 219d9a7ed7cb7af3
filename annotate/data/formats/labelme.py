"""labelme: one JSON file beside each picture, shapes in pixels.

Polygons, rectangles and masks are read; circles, lines and points are passed over and counted.
Shapes of one `group_id` belong to one object. Written is a polygon where a part is one, so that
people can go on editing it, else a mask, which labelme has since version 5.2.
"""

import base64
import binascii
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from annotate.data.formats import Source
from annotate.data.formats.foreign import recognise
from annotate.data.formats.gather import Gathered, possible, printable
from annotate.data.formats.layout import Holds, Layout
from annotate.data.formats.outlines import only_polygon
from annotate.data.formats.pictures import Pictures, in_folder, place
from partlab.errors import MaskError, NotFoundError, SchemaError
from partlab.files import read_json, write_json
from partlab.masks import Rle, bbox, decode, encode, from_segmentation
from partlab.pictures import plain_name
from partlab.progress import track
from partlab.schema import Annotation, Dataset, Image, Raw
from partlab.truth import drawn_masks

log = logging.getLogger(__name__)

_FAULTS = (
    *(LookupError, TypeError, ValueError, OverflowError, AttributeError),
    *(MaskError, OSError, binascii.Error),
)


class LabelmeLayout(Layout):
    """Format of labelme's files."""

    title = "labelme"
    holds = Holds(
        attributes="only a mask's object is kept; who drew it, crowd regions, scores, inclusions "
        "and discards are left out",
        known=frozenset({"object_id"}),
    )

    def fits(self, path: Path) -> bool:
        """A labelme file, or a folder in which the first JSON file is one."""
        first = next(_files(path), None)
        return first is not None and (recognise(first) or ("",))[0] == "labelme"

    def read(self, source: Source) -> dict[str, Dataset]:
        """All files as one split, named by the folder (or the one file)."""
        files = [*_files(source.path)]
        if not files:
            raise NotFoundError(f"{source.path} has no labelme files (*.json)")
        gathered = Gathered(source, "labelme")
        for file in track(files, "files", total=len(files)):
            _read(file, gathered)
        gathered.say()
        root = source.images or (source.path.parent if source.path.is_file() else source.path)
        name = source.path.stem if source.path.is_file() else source.path.resolve().name
        return {name: gathered.dataset(source.path, root)}

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """A JSON file beside each picture.

        Raises:
            SchemaError: two pictures would share a file, or a name points outside the data set.
        """
        dataset = dataset.settled()
        place(in_folder(dataset, out), pictures)
        seen: dict[Path, str] = {}
        for image in track(dataset.images, "files", total=len(dataset.images)):
            file = (out / image.file_name).with_suffix(".json")
            if (other := seen.setdefault(file, image.file_name)) != image.file_name:
                raise SchemaError(
                    f"the pictures {other} and {image.file_name} would share {file.name}"
                )
            write_json(file, _record(dataset, image))


def _record(dataset: Dataset, image: Image) -> Raw:
    names = dataset.names
    shapes = [
        {
            "label": names[dataset.label_of[annotation.category_id]],
            **_shape(annotation, rle),
            "group_id": annotation.object_id,
            "description": "",
            "flags": {},
        }
        for annotation, rle in drawn_masks(dataset, image).masks
    ]
    about = {"imagePath": Path(image.file_name).name, "imageData": None}
    size = {"imageHeight": image.height, "imageWidth": image.width}
    return {"version": "5.5.0", "flags": {}, "shapes": shapes, **about, **size}


def _shape(annotation: Annotation, rle: Rle) -> Raw:
    if polygon := only_polygon(annotation):
        pairs = zip(polygon[::2], polygon[1::2], strict=True)
        return {"points": [[*pair] for pair in pairs], "shape_type": "polygon", "mask": None}
    left, top, wide, high = (int(side) for side in bbox(rle))
    cut = decode(rle)[top : top + high, left : left + wide]
    out = io.BytesIO()
    PillowImage.fromarray(cut).save(out, "PNG")
    corners = [[left, top], [left + wide - 1, top + high - 1]]
    coded = base64.b64encode(out.getvalue()).decode()
    return {"points": corners, "shape_type": "mask", "mask": coded}


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield from [path] if path.suffix == ".json" else []
    else:
        yield from sorted(path.rglob("*.json"), key=lambda file: (len(file.parts), file))


def _read(file: Path, gathered: Gathered) -> None:
    record = read_json(file)
    shapes = record.get("shapes") if isinstance(record, dict) else None
    size = _size(record) if isinstance(shapes, list) else None
    if size is None:
        gathered.pass_over("file", "of another tool, or without a size")
        return
    stated = plain_name(str(record.get("imagePath") or f"{file.stem}.jpg"))
    below = file.parent.relative_to(_top(gathered.source.path))
    image = gathered.image((below / stated).as_posix(), size)
    for position, shape in enumerate(shapes or []):
        label = printable(str(shape.get("label") or "")) if isinstance(shape, dict) else ""
        try:
            rle = _rle(shape, *size)
        except _FAULTS as error:
            gathered.pass_over("shape", "that cannot be drawn")
            gathered.set_aside(image, label, f"cannot be drawn: {error!r}")
            log.warning("%s: shape %d: %s", file, position, error)
            continue
        if rle is None:
            kind = f"of the kind {shape.get('shape_type')}"
            gathered.pass_over("shape", kind)
            gathered.set_aside(image, label, f"is {kind}")
            continue
        group = shape.get("group_id")
        ours = {"object_id": group} if isinstance(group, int) else {}
        gathered.mask(image, label, rle, provenance="human", **ours)


def _top(path: Path) -> Path:
    return path.parent if path.is_file() else path


def _size(record: Raw) -> tuple[int, int] | None:
    width, height = record.get("imageWidth"), record.get("imageHeight")
    if not isinstance(width, int) or not isinstance(height, int):
        return None
    return (width, height) if possible(width, height) else None


def _rle(shape: dict[str, Any], width: int, height: int) -> Rle | None:
    """The shape's mask, or None for a kind that has no inside."""
    kind = shape.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if kind == "mask":
        return _drawn(shape["mask"], points[0], width, height)
    if kind == "rectangle":
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    elif kind != "polygon":
        return None
    return from_segmentation([[c for point in points for c in point]], height, width)


def _drawn(coded: str, corner: tuple[float, float], width: int, height: int) -> Rle:
    with PillowImage.open(io.BytesIO(base64.b64decode(coded))) as picture:
        part = np.asarray(picture) > 0
    x, y = round(corner[0]), round(corner[1])
    if part.ndim != 2 or x < 0 or y < 0 or x + part.shape[1] > width or y + part.shape[0] > height:
        raise ValueError("the mask leaves the picture")
    mask = np.zeros((height, width), bool)
    mask[y : y + part.shape[0], x : x + part.shape[1]] = part
    return encode(mask)


layout = LabelmeLayout()
