"""Composite masks in one memory-mapped file: what training reads (requirements P-05, P-06).

An Arrow IPC file with one row per image; its label map is zstd-compressed. All workers and
ranks of a machine share its pages. The file is derived: `partlab.labelmap_cache` makes it again
whenever what it was made from has changed. It names its picture folders relative to itself, so
that both can be moved together.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from partlab.errors import ConfigError, DatasetError, NotFoundError, SchemaError
from partlab.files import replacing
from partlab.inclusions import Inclusions
from partlab.parts import Parts
from partlab.places import is_remote, located, need_local

VERSION = 3
_ROWS_PER_BATCH = 1000
_SCHEMA = pa.schema(
    [
        pa.field("file_name", pa.string(), nullable=False),
        pa.field("root", pa.int16(), nullable=False),
        pa.field("object", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("channels", pa.int8(), nullable=False),
        pa.field("pseudo", pa.uint8(), nullable=False),
        pa.field("blank", pa.uint8(), nullable=False),
        pa.field("left_out", pa.int32(), nullable=False),
        pa.field("labels", pa.large_binary(), nullable=False),
    ]
)
_NUMBERS = ("root", "object", "height", "width", "channels", "pseudo", "blank", "left_out")


@dataclass(frozen=True, slots=True)
class Composite:
    """One image's part labels (P-05).

    `labels` is (height, width), or (channels, height, width) in the `multi` form: 0 is
    background, 1…K are parts, K + 1 (`ignore`) says nothing about the pixel. Where an object
    is known to be in the image but no part of it was found (`blank`), all pixels are `ignore`.
    """

    labels: NDArray[Any] = field(repr=False)
    ignore: int
    pseudo: bool  # made by a network, not by people: the authors' `whether_pseudo`
    blank: bool

    def one_hot(self) -> NDArray[np.bool_]:
        """M of shape (height, width, K + 1), background last; ignored pixels are all False.

        Dense: K + 1 bytes for each pixel. Meant for checks and for small K.
        """
        ids = np.arange(1, self.ignore + 1)
        layers = self.labels.reshape(-1, *self.labels.shape[-2:])
        found = (layers[..., None] == ids).any(axis=0)
        found[..., -1] = (layers == 0).any(axis=0) & ~found[..., :-1].any(axis=-1)
        return np.asarray(found)


class Triple(NamedTuple):
    """What part training learns from (P-06)."""

    path: Path
    object: int  # position in `LabelMaps.objects`, -1 if unknown
    composite: Composite


@dataclass(frozen=True, slots=True)
class Entry:
    """One image on its way into the file; `root` is a position in `Header.roots`.

    `left_out` counts its masks that could not be used.
    """

    file_name: str
    root: int
    object: int
    composite: Composite
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """What holds for the whole file. `key` is the hash of everything it was made from."""

    key: str
    names: tuple[str, ...] = field(repr=False)  # `object:part`; part i is i + 1 in label maps
    objects: tuple[str, ...] = field(repr=False)
    roots: tuple[str, ...]  # picture folders, relative to the file's own
    channels: int = 1  # 1: single-label maps; more: the `multi` form
    inclusions: Inclusions = field(default_factory=dict, repr=False)

    @property
    def ignore(self) -> int:
        """K + 1."""
        return len(self.names) + 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The narrowest type that holds 0…K + 1: uint8, uint16 or int32."""
        return label_type(len(self.names))


def label_type(parts: int) -> np.dtype[Any]:
    """The narrowest type for the label maps of so many parts, K + 1 (ignored) included."""
    narrow = next((t for t in (np.uint8, np.uint16) if parts + 1 <= np.iinfo(t).max), np.int32)
    return np.dtype(narrow)


