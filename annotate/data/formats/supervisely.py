"""Supervisely's own project: meta.json, and in each data set img/ and ann/, a JSON file a picture.

    meta.json                    classes and tags
    <data set>/img/a.jpg
    <data set>/ann/a.jpg.json    size, objects: classTitle, geometryType, points or bitmap

Bitmaps, polygons with holes and rectangles are read, drawn as Supervisely draws them: the pixels of
an outline belong to it. A data set called like a split is that split. Objects of one `instance`
belong together. Other kinds (points, lines, graphs, cuboids) are passed over and counted.

Every mask is written as a bitmap: an outline in Supervisely has its own pixels in it, so that a
polygon of ours would grow. What a model drew bears its provenance as the labeler's login.
"""

import base64
import binascii
import io
import logging
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered, possible, printable
from annotate.data.formats.layout import Holds, Layout
from annotate.data.formats.pictures import Pictures, place
from annotate.draw import palette
from partlab.errors import MaskError, NotFoundError, SchemaError
from partlab.files import read_json, write_json
from partlab.layouts import family_name
from partlab.masks import BoolMask, bbox, decode, encode
from partlab.progress import track
from partlab.schema import Dataset, Image, Raw
from partlab.truth import drawn_masks

log = logging.getLogger(__name__)

_MOST = 1 << 28  # bytes of one unpacked bitmap
_FAULTS = (
    *(LookupError, TypeError, ValueError, OverflowError, AttributeError),
    *(MaskError, OSError, binascii.Error, zlib.error, cv2.error),
)
_DRAWN_BY = ("human-reused", "model-assisted:", "pseudo:")  # how a provenance may begin


class SuperviselyLayout(Layout):
    """Format of a Supervisely project."""

    title = "a Supervisely project"
    one_split = False
    holds = Holds(
        attributes="only a mask's object and who drew it are kept; crowd regions, scores, reviews, "
        "inclusions and discards are left out",
        known=frozenset({"object_id", "provenance"}),
    )

    def fits(self, path: Path) -> bool:
        """meta.json with classes, or the folder it is in."""
        meta = _meta(path)
        if not meta.is_file() or meta.stat().st_size > 1 << 26:
            return False
        try:
            found = read_json(meta)
        except SchemaError:
            return False
        return isinstance(found, dict) and isinstance(found.get("classes"), list)

    def read(self, source: Source) -> dict[str, Dataset]:
        """One split for each data set of the project."""
        top = _meta(source.path).parent
        folders = sorted({file.parent for file in top.glob("**/ann/*.json")})
        if not folders:
            raise NotFoundError(
                f"{top} has no <data set>/ann/*.json",
                hint="download the project with annotations, in the Supervisely format",
            )
        found: dict[str, Dataset] = {}
        for folder in folders:
            home = folder.parent
            name = family_name(home.relative_to(top).as_posix().replace("/datasets/", "/"))
            found[name.replace("/", "-")] = _read_folder(folder, home, source)
        return found

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """A data set of the project: <split>/img and <split>/ann; meta.json has all classes.

        Supervisely has no folders in a data set: `ram/1.jpg` becomes `ram_1.jpg`.

        Raises:
            SchemaError: two pictures would have the same name.
            MaskError: a mask cannot be drawn.
        """
        dataset = dataset.settled()
        _write_meta(out / "meta.json", dataset.names)
        names = _flat_names(dataset.images)
        (out / split / "img").mkdir(parents=True)
        for image in track(dataset.images, "pictures", total=len(dataset.images)):
            name = names[image.file_name]
            write_json(out / split / "ann" / f"{name}.json", _record(dataset, image))
            place([(dataset.image_path(image), out / split / "img" / name)], pictures)


def _write_meta(file: Path, names: Iterable[str]) -> None:
    """Classes of this split, after those of splits written before."""
    before = read_json(file)["classes"] if file.is_file() else []
    titles = [*dict.fromkeys([*(one["title"] for one in before), *names])]
    classes = [
        {"title": title, "shape": "any", "color": "#{:02x}{:02x}{:02x}".format(*colour)}
        for title, colour in zip(titles, palette(titles), strict=True)
    ]
    write_json(file, {"classes": classes, "tags": [], "projectType": "images"})


def _flat_names(images: Iterable[Image]) -> dict[str, str]:
    """File name -> name without folders."""
    names: dict[str, str] = {}
    owner: dict[str, str] = {}
    for image in images:
        flat = image.file_name.replace("\\", "/").replace("/", "_")
        if (other := owner.setdefault(flat, image.file_name)) != image.file_name:
            raise SchemaError(
                f"the pictures {other} and {image.file_name} would both be called {flat}",
                hint="Supervisely has no folders in a data set: rename one of them",
            )
        names[image.file_name] = flat
    return names


def _record(dataset: Dataset, image: Image) -> Raw:
    objects: list[Raw] = []
    for annotation, rle in drawn_masks(dataset, image).masks:
        left, top, wide, high = (int(side) for side in bbox(rle))
        data = _coded(decode(rle)[top : top + high, left : left + wide])
        one: Raw = {"id": annotation.id, "geometryType": "bitmap", "tags": []}
        one["classTitle"] = dataset.names[dataset.label_of[annotation.category_id]]
        one["labelerLogin"] = annotation.provenance.removeprefix("human:")
        one["bitmap"] = {"data": data, "origin": [left, top]}
        if annotation.object_id is not None:
            one["instance"] = str(annotation.object_id)
        objects.append(one)
    size = {"height": image.height, "width": image.width}
    return {"description": "", "tags": [], "size": size, "objects": objects}


