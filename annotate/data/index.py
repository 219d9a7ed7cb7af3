"""A data set as columns: what a page asks of 100,000 images, without holding their masks (SV-22).

    index = kept_index(file)            # made once, then a file that is mapped into memory
    index = Index.of(dataset)           # in memory
    index.dataset([17, 4])              # these images alone, by row, as a `Dataset`

A row is an image, in the order of the file; masks stand by image. Records are kept as they were
read, so what is shown of an image is what its file says. No mask is decoded here.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from partlab.coco import read_coco
from partlab.errors import PartlabError
from partlab.files import cache_folder, replacing
from partlab.inclusions import Inclusions
from partlab.layouts import image_root
from partlab.pictures import PictureFinder
from partlab.progress import track
from partlab.schema import OURS, Annotation, Category, Dataset, Image, Raw

log = logging.getLogger(__name__)

_FORMAT = 1
SMALL = 4 << 20
"""Bytes of a COCO file that is read faster than an index is looked for."""
_ABOUT = b"partlab.index"


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few different texts: `names`, and for each row the place of its own there."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    def where(self, wanted: Iterable[str]) -> NDArray[np.bool_]:
        """Which rows have one of these texts."""
        found: NDArray[np.bool_] = np.isin(self.codes, _places(self.names, set(wanted)))
        return found


def _places(names: Sequence[str], wanted: set[str]) -> list[int]:
    return [place for place, name in enumerate(names) if name in wanted]


@dataclass(frozen=True)
class Index:
    """The columns of a data set; see the module.

    `table` has a row for each image; `about` is what the file says beside its three lists.
    """

    table: pa.Table
    categories: tuple[Category, ...]
    inclusions: Inclusions
    about: Raw = field(default_factory=dict)
    path: Path | None = None
    image_root: Path = Path()

    @classmethod
    def of(cls, dataset: Dataset) -> "Index":
        """The columns of a data set that was read."""
        about = {key: value for key, value in dataset.top.items() if value is not None}
        return cls(
            _table(dataset), tuple(dataset.categories), dataset.inclusions, about,
            dataset.path, dataset.image_root,
        )  # fmt: skip

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """The id of each image."""
        return np.asarray(self.table["id"])

    @cached_property
    def row_of(self) -> dict[int, int]:
        """Image id -> row; of an id that occurs twice the first."""
        return {int(id): row for row, id in reversed(list(enumerate(self.ids)))}

    @cached_property
    def objects(self) -> Coded:
        """The object category of each image, "" where it is not one."""
        return _coded(self.table["object"])

    @cached_property
    def verdicts(self) -> Coded:
        """passed, failed or none: an inspector's word on each image."""
        return _coded(self.table["verdict"])

    @cached_property
    def _masks(self) -> Any:
        return self.table["masks"].combine_chunks()

    @cached_property
    def _flat(self) -> Any:
        return self._masks.flatten()

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Masks of each image."""
        return np.asarray(self._masks.value_lengths(), np.int64)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """For each mask the row of its image."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """For each mask the place of its category; -1 where there is no such category."""
        return np.asarray(self._flat.field("label"))

    @cached_property
    def provenance(self) -> Coded:
        """Who made each mask (D-05)."""
        return _coded(self._flat.field("provenance"))

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """Score of each mask, 0…1; people's have 1."""
        return np.asarray(self._flat.field("score"))

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """Area of each mask in pixels as the file states it, NaN where it does not."""
        return np.asarray(self._flat.field("area"))

    @cached_property
    def annotations(self) -> NDArray[np.int64]:
        """Id of each mask."""
        return np.asarray(self._flat.field("id"))

    @cached_property
    def finder(self) -> PictureFinder:
        """Finds the pictures of all images; it knows the names of all."""
        return PictureFinder(self.image_root, self.path, _Images(self.table["record"]))

    def name(self, row: int) -> str:
        """File name of an image."""
        return _Images(self.table["record"])[row].file_name

    def dataset(self, rows: Sequence[int]) -> Dataset:
        """These images with their masks, in this order."""
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        records = self._flat.field("record")
        masks = [mask for row in rows for mask in range(ends[row], ends[row + 1])]
        pictures = _Images(self.table["record"])
        return Dataset(
            [pictures[int(row)] for row in rows],
            [Annotation(_loaded(records[int(mask)])) for mask in masks],
            self.categories,
            self.inclusions,
            path=self.path,
            image_root=self.image_root,
            top=self.about,
            finder=self.finder,
        )


class _Images(Sequence[Image]):
    """Records that are read when they are asked for."""

    def __init__(self, records: Any) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, at: int) -> Image: ...
    @overload
    def __getitem__(self, at: slice) -> "_Images": ...
    def __getitem__(self, at: int | slice) -> "Image | _Images":
        if isinstance(at, slice):
            return _Images(self.records[at])
        return Image(_loaded(self.records[at]))


