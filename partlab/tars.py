"""Pictures inside tar archives, as webdataset writes them: `train-000.tar/cat/0001.jpg`.

A member is named as if the archive were a folder. Archives are indexed once, by reading them
through, and the index is kept in the cache folder; then any member is read by itself, also from an
archive with a URL. Beside a picture `0001.cls` may name its object category, or `0001.json` under
"object"; else the first folder inside the archive does.
"""

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from partlab.errors import DatasetError, NotFoundError, SchemaError
from partlab.files import cache_folder, read_json, sha256_json, write_json
from partlab.images import is_image_name, is_litter
from partlab.pictures import is_safe_name
from partlab.places import fetch_ranges, is_remote, located, opened, version_of

_FORMAT = 1
_INSIDE = ".tar/"
_SIDES = (".cls", ".json", ".txt")
_LARGE = 1 << 20  # bytes; no side file is that long


@dataclass(frozen=True, slots=True)
class Member:
    """A picture in an archive: where its bytes begin, how many they are, its object category."""

    name: str
    offset: int
    size: int
    object: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """The pictures of an archive in its order, and names of what else is in it."""

    members: tuple[Member, ...]
    others: tuple[str, ...]


def inside_tar(path: Path | str) -> tuple[Path, str] | None:
    """The archive and the member that a path leads to, if it leads into one."""
    whole = str(path)
    if _INSIDE not in whole:
        return None
    archive, _, member = whole.partition(_INSIDE)
    return located(f"{archive}.tar"), member


def read_member(archive: Path, name: str) -> bytes:
    """A member's bytes.

    Raises:
        FileNotFoundError: there is no such archive, or no such picture in it.
        DatasetError: the archive is damaged.
        PlaceError: it cannot be had.
    """
    member = _by_name(archive, _version(archive)).get(name)
    if member is None:
        raise FileNotFoundError(f"{archive}/{name}")
    with opened(archive) as file:
        file.seek(member.offset)
        return file.read(member.size)


def index_of(archive: Path) -> Index:
    """What is in an archive; read through the first time, and again when it has changed.

    Raises:
        NotFoundError: there is none.
        DatasetError: it is damaged or compressed, or holds two pictures of one name.
    """
    try:
        return _index(archive, _version(archive))
    except FileNotFoundError:
        raise NotFoundError(f"no archive {archive}") from None


def fetch_members(root: Path, names: Iterable[str], folder: Path) -> None:
    """Bring pictures of archives below a remote place into a folder; missing ones stay away.

    Raises:
        PlaceError, DatasetError: as `read_member`.
    """
    wanted = defaultdict[str, list[str]](list)
    for name in names:
        archive, _, member = name.partition(_INSIDE)
        wanted[f"{archive}.tar"].append(member)
    for name, members in wanted.items():
        known = _by_name(root / name, _version(root / name))
        spans = {
            f"{name}/{one}": (known[one].offset, known[one].offset + known[one].size)
            for one in members
            if one in known
        }
        fetch_ranges(root / name, spans, folder)


def _version(archive: Path) -> str:
    if is_remote(archive):
        return version_of(archive)
    about = archive.stat()
    return f"{about.st_size} {about.st_mtime_ns}"


@lru_cache(maxsize=64)
def _by_name(archive: Path, version: str) -> dict[str, Member]:
    return {member.name: member for member in _index(archive, version).members}


def _index(archive: Path, version: str) -> Index:
    key = sha256_json([_FORMAT, str(archive.absolute()), version])
    kept = cache_folder() / "tars" / f"{key[:32]}.json"
    if kept.is_file():
        found = read_json(kept)
        return Index(tuple(Member(**one) for one in found["members"]), tuple(found["others"]))
    index = _read_through(archive)
    members = [asdict(member) for member in index.members]
    write_json(kept, {"members": members, "others": index.others})
    return index


def _read_through(archive: Path) -> Index:
    members: dict[str, Member] = {}
    sides: dict[str, str] = {}
    others: list[str] = []
    try:
        with opened(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for one in _files(tar):
                stem, dot, ending = one.name.rpartition(".")
                if is_image_name(one.name) and is_safe_name(one.name):
                    if one.name in members:
                        raise SchemaError(f"{archive} holds two pictures called {one.name}")
                    members[one.name] = Member(one.name, one.offset_data, one.size)
                elif f"{dot}{ending}" in _SIDES and one.size < _LARGE:
                    if said := _object(tar, one, ending):
                        sides[stem] = said
                elif not is_litter(one.name):
                    others.append(one.name)
            file.seek(tar.offset)
            if file.read(512) != bytes(512):  # tarfile takes any end for the end
                raise tarfile.ReadError("it has no end mark")
    except tarfile.ReadError as error:
        what = "is damaged or compressed" if not members else f"is damaged after {[*members][-1]}"
        raise DatasetError(
            f"{archive} {what}: {error}", hint="get it again, or pack it without compression"
        ) from error
    return Index(tuple(_named(one, sides) for one in members.values()), tuple(others))


def _files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for one in tar:
        one.name = one.name.removeprefix("./")
        if one.isfile():
            yield one


def _object(tar: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> str | None:
    """The object category that a side file names; numbers of classes name none."""
    file = tar.extractfile(member)
    if ending == "txt" or file is None:
        return None
    text = file.read().decode("utf-8", "replace")
    if ending == "cls":
        return None if text.strip().isdecimal() else text.strip() or None
    try:
        said = json.loads(text)
    except ValueError:
        return None
    found = said.get("object") if isinstance(said, dict) else None
    return found if isinstance(found, str) else None


def _named(member: Member, sides: dict[str, str]) -> Member:
    first, slash, _ = member.name.partition("/")
    object = sides.get(member.name.rpartition(".")[0], first if slash else None)
    return Member(member.name, member.offset, member.size, object)
