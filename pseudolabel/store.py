"""The pseudo-label store: what the engine writes and everything else reads.

    DIR/manifest.json               `Manifest`: model, settings, names, hashes, state
    DIR/inputs.parquet              the frozen list of images, in order
    DIR/shards/part-00000.parquet   images [i * shard_size, (i + 1) * shard_size), one row each

A shard is written beside and renamed, so it is whole or not there; nothing is ever edited in
place. Masks are layers, never flattened (requirements M-03, B4.4). `image_id` is the 1-based
position of an image in the frozen list.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from partlab.composite import Layer
from partlab.config import Config, validate
from partlab.counts import counted
from partlab.errors import ConfigError, DatasetError, NotFoundError, SchemaError
from partlab.files import read_json, replacing, sha256_json, write_json
from partlab.inclusions import Inclusions
from partlab.masks import Rle
from partlab.parts import Parts
from partlab.places import is_remote, located, opened

logger = logging.getLogger(__name__)

FORMAT = 1
_SHARD = re.compile(r"part-(\d{5,})\.parquet")
_STAMP = b"partlab.identity"
_MASK = pa.struct(
    [
        pa.field("label", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("area", pa.int32()),
        pa.field("bbox", pa.list_(pa.float32())),
        pa.field("rle", pa.binary()),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.int64()),
        pa.field("file_name", pa.string()),
        pa.field("object", pa.string()),
        pa.field("object_source", pa.string()),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("status", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("masks", pa.list_(_MASK)),
    ]
)

Status = Literal["labelled", "blank", "unreadable"]
ObjectSource = Literal["folder", "list", "dataset", "classifier"]


@dataclass(frozen=True, slots=True)
class StoredMask:
    """All instances of one part in one image, united; `bbox` is x, y, width, height in pixels.

    With the setting `unite=false` one instance each, several masks of one label.
    """

    label: int
    score: float
    area: int
    bbox: tuple[float, float, float, float]
    rle: Rle = field(repr=False)


@dataclass(frozen=True, slots=True)
class Row:
    """What the engine says about one image.

    `status`: "labelled"; "blank" (nothing above the threshold: ignore it, it is no proof of
    background, requirement B4.7); "unreadable" (height and width 0, `reason` says why).
    `object` is the known class, `object_source` who knew it.
    """

    image_id: int
    file_name: str
    object: str | None
    object_source: ObjectSource | None
    height: int
    width: int
    status: Status
    reason: str | None = None
    masks: tuple[StoredMask, ...] = ()

    def __repr__(self) -> str:
        about = (
            f"{self.file_name}, {self.object}, {self.status}, {counted(len(self.masks), 'mask')}"
        )
        return f"Row({self.image_id}: {about})"


@dataclass(frozen=True, slots=True)
class MaskScores:
    """Of the images from position `start` on: `objects`, `status` and `masks` (n,) have one each.

    `labels` and `scores` (m,) are those of all masks, in the order of the images.
    """

    start: int
    objects: list[str | None]
    status: list[Status]
    masks: NDArray[np.int32]
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]


class Manifest(Config):
    """What made a store. `config` holds the settings that change content, `counts` its size."""

    format: int = FORMAT
    partlab: str
    run: str
    backend: str
    model_sha256: str
    config: dict[str, Any]
    config_sha256: str
    names: tuple[str, ...] = Field(repr=False)
    inclusions: Inclusions = Field(default_factory=dict, repr=False)
    image_root: str
    inputs_sha256: str
    images: int
    shard_size: int
    state: Literal["running", "done"] = "running"
    counts: dict[str, int] = Field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Hash of everything that decides the content: equal identity, equal rows."""
        return sha256_json([self.format, self.model_sha256, self.config_sha256, self.inputs_sha256])

    @property
    def shards(self) -> int:
        """How many shards the whole store has."""
        return -(-self.images // self.shard_size)

    def span(self, shard: int) -> range:
        """Positions (0-based) of the images in one shard."""
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, self.images))


def shard_path(folder: Path, shard: int) -> Path:
    """Where shard number `shard` lies."""
    return folder / "shards" / f"part-{shard:05d}.parquet"


