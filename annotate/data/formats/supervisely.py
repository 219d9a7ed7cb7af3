"""Supervisely's own project: meta.json, and in each data set img/ and ann/, a JSON file a picture.

    meta.json                    classes and tags
    <data set>/img/a.jpg
    <data set>/ann/a.jpg.json    size, objects: classTitle, geometryType, points or bitmap

Bitmaps, polygons with holes and rectangles are read, drawn as Supervisely draws them: the pixels of
an outline belong to it. A data set called like a split is that split. Objects of one `instance`
belong together. Other kinds (points, lines, graphs, cuboids) are passed over and counted.
"""

import base64
import binascii
import io
import logging
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered, possible, printable
from annotate.data.formats.layout import Layout
from partlab.errors import MaskError, NotFoundError, SchemaError
from partlab.files import read_json
from partlab.layouts import family_name
from partlab.masks import BoolMask, encode
from partlab.progress import track
from partlab.schema import Dataset, Image, Raw

log = logging.getLogger(__name__)

_MOST = 1 << 28  # bytes of one unpacked bitmap
_FAULTS = (
    *(LookupError, TypeError, ValueError, OverflowError, AttributeError),
    *(MaskError, OSError, binascii.Error, zlib.error, cv2.error),
)


class SuperviselyLayout(Layout):
    """Format of a Supervisely project."""

    title = "a Supervisely project"
    one_split = False

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


def _meta(path: Path) -> Path:
    return path / "meta.json" if path.is_dir() else path if path.name == "meta.json" else path / "-"


def _read_folder(folder: Path, home: Path, source: Source) -> Dataset:
    gathered = Gathered(source, "Supervisely")
    files = sorted(folder.glob("*.json"))
    groups: dict[str, int] = {}
    for file in track(files, "files", total=len(files)):
        _read(file, gathered, groups)
    gathered.say()
    return gathered.dataset(folder, source.images or home / "img")


def _read(file: Path, gathered: Gathered, groups: dict[str, int]) -> None:
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
    who, group = one.get("labelerLogin"), one.get("instance")
    ours: Raw = {"provenance": f"human:{who}" if who else "human"}
    if isinstance(group, str):
        ours["object_id"] = groups.setdefault(group, len(groups) + 1)
    gathered.mask(image, label, encode(mask), **ours)


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
