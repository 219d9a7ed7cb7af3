"""The layout the authors' trainer reads: one integer PNG of part ids per picture.

    img/<wnid>/*.JPEG
    seg/<wnid>/<stem>.png        0 background, 1…K parts; stem = text before the first dot
    whether_pseudo/<wnid>.txt    `<wnid>/<file> 0|1`, known by the base name
    parts.json                   ours: which part each id is, inclusions, discards

Writing flattens by the composite rule (`partlab.composite`), so overlaps keep the topmost
part; reading makes one layer of each id. PNG has no 32-bit grey: up to 65,535 parts are
16-bit grey, more are 8-bit RGB with id = R + 256 G + 65,536 B (the COCO panoptic form).
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from annotate.data.formats import Source
from annotate.data.formats.names import WNID, object_folders
from annotate.data.formats.pictures import Pictures, place
from annotate.data.formats.table import read_table
from annotate.data.formats.values import Values
from partlab.composite import flatten
from partlab.counts import counted
from partlab.errors import DatasetError, MaskError, NotFoundError, SchemaError
from partlab.files import read_json, read_lines, replacing, write_json, write_lines
from partlab.images import image_size, is_image_name
from partlab.inclusions import is_inclusions
from partlab.masks import area, bbox, decode, encode_many
from partlab.progress import track
from partlab.records import read_records
from partlab.schema import OURS, Annotation, Category, Dataset, Discard, Image, Raw
from partlab.spelling import whole
from partlab.truth import drawn_masks, hint_for, layers

log = logging.getLogger(__name__)

NAMES = "parts.json"
_PSEUDO = "pseudo:prepared"  # the layout does not say which run made a pseudo mask
_GREY_LIMIT, _RGB_LIMIT = 1 << 16, 1 << 24


class PreparedLayout:
    """Format of the authors' prepared data; its label maps hold numbers, named by a list."""

    numbers_only = True

    def fits(self, path: Path) -> bool:
        """A folder with seg/."""
        return (path / "seg").is_dir()

    def read(self, source: Source) -> dict[str, Dataset]:
        """The folder as one split named `all`; pictures are needed for file names only."""
        return {"all": _Reader(source).read()}

    def write(
        self,
        dataset: Dataset,
        out: Path,
        split: str,
        pictures: Pictures,
    ) -> None:
        """Flatten every image, one by one; everything is looked at before anything is written.

        Crowd regions, and what is not drawn in an image that lacks a mask, get the id K + 1, which
        says nothing of a pixel; `parts.json` names it.

        Raises:
            SchemaError: an image has no object category, is not as large as stated, or two
                would share a mask file.
            MaskError: a mask cannot be drawn; the message names file, image and annotation.
        """
        dataset = dataset.settled()
        folders = object_folders(dataset)
        homes = _homes(dataset, folders)
        unsure = 0
        for image in track(dataset.images, "looking", total=len(dataset.images)):
            _refuse_unusable(dataset, image)
            unsure += drawn_masks(dataset, image).unsure
        dataset = _in_class_order(dataset, folders)
        ignore = len(dataset.categories) + 1
        flags: dict[str, list[str]] = {folder: [] for folder in sorted({*homes.values()})}
        for image in track(dataset.images, "masks", total=len(dataset.images)):
            folder, name = homes[image.id], Path(image.file_name).name
            save_labels(
                out / "seg" / folder / f"{stem_of(name)}.png",
                _label_map(dataset, image, ignore),
                ignore if unsure else len(dataset.categories),
            )
            place([(dataset.image_path(image), out / "img" / folder / name)], pictures)
            flags[folder].append(f"{folder}/{name} {int(_is_pseudo(dataset, image))}")
        for folder, lines in flags.items():
            write_lines(out / "whether_pseudo" / f"{folder}.txt", lines)
        table = _names_table(dataset, folders)
        if unsure:
            table[OURS]["ignore"] = ignore
            log.warning(
                "in %s crowd regions, or all that is not drawn where a mask is missing, "
                "have the id %d: neither background nor a part", counted(unsure, "image"), ignore,
            )  # fmt: skip
        write_json(out / NAMES, table)
        log.info(
            "%s now one label per pixel: this layout keeps neither the instances of a "
            "part nor what lies under another (coco and pinpp do)",
            counted(len(dataset.annotations), "mask is", "masks are"),
        )


