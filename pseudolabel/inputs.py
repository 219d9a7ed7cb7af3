"""Which images to label: a folder, a list file or a part data set, streamed in a fixed order."""

import csv
import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from partlab.coco import read_dataset
from partlab.counts import counted
from partlab.deadline import within
from partlab.errors import DatasetError, NotFoundError, PartlabError, SchemaError, UnknownNameError
from partlab.files import local_copy, replacing
from partlab.images import KINDS, image_size, is_image_name, is_litter
from partlab.layouts import find_layout
from partlab.places import is_remote, listing, located, sizes
from partlab.progress import track
from partlab.tables import list_delimiter, open_text
from partlab.tars import index_of
from partlab.walk import PassedOver, in_listing, walk
from pseudolabel.store import ObjectSource

logger = logging.getLogger(__name__)

_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.int64()),
        pa.field("path", pa.string()),
        pa.field("object", pa.string()),
        pa.field("object_source", pa.string()),
    ]
)
_ENDINGS = ", ".join(f".{kind}" for kind in KINDS.split(", "))
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_HEADERS = {"path", "file", "file_name", "filename", "image"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: its path below the root, and its object category where somebody said it."""

    image_id: int
    path: str
    object: str | None = None
    object_source: ObjectSource | None = None


@dataclass(frozen=True)
class Inputs:
    """Images below `root`; iterating reads the listing anew, always in the same order.

    `sizes` are known beforehand where asking for each would be a request of its own.
    """

    root: Path
    listing: Callable[[], Iterator[tuple[str, str | None]]]
    source: ObjectSource
    classes: Path | None = None
    others: PassedOver = field(default_factory=PassedOver)
    sizes: Mapping[str, int] | None = field(default=None, repr=False)

    def bytes_of(self, path: str) -> int | None:
        """A picture's size in bytes: another picture under the same name is another input."""
        if self.sizes is not None:
            return self.sizes.get(path)
        with suppress(OSError):
            return (self.root / path).stat().st_size
        return None

    def __iter__(self) -> Iterator[Entry]:
        stated = read_classes(self.classes) if self.classes else {}
        for position, (path, object) in enumerate(self.listing()):
            source = self.source if object else None
            entry = Entry(position + 1, path, object, source)
            named = stated.get(path) or stated.get(Path(path).name)
            yield replace(entry, object=named, object_source="list") if named else entry


def find_inputs(
    images: str | Path, *, split: str | None = None, classes: str | Path | None = None
) -> Inputs:
    """The images of a folder, of a list file (`path[,object]` a line) or of a part data set.

    Pictures may lie in tar archives, as webdataset writes them: one archive, or a folder of them
    (`partlab.tars`). In a folder the first sub-folder on the way to an image is its object
    category. `classes`
    is a label file of the same form as a list file; what it says comes first.

    Raises:
        NotFoundError: nothing is there, or it holds no picture.
        SchemaError: a list file is not readable text, or a data set is damaged.
    """
    images, classes = located(images), located(classes) if classes else None
    if classes and not classes.is_file():
        raise NotFoundError(f"no label file {classes}")
    if _is_dataset(images):
        return _dataset_inputs(images, split, classes)
    if packed := _archives(images):
        return _packed_inputs(images, packed, classes)
    if images.is_dir():
        return _folder_inputs(images, classes)
    if not images.is_file():
        raise NotFoundError(
            f"no images at {images}: there is no such folder or file",
            hint="name a folder of images, a list file, or a part data set",
        )
    if is_image_name(images):
        raise NotFoundError(
            f"{images} is one picture, not a folder or a list of them",
            hint=f"name its folder: {images.parent}",
        )
    return _sized(Inputs(images.parent, lambda: _list(images), "list", classes))


def _folder_inputs(images: Path, classes: Path | None) -> Inputs:
    others = PassedOver()
    if not is_remote(images):
        return Inputs(images, lambda: walk(images, others), "folder", classes, others)
    known = listing(images)
    return Inputs(images, lambda: in_listing(known, others), "folder", classes, others, known)


def _archives(images: Path) -> list[Path]:
    """The tar archives that `images` names: itself, or those of a folder."""
    if images.suffix == ".tar" and images.is_file():
        return [images]
    return sorted(images.glob("*.tar"), key=str) if images.is_dir() else []


def _packed_inputs(images: Path, archives: list[Path], classes: Path | None) -> Inputs:
    """Pictures in archives; what else is in them, and beside them, is counted."""
    root = images.parent if images.suffix == ".tar" and images.is_file() else images
    others = PassedOver()
    beside = [each.name for each in images.iterdir()] if root is images else []
    loose = [name for name in sorted(beside) if not name.endswith(".tar") and not is_litter(name)]
    found = {one.name: index_of(one) for one in track(archives, "reading archives")}

    def listed() -> Iterator[tuple[str, str | None]]:
        others.clear()
        for name in loose:
            others.add(name)
        for archive, index in found.items():
            for name in index.others:
                others.add(f"{archive}/{name}")
            yield from ((f"{archive}/{one.name}", one.object) for one in index.members)

    sizes = {f"{at}/{one.name}": one.size for at, index in found.items() for one in index.members}
    return Inputs(root, listed, "dataset", classes, others, sizes)


def _sized(inputs: Inputs) -> Inputs:
    if not is_remote(inputs.root):
        return inputs
    return replace(inputs, sizes=sizes(inputs.root, (name for name, _ in inputs.listing())))


def _is_dataset(path: Path) -> bool:
    if path.is_file():
        return path.suffix == ".json"
    return bool(find_layout(path).splits)


def _dataset_inputs(path: Path, split: str | None, classes: Path | None) -> Inputs:
    dataset = read_dataset(path, split).settled()
    listed = [(image.file_name, dataset.object_of(image)) for image in dataset.images]
    return _sized(Inputs(dataset.image_root, lambda: iter(listed), "dataset", classes))


def _list(file: Path) -> Iterator[tuple[str, str | None]]:
    root = file.parent
    for name, object in _pairs(file):
        if _URL.match(name):
            raise SchemaError(
                f"{file} names the address {name}",
                hint="put the list beside the pictures, with paths relative to it, and name its "
                "own address",
            )
        if is_remote(file):
            yield name.replace("\\", "/"), object
            continue
        path = Path(_with_slashes(name, root))
        inside = path.is_absolute() and path.is_relative_to(root)
        yield (path.relative_to(root) if inside else path).as_posix(), object


def _with_slashes(name: str, root: Path) -> str:
    """A path as Windows writes it, unless a file here is really called so."""
    return name if "\\" not in name or (root / name).is_file() else name.replace("\\", "/")


def read_classes(file: Path) -> dict[str, str]:
    """Object category for each path (or bare file name) of a label file."""
    stated: dict[str, str] = {}
    for line, (name, object) in enumerate(_pairs(file), 1):
        if object is None:
            raise SchemaError(
                f"{file}: entry {line} ({name}) names no object category",
                hint="write path,object on each line",
            )
        stated[Path(name).as_posix()] = stated[Path(name.replace("\\", "/")).as_posix()] = object
    return stated


def _pairs(file: Path) -> Iterator[tuple[str, str | None]]:
    try:
        with open_text(file) as handle:
            head = list(islice(handle, 20))
            delimiter = list_delimiter([line.rstrip("\r\n") for line in head])
            yield from _records(csv.reader(chain(head, handle), delimiter=delimiter))
    except (SchemaError, csv.Error) as error:
        what = str(error).removeprefix(f"{file} ")
        raise SchemaError(
            f"{file} is not a list of images: {what}",
            hint="a list file is UTF-8 text with path or path,object on each line",
        ) from error


def _records(rows: Iterable[list[str]]) -> Iterator[tuple[str, str | None]]:
    for position, cells in enumerate(rows):
        values = [cell.strip() for cell in cells]
        header = position == 0 and bool(values) and values[0].lower() in _HEADERS
        if values and values[0] and not header:
            yield values[0], (values[1] if len(values) > 1 else "") or None


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first look at the inputs found."""

    images: int
    sha256: str


def survey(inputs: Inputs, objects: Collection[str], *, need_class: bool) -> Survey:
    """Read the whole listing once, before any work: count it, hash it, check its classes.

    Raises:
        NotFoundError: there is no image, or (`need_class`) an object category that is not
            among `objects`; all of them are named, with near names.
        DatasetError: (`need_class`) an image has no object category.
    """
    digest, unknown = _Digest(inputs), Counter[str]()
    classless, first = 0, ""
    for entry in digest.through(inputs):
        if entry.object is None:
            classless, first = classless + 1, first or entry.path
        elif entry.object not in objects:
            unknown[entry.object] += 1
    passed_over = inputs.others.sentence()
    if not digest.images:
        raise NotFoundError(
            f"no images in {inputs.root}", hint=passed_over or f"pictures end in {_ENDINGS}"
        )
    if passed_over:
        logger.warning("%s", passed_over)
    if need_class and unknown:
        raise _unknown_objects(unknown, objects)
    if need_class and classless:
        raise _classless(first, classless, digest.images)
    return Survey(digest.images, digest.hexdigest())


def refuse_unreadable(inputs: Inputs, seconds: float) -> None:
    """See that at least one picture can be opened, each within `seconds`, before any work.

    Raises:
        DatasetError: none can; the first is named, with the reason.
    """
    first: PartlabError | None = None
    count = 0
    for entry in inputs:
        try:
            within(seconds, image_size, inputs.root / entry.path)
            return
        except PartlabError as error:
            first, count = first or error, count + 1
        except TimeoutError:
            late = DatasetError(f"{entry.path} cannot be read within {seconds:g} s")
            first, count = first or late, count + 1
    if first:
        none = "the only picture cannot" if count == 1 else f"none of the {count} pictures can"
        raise DatasetError(
            f"{none} be read; the first: {first.message}",
            hint=first.hint or "paths in a list are relative to the folder that the list lies in",
        )


def _unknown_objects(unknown: Counter[str], objects: Collection[str]) -> PartlabError:
    first, *_ = unknown
    if len(unknown) == 1:
        error = UnknownNameError("object category", first, objects)
        message = (
            f"the segmenter knows no object category {first!r} ({counted(unknown[first], 'image')})"
        )
        return NotFoundError(message, hint=_or_without(error.hint))
    lines = [_near(name, count, objects) for name, count in islice(unknown.items(), 20)]
    more = [f"and {len(unknown) - 20} more"] if len(unknown) > 20 else []
    message = f"the segmenter knows none of {len(unknown)} object categories of the images: "
    shown = sorted(objects)
    known = f"it knows: {', '.join(shown[:20])}" + (" …" if len(shown) > 20 else "")
    return NotFoundError(message + "; ".join(lines + more), hint=_or_without(known))


def _near(name: str, count: int, objects: Collection[str]) -> str:
    hint = UnknownNameError("object category", name, objects).hint or ""
    near = f", {hint}" if hint.startswith("did you mean") else ""
    return f"{name!r} ({counted(count, 'image')}{near})"


def _or_without(hint: str | None) -> str:
    return f"{hint}; or label without knowing the class: --no-category-filter"


def _classless(path: str, count: int, images: int) -> DatasetError:
    have = "has" if count == 1 else "have"
    return DatasetError(
        f"{count} of {counted(images, 'image')} {have} no object category, the first is {path}",
        hint="sort them into one folder per category, write path,object in a list file, pass "
        "--classes FILE or --classifier, or label without the class: --no-category-filter",
    )


class _Digest:
    """Counts and hashes entries that pass through."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs, self.images = inputs, 0
        self._hash = hashlib.sha256()

    def through(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            try:
                entry.path.encode()
            except UnicodeEncodeError:
                raise DatasetError(
                    f"the file name {entry.path!r} is not valid UTF-8", hint="rename that file"
                ) from None
            self.images += 1
            known = [entry.path, entry.object, self.inputs.bytes_of(entry.path)]
            self._hash.update(json.dumps(known).encode() + b"\n")
            yield entry

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def freeze(inputs: Inputs, path: Path, shard_size: int, expected: Survey) -> None:
    """Write the listing as inputs.parquet, one row group per shard, memory flat.

    Raises:
        DatasetError: the images changed since they were surveyed.
    """
    digest = _Digest(inputs)
    entries = digest.through(inputs)
    with replacing(path) as scratch, pq.ParquetWriter(scratch, _SCHEMA) as writer:
        while group := list(islice(entries, shard_size)):
            writer.write_table(entry_table(group), row_group_size=shard_size)
    if Survey(digest.images, digest.hexdigest()) != expected:
        path.unlink(missing_ok=True)
        raise DatasetError(f"the images in {inputs.root} changed while they were being listed")


def entry_table(entries: Sequence[Entry]) -> pa.Table:
    """Entries as columns, as they are frozen and as they travel."""
    columns = [[getattr(entry, name) for entry in entries] for name in _SCHEMA.names]
    return pa.table(columns, schema=_SCHEMA)


def entries_of(table: pa.Table) -> list[Entry]:
    """The entries of such a table, or of some rows of inputs.parquet."""
    return [Entry(**record) for record in table.to_pylist()]


def frozen_shards(path: Path, shards: Iterable[int]) -> Iterator[list[Entry]]:
    """The entries of some shards of inputs.parquet, shard by shard.

    Raises:
        DatasetError: the file is damaged.
    """
    try:
        with pq.ParquetFile(local_copy(path)) as file:
            for shard in shards:
                yield entries_of(file.read_row_group(shard))
    except (OSError, pa.ArrowException, ValueError, LookupError) as error:
        raise DatasetError(
            f"{path} is damaged: {error}", hint="start again with --force, or in another folder"
        ) from error
