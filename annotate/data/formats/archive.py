"""A zip archive as a source: known by its content, unpacked into a scratch folder with care.

Archives come from Label Studio, CVAT and Roboflow, from Windows and macOS. Nothing is written
outside the folder, links are never made, and what would fill the disk is refused beforehand.
"""

import logging
import lzma
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from partlab.errors import PartlabError, SchemaError
from partlab.folders import scratch_beside
from partlab.pictures import is_safe_name
from partlab.progress import track

_MOST_FILES = 2_000_000
_RATIO, _SMALL = 200, 1 << 30  # a bomb: more than 200 times its size, and over 1 GiB
_UTF8 = 0x800
OWN = frozenset({"annotations", "json", "seg"})
"""Folders that a format is known by: never a data set of their own."""
_DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error, lzma.LZMAError)


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, whatever its name; also one that was cut off."""
    if not path.is_file():
        return False
    with open(path, "rb") as handle:
        begins = handle.read(4) == b"PK\x03\x04"
    return begins or zipfile.is_zipfile(path)


@contextmanager
def unpacked(path: Path, *, near: Path) -> Iterator[Path]:
    """Yield a folder beside `near` with what is in the archive; it is removed at the end.

    Where all is in one folder, that folder is yielded.

    Raises:
        SchemaError: the archive is damaged, encrypted, too large, or would write elsewhere.
        PartlabError: it cannot be written.
    """
    folder = scratch_beside(near)
    with standing_in(path, folder):
        _unpack(path, folder)
        yield _inner(folder)


@contextmanager
def standing_in(path: Path, folder: Path) -> Iterator[None]:
    """Errors and log lines name `path` for what lies in `folder`, which is removed at the end."""
    try:
        with _logged_as(path, folder):
            yield
    except PartlabError as error:  # the person knows the archive, not where it was unpacked
        error.message = error.message.replace(str(folder), str(path))
        error.args = (error.message,)
        error.hint = error.hint and _of_archive(error.hint, path, folder)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _logged_as(path: Path, folder: Path) -> Iterator[None]:
    """Log lines name what is in the folder as what is in the archive."""
    made = logging.getLogRecordFactory()

    def renamed(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = made(*args, **kwargs)
        with suppress(TypeError, ValueError):  # not our line to mend
            if str(folder) in (message := record.getMessage()):
                record.msg, record.args = message.replace(str(folder), str(path)), ()
        return record

    logging.setLogRecordFactory(renamed)
    try:
        yield
    finally:
        logging.setLogRecordFactory(made)


def _of_archive(hint: str, path: Path, folder: Path) -> str:
    """The hint with the archive itself for any file in it: a command can name nothing else."""
    if str(folder) not in hint:
        return hint
    for inside in sorted(map(str, folder.rglob("*")), key=len, reverse=True):
        hint = hint.replace(inside, str(path))
    return hint.replace(str(folder), str(path))


def _unpack(path: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
        with zipfile.ZipFile(path) as archive:
            wanted = _checked(path, archive.infolist(), folder)
            for name, info in track(wanted.items(), "unpacking", total=len(wanted)):
                _write(archive, info, folder / name)
    except _DAMAGE as error:
        raise SchemaError(
            f"{path} is a damaged zip archive: {error}", hint="get it again"
        ) from error
    except OSError as error:
        raise PartlabError(
            f"cannot unpack {path}: {error.strerror or error}",
            hint="free some space or choose another --out",
        ) from error


def _checked(path: Path, infos: list[zipfile.ZipInfo], folder: Path) -> dict[str, zipfile.ZipInfo]:
    """Name -> entry of every file to be written."""
    files = {name: info for info in infos if not info.is_dir() if (name := _name(info))}
    entries = [info for info in infos if not info.is_dir() and _name(info)]
    total = sum(info.file_size for info in entries)
    packed = max(path.stat().st_size, 1)
    if len(files) < len(entries):
        raise SchemaError(f"{path} holds two files of one name", hint="unpack it by hand")
    if len(files) > _MOST_FILES:
        raise SchemaError(f"{path} holds more than {_MOST_FILES:,} files", hint="unpack it by hand")
    if total > _SMALL and total > _RATIO * packed:
        raise SchemaError(
            f"{path} would unpack to {total / packed:,.0f} times its size, as an archive made to "
            "fill a disk does",
            hint="unpack it by hand if you trust it",
        )
    if total > shutil.disk_usage(folder).free:
        raise SchemaError(
            f"{path} unpacks to {total / 1e9:.1f} GB, more than is free at {folder.parent}",
            hint="free some space or choose another --out",
        )
    if any(info.flag_bits & 1 for info in entries):
        raise SchemaError(
            f"{path} is protected by a password",
            hint="unpack it with that password, and import the folder",
        )
    for name, info in files.items():
        if fault := _fault(name, info):
            raise SchemaError(f"{path}: the entry {name!r} {fault}", hint="do not trust it")
    return files


def _fault(name: str, info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if not is_safe_name(name) or "\0" in name:
        return "would be written outside its folder"
    if kind not in (0, stat.S_IFREG):
        return "is a link or a device, no file"
    return ""


def _name(info: zipfile.ZipInfo) -> str:
    """With `/`, in the letters that were meant; empty for what macOS adds."""
    name = info.filename
    if not info.flag_bits & _UTF8:
        with suppress(UnicodeError):  # many write UTF-8 and do not say so
            name = name.encode("cp437").decode("utf-8")
    name = name.replace("\\", "/")
    parts = name.split("/")
    hidden = parts[0] == "__MACOSX" or parts[-1] == ".DS_Store" or parts[-1].startswith("._")
    return "" if hidden else name


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    left = info.file_size
    with archive.open(info) as source, open(target, "xb") as out:
        while chunk := source.read(1 << 20):
            left -= len(chunk)
            if left < 0:
                raise zipfile.BadZipFile(f"{info.filename} is larger than it says")
            out.write(chunk)


def _inner(folder: Path) -> Path:
    """The folder in which the files lie, below those that hold nothing but one folder."""
    inside = list(folder.iterdir())
    alone = len(inside) == 1 and inside[0].is_dir() and inside[0].name not in OWN
    return _inner(inside[0]) if alone else folder
