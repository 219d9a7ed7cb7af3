"""COCO part files: read them, write them (`partlab.layouts` finds the splits of a folder).

A data set is a folder with `annotations/<split>.json` (or one `annotations.json`) and the
pictures under `images/`, or just one JSON file; a file whose pictures lie elsewhere names
the folder, relative to itself, in `partlab.images` at its top level. Reading then writing
gives the same bytes for any file that Python's json module wrote without indentation.
"""

import gc
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_json, replacing
from partlab.layouts import find_splits as find_splits
from partlab.layouts import image_root
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


def read_dataset(path: str | Path, split: str | None = None, *, lenient: bool = False) -> Dataset:
    """Read one split of a data set folder, or one COCO file; `lenient` as in `read_coco`.

    Raises:
        NotFoundError: no data set there, or no such split, or several and none was named.
        SchemaError: a record lacks what COCO requires; the message names file and record.
    """
    splits = find_splits(path)
    if split is None and len(splits) == 1:
        return read_coco(next(iter(splits.values())), lenient=lenient)
    if split not in splits:
        asked = f"no split {split!r}" if split else "several splits"
        lead = "its splits" if split else "choose one with --split"
        raise NotFoundError(f"{asked} in {path}", hint=f"{lead}: {', '.join(splits)}")
    return read_coco(splits[split], lenient=lenient)


def read_coco(path: str | Path, *, lenient: bool = False) -> Dataset:
    """Read one COCO file; unknown keys are kept (see the module's promise).

    A record without what COCO requires is an error; `lenient` sets such records aside instead
    (`Dataset.broken`), so that a check can name them all and nothing is lost.
    """
    path = Path(path)
    with _collector_paused():
        loaded: Raw = read_json(path, share_floats=True)
        if not isinstance(loaded, dict):
            raise SchemaError(f"{path} is not a COCO file: its top level is not an object")
        broken: list[Raw] | None = [] if lenient else None
        lists = {name: _records(loaded, name, path, broken) for name in _RECORDS}
        ours = _our_top(loaded, path)
    if broken:
        loaded[OURS] = {**ours, "broken": [*ours.get("broken", []), *broken]}
    top = {key: None if key in _RECORDS else value for key, value in loaded.items()}
    top[_STYLE] = _style(path)
    return Dataset(
        images=lists["images"],
        annotations=lists["annotations"],
        categories=lists["categories"],
        inclusions={owner: dict(pairs) for owner, pairs in ours.get("inclusions", {}).items()},
        discards=[Discard(raw) for raw in ours.get("discards", [])],
        path=path,
        image_root=image_root(path, ours.get("images")),
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


def _records(loaded: Raw, name: str, path: Path, broken: list[Raw] | None) -> list[Any]:
    found = loaded.get(name)
    if not isinstance(found, list):
        raise SchemaError(f"{path} is not a COCO file: it has no list {name!r}")
    kind, required = _RECORDS[name], list(_REQUIRED[name].items())
    whole = []
    for position, raw in enumerate(found):
        fault = _fault(raw, required)
        if not fault:
            whole.append(kind(raw))
        elif broken is None:
            raise SchemaError(
                f"{path}: {name}[{position}] {fault}", hint="repair that record, or remove it"
            )
        else:
            broken.append({"list": name, "position": position, "reason": fault, "record": raw})
    return whole


def record_fault(name: str, raw: Any) -> str | None:
    """What one raw record of the list `name` lacks to be read, in words, or None."""
    return _fault(raw, list(_REQUIRED[name].items()))


def _fault(raw: Any, required: list[tuple[str, type]]) -> str | None:
    if type(raw) is not dict:
        return "is not an object"
    for key, wanted in required:
        if type(raw.get(key)) is not wanted:
            return f"has no {key!r} of type {wanted.__name__}"
    if OURS in raw and type(raw[OURS]) is not dict:
        return f"has a {OURS!r} that is not an object"
    return None


def _our_top(loaded: Raw, path: Path) -> Raw:
    ours: Raw = loaded.get(OURS) or {}
    inclusions = ours.get("inclusions", {}) if isinstance(ours, dict) else None
    if not isinstance(inclusions, dict) or not all(
        isinstance(pairs, dict) and all(isinstance(outer, str) for outer in pairs.values())
        for pairs in inclusions.values()
    ):
        raise SchemaError(
            f"{path}: the inclusions under {OURS!r} are not of the form object: {{inner: outer}}"
        )
    discards = ours.get("discards", [])
    if not isinstance(discards, list) or any(_fault(raw, []) for raw in discards):
        raise SchemaError(f"{path}: the discards under {OURS!r} are not a list of objects")
    return ours


def _style(path: Path) -> Raw:
    with open(path, "rb") as handle:
        head = handle.read(4096)
        handle.seek(0, 2)
        handle.seek(max(handle.tell() - 2, 0))
        newline = handle.read().endswith(b"\n")
    compact = not re.match(rb'\s*\{\s*"(?:[^"\\]|\\.)*": ', head)
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
