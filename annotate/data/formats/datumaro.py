"""Datumaro's own format, also CVAT's export of that name: annotations/<split>.json and images/.

    {"categories": {"label": {"labels": [{"name": "head", "parent": "ram"}]}},
     "items": [{"id": "a", "image": {"path": "a.jpg", "size": [height, width]}, "annotations": [
       {"type": "mask", "label_id": 0, "group": 1, "rle": {"counts": "…", "size": [h, w]}}]}]}

Masks and polygons are read; boxes, points, labels and captions are passed over and counted. What
shares a `group` other than 0 belongs to one object; a label's `parent` is its object.

Written are masks, with labels called by their whole name (Datumaro knows no two of one name) and
the provenance as an attribute; pictures are copied to images/<split>: Datumaro opens no links.
"""

import json
import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from annotate.data.formats import Source
from annotate.data.formats.foreign import recognise
from annotate.data.formats.gather import Gathered, possible, printable
from annotate.data.formats.layout import Holds, Layout
from annotate.data.formats.pictures import Pictures, in_folder, place
from partlab.errors import DatasetError, MaskError, NotFoundError, SchemaError
from partlab.files import read_pieces, write_pieces
from partlab.images import image_size, is_image_name
from partlab.layouts import family_name, home_of
from partlab.masks import Rle, from_segmentation
from partlab.pictures import PictureFinder, plain_name
from partlab.progress import track
from partlab.schema import Dataset, Image, Raw
from partlab.truth import drawn_masks

log = logging.getLogger(__name__)

_FAULTS = (LookupError, TypeError, ValueError, OverflowError, AttributeError, MaskError)
_NO_SHAPE = frozenset({"label", "caption"})  # said of the whole picture: nothing is drawn


class DatumaroLayout(Layout):
    """Format of Datumaro's JSON."""

    title = "Datumaro"
    one_split = False
    holds = Holds(
        attributes="only a mask's object and who drew it are kept; crowd regions, scores, reviews, "
        "inclusions and discards are left out",
        known=frozenset({"object_id", "provenance"}),
    )

    def fits(self, path: Path) -> bool:
        """A JSON file of Datumaro, or a folder with such files in annotations/."""
        return next(_files(path), None) is not None

    def read(self, source: Source) -> dict[str, Dataset]:
        """One split for each file."""
        files = [*_files(source.path)]
        if not files:
            raise NotFoundError(f"{source.path} has no annotations/*.json of Datumaro")
        return {family_name(file.stem): _read_file(file, source) for file in files}

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """annotations/<split>.json and images/<split>/.

        Raises:
            SchemaError: a file name points outside the data set.
            MaskError: a mask cannot be drawn.
        """
        dataset = dataset.settled()
        if pictures is Pictures.link:
            log.info("Datumaro opens no links that lead elsewhere: pictures are copied")
            pictures = Pictures.copy
        place(in_folder(dataset, out / "images" / split), pictures)
        labels = [{"name": name, "parent": "", "attributes": []} for name in dataset.names]
        categories = {"label": {"labels": labels, "attributes": ["provenance"]}}
        about = {"dm_format_version": "1.0", "media_type": 2, "infos": {}, "categories": categories}
        images = track(dataset.images, "pictures", total=len(dataset.images))
        items = (json.dumps(_item(dataset, image)) for image in images)
        before = f'{json.dumps(about)[:-1]}, "items": ['
        write_pieces(out / "annotations" / f"{split}.json", before, items, "]}\n")


def _item(dataset: Dataset, image: Image) -> Raw:
    masks = [
        {
            "id": number,
            "type": "mask",
            "attributes": {"provenance": annotation.provenance},
            "group": annotation.object_id or 0,
            "label_id": dataset.label_of[annotation.category_id],
            "rle": dict(rle),
            "z_order": 0,
        }
        for number, (annotation, rle) in enumerate(drawn_masks(dataset, image).masks)
    ]
    stem, _, _ = image.file_name.rpartition(".")
    media = {"path": image.file_name, "size": [image.height, image.width]}
    return {"id": stem, "annotations": masks, "attr": {}, "image": media}


def _files(path: Path) -> Iterator[Path]:
    files = [path] if path.is_file() else sorted(path.glob("annotations/*.json"))
    return (file for file in files if file.is_file() and _is_ours(file))


def _is_ours(file: Path) -> bool:
    return file.suffix == ".json" and (recognise(file) or ("",))[0] == "Datumaro"


