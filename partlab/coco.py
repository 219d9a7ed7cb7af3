"""COCO part files: read them, write them, find the splits of a data set folder.

A data set is a folder with `annotations/<split>.json` (or one `annotations.json`) and the
pictures under `images/`, or just one JSON file. Reading then writing gives the same bytes
for any file that Python's json module wrote without indentation.
"""

import gc
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_json, replacing
from partlab.schema import (
    OURS,
    Annotation,
    Category,
    Dataset,
    Discard,
    Image,
    Raw,
    Record,
)

_STYLE = "_style"  # how the file was spelled; kept in `Dataset.top`, never written
_RECORDS: dict[str, type[Record]] = {
    "images": Image,
    "annotations": Annotation,
    "categories": Category,
}
_REQUIRED: dict[str, dict[str, type]] = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "annotations": {"id": int, "image_id": int, "category_id": int},
    "categories": {"id": int, "name": str},
}


def find_splits(path: str | Path) -> dict[str, Path]:
    """Name -> COCO file, for a data set folder or a single file.

    Raises:
        NotFoundError: nothing there looks like a part data set.
    """
    path = Path(path)
    if path.is_file():
        return {path.stem: path}
    if (path / "annotations.json").is_file():
        return {"annotations": path / "annotations.json"}
    found = {file.stem: file for file in sorted((path / "annotations").glob("*.json"))}
    if not found:
        what = "is empty or has no" if path.is_dir() else "does not exist, so it has no"
        raise NotFoundError(
            f"{path} {what} annotations/*.json",
            hint="name a part data set folder, or make one: partlab data make-world --out world",
        )
    return found


def read_dataset(path: str | Path, split: str | None = None) -> Dataset:
    """Read one split of a data set folder, or one COCO file.

    Raises:
        NotFoundError: no data set there, or no such split, or several and none was named.
        SchemaError: a record lacks what COCO requires; the message names file and record.
    """
    splits = find_splits(path)
    if split is None and len(splits) == 1:
        return read_coco(next(iter(splits.values())))
    if split not in splits:
        asked = f"no split {split!r}" if split else "several splits"
        raise NotFoundError(f"{asked} in {path}", hint=f"its splits: {', '.join(splits)}")
    return read_coco(splits[split])


def read_coco(path: str | Path) -> Dataset:
    """Read one COCO file; unknown keys are kept (see the module's promise)."""
    path = Path(path)
    with _collector_paused():
        loaded: Raw = read_json(path)
        if not isinstance(loaded, dict):
            raise SchemaError(f"{path} is not a COCO file: its top level is not an object")
        lists = {name: _records(loaded, name, path) for name in _RECORDS}
        ours: Raw = loaded.get(OURS) or {}
    top = {key: None if key in _RECORDS else value for key, value in loaded.items()}
    top[_STYLE] = _style(path)
    return Dataset(
        images=lists["images"],
        annotations=lists["annotations"],
        categories=lists["categories"],
        inclusions={owner: dict(pairs) for owner, pairs in ours.get("inclusions", {}).items()},
        discards=[Discard(raw) for raw in ours.get("discards", [])],
        path=path,
        image_root=_image_root(path),
        top=top,
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Millions of small objects, no cycles: without the collector reading is 2-3 times faster."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _records(loaded: Raw, name: str, path: Path) -> list[Any]:
    found = loaded.get(name)
    if not isinstance(found, list):
        raise SchemaError(f"{path} is not a COCO file: it has no list {name!r}")
    kind, required = _RECORDS[name], _REQUIRED[name]
    for position, raw in enumerate(found):
        for key, wanted in required.items():
            if not isinstance(raw, dict) or type(raw.get(key)) is not wanted:
                raise SchemaError(
                    f"{path}: {name}[{position}] has no {key!r} of type {wanted.__name__}",
                    hint="repair that record, or remove it",
                )
    return [kind(raw) for raw in found]


def _image_root(path: Path) -> Path:
    folder = path.parent.parent if path.parent.name == "annotations" else path.parent
    return folder / "images" if (folder / "images").is_dir() else folder


def _style(path: Path) -> Raw:
    with open(path, "rb") as handle:
        head = handle.read(4096).lstrip()
        handle.seek(0, 2)
        handle.seek(max(handle.tell() - 2, 0))
        newline = handle.read().endswith(b"\n")
    compact = b'": ' not in head
    return {"compact": compact, "newline": newline, "ascii": _is_ascii(path)}


def _is_ascii(path: Path) -> bool:
    with open(path, "rb") as handle:
        return all(chunk.isascii() for chunk in iter(lambda: handle.read(1 << 20), b""))


def write_coco(dataset: Dataset, path: str | Path) -> Path:
    """Write one COCO file, atomically, record by record (so that memory stays flat)."""
    path = Path(path)
    with replacing(path) as scratch, open(scratch, "w", encoding="utf-8") as handle:
        handle.writelines(_chunks(dataset))
    return path


def _chunks(dataset: Dataset) -> Iterator[str]:
    top = dict(dataset.top)
    style = top.pop(_STYLE, {"compact": False, "newline": True, "ascii": False})
    comma, colon = (",", ":") if style["compact"] else (", ", ": ")
    encode = json.JSONEncoder(ensure_ascii=style["ascii"], separators=(comma, colon)).encode
    for name in _RECORDS:
        top.setdefault(name, None)
    _put_ours(top, dataset)
    yield "{"
    for position, (key, value) in enumerate(top.items()):
        yield (comma if position else "") + encode(key) + colon
        if key in _RECORDS:
            yield from _list_chunks(getattr(dataset, key), encode, comma)
        else:
            yield encode(value)
    yield "}\n" if style["newline"] else "}"


def _list_chunks(records: Iterable[Record], encode: Any, comma: str) -> Iterator[str]:
    yield "["
    for position, record in enumerate(records):
        yield (comma if position else "") + encode(record.raw)
    yield "]"


def _put_ours(top: Raw, dataset: Dataset) -> None:
    ours = dict(top.get(OURS) or {})
    if dataset.inclusions or "inclusions" in ours:
        ours["inclusions"] = dataset.inclusions
    if dataset.discards or "discards" in ours:
        ours["discards"] = [discard.raw for discard in dataset.discards]
    if ours or OURS in top:
        top[OURS] = ours


def with_images_at(dataset: Dataset, folder: str | Path) -> Dataset:
    """The same data set, its pictures looked for under another folder."""
    return replace(dataset, image_root=Path(folder))