def shards_in(folder: Path) -> set[int]:
    """Numbers of the shards that are there: one list, not a question for each."""
    try:
        names = [path.name for path in (folder / "shards").iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {int(found[1]) for name in names if (found := _SHARD.fullmatch(name))}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, atomically."""
    write_json(folder / "manifest.json", manifest.model_dump(mode="json"))


def read_manifest(folder: str | Path) -> Manifest:
    """Read manifest.json.

    Raises:
        NotFoundError: the folder holds no store.
        SchemaError: the file is damaged, or of a newer format.
    """
    path = located(folder) / "manifest.json"
    if not path.is_file():
        raise NotFoundError(
            f"{folder} is not a pseudo-label store (it has no manifest.json)",
            hint="make one: partlab pseudolabel IMAGES --segmenter RUN --out DIR",
        )
    found = read_json(path)
    if isinstance(found, dict) and found.get("format", FORMAT) != FORMAT:
        raise SchemaError(
            f"{path} has store format {found['format']}, this partlab reads {FORMAT}",
            hint="read it with the partlab version that wrote it",
        )
    try:
        return validate(Manifest, found, str(path))
    except ConfigError as error:
        raise SchemaError(f"{path} is damaged: {error.message}") from error


def write_shard(folder: Path, shard: int, rows: Sequence[Row], identity: str) -> Path:
    """Write one shard beside its place, then rename it; same rows, same bytes.

    Raises:
        PartlabError: the disk is full or the folder cannot be written to.
    """
    path = shard_path(folder, shard)
    with replacing(path) as scratch:
        pq.write_table(
            table_of(rows).replace_schema_metadata({_STAMP: identity.encode()}),
            scratch,
            compression="zstd",
            write_page_checksum=True,
            row_group_size=max(len(rows), 1),
        )
    return path


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Rows as columns, as they are stored and as they travel."""
    return pa.Table.from_pylist([_record(row) for row in rows], schema=SCHEMA)


def rows_of(table: pa.Table) -> list[Row]:
    """The rows of such a table."""
    return [_row(record) for record in table.to_pylist()]


def _record(row: Row) -> dict[str, Any]:
    record = {name: getattr(row, name) for name in SCHEMA.names}
    record["masks"] = [
        {
            "label": mask.label,
            "score": mask.score,
            "area": mask.area,
            "bbox": mask.bbox,
            "rle": mask.rle["counts"].encode("ascii"),
        }
        for mask in row.masks
    ]
    return record


@dataclass(frozen=True)
class Store:
    """A store on disk, opened for reading; made by `Store.open`."""

    path: Path
    manifest: Manifest
    image_root: Path

    @classmethod
    def open(cls, path: str | Path, *, image_root: str | Path | None = None) -> "Store":
        """Open a store; one that is not finished opens too, and the log says so.

        `image_root` says where the pictures lie now, if they were moved.

        Raises:
            NotFoundError: there is no store.
            SchemaError: its manifest is damaged or of another format.
        """
        path = located(path)
        manifest = read_manifest(path)
        store = cls(path, manifest, located(image_root or manifest.image_root))
        if not store.finished:
            logger.warning(
                "%s is not finished: %d of %d images; run the same pseudolabel command to go on",
                path,
                len(store),
                manifest.images,
            )
        return store

    def __repr__(self) -> str:
        made = f"{len(self):,} images" + ("" if self.finished else f" of {self.manifest.images:,}")
        return f"Store({self.path}, {made}, {self.parts.summary}, made by {self.manifest.run})"

    @property
    def finished(self) -> bool:
        """Whether the run that writes it came to its end."""
        return self.manifest.state == "done"

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        return self.manifest.names

    @property
    def inclusions(self) -> Inclusions:
        """Per object category: inner part -> outer part."""
        return self.manifest.inclusions

    @cached_property
    def parts(self) -> Parts:
        """The part categories by label, and the inclusions among them."""
        return Parts(self.names, self.inclusions)

    @cached_property
    def identity(self) -> str:
        """The manifest's, worked out once."""
        return self.manifest.identity

    def has_shard(self, shard: int) -> bool:
        """Whether this shard is there; in a finished store all have to be."""
        return self.finished or shard_path(self.path, shard).is_file()

    @property
    def shards(self) -> dict[int, Path]:
        """Number -> file of the shards there are (all of them once the store is finished)."""
        every = range(self.manifest.shards)
        there = every if self.finished else sorted(shards_in(self.path) & {*every})
        return {number: shard_path(self.path, number) for number in there}

    def __len__(self) -> int:
        """Images stored so far."""
        if self.finished:
            return self.manifest.images
        return sum(len(self.manifest.span(shard)) for shard in self.shards)

    def rows(self, columns: Iterable[str] | None = None) -> Iterator[Row]:
        """All rows in order of the inputs, one shard in memory at a time.

        `columns` names the fields to read (all by default); the others hold None, 0 or ().

        Raises:
            DatasetError: a shard is missing from a finished store, or damaged.
        """
        wanted = None if columns is None else list(columns)
        for shard in self.shards:
            table = _read_shard(self.path, self.manifest, shard, wanted)
            with _damage_named(shard_path(self.path, shard)):
                rows = rows_of(table)
            yield from rows

    def count(self) -> dict[str, int]:
        """Images by status, and masks; reads two columns, one shard in memory at a time.

        Raises:
            DatasetError: a shard is missing or damaged.
        """
        counts = {"labelled": 0, "blank": 0, "unreadable": 0, "masks": 0}
        for shard in self.shards:
            columns = ["status", "masks.list.element.label"]
            table = _read_shard(self.path, self.manifest, shard, columns)
            for status in table["status"].to_pylist():
                counts[status] += 1
            counts["masks"] += sum(map(len, table["masks"].to_pylist()))
        return counts

    def scores(self) -> Iterator["MaskScores"]:
        """Scores of all masks, a shard at a time; no mask is decoded.

        Raises:
            DatasetError: a shard is missing or damaged.
        """
        masks = [f"masks.list.element.{name}" for name in ("label", "score")]
        for shard in self.shards:
            table = _read_shard(self.path, self.manifest, shard, ["object", "status", *masks])
            column = table["masks"].combine_chunks()
            flat = column.flatten()
            yield MaskScores(
                self.manifest.span(shard).start,
                table["object"].to_pylist(),
                table["status"].to_pylist(),
                column.value_lengths().to_numpy(),
                flat.field("label").to_numpy(),
                flat.field("score").to_numpy(),
            )

    def some(self, positions: Sequence[int]) -> "Store":
        """These images alone, by 0-based position, for what reads rows or exports them."""
        return _Some(self.path, self.manifest, self.image_root, tuple(positions))

    def row(self, position: int) -> Row:
        """The row of the image at this 0-based position of the inputs; keeps a few shards open.

        Raises:
            IndexError: no such position, or its shard is not written yet.
            DatasetError: the shard is damaged.
        """
        shard, offset = divmod(position, self.manifest.shard_size)
        if not 0 <= position < self.manifest.images or not self.has_shard(shard):
            raise IndexError(f"{self.path} has no row {position}")
        table = _kept_shard(self.path, self.identity, shard)
        with _damage_named(shard_path(self.path, shard)):
            return _row({name: column[offset].as_py() for name, column in table.items()})

    def layers(self, row: Row) -> list[Layer]:
        """The masks of a row, as `partlab.composite` wants them."""
        return [Layer(mask.label, mask.rle, mask.score) for mask in row.masks]

    def image_path(self, row: Row) -> Path:
        """Where the picture lies on this machine."""
        return self.image_root / row.file_name


@dataclass(frozen=True)
class _Some(Store):
    """A few images of a store."""

    positions: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def rows(self, columns: Iterable[str] | None = None) -> Iterator[Row]:
        return map(self.row, self.positions)

    def count(self) -> dict[str, int]:
        counts = {"labelled": 0, "blank": 0, "unreadable": 0, "masks": 0}
        for row in self.rows():
            counts[row.status] += 1
            counts["masks"] += len(row.masks)
        return counts


def _row(record: dict[str, Any]) -> Row:
    height, width = record.get("height") or 0, record.get("width") or 0
    masks = tuple(_mask(mask, height, width) for mask in record.get("masks") or ())
    values = {name: record.get(name) for name in SCHEMA.names}
    return Row(**values | {"height": height, "width": width, "masks": masks})


def _mask(record: dict[str, Any], height: int, width: int) -> StoredMask:
    rle: Rle = {"size": [height, width], "counts": record["rle"].decode("ascii")}
    x, y, w, h = record["bbox"]
    return StoredMask(record["label"], record["score"], record["area"], (x, y, w, h), rle)


@lru_cache(maxsize=8)
def _kept_shard(folder: Path, identity: str, shard: int) -> dict[str, Any]:
    """The columns of a shard; looking one up by name in a table takes longer than reading it."""
    table = _read_shard(folder, read_manifest(folder), shard, None)
    return {name: table[name].combine_chunks() for name in SCHEMA.names}


def _read_shard(folder: Path, manifest: Manifest, shard: int, columns: Sequence[str] | None) -> Any:
    """One shard as an Arrow table; masks need height and width, so they come along."""
    if columns is not None and "masks" in columns:
        columns = list(dict.fromkeys([*columns, "height", "width"]))
    path, expected = shard_path(folder, shard), len(manifest.span(shard))
    with _damage_named(path), _parquet(path) as file:
        # A forked worker has none of Arrow's threads.
        table = file.read(columns=columns, use_threads=False)
    if table.num_rows != expected:
        raise DatasetError(
            f"shard {path} holds {table.num_rows} rows instead of {expected}", hint=_REPAIR
        )
    if (table.schema.metadata or {}).get(_STAMP) != manifest.identity.encode():
        raise DatasetError(f"shard {path} belongs to another store", hint=_REPAIR)
    return table


def _parquet(path: Path) -> pq.ParquetFile:
    source = opened(path) if is_remote(path) else path  # Arrow's own way to a file is faster
    return pq.ParquetFile(source, page_checksum_verification=True)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """What Arrow raises on a damaged file depends on where the damage is."""
    try:
        yield
    except FileNotFoundError:
        raise DatasetError(f"shard {path} is missing", hint=_REPAIR) from None
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError) as error:
        raise DatasetError(f"shard {path} is damaged: {error}", hint=_REPAIR) from error


_REPAIR = "delete that file and run the same pseudolabel command again: it makes only that shard"
