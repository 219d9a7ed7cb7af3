"""ADE20K with its parts: PNGs of classes and instances beside each picture, and a list in text.

    a/abbey/ADE_train_1.jpg
    a/abbey/ADE_train_1_seg.png        objects: blue is the instance, by the rank of its value
    a/abbey/ADE_train_1_parts_1.png    parts of objects; _parts_2.png parts of parts, and so on
    a/abbey/ADE_train_1_atr.txt        `instance # level # occluded # names # name # attributes`

A part belongs to the object that most of its pixels lie in; a part of a part belongs to that object
too, and lies in the part (an inclusion). Objects without parts are left out and counted: the data
set names thousands of things, walls and skies. The first of several names of a thing is taken.
This is the release of 2016; that of 2021 is in `ade20k_json`.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from annotate.data.formats import Source
from annotate.data.formats.ade20k_json import Pairs as _Pairs
from annotate.data.formats.ade20k_json import is_of_2021, read_2021
from annotate.data.formats.gather import Gathered
from annotate.data.formats.layout import Layout
from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_lines
from partlab.inclusions import spelled
from partlab.layouts import family_name
from partlab.masks import encode
from partlab.progress import track
from partlab.schema import Dataset

log = logging.getLogger(__name__)

_LIST, _OBJECTS = "_atr.txt", "_seg.png"
_GLANCE = 300  # folders that are looked into to know the format
_Names = dict[tuple[int, int], str]  # (level, instance) -> name
_Map = NDArray[np.int64]


class Ade20kLayout(Layout):
    """Format of ADE20K's full releases."""

    title = "ADE20K (full, with parts)"
    one_split = False

    def fits(self, path: Path) -> bool:
        """A folder with *_seg.png somewhere, and *_atr.txt or ADE20K's *.json beside it."""
        for folder, _, files in islice(os.walk(path), _GLANCE):
            if first := next((name for name in files if name.endswith(_OBJECTS)), None):
                return any(one.is_file() for one in _lists_of(Path(folder) / first))
        return False

    def read(self, source: Source) -> dict[str, Dataset]:
        """The folders training and validation as train and val; else all as `all`."""
        maps = sorted(source.path.rglob(f"*{_OBJECTS}"))
        files = [next((one for one in _lists_of(m) if one.is_file()), None) for m in maps]
        lists = [*dict.fromkeys([*source.path.rglob(f"*{_LIST}"), *filter(None, files)])]
        if not lists:
            raise NotFoundError(
                f"{source.path} has no *{_LIST}, and no ADE_*.json beside *{_OBJECTS}",
                hint="get the full ADE20K (with parts, not the scene parsing benchmark), and name "
                "its folder images",
            )
        root = source.images or source.path
        found: dict[str, tuple[Gathered, _Pairs]] = {}
        for file in track(sorted(lists), "pictures", total=len(lists)):
            split = _split(file.relative_to(source.path))
            gathered, pairs = found.setdefault(split, (Gathered(source, self.title), set()))
            _read(file, source.path, gathered, pairs)
        return {split: _whole(*both, source.path, root) for split, both in found.items()}


def _lists_of(file: Path) -> Iterator[Path]:
    """Where the names in a map of objects may be told: the release of 2016, and that of 2021."""
    stem = file.name.removesuffix(_OBJECTS)
    yield file.with_name(stem + _LIST)
    if (newer := file.with_name(f"{stem}.json")).is_file() and is_of_2021(newer):
        yield newer


def _split(file: Path) -> str:
    names = {"training": "train", "validation": "val"}
    known = (names.get(part.lower(), family_name(part)) for part in file.parts[:-1])
    return next((name for name in known if name in ("train", "val", "test")), "all")


def _whole(gathered: Gathered, pairs: _Pairs, top: Path, root: Path) -> Dataset:
    gathered.say()
    owners = sorted({owner for owner, _, _ in pairs})
    inside = {o: spelled(sorted((i, out) for own, i, out in pairs if own == o)) for o in owners}
    return replace(gathered.dataset(top, root), inclusions=inside)


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(file.name.removesuffix(_LIST) + ending)


def _read(file: Path, top: Path, gathered: Gathered, pairs: _Pairs) -> None:
    try:
        if file.suffix == ".json":
            return read_2021(file, top, gathered, pairs)
        names = _names(file)
        deepest = max((level for level, _ in names), default=0)
        levels = [_instances(_beside(file, _OBJECTS))]
        for level in range(1, deepest + 1):
            levels.append(_instances(_beside(file, f"_parts_{level}.png")))
        if any(one.shape != levels[0].shape for one in levels):
            raise SchemaError(f"{file}: its masks have different sizes")
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, SchemaError) as error:
        gathered.pass_over("picture", "of which a file cannot be read")
        log.warning("%s: %s", file, error)
        return None
    name = _beside(file, ".jpg").relative_to(top).as_posix()
    image = gathered.image(name, (levels[0].shape[1], levels[0].shape[0]))
    owners = set()
    for level, here in enumerate(levels[1:], 1):
        for number in np.unique(here[here > 0]).tolist():
            where = here == number
            owner, outer = _most(levels[0], where), _most(levels[level - 1], where)
            label, owned = names.get((level, number), ""), names.get((0, owner), "")
            if not owned:
                gathered.pass_over("part", "in no object")
                gathered.set_aside(image, label, "lies in no object")
                continue
            owners.add(owner)
            rle = encode(where)
            gathered.mask(image, label, rle, object=owned, object_id=owner, provenance="human")
            if level > 1 and label and (around := names.get((level - 1, outer))):
                pairs.add((owned, label, around))
    objects = len(np.unique(levels[0][levels[0] > 0]))
    gathered.pass_over("object", "without parts", objects - len(owners))
    return None


def _names(file: Path) -> _Names:
    found: _Names = {}
    for line in read_lines(file):
        number, level, _, names, *_ = (word.strip() for word in line.split("#"))
        found[int(level), int(number)] = names.partition(",")[0].strip()
    return found


def _instances(path: Path) -> _Map:
    """Number of the instance at each pixel, shape (height, width); 0 is none."""
    with PillowImage.open(path) as picture:
        blue = np.asarray(picture.convert("RGB"))[..., 2]
    values, ranks = np.unique(blue, return_inverse=True)
    first = 0 if values[0] == 0 else 1  # where all of a picture is something
    numbers: _Map = ranks.reshape(blue.shape).astype(np.int64) + first
    return numbers


def _most(around: _Map, where: NDArray[np.bool_]) -> int:
    """The instance that most of these pixels lie in; 0 if they lie in none."""
    counts = Counter(around[where].tolist())
    counts.pop(0, None)
    return int(counts.most_common(1)[0][0]) if counts else 0


layout = Ade20kLayout()
