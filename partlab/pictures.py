"""Where the picture of an image record is, when it is not where the record says.

Files come from other machines and tools: `images\\a.jpg`, `images/a.jpg` relative to images/,
`Capture_d%C3%A9cran.png`, `C:\\work\\a.jpg`, `/data/upload/4/90fbb0c7-a.jpg`, decomposed letters.
Rules are tried in one order for every reader, and none depends on what was looked for before:

1. the stated path under the image root;
2. the same path in another spelling (backslashes, percent signs, NFC or NFD), there or beside
   the file; then without a doubled `images/`, in a folder called like the split, in `images/`,
   `data/` or `JPEGImages/`;
3. a unique base name below the data set's folder: as it is, without the eight letters that
   Label Studio puts before an upload, in letters of another case.

By its base name no picture is taken that another record names, that lies in the folder of
another split (`val`, `val_images`, `Val2017`) or that another split names as well, and of several
none. Nothing outside the data set's folder is ever looked at.
"""

import json
import mmap
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from partlab.files import local_copy
from partlab.images import is_image_name
from partlab.layouts import home_of, image_root, other_split_words, split_words, without_year
from partlab.places import is_remote, listing, located

STATED, SPELLED, BESIDE = "stated", "spelling", "beside"
PLACED, NAMED = "folder", "base name"
_WAYS = {
    SPELLED: "in another spelling",
    BESIDE: "beside the file itself",
    PLACED: "in another folder",
    NAMED: "by base name alone",
}
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DRIVE = re.compile(r"^[A-Za-z]:(?=[\\/])")
_UPLOAD = re.compile(r"^(?=\d*[a-f])[0-9a-f]{8}-(?=.)")  # only digits would be a date
_FOLDERS = ("images", "data", "JPEGImages")
_RIVALS = 1000  # records of one base name, each in a folder of its own: nothing to guess by
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
_USUAL = frozenset({"train", "val", "test"})  # no picture belongs to two of these
_LIMIT = 2_000_000  # files looked at; somebody's whole home folder is not worth more


@dataclass(frozen=True, slots=True)
class Found:
    """One picture, in the folder `base` or below.

    `rule` says how it was found, None that it was not; then `path` is where it should be, and
    `near` tells what there is instead.
    """

    path: Path
    base: Path
    rule: str | None = STATED
    near: str = ""


def is_safe_name(file_name: str) -> bool:
    """Whether a file name stays inside its folder (no absolute path, no `..`)."""
    path = PurePosixPath(file_name.replace("\\", "/"))
    absolute = path.is_absolute() or bool(_DRIVE.match(file_name))
    return bool(path.parts) and not absolute and ".." not in path.parts


def plain_name(file_name: str) -> str:
    """A stated path or address as a relative path with `/`, without `..`, drive and host."""
    if "?d=" in file_name:  # Label Studio's local files
        file_name = unquote(file_name.partition("?d=")[2].partition("&")[0])
    elif _URL.match(file_name):
        file_name = urlsplit(file_name.replace("\\", "/")).path
    parts = _DRIVE.sub("", file_name).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