# --- made --------------------------------------------------------------------------------------


def _table(dataset: Dataset) -> pa.Table:
    masks: list[Annotation] = []
    ends = [0]
    for image in track(dataset.images, "indexing", len(dataset.images)):
        masks += dataset.annotations_of(image)
        ends.append(len(masks))
    images = dataset.images
    columns = {
        "id": pa.array([image.id for image in images], pa.int64()),
        "object": _words(dataset.object_of(image) or "" for image in images),
        "verdict": _words(map(_verdict, images)),
        "record": _records(image.raw for image in images),
        "masks": pa.ListArray.from_arrays(pa.array(ends, pa.int32()), _struct(dataset, masks)),
    }
    return pa.table(columns)


def _struct(dataset: Dataset, masks: Sequence[Annotation]) -> Any:
    label = dataset.label_of
    columns = {
        "id": pa.array([mask.id for mask in masks], pa.int64()),
        "label": pa.array([label.get(mask.category_id, -1) for mask in masks], pa.int32()),
        "provenance": _words(mask.provenance for mask in masks),
        "score": pa.array([_number(mask.score) for mask in masks], pa.float32()),
        "area": pa.array([_number(mask.area) for mask in masks], pa.float64()),
        "record": _records(mask.raw for mask in masks),
    }
    return pa.StructArray.from_arrays(list(columns.values()), list(columns))


def _words(texts: Iterable[Any]) -> Any:
    """Half a surrogate pair is written as it is escaped; Arrow takes none."""
    whole = [str(text).encode("utf-8", "backslashreplace").decode() for text in texts]
    return pa.array(whole, pa.string()).dictionary_encode()


def _records(raws: Iterable[Raw]) -> Any:
    return pa.array(map(_dumped, raws), pa.large_binary())


def _dumped(raw: Raw) -> bytes:
    try:
        return orjson.dumps(raw)
    except TypeError:  # half a surrogate pair, or a very large number: Python's reader has them
        return json.dumps(raw).encode()


def _loaded(record: Any) -> Raw:
    text = record.as_py()
    try:
        found: Raw = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = json.loads(text)
    return found


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _verdict(image: Image) -> str:
    said = (image.raw.get(OURS) or {}).get("verdict")
    passed = said.get("passed") if isinstance(said, dict) else None
    return "passed" if passed is True else "failed" if passed is False else "none"


def _coded(column: Any) -> Coded:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return Coded(np.asarray(whole.indices), tuple(whole.dictionary.to_pylist()))


# --- kept --------------------------------------------------------------------------------------


def kept_index(file: Path, *, small: int = SMALL) -> Index:
    """The index of a COCO file: in memory where it is `small` (bytes), else kept beside others.

    It lies in `cache_folder()`, one for each file, and is made again when the file was changed.

    Raises:
        NotFoundError, SchemaError: as `read_coco`.
    """
    if not file.is_file() or file.stat().st_size < small:
        return Index.of(read_coco(file))
    found = read_index(file)
    if found is not None:
        return found
    place, stamp = _place(file), _stamp(file)
    made = Index.of(read_coco(file))
    try:
        _write(made, place, stamp)
    except PartlabError as error:
        log.warning("the index of %s is not kept: %s", file, error.message)
        return made
    return _read(place, file, stamp) or made


def read_index(file: Path) -> Index | None:
    """The index that is kept of a COCO file as it is now; None where there is none."""
    return _read(_place(file), file, _stamp(file))


def _place(file: Path) -> Path:
    name = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:32]
    return cache_folder() / "indexes" / f"{name}.arrow"


def _stamp(file: Path) -> str:
    stat = file.stat()
    return f"{_FORMAT} {stat.st_size} {stat.st_mtime_ns}"


def _write(index: Index, place: Path, stamp: str) -> None:
    about = {
        "stamp": stamp,
        "categories": [category.raw for category in index.categories],
        "inclusions": index.inclusions,
        "about": index.about,
    }
    told = {_ABOUT: json.dumps(about).encode()}
    table = index.table.combine_chunks().replace_schema_metadata(told)
    with replacing(place) as scratch, pa.ipc.new_file(str(scratch), table.schema) as writer:
        writer.write_table(table)


def _read(place: Path, file: Path, stamp: str) -> Index | None:
    """The kept index, mapped; None where there is none, or it is of an earlier file or damaged."""
    try:
        with pa.ipc.open_file(pa.memory_map(str(place))) as reader:
            about = json.loads((reader.schema.metadata or {})[_ABOUT])
            if about["stamp"] != stamp:
                return None
            table = reader.read_all()
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    ours = about["about"].get(OURS) or {}
    categories = tuple(Category(raw) for raw in about["categories"])
    root = image_root(file, ours.get("images"))
    return Index(table, categories, about["inclusions"], about["about"], file, root)
