"""VGG Image Annotator (VIA) 1, 2 and 3: JSON, CSV or a saved project; also makesense's VGG JSON.

    {"a.jpg123": {"filename": "a.jpg", "regions": [{"shape_attributes": {...}, "region_attributes":
    {"part": "head"}}]}}          in VIA 1 and makesense `regions` is an object; a project has
                                  all that under _via_img_metadata
    filename,file_size,…,region_shape_attributes,region_attributes       CSV

Sizes are read from the pictures, since the files state none. Polygons, polylines, rectangles,
circles and ellipses have an inside; points are passed over. The label is the value of a region's
only attribute, else of the one called label, part, name, class, category or type. VIA 3's project
is another spelling of the same (`via3`).

Written is a project of VIA 2 beside its pictures. A region is one polygon: pieces and holes are
joined to it (`outlines.joined`), and the attributes `part` and `object_id` say what it is.
"""

import csv
import io
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered, printable
from annotate.data.formats.layout import Holds, Layout
from annotate.data.formats.outlines import joined, only_polygon, outlines
from annotate.data.formats.pictures import Pictures, in_folder, place
from annotate.data.formats.via3 import VIA_3, is_via_3, spelled_as_2
from partlab.errors import DatasetError, MaskError, NotFoundError, SchemaError
from partlab.files import read_pieces, write_pieces
from partlab.images import image_size
from partlab.masks import Rle, decode, encode, from_segmentation
from partlab.pictures import PictureFinder, plain_name
from partlab.progress import track
from partlab.schema import Annotation, Dataset, Image, Raw
from partlab.tables import read_text
from partlab.truth import drawn_masks

log = logging.getLogger(__name__)

_HEAD = 1 << 20
_PROJECT = "_via_img_metadata"  # where a saved project has its pictures
_LABELS = ("label", "part", "name", "class", "category", "type")
_FAULTS = (LookupError, TypeError, ValueError, OverflowError, AttributeError, MaskError)


class ViaLayout(Layout):
    """Format of VIA's files."""

    title = "VIA (VGG Image Annotator)"
    holds = Holds(
        attributes="only a mask's object is kept; who drew it, crowd regions, scores, inclusions "
        "and discards are left out",
        known=frozenset({"object_id"}),
    )

    def fits(self, path: Path) -> bool:
        """A file of VIA, or a folder with one."""
        return next(_files(path), None) is not None

    def read(self, source: Source) -> dict[str, Dataset]:
        """One split for each file, named by it; or by the folder, if it holds one alone."""
        files = [*_files(source.path)]
        if not files:
            raise NotFoundError(f"{source.path} has no file of VIA (*.json, *.csv)")
        found = {file.stem: _read_file(file, source) for file in files}
        alone = len(files) == 1 and source.path.is_dir()
        return {source.path.resolve().name: found[files[0].stem]} if alone else found

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """via_project.json beside its pictures, for Project > Load.

        Raises:
            SchemaError: a file name points outside the data set.
            MaskError: a mask cannot be drawn.
        """
        dataset = dataset.settled()
        place(in_folder(dataset, out), pictures)
        sizes = {image.file_name: _bytes(dataset.image_path(image)) for image in dataset.images}
        about: Raw = {"_via_settings": _settings(split)}
        about["_via_attributes"] = {"region": _attributes(dataset.names), "file": {}}
        keys = [f"{name}{size}" for name, size in sizes.items()]
        about |= {"_via_data_format_version": "2.0.10", "_via_image_id_list": keys}
        images = track(dataset.images, "pictures", total=len(dataset.images))
        entries = (_entry(dataset, image, sizes[image.file_name]) for image in images)
        before = f'{json.dumps(about)[:-1]}, "_via_img_metadata": {{'
        write_pieces(out / "via_project.json", before, entries, "}}\n")


