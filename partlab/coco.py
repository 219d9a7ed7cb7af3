"""COCO part files: read them, write them (`partlab.layouts` finds the splits of a folder).

A data set is a folder with `annotations/<split>.json` (or one `annotations.json`) and the
pictures under `images/`, or just one JSON file; a file whose pictures lie elsewhere names
the folder, relative to itself, in `partlab.images` at its top level. Reading then writing
gives the same bytes for any file that Python's json module wrote without indentation.
"""

import gc
import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from partlab.errors import DatasetError, NotFoundError, SchemaError
from partlab.files import local_copy, read_json, replacing
from partlab.inclusions import Inclusions, is_inclusions, pairs_of, spelled
from partlab.layouts import find_splits as find_splits
from partlab.layouts import image_root
from partlab.objects import parts_only, require_names, require_objects
from partlab.places import located
from partlab.progress import track
from partlab.records import LISTS, Records, read_records
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

log = logging.getLogger(__name__)

STYLE = "_style"  # how the file was spelled; kept in `Dataset.top`, never written


def read_dataset(path: str | Path, split: str | None = None) -> Dataset:
    """Read one split of a data set folder, or one COCO file, as `read_coco` does.

    Raises:
        NotFoundError: no data set there, or no such split, or several and none was named.
        SchemaError: as `read_coco`.
    """
    splits = find_splits(path)
    if split is None and len(splits) == 1:
        return read_coco(next(iter(splits.values())))
    if split not in splits:
        asked = f"no split {split!r}" if split else "several splits"
        lead = "its splits" if split else "choose one with --split"
        raise NotFoundError(f"{asked} in {path}", hint=f"{lead}: {', '.join(splits)}")
    return read_coco(splits[split])


def read_coco(path: str | Path, *, as_is: bool = False) -> Dataset:
    """Read one COCO file; unknown keys are kept (see the module's promise).

    Records spelled as other tools do are read (see `partlab.records`), sizes that are not stated
    come from the pictures, and what cannot be read is set aside (`Dataset.broken`): each of the
    three is said in one line. `as_is` is for those who check or mend a file: no picture is
    opened, categories may lack an object or share a name, and none is left out.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is no COCO file, or one of its lists has no record that can be read; or
            its categories name no object, or two of them share a name.
    """
    path = located(path)
    with _collector_paused():
        loaded: Raw = read_json(path, share_floats=True)
        if not isinstance(loaded, dict):
            raise SchemaError(f"{path} is not a COCO file: its top level is not an object")
        found = read_records(lists_of(loaded, path))
        ours = _our_top(loaded, path)
    found.broken[:0] = ours.get("broken", [])
    _tell(path, found)
    ours |= {"broken": found.broken} if found.broken else {}
    if ours:
        loaded[OURS] = ours
    top = {key: None if key in LISTS else value for key, value in loaded.items()}
    top[STYLE] = _style(path)
    dataset = Dataset(
        images=[Image(raw) for raw in found.images],
        annotations=[Annotation(raw) for raw in found.annotations],
        categories=[Category(raw) for raw in found.categories],
        inclusions=_inclusions(ours),
        discards=[Discard(raw) for raw in ours.get("discards", [])],
        path=path,
        image_root=image_root(path, ours.get("images")),
        top=top,
    )
    if as_is:
        return dataset
    dataset = parts_only(dataset)
    require_objects(dataset)
    require_names(dataset)
    return with_sizes(dataset)


def lists_of(loaded: Raw, path: Path) -> dict[str, list[Any]]:
    """The three lists of a COCO file.

    Raises:
        SchemaError: one of them is not there.
    """
    for name in LISTS:
        if not isinstance(loaded.get(name), list):
            raise SchemaError(f"{path} is not a COCO file: it has no list {name!r}")
    return {name: loaded[name] for name in LISTS}


def _tell(path: Path, found: Records) -> None:
    for name in LISTS:
        lost = [entry for entry in found.broken if entry.get("list") == name]
        if lost and not getattr(found, name):
            raise SchemaError(
                f"{path}: none of its {len(lost)} {name} can be read: "
                f"{name}[{lost[0].get('position')}] {lost[0].get('reason')}",
                hint="repair the file, or write it again with the tool it came from",
            )
    if found.broken:
        what = "%s: records that cannot be read: %d, the first %s"
        log.warning(what, path, len(found.broken), found.first_fault)
    if found.respelled:
        what = "%s: records read though COCO spells them otherwise: %d, the first %s"
        log.info(what, path, len(found.respelled), found.respelled[0])


