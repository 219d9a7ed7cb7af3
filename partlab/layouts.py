"""Where the COCO files of a data set folder lie, and what their splits are called.

    annotations/<split>.json          ours; also instances_val2017.json and its like
    annotations.json | result.json    one file beside its pictures (Label Studio, FiftyOne)
    train/_annotations.coco.json      a folder for each split, pictures inside (Roboflow)

Other JSON files lie in the same folders (captions, key points, settings). They are passed over
and named; a file that cannot be read is not, so that a damaged split is never taken for one.
"""

import json
import logging
import mmap
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from partlab.errors import NotFoundError
from partlab.files import local_copy
from partlab.places import is_remote, located

log = logging.getLogger(__name__)

_LISTS = ("images", "annotations", "categories")
_WHOLE = 1 << 22  # files up to so many bytes are parsed, of larger ones the keys are looked for
_STRANGERS = 20  # so many files in a row that are no part data: the folder holds another format
_FAMILIES = (
    ("train", "training"),
    ("val", "valid", "validation", "dev"),
    ("test", "testing"),
)
_SPLIT_FOLDER = re.compile(
    rf"({'|'.join(name for family in _FAMILIES for name in family)})([-_]?(\d*|set|images|data))",
    re.IGNORECASE,
)
_SAYS_NOTHING = re.compile(
    r"_?annotations?(\.coco)?|coco(_annotations?)?|instances(_default)?|labels?|result|data|export",
    re.IGNORECASE,
)
_PREFIX = re.compile(
    r"^_?(instances|annotations?|labels?|coco|captions|person_keypoints|panoptic)[_.-]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Layout:
    """The COCO file of each split, and why other JSON files beside them are none of it."""

    splits: dict[str, Path] = field(default_factory=dict)
    passed_over: dict[Path, str] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """One sentence on what was passed over, or nothing."""
        if not self.passed_over:
            return ""
        told = [f"{path.name} ({why})" for path, why in islice(self.passed_over.items(), 5)]
        more = len(self.passed_over) - len(told)
        return f"passed over, no part data: {', '.join(told)}" + (f", {more} more" if more else "")


def find_splits(path: str | Path) -> dict[str, Path]:
    """Name -> COCO file, for a data set folder or a single file; says what was passed over.

    Raises:
        NotFoundError: nothing there looks like a part data set.
    """
    path = located(path)
    found = find_layout(path)
    if found.splits:
        if found.note:
            _say(f"{path}: {found.note}")
        return found.splits
    if found.note:
        raise NotFoundError(
            f"{path} holds no part data; {found.note}",
            hint="name the right file itself, or convert another format with partlab data import",
        )
    what = "is empty or has no" if path.is_dir() else "does not exist, so it has no"
    raise NotFoundError(
        f"{path} {what} annotations/*.json",
        hint="name a part data set folder, convert another format with partlab data import, "
        "or make one: partlab data make-world --out world",
    )


@lru_cache(maxsize=256)
def _say(sentence: str) -> None:
    """Once: a command looks for the splits more often than a person wants to read of it."""
    log.info(sentence)


def find_layout(path: str | Path) -> Layout:
    """The splits of a folder or a single file; empty where there are none."""
    path = located(path)
    if path.is_file():
        return Layout({split_of(path): path})
    if (path / "annotations.json").is_file():
        return Layout({"annotations": path / "annotations.json"})
    passed: dict[Path, str] = {}
    for files in (path / "annotations").glob("*.json"), path.glob("*.json"):
        if splits := _named(_part_data(files, passed), by_folder=False):
            return Layout(splits, passed)
    return Layout(_named(_part_data(_in_folders(path), passed), by_folder=True), passed)


def _in_folders(path: Path) -> Iterable[Path]:
    """JSON files of folders that are called like a split, or that Roboflow wrote."""
    folders = [*path.glob("*/"), *path.glob("annotations/*/")]
    for folder in (one for one in folders if one.is_dir()):
        if _SPLIT_FOLDER.fullmatch(folder.name):
            yield from folder.glob("*.json")
        else:
            yield from folder.glob("_annotations.coco.json")


def split_folders(path: Path) -> dict[str, Path]:
    """Name of the split -> folder, for folders in `path` that are called like one."""
    folders = sorted(path.glob("*/")) if path.is_dir() else []
    named = [one for one in folders if _SPLIT_FOLDER.fullmatch(one.name)]
    found = {family_name(one.name): one for one in named}
    return found if len(found) == len(named) else {one.name: one for one in named}


def _part_data(files: Iterable[Path], passed: dict[Path, str]) -> list[Path]:
    kept: list[Path] = []
    for position, file in enumerate(sorted(files)):
        if position == _STRANGERS and not kept:
            break
        if reason := why_no_part_data(file):
            passed[file] = reason
        else:
            kept.append(file)
    return kept


def _named(files: list[Path], *, by_folder: bool) -> dict[str, Path]:
    names = [_of_folder(file) if by_folder else split_of(file) for file in files]
    if len({*names}) < len(names):  # several files in one folder
        names = [f"{name}-{file.stem}" for name, file in zip(names, files, strict=True)]
    for file, name in zip(files, names, strict=True):
        if name not in (file.stem, file.parent.name):
            _say(f"{file} is the split {name}")
    return dict(zip(names, files, strict=True))


def split_of(file: Path) -> str:
    """The split's name: the file's, or its folder's where the file's says nothing.

    Folders called valid, validation or dev are the split `val`.
    """
    folder = file.absolute().parent.name
    said_by_folder = _SPLIT_FOLDER.fullmatch(folder) or file.name == "_annotations.coco.json"
    return _of_folder(file) if said_by_folder and _SAYS_NOTHING.fullmatch(file.stem) else file.stem


def _of_folder(file: Path) -> str:
    return family_name(file.absolute().parent.name)


def family_name(folder: str) -> str:
    """The split that a folder or a word names: `valid`, `validation` and `dev` are `val`."""
    return next((family[0] for family in _FAMILIES if folder.lower() in family), folder)


def split_words(file: Path) -> frozenset[str]:
    """What folders of this split's pictures may be called, in small letters.

    `annotations/instances_Val2017.json`: instances_val2017, val2017, val, valid, dev, …
    """
    if file.is_dir():
        return frozenset()
    words = {split_of(file).lower(), file.stem.lower(), _PREFIX.sub("", file.stem).lower()}
    words |= {*map(without_year, words)}
    kin = {name for family in _FAMILIES if words & {*family} for name in family}
    return frozenset(word for word in words | kin if not _SAYS_NOTHING.fullmatch(word))


def other_split_words(file: Path) -> frozenset[str]:
    """What folders of other splits may be called: of the files beside this one, and the usual."""
    mine = split_words(file)
    siblings = [] if file.is_dir() else file.parent.glob("*.json")
    found = {word for sibling in siblings for word in split_words(sibling)}
    if any(mine & {*family} for family in _FAMILIES):
        found |= {name for family in _FAMILIES for name in family}
    return frozenset(found - mine)


def without_year(word: str) -> str:
    """`val2017` -> `val`, as MS-COCO calls its folders."""
    return re.sub(r"\d{4}$", "", word)


def home_of(file: Path) -> Path:
    """The data set's folder: the file's own, or the one above `annotations/`."""
    if file.is_dir():
        return file
    return file.parent.parent if file.parent.name == "annotations" else file.parent


def image_root(file: Path, stated: Any = None) -> Path:
    """The folder that file names are relative to: as stated, else `images/`, else the home."""
    if isinstance(stated, str) and (folder := _beside(file, stated)).is_dir():
        return folder
    home = home_of(file)
    return home / "images" if (home / "images").is_dir() else home


def _beside(file: Path, stated: str) -> Path:
    """A place as seen from the file's folder; object stores know no `..`."""
    folder = file.parent / stated
    return folder.resolve() if is_remote(folder) else folder


def why_no_part_data(file: Path) -> str:
    """Why a JSON file is certainly not COCO part data, or nothing; damaged files may be."""
    try:
        file = local_copy(file)
        if file.stat().st_size > _WHOLE:
            return _why_not_large(file)
        loaded = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return ""
    if not isinstance(loaded, dict):
        return "its top level is not an object"
    missing = next((name for name in _LISTS if not isinstance(loaded.get(name), list)), None)
    if missing:
        return f"no list {missing!r}"
    if any(isinstance(one, dict) and "keypoints" in one for one in loaded["categories"]):
        return "its categories have key points"
    if any(isinstance(one, dict) and "segments_info" in one for one in loaded["annotations"][:3]):
        return "panoptic segments"
    return ""


def _why_not_large(file: Path) -> str:
    """The same by looking for the keys, since parsing a gigabyte twice takes long."""
    with open(file, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if b"\0" in text[:4]:  # UTF-16 or UTF-32
            return ""
        places = {name: text.find(f'"{name}"'.encode()) for name in _LISTS}
        missing = next((name for name, place in places.items() if place < 0), None)
        if missing:  # a file that was cut off ends otherwise
            return f"no list {missing!r}" if text[-64:].rstrip()[-1:] in b"}]" else ""
        if b'"keypoints"' in text[places["categories"] : places["categories"] + (1 << 12)]:
            return "its categories have key points"
        if b'"segments_info"' in text[places["annotations"] : places["annotations"] + (1 << 16)]:
            return "panoptic segments"
    return ""