def _settings(name: str) -> Raw:
    """What VIA needs to show the pictures; for the rest it has values of its own."""
    core = {"default_filepath": "", "buffer_size": 18, "filepath": {}}
    shown = {"region_label": "part", "region_color": "part"}
    return {"ui": {"image": shown}, "core": core, "project": {"name": name}}


def _attributes(names: Sequence[str]) -> Raw:
    options = {"options": dict.fromkeys(names, ""), "default_options": {}}
    part = {"type": "dropdown", "description": "part of which object", **options}
    number = {"type": "text", "description": "number of its object", "default_value": ""}
    return {"part": part, "object_id": number}


def _bytes(picture: Path) -> int:
    """The size of a file, which is part of a picture's key; -1 of one that is not there."""
    return picture.stat().st_size if picture.is_file() else -1


def _entry(dataset: Dataset, image: Image, size: int) -> str:
    """A picture by its key, with its regions, as JSON."""
    regions = [
        _region(annotation, rle, dataset.names[dataset.label_of[annotation.category_id]])
        for annotation, rle in drawn_masks(dataset, image).masks
    ]
    entry = {"filename": image.file_name, "size": size, "regions": regions, "file_attributes": {}}
    return f"{json.dumps(f'{image.file_name}{size}')}: {json.dumps(entry)}"


def _region(annotation: Annotation, rle: Rle, part: str) -> Raw:
    points = only_polygon(annotation) or [c for xy in joined(outlines(decode(rle))) for c in xy]
    shape = {"name": "polygon", "all_points_x": points[::2], "all_points_y": points[1::2]}
    said = {"part": part}
    if annotation.object_id is not None:
        said["object_id"] = str(annotation.object_id)
    return {"shape_attributes": shape, "region_attributes": said}


def _files(path: Path) -> Iterator[Path]:
    files = [path] if path.is_file() else sorted([*path.glob("*.json"), *path.glob("*.csv")])
    return (file for file in files if file.is_file() and _is_via(file))


def _is_via(file: Path) -> bool:
    with open(file, "rb") as handle:
        head = handle.read(_HEAD).decode("utf-8-sig", "replace")
    if file.suffix.lower() == ".csv":
        return "region_shape_attributes" in head.partition("\n")[0]
    regions = '"regions"' in head and '"filename"' in head
    newer = all(f'"{key}"' in head for key in ("project", "vid_list", "attribute", "view"))
    return head.lstrip().startswith("{") and ("_via_img_metadata" in head or regions or newer)


def _read_file(file: Path, source: Source) -> Dataset:
    root = source.images or file.parent
    named = [plain_name(name) for name, _ in _pictures(file)]
    finder = PictureFinder(root, None, [Image.new(0, name, (0, 0)) for name in named])
    gathered = Gathered(source, "VIA")
    for name, regions in track(_pictures(file), "pictures", total=len(named)):
        _read(plain_name(name), regions, finder, gathered)
    gathered.say()
    if named and not gathered.images:
        raise NotFoundError(
            f"{file}: none of its {len(named)} pictures is there, and VIA states no sizes",
            hint=f"say with --images where they are; the first is {named[0]}",
        )
    return gathered.dataset(file, root)


def _pictures(file: Path) -> Iterator[tuple[str, list[Any]]]:
    """(picture, regions) one by one: points are larger in memory than in the file."""
    if file.suffix.lower() == ".csv":
        yield from _of_csv(file)
        return
    version_3: Raw = {}
    for key, value, _ in read_pieces(file, within={_PROJECT}):
        if key is None:
            raise SchemaError(f"{file} is not a file of VIA: its top level is not an object")
        if key in VIA_3:
            version_3[key] = value
        entries = value.items() if key == _PROJECT and isinstance(value, dict) else [(key, value)]
        yield from (_regions(name, one) for name, one in entries if _has_regions(one))
    if is_via_3(version_3):
        yield from spelled_as_2(version_3)


def _has_regions(entry: Any) -> bool:
    return isinstance(entry, dict) and "regions" in entry