def write_label_maps(path: str | Path, header: Header, entries: Iterable[Entry]) -> int:
    """Write the file atomically, a batch at a time; returns the number of images."""
    about = {"version": VERSION, **{name: getattr(header, name) for name in header.__slots__}}
    schema = _SCHEMA.with_metadata({"partlab": json.dumps(about, ensure_ascii=False)})
    count = 0
    with (
        replacing(path) as scratch,
        pa.OSFile(str(scratch), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        for rows in _batches(map(_row(header), entries)):
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _row(header: Header) -> Any:
    codec = pa.Codec("zstd")

    def row(entry: Entry) -> dict[str, Any]:
        labels = entry.composite.labels
        layers = labels[None] if labels.ndim == 2 else labels
        used = max(sum(bool((layer != header.ignore).any()) for layer in layers), 1)
        narrow = np.ascontiguousarray(layers[:used], header.dtype)
        return {
            "file_name": entry.file_name,
            "root": entry.root,
            "object": entry.object,
            "height": layers.shape[1],
            "width": layers.shape[2],
            "channels": used,
            "pseudo": int(entry.composite.pseudo),
            "blank": int(entry.composite.blank),
            "left_out": entry.left_out,
            "labels": codec.compress(narrow, asbytes=True),
        }

    return row


class LabelMaps:
    """Map-style access to (image path, object, composite) triples; no torch needed.

    What a `torch.utils.data.DataLoader` takes as a data set: it has a length, and `maps[i]` is
    one image. Safe under fork (the map is read-only) and under spawn (pickles as its path).
    Reading one image costs tens of microseconds, whatever the number of images.

    `roots` says where the pictures lie now, if they were moved away from beside the file: one
    folder for all, or new folder by old name (`header.roots`).

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is not a label-map file of this version.
        ConfigError: `roots` names a folder that the file does not.
    """

    def __init__(
        self, path: str | Path, *, roots: str | Path | Mapping[str, str | Path] | None = None
    ) -> None:
        self.path = need_local(
            located(path), "a label-map file"
        ).absolute()  # a worker may run elsewhere
        self.header, self._table = _open(self.path)
        self.roots = _roots(self.path.parent, self.header.roots, roots)
        column = {name: self._table[name].to_numpy() for name in _NUMBERS}
        self._numbers: Mapping[str, NDArray[Any]] = column
        self._labels, self._names = self._table["labels"], self._table["file_name"]
        self._codec = pa.Codec("zstd")
        self._moved = roots

    def __getstate__(self) -> tuple[Path, Any]:
        return self.path, self._moved

    def __setstate__(self, state: tuple[Path, Any]) -> None:
        LabelMaps.__init__(self, state[0], roots=state[1])

    def __repr__(self) -> str:
        return f"LabelMaps({self.path}, {len(self):,} images, {self.parts.summary})"

    @property
    def fingerprint(self) -> str:
        """Hash of everything the file was made from: equal wherever it lies."""
        return self.header.key

    @cached_property
    def parts(self) -> Parts:
        """The part categories by label, and the inclusions among them."""
        return Parts(self.header.names, self.header.inclusions)

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for part i, which label maps call i + 1."""
        return self.header.names

    @property
    def objects(self) -> tuple[str, ...]:
        """Object categories; `Triple.object` is a position in them."""
        return self.header.objects

    @property
    def ignore(self) -> int:
        """The label of pixels about which nothing is known: K + 1."""
        return self.header.ignore

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, index: int) -> Triple:
        """The triple at 0 <= index < len; raises IndexError outside, so iterating ends."""
        return Triple(self.image_path(index), self.object_of(index), self.composite(index))

    def known(self, index: int) -> tuple[Path, NDArray[Any] | None, int]:
        """The triple without what made it: path, labels, object."""
        path, owner, composite = self[index]
        return path, composite.labels, owner

    def composite(self, index: int) -> Composite:
        """One image's composite mask; the array is the caller's to change.

        Raises:
            DatasetError: the file is damaged there.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = {name: int(values[index]) for name, values in self._numbers.items()}
        shape = at["channels"], at["height"], at["width"]
        size = int(np.prod(shape)) * self.header.dtype.itemsize
        try:
            raw = self._codec.decompress(self._labels[index].as_buffer(), size)
            stored = np.frombuffer(raw, self.header.dtype).reshape(shape)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DatasetError(
                f"{self.path} is damaged: cannot read the label map of {self.file_name(index)}",
                hint="delete the file and make it again: partlab pseudolabel cache DIR --out FILE",
            ) from error
        return Composite(
            self._all_channels(stored), self.header.ignore, bool(at["pseudo"]), bool(at["blank"])
        )

    def _all_channels(self, stored: NDArray[Any]) -> NDArray[Any]:
        if self.header.channels == 1:
            return np.asarray(stored[0])
        full = np.full((self.header.channels, *stored.shape[1:]), self.header.ignore, stored.dtype)
        full[: len(stored)] = stored
        return np.asarray(full)

    def file_name(self, index: int) -> str:
        """The image's name as its source calls it."""
        return str(self._names[index].as_py())

    def image_path(self, index: int) -> Path:
        """Where the picture lies on this machine."""
        return self.roots[int(self._numbers["root"][index])] / self.file_name(index)

    def object_of(self, index: int) -> int:
        """Position of the image's object category in `objects`; -1 if unknown."""
        return int(self._numbers["object"][index])

    @cached_property
    def objects_of_all(self) -> NDArray[np.int32]:
        """The object of every image, shape (len,), for balanced sampling; do not write to it."""
        return np.asarray(self._numbers["object"], np.int32)

    @cached_property
    def roots_of_all(self) -> NDArray[np.int16]:
        """Position in `roots` of every image's folder, shape (len,); do not write to it."""
        return np.asarray(self._numbers["root"], np.int16)

    @property
    def file_names(self) -> Any:
        """The names of all images, as a pyarrow column of strings: no Python object each."""
        return self._names

    @cached_property
    def pseudo(self) -> NDArray[np.bool_]:
        """Which images carry pseudo labels, shape (len,)."""
        return np.asarray(self._numbers["pseudo"], bool)

    @cached_property
    def blank(self) -> NDArray[np.bool_]:
        """Which images say nothing about parts, shape (len,)."""
        return np.asarray(self._numbers["blank"], bool)

    @cached_property
    def left_out(self) -> NDArray[np.int32]:
        """How many masks of each image could not be used, shape (len,)."""
        return np.asarray(self._numbers["left_out"], np.int32)

    @cached_property
    def _position(self) -> Mapping[str, int]:
        names: Sequence[str] = self._names.to_pylist()
        return {name: index for index, name in reversed(list(enumerate(names)))}

    def find(self, file_name: str) -> int:
        """Position of an image by name (the first, where several sources use one name).

        Raises:
            NotFoundError: no such image.
        """
        try:
            return self._position[file_name]
        except KeyError:
            raise NotFoundError(f"no image {file_name} in {self.path}") from None


def relative_root(root: Path, file: Path) -> str:
    """A picture folder as seen from the label-map file `file`, so that both can be moved."""
    if is_remote(root):
        return str(root)
    for whole, home in ((root.absolute(), file.parent.absolute()), (root.resolve(), _real(file))):
        found = os.path.relpath(whole, home)
        if (home / found).exists() and (home / found).samefile(root):
            return Path(found).as_posix()
    return Path(os.path.relpath(root.resolve(), _real(file))).as_posix()


def _real(file: Path) -> Path:
    return file.parent.resolve()


def _roots(home: Path, named: Sequence[str], moved: Any) -> tuple[Path, ...]:
    if moved is not None and not isinstance(moved, Mapping):
        return (located(moved).absolute(),) * len(named)
    for name in moved or {}:
        if name not in named:
            raise ConfigError(
                f"the label maps know no picture folder {name!r}",
                hint=f"they know: {', '.join(named)}",
            )
    new = {name: located(folder).absolute() for name, folder in (moved or {}).items()}
    return tuple(new.get(name) or _from(home, name) for name in named)


def _from(home: Path, name: str) -> Path:
    """A picture folder as a label-map file in `home` names it."""
    found = located(name)
    return found if is_remote(found) else _tidy(home / name)


def _tidy(path: Path) -> Path:
    """Without `..`, unless a link on the way makes that another folder."""
    plain = Path(os.path.normpath(path))
    same = not path.exists() or (plain.exists() and plain.samefile(path))
    return plain if same else path


def read_header(path: str | Path) -> Header:
    """What a label-map file says about itself, without its images.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is not a label-map file of this version.
    """
    return _open(Path(path))[0]


def _open(path: Path) -> tuple[Header, Any]:
    if not path.is_file():
        raise NotFoundError(
            f"no label-map file {path}", hint="make it: partlab pseudolabel cache DIR --out FILE"
        )
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        about: dict[str, Any] = json.loads(table.schema.metadata[b"partlab"])
        if about.pop("version") != VERSION:
            raise KeyError("version")
        for name in ("names", "objects", "roots"):
            about[name] = tuple(about[name])
        header = Header(**about)
    except (pa.ArrowInvalid, OSError, TypeError, KeyError, ValueError) as error:
        raise SchemaError(
            f"{path} is not a label-map file of this version",
            hint="make it again: partlab pseudolabel cache DIR --out FILE --force",
        ) from error
    return header, table