class PictureFinder:
    """Finds the pictures of `images`, records of one `file`, under `root`.

    If `root` is where that file's pictures lie by itself, the whole folder of the data set is
    looked through, else `root` alone; once, and only when a picture is not where it is stated.
    """

    def __init__(self, root: Path, file: Path | None = None, images: Sequence[Any] = ()) -> None:
        self.root, self._file, self._images = root, file, images
        own = file is not None and _whole(image_root(file)) == _whole(root)
        self.home = home_of(file) if file and own else root
        self._known: dict[str, Found] = {}

    def find(self, file_name: str) -> Found:
        """Where the picture of this stated name is; see `Found` for one that is nowhere."""
        if is_safe_name(file_name) and self._is_there(file_name):
            return Found(self.root / file_name, self.root)
        if file_name not in self._known:
            self._known[file_name] = self._elsewhere(file_name)
        return self._known[file_name]

    def _is_there(self, name: str) -> bool:
        return name in self._listed if is_remote(self.root) else (self.root / name).is_file()

    @cached_property
    def _listed(self) -> frozenset[str]:
        """Of a URL: one list of its files in place of a request for each."""
        return frozenset(listing(self.root))

    def note(self) -> str:
        """One sentence on the pictures that were found elsewhere than stated, or nothing."""
        moved = [(name, one) for name, one in self._known.items() if one.rule]
        first = {one.rule: f"{name} is {one.path}" for name, one in reversed(moved)}
        ways = Counter(one.rule for _, one in moved)
        told = [f"{count} {_WAYS[rule or '']} ({first[rule]})" for rule, count in ways.items()]
        return f"pictures found elsewhere than stated: {', '.join(told)}" if told else ""

    def near(self, limit: int | None = None) -> list[str]:
        """A sentence for each missing picture (the first `limit`) that something like is there."""
        told = (f"{name}: {one.near}" for name, one in self._known.items() if one.near)
        return [*islice(told, limit)]

    def counts(self) -> dict[str, int]:
        """How many pictures were found by each rule but the first, and how many were not."""
        return dict(Counter(one.rule or "missing" for one in self._known.values()))

    def _elsewhere(self, file_name: str) -> Found:
        wanted = _key(plain_name(file_name))
        if not wanted:
            return Found(self.root / "no name", self.root, None)
        if not is_safe_name(file_name) and (path := self._inside(file_name)):
            return self._found(path, BESIDE)
        for key, rule in self._places(wanted):
            if len(paths := self._index.get(key, [])) == 1:
                return self._found(paths[0], rule)
        path, near = self._by_base_name(wanted)
        if path:
            return self._found(path, NAMED)
        return Found(self.root / plain_name(file_name), self.root, None, near)

    def _inside(self, file_name: str) -> str | None:
        """The file of an absolute path, or one with `..`, that leads into the data set."""
        if is_remote(self.root):
            return None
        stated = Path(os.path.abspath(self.root / file_name))
        if stated.is_relative_to(os.path.abspath(self.home)) and stated.is_file():
            return str(self.home / _relative(stated, self.home))
        return None

    def _found(self, path: str, rule: str) -> Found:
        whole = located(path)
        inside = self.root == self.home or str(whole).startswith(f"{self.root}{os.sep}")
        return Found(whole, self.root if inside else self.home, rule)

    def _places(self, wanted: str) -> Iterator[tuple[str, str]]:
        """Keys under which the index may hold the picture, best first."""
        bases = dict.fromkeys([self._under, ""])
        first, _, rest = wanted.partition("/")
        doubled = rest and first in {"images", _key(self.root.name), _key(self.home.name)}
        names = [wanted, rest] if doubled else [wanted]
        yield from zip([base + wanted for base in bases], (SPELLED, BESIDE), strict=False)
        for base in bases:
            for name in names:
                yield base + name, PLACED
                for folder in (*self._split_folders.get(base, ()), *_FOLDERS):
                    yield f"{base}{folder}/{name}", PLACED

    def _by_base_name(self, wanted: str) -> tuple[str | None, str]:
        """The one picture of this base name; or None, and what there is instead."""
        passed: list[str] = []
        for spelling, (table, rivals) in enumerate(self._bases):
            base = _spelled(wanted, spelling)
            same = [key for key in table.get(base, ()) if not _two_uploads(wanted, key)]
            free = [key for key in same if self._is_free(wanted, key)]
            best = self._different(_closest(wanted, free))
            best = best if len(best) == 1 else [key for key in best if self._in_split(key)]
            mine = len(best) == 1 and _is_only(wanted, best[0], rivals.get(base, []))
            if mine and len(self._index[best[0]]) == 1 and not self._claimed(wanted, best[0]):
                return self._index[best[0]][0], ""
            passed = passed or same
        return None, self._near(wanted, passed)

    def _different(self, keys: list[str]) -> list[str]:
        """Without links to the same file, such as an earlier import makes."""
        if len(keys) < 2:
            return keys
        return list({os.path.realpath(self._path(key)): key for key in reversed(keys)}.values())

    def _near(self, wanted: str, passed: list[str]) -> str:
        if not passed:
            stem = _base(wanted).rpartition(".")[0]
            other = [key for key in self._index if _base(key).rpartition(".")[0] == stem and stem]
            return f"{self._path(other[0])} is there, of another kind" if other else ""
        if len(passed) > 1:
            told = ", ".join(self._path(key) for key in passed[:3])
            return f"{len(passed)} pictures have that name: {told}" + (", …" * (len(passed) > 3))
        why = "another image's"
        if self._foreign(wanted, passed[0]):
            why = "in the folder of another split"
        elif self._is_free(wanted, passed[0]) and self._claimed(wanted, passed[0]):
            why = "named by another split as well"
        return f"{self._path(passed[0])} is there, but is {why}"

    def _path(self, key: str) -> str:
        return self._index[key][0]

    def _is_free(self, wanted: str, key: str) -> bool:
        return key not in self._stated and not self._foreign(wanted, key)

    def _foreign(self, wanted: str, key: str) -> bool:
        """Whether a folder that the record does not state is another split's, and not ours too."""
        own = {*wanted.split("/")[:-1]}
        folders = [_words(one) for one in key.split("/")[:-1] if one not in own]
        return any(self._others & words and not self._words & words for words in folders)

    def _in_split(self, key: str) -> bool:
        return any(self._words & _words(folder) for folder in key.split("/")[:-1])

    def _claimed(self, wanted: str, key: str) -> bool:
        """Whether another split names a picture that is as close to this one."""
        if self._in_split(key):
            return False
        own, base = _shared(wanted, key), _base(wanted).casefold()
        return any(_shared(claim, key) >= own for claim in self._claims.get(base, ()))

    @cached_property
    def _under(self) -> str:
        """What keys of pictures below the image root begin with."""
        under = _key(_relative(self.root, self.home))
        return "" if under == "." else f"{under}/"

    @cached_property
    def _words(self) -> frozenset[str]:
        return split_words(self._file) if self._file else frozenset()

    @cached_property
    def _others(self) -> frozenset[str]:
        return other_split_words(self._file) if self._file else frozenset()

    @cached_property
    def _claims(self) -> dict[str, list[str]]:
        """Base name in small letters -> what the files of the other usual splits state by it."""
        own = _USUAL & self._words
        beside = sorted(self._file.parent.glob("*.json")) if self._file and own else []
        others = [file for file in beside if (its := _USUAL & split_words(file)) and not its & own]
        return _grouped(dict.fromkeys(name for file in others for name in _names_in(file)), 2)

    @cached_property
    def _split_folders(self) -> dict[str, list[str]]:
        """Folder of the index with its `/` -> folders in it that are called like the split."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for key in {key.rpartition("/")[0] for key in self._index}:
            parts = key.split("/")
            for depth, part in enumerate(parts):
                if {part.lower(), without_year(part.lower())} & self._words:
                    found["".join(f"{above}/" for above in parts[:depth])].add(part)
        return {above: sorted(names) for above, names in found.items()}

    @cached_property
    def _stated(self) -> frozenset[str]:
        """Keys of the pictures that are where a record states them to be."""
        return frozenset(self._under + _key(plain_name(image.file_name)) for image in self._images)

    @cached_property
    def _index(self) -> dict[str, list[str]]:
        """Key relative to `home` -> paths; several where only the spelling differs."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        start = len(str(self.home).rstrip("/")) + 1
        for path in _walk(self.home):
            found[_key(path[start:].replace(os.sep, "/"))].append(path)
        return dict(found)

    @cached_property
    def _bases(self) -> list[tuple[dict[str, list[str]], dict[str, list[str]]]]:
        """For each spelling: base name -> keys of pictures, and what records want by it."""
        wanted = {_key(plain_name(image.file_name)) for image in self._images}
        return [(_grouped(self._index, n), _grouped(wanted, n)) for n in range(3)]