def stem_of(name: str) -> str:
    """The text before the first dot: what the layout names a mask by."""
    return name.partition(".")[0]


def save_labels(path: Path, labels: NDArray[np.integer[Any]], parts: int) -> None:
    """Write part ids, shape (height, width), as a PNG deep enough for ids 0…`parts`."""
    if parts >= _RGB_LIMIT:
        raise SchemaError(f"{parts} parts are more than a PNG label map can name")
    if parts < _GREY_LIMIT:
        picture = PillowImage.fromarray(labels.astype(np.uint16))
    else:
        bytes_of = np.stack([labels >> shift & 255 for shift in (0, 8, 16)], axis=-1)
        picture = PillowImage.fromarray(bytes_of.astype(np.uint8))
    with replacing(path) as scratch:
        picture.save(scratch, format="PNG")


def load_labels(path: Path) -> NDArray[np.int32]:
    """Read part ids, shape (height, width), from a grey (8 or 16 bit), palette or RGB PNG.

    Raises:
        NotFoundError: there is no such file.
        DatasetError: it is damaged, or of another kind.
    """
    try:
        with PillowImage.open(path) as opened:
            mode, found = opened.mode, np.asarray(opened)
    except FileNotFoundError:
        raise NotFoundError(f"no mask {path}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"cannot read mask {path}: {error}") from error
    if mode == "RGB":
        red, green, blue = np.moveaxis(found.astype(np.int32), -1, 0)
        return np.asarray(red + (green << 8) + (blue << 16), np.int32)
    if found.ndim != 2 or mode not in ("L", "P", "1", "I", "I;16", "I;16B"):
        raise DatasetError(f"mask {path} has mode {mode}, which holds no part ids")
    return found.astype(np.int32)


class _Reader:
    """Gathers one prepared folder into a data set."""

    def __init__(self, source: Source) -> None:
        self.root = source.path
        self.images_at = source.images or self.root / "img"
        self.table = _read_names(source.names or self.root / NAMES)
        self.categories = [Category(raw) for raw in self.table["categories"]]
        self.values = Values(self.categories, source, self.table)
        self.object_of_folder = dict(self.table.get("folders", {}))
        for category in self.categories:
            self.object_of_folder.setdefault(category.wnid or category.object, category.object)
        self.images: list[Image] = []
        self.annotations: list[Annotation] = []
        self.broken: list[Raw] = []

    def read(self) -> Dataset:
        folders = sorted({path.name for path in self._folders()})
        if not folders:
            raise NotFoundError(f"{self.root} has no seg/<class>/ folders")
        for folder in track(folders, "object categories", total=len(folders)):
            pseudo = self._flags(folder)
            for name in self._names(folder):
                self._one(folder, name, pseudo.get(name, False))
        if self.broken:
            log.warning("%s cannot be read; kept aside", counted(len(self.broken), "record"))
        self.values.tell()
        ours: Raw = {"origin": {"format": "prepared", "masks": len(self.annotations)}}
        return Dataset(
            self.images,
            self.annotations,
            self.categories,
            self.table.get("inclusions", {}),
            [Discard(raw) for raw in self.table.get("discards", [])],
            self.root,
            self.images_at,
            {OURS: {**ours, "broken": self.broken} if self.broken else ours},
        )

    def _folders(self) -> Iterator[Path]:
        for base in (self.root / "seg", self.images_at):
            yield from (path for path in base.glob("*") if path.is_dir())

    def _names(self, folder: str) -> list[str]:
        """Picture names of a class; a mask without picture stands for `<stem>.JPEG`."""
        pictures = [p.name for p in (self.images_at / folder).glob("*") if is_image_name(p)]
        stems = {stem_of(name) for name in pictures}
        masks = [p.stem for p in (self.root / "seg" / folder).glob("*.png")]
        return sorted([*pictures, *(f"{stem}.JPEG" for stem in masks if stem not in stems)])

    def _flags(self, folder: str) -> dict[str, bool]:
        path = self.root / "whether_pseudo" / f"{folder}.txt"
        flags = {}
        for position, line in enumerate(read_lines(path) if path.is_file() else []):
            name, _, flag = line.rpartition(" ")
            if flag not in ("0", "1") or not name:
                self._set_aside(f"whether_pseudo/{path.name}", position, "is not `path 0|1`", line)
            else:
                flags[name.replace("\\", "/").rpartition("/")[2]] = flag == "1"
        return flags

    def _one(self, folder: str, name: str, pseudo: bool) -> None:
        file_name, picture = f"{folder}/{name}", self.images_at / folder / name
        mask = self.root / "seg" / folder / f"{stem_of(name)}.png"
        try:
            labels = load_labels(mask)
        except DatasetError as error:
            self._set_aside(f"seg/{folder}", len(self.images), error.message, file_name)
            labels = None
        except NotFoundError:
            self._set_aside(f"seg/{folder}", len(self.images), "has no mask file", file_name)
            labels = None
        size = _size_of(picture, labels)
        if size is None:
            self._set_aside(f"img/{folder}", len(self.images), "cannot be read", file_name)
            return
        named = self.object_of_folder.get(folder, folder)
        said = {"provenance": _PSEUDO} if pseudo else {}
        image = Image.new(len(self.images) + 1, file_name, size, object=named, **said)
        self.images.append(image)
        if labels is not None:
            self._layers(image, labels, pseudo)

    def _layers(self, image: Image, labels: NDArray[np.int32], pseudo: bool) -> None:
        ours = {"provenance": _PSEUDO} if pseudo else {}
        # One part at a time: a picture with many parts stays small in memory.
        for value, category in self.values.parts_in(labels):
            (rle,) = encode_many((labels == value)[None])
            known = {"bbox": bbox(rle), "area": area(rle), **ours}
            new = len(self.annotations) + 1
            self.annotations.append(Annotation.new(new, image.id, category, rle, **known))

    def _set_aside(self, where: str, position: int, reason: str, record: Any) -> None:
        entry = {"list": where, "position": position, "reason": reason, "record": record}
        self.broken.append(entry)


def _size_of(picture: Path, labels: NDArray[np.int32] | None) -> tuple[int, int] | None:
    try:
        return image_size(picture)
    except (NotFoundError, DatasetError):
        return None if labels is None else (labels.shape[1], labels.shape[0])


def _read_names(path: Path) -> Raw:
    if not path.is_file():
        raise NotFoundError(
            f"no list of part names {path}: the label maps hold numbers only",
            hint="pass --names FILE: a parts.json, any COCO file of the same categories, or a "
            "text file with one object:part a line, line n for id n",
        )
    if path.suffix == ".csv":
        return _from_table(path)
    if path.suffix != ".json":
        named = [line.partition(":") for line in read_lines(path)]
        plain = [_plain_category(i, name, part) for i, (name, _, part) in enumerate(named, 1)]
        return {"categories": plain}
    table = read_json(path)
    table = table if isinstance(table, dict) else {}
    raws = table.get("categories")
    if not isinstance(raws, list) or not raws:
        raise SchemaError(f"{path} has no list 'categories'")
    found = read_records({"categories": raws})
    if found.broken:
        raise SchemaError(f"{path}: {found.first_fault}")
    return {**_ours_of(table, path), "categories": found.categories}


def _ours_of(table: Raw, path: Path) -> Raw:
    """What `parts.json` says beside its categories; null is nothing said."""
    ours = table.get(OURS)
    if ours is not None and not isinstance(ours, dict):
        raise SchemaError(f"{path}: {OURS!r} is not an object")
    said = {key: value for key, value in (ours or {}).items() if value is not None}
    for key, (fits, form) in _FORMS.items():
        if key in said and not fits(said[key]):
            raise SchemaError(
                f"{path}: {key!r} under {OURS!r} is not {form}",
                hint="correct it, or take it away",
            )
    return said


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _discards(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("file_name"), str)
        and isinstance(one.get(OURS, {}), dict)
        for one in value
    )


