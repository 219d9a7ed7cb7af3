"""Files that are never half written: save beside, then replace."""

import errno
import filecmp
import hashlib
import json
import logging
import os
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from partlab.errors import (
    BusyError,
    NotFoundError,
    OutputExistsError,
    PartlabError,
    PlaceError,
    SchemaError,
)
from partlab.json_stream import UnreadableError, read_whole, stream
from partlab.places import is_remote, located, opened, read_bytes, size_of, upload, version_of
from partlab.tables import read_text

log = logging.getLogger(__name__)

_HINTS = {
    errno.ENOSPC: "free some space or choose another folder, then run the same command again",
    errno.EDQUOT: "your quota is used up: free some space or choose another folder",
    errno.EACCES: "you may not write there: change the folder's rights or choose another folder",
    errno.EPERM: "you may not write there: change the folder's rights or choose another folder",
    errno.EROFS: "that disk can only be read: choose a folder on another one",
    errno.EFBIG: "no file may be that large there (ulimit -f): choose a folder on another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}
_NAME_BYTES = 200  # of 255; the rest is for what a scratch name adds


def cache_folder() -> Path:
    """Where partlab keeps what can be made again: $XDG_CACHE_HOME/partlab or ~/.cache/partlab."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "partlab"


def cannot_write(path: str | Path, error: OSError, *, doing: str = "write") -> PartlabError:
    """The error to raise where writing `path` failed: what the system said, and what to do."""
    said = os.strerror(error.errno) if error.errno else str(error)
    hint = _HINTS.get(error.errno or 0, "choose another folder")
    return PartlabError(f"cannot {doing} {path}: {said}", hint=hint)


@contextmanager
def replacing(path: str | Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a scratch path that becomes `path` when the block ends without error.

    A crash at any moment leaves the old file (or none), never a part of the new one; without
    `flush` that holds for a killed process, not for a power cut. Any number of threads and
    processes may write one path; the last one wins. What has a URL is written here first and put
    there as a whole: an object store shows no half ones.

    Raises:
        PartlabError: the disk is full or the folder cannot be written to. What else the block
            raises, such as an OSError of a file it reads, comes out as it is.
    """
    path = located(path)
    if is_remote(path):
        with _scratch_folder() as folder:
            yield (scratch := folder / path.name)
            upload([(scratch, path)])
        return
    scratch = path.with_name(f"{_scratch_stem(path)}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield scratch
        _put_in_place(scratch, path, flush)
    except Exception as error:
        if fault := _fault_of_writing(error, scratch):
            raise cannot_write(path, fault) from error
        raise
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="partlab-") as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise cannot_write(folder, error) from error


def local_copy(path: Path) -> Path:
    """A file on this machine: itself, or of a URL a whole copy, kept until the original changes.

    Raises:
        FileNotFoundError: there is none.
        PlaceError: it cannot be had whole.
    """
    if not is_remote(path):
        return path
    folder = cache_folder() / "copies" / sha256_json(str(path))[:32]
    copy = folder / sha256_json(version_of(path))[:16] / path.name
    if not copy.is_file():
        with replacing(copy) as scratch, opened(path) as source, open(scratch, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 22)
            if (here := target.tell()) != (there := size_of(path)):
                raise PlaceError(
                    f"{path} came with {here} bytes instead of {there}", hint="try again"
                )
        for old in folder.iterdir():
            if old != copy.parent:
                shutil.rmtree(old, ignore_errors=True)
    return copy


def _fault_of_writing(error: Exception, scratch: Path) -> OSError | None:
    """What kept the scratch file from being written, if that is what the error is about."""
    if isinstance(error, OSError):
        # A full disk is told without a name, anything else with it.
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return error if full or scratch.name.split(".")[-2] in str(error) else None
    if isinstance(error, PartlabError):
        return None
    # safetensors tells of a full disk in an error of its own, torch not even in that.
    full = os.strerror(errno.ENOSPC) in str(error) or not _free_bytes(scratch.parent)
    return OSError(errno.ENOSPC, "") if full else None


def _free_bytes(folder: Path) -> int:
    with suppress(OSError):
        return shutil.disk_usage(folder).free
    return 1


def is_scratch(path: str | Path) -> bool:
    """Whether a file is one that `replacing` writes: of a process at work, or of a killed one."""
    name = located(path).name
    return name.startswith(".") and name.endswith(".tmp")


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove what killed processes left half written of these files; hold a lock on them."""
    stems = {path.with_name(_scratch_stem(path)) for path in paths}
    for folder in {stem.parent for stem in stems}:
        for file in folder.glob(".*.tmp"):
            if file.with_name(file.name.rsplit(".", 2)[0]) in stems:
                file.unlink(missing_ok=True)


def _scratch_stem(path: Path) -> str:
    return "." + os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES])


def _put_in_place(scratch: Path, path: Path, flush: bool) -> None:
    try:
        if flush:
            _flush_to_disk(scratch)
        os.replace(scratch, path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a whole file at once, atomically."""
    with replacing(path) as scratch:
        scratch.write_bytes(data)


def copy_file(source: str | Path, target: str | Path, *, link: bool = False) -> None:
    """Copy a file, atomically; with `link` as a hard link, where the disk can.

    Not waited for until it is on the disk: a power cut may lose what can be copied again.

    Raises:
        PartlabError: the source cannot be read, or the target not written; the message says which.
    """
    with replacing(target, flush=False) as scratch:
        if link:
            with suppress(OSError):  # another disk, or a system without links
                os.link(source, scratch)
                return
        try:
            shutil.copyfile(source, scratch)
        except OSError as error:
            if _fault_of_writing(error, scratch):
                raise
            said = error.strerror or error
            raise PartlabError(f"cannot read {source}: {said}", hint="look at that file") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a whole UTF-8 text file at once, atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON with a final newline, atomically; same value, same bytes."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_pieces(path: str | Path, before: str, pieces: Iterable[str], after: str) -> None:
    """Write pieces of JSON with commas between them, atomically, without all of it in memory."""
    with replacing(path) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(before)
        for number, piece in enumerate(pieces):
            file.write(f",\n{piece}" if number else f"\n{piece}")
        file.write(after)


_LARGE = 4 << 20  # bytes


class _SharedFloats(dict[str, float]):
    """One float object for each spelling, up to a number of spellings."""

    def __missing__(self, text: str) -> float:
        value = float(text)
        if len(self) < 300_000:
            self[text] = value
        return value


def read_json(path: str | Path, *, share_floats: bool = False) -> Any:
    """Read a JSON file.

    `share_floats` halves the memory of files full of coordinates, and takes somewhat longer; large
    ones are then read in pieces (`partlab.json_stream`), without their text in memory.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is not JSON; the message says the line.
    """
    path = located(path)
    try:
        file = local_copy(path)
        parse = _SharedFloats().__getitem__ if share_floats else None
        if share_floats and file.stat().st_size > _LARGE:
            with suppress(UnreadableError):  # the parser of whole files says what is wrong where
                return read_whole(file, parse_float=parse)
        return json.loads(file.read_bytes(), parse_float=parse)
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        if zipfile.is_zipfile(file):
            raise SchemaError(
                f"{path} is a zip archive, not JSON",
                hint=f"unpack it first, or import it as it is: partlab data import {path} --out …",
            ) from None
        refuse_web_page(path)
        raise SchemaError(f"{path} is not valid JSON: {error}", hint=_cut_off(error)) from error


def read_pieces(
    path: str | Path, *, within: Container[str] = ()
) -> Iterator[tuple[str | None, Any, bool]]:
    """What a JSON file holds, piece by piece, as `partlab.json_stream.stream` gives it.

    A file that cannot be read so comes whole: each value of its object, or its list, at once.

    Raises:
        NotFoundError, SchemaError: as `read_json`; of a damaged file after its first pieces.
    """
    path, came = Path(path), False
    if path.is_file() and path.stat().st_size > _LARGE:
        try:
            for piece in stream(path, parse_float=_SharedFloats().__getitem__, within=within):
                came = True
                yield piece
            return
        except UnreadableError as error:
            read_json(path)  # says what is wrong where
            if came:
                raise SchemaError(f"{path} cannot be read to its end: {error}") from error
    whole = read_json(path, share_floats=True)
    members = whole.items() if isinstance(whole, dict) else [(None, whole)]
    yield from ((key, value, False) for key, value in members)


def _cut_off(error: ValueError) -> str | None:
    """What to do about JSON that ends too early, as half a download does."""
    if not isinstance(error, json.JSONDecodeError):
        return None
    early = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
    return "it ends in the middle of a record: get it again" if early and error.doc else None


def refuse_web_page(path: Path) -> None:
    """See that a file is no web page saved in place of a download.

    Raises:
        SchemaError: it is one.
    """
    with opened(path) as handle:
        head = handle.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html")):
        raise SchemaError(
            f"{path} is a web page that was saved in place of the file",
            hint="sign in where it comes from, and download it again",
        )


def need_new_file(path: str | Path, *, force: bool = False) -> None:
    """See that a file may be written; `force` replaces one that is there.

    Raises:
        OutputExistsError: one is there, and `force` is off; or a folder is.
    """
    path = located(path)
    if path.is_dir():
        raise OutputExistsError(f"{path} is a folder", hint="name a file")
    if path.exists() and not force:
        raise OutputExistsError(
            f"{path} already exists", hint="choose another, or pass --force to replace it"
        )


def make_folder(path: Path) -> Path:
    """Make a folder and those above it, if they are not there; object stores have none to make.

    Raises:
        PartlabError: it cannot be made.
    """
    if is_remote(path):
        return path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error, doing="make the folder") from error
    return path


