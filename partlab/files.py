"""Files that are never half written: save beside, then replace."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from partlab.errors import BusyError, NotFoundError, OutputExistsError, PartlabError, SchemaError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a scratch path that becomes `path` when the block ends without error.

    A crash at any moment leaves the old file (or none), never a part of the new one.

    Raises:
        PartlabError: the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    scratch = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        _flush_to_disk(scratch)
        os.replace(scratch, path)
    except OSError as error:
        raise PartlabError(
            f"cannot write {path}: {error.strerror or error}",
            hint="free some space or choose another folder, then run the same command again",
        ) from error
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


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


def write_text(path: str | Path, text: str) -> None:
    """Write a whole UTF-8 text file at once, atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON with a final newline, atomically; same value, same bytes."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


class _SharedFloats(dict[str, float]):
    """One float object for each spelling, up to a number of spellings."""

    def __missing__(self, text: str) -> float:
        value = float(text)
        if len(self) < 300_000:
            self[text] = value
        return value


def read_json(path: str | Path, *, share_floats: bool = False) -> Any:
    """Read a JSON file.

    `share_floats` halves the memory of files full of coordinates, and takes somewhat longer.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is not JSON; the message says the line.
    """
    path = Path(path)
    try:
        parse = _SharedFloats().__getitem__ if share_floats else None
        return json.loads(path.read_bytes(), parse_float=parse)
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        if zipfile.is_zipfile(path):
            raise SchemaError(
                f"{path} is a zip archive, not JSON",
                hint=f"unpack it first, or import it as it is: partlab data import {path} --out …",
            ) from None
        raise SchemaError(f"{path} is not valid JSON: {error}") from error


def claim_folder(
    path: str | Path, *, force: bool = False, inputs: Iterable[str | Path | None] = ()
) -> Path:
    """Make an output folder that must be new or empty; `force` clears an old one.

    Raises:
        OutputExistsError: it holds files, and `force` is off; or clearing it would remove one
            of the `inputs`, or anything of an annotation work.
    """
    path = Path(path)
    need_free(path, force=force, inputs=inputs)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return _make_folder(path)


def need_free(path: Path, *, force: bool = False, inputs: Iterable[str | Path | None] = ()) -> None:
    """See that `claim_folder` may have this folder; nothing is changed.

    Raises:
        OutputExistsError: as `claim_folder`.
    """
    for needed in inputs:
        if needed is not None and Path(needed).resolve().is_relative_to(path.resolve()):
            raise OutputExistsError(
                f"{path} is or holds the input {needed}", hint="choose another --out"
            )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        if not force:
            raise OutputExistsError(
                f"{path} already exists and is not empty",
                hint="choose another --out, or pass --force to replace it",
            )
        _spare_works(path)


def _spare_works(path: Path) -> None:
    """What people drew cannot be made again, so no --force clears the folder of their work."""
    whole = path.resolve()
    for folder in (whole, *whole.parents):
        if (folder / "work.json").is_file():
            raise OutputExistsError(
                f"{path} belongs to the annotation work in {folder}", hint="choose another --out"
            )


def _make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PartlabError(
            f"cannot make the folder {path}: {error.strerror or error}",
            hint="choose another folder",
        ) from error
    return path


@contextmanager
def exclusive(folder: str | Path) -> Iterator[None]:
    """Hold a folder for this process alone; the lock dies with the process, even by `kill -9`.

    Raises:
        BusyError: another process holds it.
    """
    folder = _make_folder(Path(folder))
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(
            f"another partlab process is writing to {folder}",
            hint="wait for it to end, or choose another --out",
        ) from None
    try:
        yield
    finally:
        lock.release()


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON: equal settings, equal hash."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def read_lines(path: str | Path) -> list[str]:
    """The non-empty lines of a UTF-8 text file, stripped."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is not UTF-8 text: {error.reason}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write text lines, each ended by a newline, atomically."""
    write_text(path, "".join(f"{line}\n" for line in lines))