_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "folders": (_texts, "an object of folder: object"),
    "inclusions": (
        lambda value: isinstance(value, dict) and all(map(is_inclusions, value.values())),
        "an object of object: {inner: outer} or {inner: [outer, …]}",
    ),
    "discards": (_discards, "a list of records with a file_name"),
    "background": (
        lambda value: isinstance(value, list) and all(type(one) is int for one in value),
        "a list of numbers",
    ),
    "ignore": (lambda value: type(value) is int, "a number"),
}


def _plain_category(position: int, name: str, part: str) -> Raw:
    wnid = {"wnid": name} if WNID.fullmatch(name) else {}
    if not part:  # of no known object: whether that will do is seen when all are read
        return {"id": position, "name": name, **({OURS: wnid} if wnid else {})}
    return Category.new(position, name, part, **wnid).raw


def _from_table(path: Path) -> Raw:
    """Categories whose ids are the numbers in a table; those without an object are background."""
    categories, background = [], []
    for key, (owner, part) in read_table(path).items():
        value = whole(key)
        if type(value) is not int:
            raise SchemaError(f"{path}: the category {key!r} is not a number of the label maps")
        if not owner:
            background.append(value)
            continue
        flag = {} if part else {"whole_object": True}
        categories.append(Category.new(value, owner, part or owner, **flag).raw)
    return {"categories": categories, "background": background}