def with_sizes(dataset: Dataset) -> Dataset:
    """The same data set, sizes that its images do not state read from the pictures' headers."""
    unsized = [image for image in dataset.images if min(image.width, image.height) < 1]
    if not unsized:
        return dataset
    from partlab.images import image_size  # numpy and Pillow only where pictures are opened

    seen: dict[int, Image] = {}
    for image in track(unsized, "reading sizes", total=len(unsized)):
        with suppress(NotFoundError, DatasetError):
            width, height = image_size(dataset.image_path(image))
            seen[id(image)] = image.changed(width=width, height=height)
    left = [image.file_name for image in unsized if id(image) not in seen]
    where = dataset.path or "the data set"
    if seen:
        log.info("%s: images of no stated size, read from the picture: %d", where, len(seen))
    if left:
        what = "%s: images of no stated size and no readable picture: %d, the first %s"
        log.warning(what, where, len(left), left[0])
    return replace(dataset, images=[seen.get(id(image), image) for image in dataset.images])


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


def _our_top(loaded: Raw, path: Path) -> Raw:
    ours: Raw = loaded.get(OURS) or {}
    inclusions = ours.get("inclusions", {}) if isinstance(ours, dict) else None
    if not isinstance(inclusions, dict) or not all(map(is_inclusions, inclusions.values())):
        raise SchemaError(
            f"{path}: the inclusions under {OURS!r} are not of the form "
            "object: {inner: outer} or {inner: [outer, …]}"
        )
    discards = ours.get("discards", [])
    if not isinstance(discards, list) or not all(map(_is_discard, discards)):
        raise SchemaError(
            f"{path}: the discards under {OURS!r} are not a list of objects with texts"
        )
    aside: Raw = {key: _aside(ours[key], key, path) for key in ("broken", "dropped") if key in ours}
    return {**ours, **aside}


def _inclusions(ours: Raw) -> Inclusions:
    """By object as `Category.object` has it: "snow:bird" and "snow bird" are one."""
    found: dict[str, list[tuple[str, str]]] = {}
    for owner, around in ours.get("inclusions", {}).items():
        found.setdefault(owner.replace(":", " "), []).extend(pairs_of(around))
    return {owner: spelled(pairs) for owner, pairs in found.items()}


def _aside(entries: Any, key: str, path: Path) -> list[Raw]:
    """Records set aside by an earlier reader; what is none of them is one itself."""
    if not isinstance(entries, list | None):
        raise SchemaError(f"{path}: {key!r} under {OURS!r} is not a list of objects")
    odd = {"list": f"{OURS}.{key}", "reason": "is not an object"}
    return [
        entry if isinstance(entry, dict) else {**odd, "position": position, "record": entry}
        for position, entry in enumerate(entries or ())
    ]


def _is_discard(raw: Any) -> bool:
    if not _is_record(raw):
        return False
    texts = raw.get("file_name"), raw.get(OURS, {}).get("object")
    return all(isinstance(text, str | None) for text in texts)


def _is_record(raw: Any) -> bool:
    return type(raw) is dict and type(raw.get(OURS, {})) is dict


def _style(path: Path) -> Raw:
    path = local_copy(path)
    with open(path, "rb") as handle:
        head = handle.read(4096)
        head = head.decode(json.detect_encoding(head), "ignore").encode()
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
    path = located(path)
    with replacing(path) as scratch, _opened(scratch) as handle:
        handle.writelines(_chunks(dataset))
    return path


def _opened(path: Path) -> TextIO:
    """Half a surrogate pair has no UTF-8, so it is written as JSON escapes it."""
    return open(path, "w", encoding="utf-8", errors="backslashreplace")


def _chunks(dataset: Dataset) -> Iterator[str]:
    top = dict(dataset.top)
    style = top.pop(STYLE, {"compact": False, "newline": True, "ascii": False})
    comma, colon = (",", ":") if style["compact"] else (", ", ": ")
    encode = json.JSONEncoder(ensure_ascii=style["ascii"], separators=(comma, colon)).encode
    for name in LISTS:
        top.setdefault(name, None)
    _put_ours(top, dataset)
    yield "{"
    for position, (key, value) in enumerate(top.items()):
        yield (comma if position else "") + encode(key) + colon
        if key in LISTS:
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
    if dataset.inclusions != _inclusions(ours):  # what nobody changed keeps its spelling
        ours["inclusions"] = dataset.inclusions
    if dataset.discards or "discards" in ours:
        ours["discards"] = [discard.raw for discard in dataset.discards]
    if ours or OURS in top:
        top[OURS] = ours


def with_images_at(dataset: Dataset, folder: str | Path) -> Dataset:
    """The same data set, its pictures looked for under another folder."""
    return with_sizes(replace(dataset, image_root=located(folder)))