def _key(name: str) -> str:
    """The same for every spelling of one path."""
    return unicodedata.normalize("NFC", unquote(name.replace("\\", "/")))


def _base(key: str) -> str:
    return key.rpartition("/")[2]


def _words(folder: str) -> set[str]:
    """The folder's name and its words, also in a row: `day_2_new` -> day, day2, day2new, new, …"""
    words = [word.lower() for word in _WORD.findall(folder)]
    rows = range(len(words)) if len(words) < 12 else ()
    runs = {"".join(words[start : end + 1]) for start in rows for end in rows if start <= end}
    name = folder.lower()
    return {name, without_year(name)} | {run for run in runs if not run.isdecimal()}


def _names_in(file: Path) -> Iterator[str]:
    """Keys of the names that a COCO file states, looked for without reading it as a whole."""
    try:
        with (
            open(local_copy(file), "rb") as handle,
            mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as text,
        ):
            for found in _NAME.finditer(text):
                yield _key(plain_name(json.loads(found[1])))
    except (OSError, ValueError):  # an empty or damaged file; reading it says so
        return


def _spelled(key: str, spelling: int) -> str:
    """The base name: as it is, without the prefix of an upload, in small letters."""
    base = _base(key)
    return (base, _UPLOAD.sub("", base), base.casefold())[spelling]