def _homes(dataset: Dataset, folders: dict[str, str]) -> dict[int, str]:
    homes: dict[int, str] = {}
    taken: dict[tuple[str, str], str] = {}
    for image in dataset.images:
        name = dataset.object_of(image)
        if name is None:
            raise SchemaError(
                f"image {image.id} ({image.file_name}) has no single object category",
                hint="this layout has one class folder per picture: state the image's object, "
                "or leave the image out",
            )
        key = folders[name], stem_of(Path(image.file_name).name)
        if key in taken:
            raise SchemaError(
                f"{taken[key]} and {image.file_name} would share one mask, {'/'.join(key)}.png",
                hint="rename one of them",
            )
        taken[key] = image.file_name
        homes[image.id] = key[0]
    return homes


def _in_class_order(dataset: Dataset, folders: dict[str, str]) -> Dataset:
    """Categories sorted by class folder, parts in their order, ids 1…K (requirement B3)."""
    rank = {name: position for position, name in enumerate(folders)}
    ordered = sorted(dataset.categories, key=lambda category: rank[category.object])
    new = {category.id: position for position, category in enumerate(ordered, 1)}
    return Dataset(
        dataset.images,
        [a.changed(category_id=new.get(a.category_id, 0)) for a in dataset.annotations],
        [category.changed(id=new[category.id]) for category in ordered],
        dataset.inclusions,
        dataset.discards,
        dataset.path,
        dataset.image_root,
        dataset.top,
    )


def _refuse_unusable(dataset: Dataset, image: Image) -> None:
    for one in drawn_masks(dataset, image).left_out:
        if one.empty:  # nothing to paint, and so nothing lost
            continue
        where = f"annotation {one.annotation.id} of image {image.id} ({image.file_name})"
        hint = hint_for(one.annotation.segmentation)
        raise MaskError(f"{where}: {one.reason}", hint=hint)
    try:
        shown = image_size(dataset.image_path(image))
    except (NotFoundError, DatasetError):
        return
    if shown != (image.width, image.height):
        raise SchemaError(
            f"image {image.id} ({image.file_name}) is {shown[0]} x {shown[1]} pixels as shown, its "
            f"record says {image.width} x {image.height}: its mask would not fit the picture",
            hint="set the size right: partlab data check DATA --fix OUT does where the masks "
            "tell, and says where they do not",
        )


def _label_map(dataset: Dataset, image: Image, ignore: int) -> NDArray[np.int32]:
    drawn = drawn_masks(dataset, image)
    size = image.height, image.width
    labels = flatten(
        layers(dataset, drawn.masks, people_certain=False), size, dataset.parts.parents
    )
    if region := drawn.unknown_region():
        labels[decode(region)] = ignore
    return labels


def _is_pseudo(dataset: Dataset, image: Image) -> bool:
    """A blank image has no mask that could say it, so the image may."""
    said = [image.provenance or "", *(a.provenance for a in dataset.annotations_of(image))]
    return any(made_by.startswith("pseudo") for made_by in said)


def _names_table(dataset: Dataset, folders: dict[str, str]) -> Raw:
    ours: Raw = {"folders": {folder: name for name, folder in folders.items()}}
    ours |= {"inclusions": dataset.inclusions} if dataset.inclusions else {}
    ours |= {"discards": [d.raw for d in dataset.discards]} if dataset.discards else {}
    return {"categories": [c.raw for c in dataset.categories], OURS: ours}


layout = PreparedLayout()