def _coded(part: BoolMask) -> str:
    """As Supervisely codes it: a palette PNG of which 0 is transparent, in zlib, in base64."""
    image = PillowImage.fromarray(part.astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    out = io.BytesIO()
    image.save(out, "PNG", transparency=0)
    return base64.b64encode(zlib.compress(out.getvalue())).decode()


def _meta(path: Path) -> Path:
    return path / "meta.json" if path.is_dir() else path if path.name == "meta.json" else path / "-"


def _read_folder(folder: Path, home: Path, source: Source) -> Dataset:
    gathered = Gathered(source, "Supervisely")
    files = sorted(folder.glob("*.json"))
    for file in track(files, "files", total=len(files)):
        _read(file, gathered)
    gathered.say()
    return gathered.dataset(folder, source.images or home / "img")


def _read(file: Path, gathered: Gathered) -> None:
    record = read_json(file)
    stated: Any = record.get("size") if isinstance(record, dict) else None
    try:
        size = int(stated["width"]), int(stated["height"])
    except _FAULTS:
        size = 0, 0
    if not possible(*size):
        gathered.pass_over("file", "without a size")
        return
    image = gathered.image(file.name.removesuffix(".json"), size)
    objects = record.get("objects")
    groups: dict[str, int] = {}
    for one in objects if isinstance(objects, list) else ():
        _read_object(one, image, gathered, groups)


def _read_object(one: Any, image: Image, gathered: Gathered, groups: dict[str, int]) -> None:
    label = printable(str(one.get("classTitle") or "")) if isinstance(one, dict) else ""
    try:
        mask = _drawn(one, image.width, image.height)
    except _FAULTS as error:
        gathered.pass_over("object", "that cannot be drawn")
        gathered.set_aside(image, label, f"cannot be drawn: {error!r}")
        log.warning("%s: a %s cannot be drawn: %s", image.file_name, label or "thing", error)
        return
    if mask is None:
        kind = str(one.get("geometryType"))
        gathered.pass_over("object", f"of the kind {kind}")
        gathered.set_aside(image, label, f"is of the kind {kind}")
        return
    ours: Raw = {"provenance": _drawn_by(str(one.get("labelerLogin") or "human"))}
    if isinstance(group := one.get("instance"), str):
        ours["object_id"] = groups.setdefault(group, _number(group, groups))
    gathered.mask(image, label, encode(mask), **ours)


def _drawn_by(login: str) -> str:
    said = login == "human" or login.startswith(_DRAWN_BY)
    return login if said else f"human:{login}"


def _number(group: str, groups: dict[str, int]) -> int:
    """The number that a group is called, as we write them, else the next one."""
    said = int(group) if group.isdecimal() and len(group) < 10 else 0
    return said if said and said not in groups.values() else max(groups.values(), default=0) + 1


def _drawn(one: Raw, width: int, height: int) -> BoolMask | None:
    """The object's (height, width) mask, or None for a kind that has no inside."""
    kind = one["geometryType"]
    if kind == "bitmap":
        return _placed(_bitmap(one["bitmap"]["data"]), one["bitmap"]["origin"], width, height)
    if kind not in ("polygon", "rectangle"):
        return None
    points = one["points"]
    rings = [_ring(points["exterior"]), *map(_ring, points.get("interior") or ())]
    if kind == "rectangle":
        (left, top), (right, bottom) = rings[0]
        rings = [np.array([(left, top), (right, top), (right, bottom), (left, bottom)])]
    drawn = np.zeros((height, width), np.uint8)
    cv2.fillPoly(drawn, [rings[0]], 1)
    for hole in rings[1:]:
        cv2.fillPoly(drawn, [hole], 0)
    return drawn.astype(bool)


def _ring(points: Any) -> np.ndarray[Any, Any]:
    found = np.asarray(points, float)
    if found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all():
        raise ValueError("its points are no pairs of numbers")
    if np.abs(found).max() > 100_000:
        raise ValueError("its points lie far outside the picture")
    rounded: np.ndarray[Any, Any] = np.rint(found).astype(np.int32)
    return rounded


def _bitmap(coded: str) -> BoolMask:
    """A PNG in zlib in base64: transparent, or 0, is outside."""
    packed = base64.b64decode(coded)
    unpacker = zlib.decompressobj()
    raw = packed if packed.startswith(b"\x89PNG") else unpacker.decompress(packed, _MOST)
    with PillowImage.open(io.BytesIO(raw)) as picture:
        pixels = np.asarray(picture.convert("RGBA") if picture.mode != "L" else picture)
    if pixels.ndim == 2:
        return pixels > 0
    solid = np.asarray(pixels[..., 3] > 0)
    return np.asarray(pixels[..., :3].any(-1)) if solid.all() else solid


def _placed(part: BoolMask, origin: Any, width: int, height: int) -> BoolMask:
    left, top = (int(c) for c in origin)
    if min(left, top) < 0 or left + part.shape[1] > width or top + part.shape[0] > height:
        raise ValueError("the bitmap leaves the picture")
    mask = np.zeros((height, width), bool)
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


layout = SuperviselyLayout()