@contextmanager
def exclusive(folder: str | Path, *, patience: float = 0.0, told: str = "") -> Iterator[None]:
    """Hold a folder for this process alone; the lock dies with the process, even by `kill -9`.

    Where another process holds it, `told` is logged and up to `patience` seconds are waited. Of a
    folder with a URL only the processes of this machine know.

    Raises:
        BusyError: another process holds it, or held it as long as that.
    """
    folder = located(folder)
    lock = FileLock(make_folder(_seat_of(folder)) / ".lock")
    try:
        _acquire(lock, patience, told)
    except Timeout:
        raise BusyError(
            f"another partlab process is writing to {folder}",
            hint="wait for it to end, or choose another --out",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _seat_of(folder: Path) -> Path:
    """Where the lock of a folder lies."""
    return cache_folder() / "locks" / sha256_json(str(folder)) if is_remote(folder) else folder


def _acquire(lock: FileLock, patience: float, told: str) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not patience:
            raise
        if told:
            log.info("%s", told)
        lock.acquire(timeout=patience)


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with opened(located(path)) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]


def may_be_same(a: Path, b: Path) -> bool:
    """Whether two files of one name may be one: the same place, the same bytes, or not there."""
    if a == b or not (a.is_file() and b.is_file()):
        return True
    if is_remote(a) or is_remote(b):
        return size_of(a) == size_of(b) and read_bytes(a) == read_bytes(b)
    return filecmp.cmp(a, b, shallow=False)


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON: equal settings, equal hash."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def read_lines(path: str | Path) -> list[str]:
    """The non-empty lines of a UTF-8 text file, stripped; errors as `partlab.tables.read_text`."""
    text = read_text(path)
    return [line.strip() for line in text.splitlines() if line.strip()]


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write text lines, each ended by a newline, atomically."""
    write_text(path, "".join(f"{line}\n" for line in lines))