def _regions(key: str, entry: Raw) -> tuple[str, list[Any]]:
    """The picture of an entry, and its regions, which may be an object."""
    regions = entry["regions"]
    listed = [*regions.values()] if isinstance(regions, dict) else regions
    return str(entry.get("filename") or key), listed if isinstance(listed, list) else []


def _of_csv(file: Path) -> list[tuple[str, list[Any]]]:
    rows = csv.DictReader(io.StringIO(read_text(file)))
    rows.fieldnames = [name.lstrip("#") for name in rows.fieldnames or ()]
    found: dict[str, list[Any]] = {}
    for row in rows:
        regions = found.setdefault(row.get("filename") or "", [])
        shape, said = row.get("region_shape_attributes"), row.get("region_attributes")
        if shape and shape != "{}":
            regions.append({"shape_attributes": shape, "region_attributes": said or "{}"})
    return [*found.items()]


def _read(name: str, regions: list[Any], finder: PictureFinder, gathered: Gathered) -> None:
    try:
        size = image_size(finder.find(name).path)
    except (NotFoundError, DatasetError):
        gathered.pass_over("picture", "not there, so that no size is known")
        return
    image = gathered.image(name, size)
    for position, region in enumerate(regions):
        label = ""
        try:
            shape, said = _object(region["shape_attributes"]), _object(region["region_attributes"])
            label = _label(said)
            rle = _rle(shape, *size)
        except _FAULTS as error:
            gathered.pass_over("region", "that cannot be drawn")
            gathered.set_aside(image, label, f"cannot be drawn: {error!r}")
            log.warning("%s: region %d: %s", name, position, error)
            continue
        if rle is None:
            gathered.pass_over("region", f"of the kind {shape.get('name')}")
            gathered.set_aside(image, label, f"is of the kind {shape.get('name')}")
            continue
        number = str(said.get("object_id", ""))
        ours = {"object_id": int(number)} if number.isdecimal() else {}
        gathered.mask(image, label, rle, provenance="human", **ours)


def _object(value: Any) -> Raw:
    found: Any = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise ValueError("its attributes are no object")
    return found


def _label(said: Raw) -> str:
    """What a region's attributes call it; a tick box is an object of ticked names."""
    known = next((key for key in said if key.lower() in _LABELS), None)
    key = next(iter(said)) if len(said) == 1 else known
    value = said.get(key) if key is not None else ""
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else ""
    return printable(str(value or ""))


def _rle(shape: Raw, width: int, height: int) -> Rle | None:
    """The mask of a region, or None for a kind that has no inside."""
    kind = shape["name"]
    if kind in ("polygon", "polyline"):
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        points = [float(c) for xy in zip(xs, ys, strict=True) for c in xy]
    elif kind == "rect":
        x, y, w, h = (float(shape[key]) for key in ("x", "y", "width", "height"))
        points = [x, y, x + w, y, x + w, y + h, x, y + h]
    elif kind in ("circle", "ellipse"):
        return _round(shape, width, height)
    else:
        return None
    return from_segmentation([points], height, width)


def _round(shape: Raw, width: int, height: int) -> Rle:
    """Pixels whose middle lies in a circle or an ellipse, turned by `theta` radians."""
    rx, ry = (float(shape[key] if key in shape else shape["r"]) for key in ("rx", "ry"))
    turn = float(shape.get("theta", 0))
    if not (np.isfinite([rx, ry, turn]).all() and min(rx, ry) > 0):
        raise ValueError("its radius is no number above 0")
    y, x = np.mgrid[:height, :width] + 0.5
    right, down = x - float(shape["cx"]), y - float(shape["cy"])
    along = right * np.cos(turn) + down * np.sin(turn)
    across = down * np.cos(turn) - right * np.sin(turn)
    return encode((along / rx) ** 2 + (across / ry) ** 2 <= 1)


layout = ViaLayout()