def _read_file(file: Path, source: Source) -> Dataset:
    labels = _labels(file)
    places = _Places(file, source.images or _root(file))
    gathered = Gathered(source, "Datumaro")
    for item in track(_items(file), "pictures"):
        _read(item, labels, places, gathered)
    gathered.say()
    return gathered.dataset(file, places.root)


def _items(file: Path) -> Iterator[Raw]:
    """One by one, so that the masks of all are never in memory twice."""
    there = False
    for key, value, _ in read_pieces(file):
        if key == "items" and isinstance(value, list):
            there = True
            yield from (one for one in value if isinstance(one, dict))
    if not there:
        raise SchemaError(f"{file} has no list 'items'")


class _Places:
    """Where pictures are: asked only of those whose size nobody states."""

    def __init__(self, file: Path, root: Path) -> None:
        self.file, self.root = file, root

    @cached_property
    def finder(self) -> PictureFinder:
        named = [Image.new(0, _name(item), (0, 0)) for item in _items(self.file)]
        return PictureFinder(self.root, None, named)


def _root(file: Path) -> Path:
    images = home_of(file) / "images"
    return next((one for one in (images / file.stem, images) if one.is_dir()), home_of(file))


def _labels(file: Path) -> list[tuple[str, str]]:
    """(name, object or nothing) of each label, by its number."""
    try:
        said = next(value for key, value, _ in read_pieces(file) if key == "categories")
        listed = said["label"]["labels"]
        return [(str(one["name"]), str(one.get("parent") or "")) for one in listed]
    except (StopIteration, KeyError, TypeError, AttributeError):
        raise SchemaError(f"{file} has no list of labels under categories.label") from None


def _name(item: Raw) -> str:
    media = item.get("image") or item.get("media")
    stated = media.get("path") if isinstance(media, dict) else None
    name = plain_name(str(stated or item.get("id") or ""))
    return name if is_image_name(name) else f"{name}.jpg"


def _read(item: Raw, labels: list[tuple[str, str]], places: _Places, gathered: Gathered) -> None:
    name = _name(item)
    listed = item.get("annotations")
    drawn = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    size = _size(item, drawn, name, places)
    if size is None:
        gathered.pass_over("image", "without a size and without a picture")
        return
    image = gathered.image(name, size)
    for one in drawn:
        _draw(one, image, labels, gathered)


def _draw(one: Raw, image: Image, labels: list[tuple[str, str]], gathered: Gathered) -> None:
    kind, number = str(one.get("type")), one.get("label_id")
    if kind in _NO_SHAPE:
        return
    known = type(number) is int and 0 <= number < len(labels)
    label, owner = labels[number] if known and type(number) is int else ("", "")
    label = printable(label)
    try:
        rle = _rle(one, kind, image.width, image.height)
    except _FAULTS as error:
        gathered.pass_over("mask", "that cannot be drawn")
        gathered.set_aside(image, label, f"cannot be drawn: {error!r}")
        log.warning("%s: a %s cannot be drawn: %s", image.file_name, kind, error)
        return
    if rle is None:
        gathered.pass_over("annotation", f"of the kind {kind}")
        gathered.set_aside(image, label, f"is of the kind {kind}")
        return
    group = one.get("group")
    ours: Raw = {"object_id": group} if type(group) is int and group else {}
    said = one.get("attributes")
    by = said.get("provenance") if isinstance(said, dict) else None
    gathered.mask(image, label, rle, object=owner, provenance=str(by or "human"), **ours)


def _rle(one: Raw, kind: str, width: int, height: int) -> Rle | None:
    if kind == "mask":
        return from_segmentation(one["rle"], height, width)
    if kind == "polygon":
        return from_segmentation([[float(c) for c in one["points"]]], height, width)
    return None


def _size(item: Raw, drawn: list[Raw], name: str, places: _Places) -> tuple[int, int] | None:
    """(width, height) as stated, as a mask has it, or as the picture has it."""
    media: Any = item.get("image") or item.get("media")
    stated = media.get("size") if isinstance(media, dict) else None
    masks = [one["rle"].get("size") for one in drawn if isinstance(one.get("rle"), dict)]
    for said in (stated, *masks):
        if isinstance(said, list) and len(said) == 2 and all(type(side) is int for side in said):
            return (said[1], said[0]) if possible(said[1], said[0]) else None
    try:
        return image_size(places.finder.find(name).path)
    except (NotFoundError, DatasetError):
        return None


layout = DatumaroLayout()