def _two_uploads(one: str, other: str) -> bool:
    """Label Studio tells different files of one name apart by the prefix."""
    both = _base(one), _base(other)
    return both[0] != both[1] and all(map(_UPLOAD.match, both))


def _grouped(keys: Iterable[str], spelling: int) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for key in keys:
        table.setdefault(_spelled(key, spelling), []).append(key)
    return table


def _closest(wanted: str, keys: Sequence[str]) -> list[str]:
    """The keys that share most folders before the base name."""
    shared = {key: _shared(wanted, key) for key in keys}
    most = max(shared.values(), default=0)
    return [key for key, count in shared.items() if count == most]


def _is_only(wanted: str, key: str, rivals: Sequence[str]) -> bool:
    """Whether no other record's name is as close to this picture."""
    own = _shared(wanted, key)
    if len(rivals) > _RIVALS:
        return False
    return all(_shared(rival, key) < own for rival in rivals if rival != wanted)


def _shared(wanted: str, key: str) -> int:
    parts = zip(reversed(wanted.split("/")[:-1]), reversed(key.split("/")[:-1]), strict=False)
    count = 1
    for one, other in parts:
        if one.casefold() != other.casefold():
            break
        count += 1
    return count


def _relative(path: str | Path, folder: Path) -> str:
    if is_remote(folder):  # the one lies in the other
        return str(path)[len(str(folder)) :].strip("/") or "."
    return Path(os.path.relpath(path, folder)).as_posix()


def _whole(path: Path) -> str:
    return str(path) if is_remote(path) else os.path.abspath(path)


def _walk(top: Path) -> Iterator[str]:
    """Picture files below a folder, in order; links are followed, loops and hidden ones not."""
    if is_remote(top):
        yield from (f"{top}/{name}" for name in listing(top) if is_image_name(name))
        return
    seen: set[tuple[int, int]] = set()
    looked = 0
    for folder, folders, files in os.walk(top, followlinks=True):
        here = os.stat(folder)
        looked += len(files)
        if (here.st_dev, here.st_ino) in seen or looked > _LIMIT:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        for name in sorted(files):
            if is_image_name(name) and not name.startswith("."):
                yield os.path.join(folder, name)


class Placed(PictureFinder):
    """Finds some pictures where they are known to lie, and all others as `other` does."""

    def __init__(self, places: Mapping[str, Path], other: PictureFinder | None = None) -> None:
        super().__init__(other.root if other else Path())
        self._at, self._other = places, other or PictureFinder(Path())

    def find(self, file_name: str) -> Found:
        """See `PictureFinder.find`."""
        place = self._at.get(file_name)
        return self._other.find(file_name) if place is None else Found(place, place.parent)
