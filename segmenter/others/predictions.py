"""What another tool found, as COCO results: read, checked, and its names matched with ours."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from partlab.errors import MaskError, SchemaError
from partlab.files import read_json
from partlab.masks import from_segmentation
from partlab.parts import folded, join_name
from partlab.schema import Category, Dataset, Image
from partlab.spelling import number, whole
from segmenter.ap import Of, Result

Table = Mapping[str, tuple[str, str]]
"""A category as the file calls it -> (object, part) in the data set; ("", "") leaves it out."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one model found in the images of a data set, with its own category ids.

    `results` are COCO's records by image id of the data set: masks as run lengths, or boxes
    (`of`). `left_out` is why records do not count, and how many of each.
    """

    names: Mapping[int, str]  # category id -> what the model calls it
    results: Mapping[int, Sequence[Result]]
    of: Of = "segm"
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.results.values()))


def read_predictions(path: Path, data: Dataset, ids: Path | None = None) -> Predictions:
    """COCO results: a list of records, or a COCO file whose annotations have scores.

    The ids in a list are those of `data`; or those of the COCO file `ids`, whose images are then
    found in `data` by file name. A COCO file states its own. Records that cannot be used are
    counted, never an error while others can.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it holds no COCO results, or none that can be used.
    """
    loaded = read_json(path, share_floats=True)
    records, spoken = _records(loaded, path)
    if spoken is None and ids is not None:
        spoken = read_json(ids, share_floats=True)
        if not isinstance(spoken, dict):
            raise SchemaError(f"{ids} is not a COCO file: its top level is not an object")
    spoken = spoken or {}
    images = _images(spoken.get("images") or (), data)
    names = _names(spoken.get("categories") or (), data)
    of: Of = "segm" if any(_has(record, "segmentation") for record in records) else "bbox"
    kept: defaultdict[int, list[Result]] = defaultdict(list)
    lost: Counter[str] = Counter()
    for record in records:
        found = _checked(record, images, names, of)
        if isinstance(found, str):
            lost[found] += 1
        else:
            kept[found["image_id"]].append(found)
    if not kept:
        raise SchemaError(
            f"{path} has no prediction that can be used"
            + "".join(f"; {count} {why}" for why, count in lost.items()),
            hint="its ids are those of the data set, or of the COCO file that --ids names",
        )
    return Predictions(names, kept, of, lost)


def _records(loaded: Any, path: Path) -> tuple[list[Any], dict[str, Any] | None]:
    """The records, and the file itself where it says what its ids mean."""
    if isinstance(loaded, list):
        return loaded, None
    if isinstance(loaded, dict) and isinstance(loaded.get("annotations"), list):
        return loaded["annotations"], loaded
    raise SchemaError(
        f"{path} holds no COCO results: neither a list of records nor a COCO file",
        hint="a record has image_id, category_id, score, and segmentation or bbox",
    )


def _images(spoken: Iterable[Any], data: Dataset) -> dict[Any, Image]:
    """Their image id -> our image: by file name where they list images, else by id."""
    whose = {image.file_name: image for image in data.images}
    bare: defaultdict[str, list[Image]] = defaultdict(list)
    for image in data.images:
        bare[PurePosixPath(image.file_name).name].append(image)
    only = {name: images[0] for name, images in bare.items() if len(images) == 1}
    listed = [one for one in spoken if isinstance(one, dict)]
    if not listed:
        return dict(data.image_by_id)
    found: dict[Any, Image] = {}
    for one in listed:
        name = str(one.get("file_name", ""))
        if ours := whose.get(name) or only.get(PurePosixPath(name).name):
            found[whole(one.get("id"))] = ours
    return found


def _names(spoken: Iterable[Any], data: Dataset) -> dict[int, str]:
    """Their category id -> what they call it: `object:part` where they name both."""
    listed = [Category(one) for one in spoken if isinstance(one, dict) and "id" in one]
    if not listed:
        return {category.id: category.name for category in data.categories}
    return {
        whole(one.id): str(one.raw.get("name", "")) if one.stands_alone else one.name
        for one in listed
    }


def _has(record: Any, key: str) -> bool:
    return isinstance(record, dict) and bool(record.get(key))


def _checked(
    record: Any, images: Mapping[Any, Image], names: Mapping[int, str], of: Of
) -> Result | str:
    """The record with our image id and its pixels readable, or why it does not count."""
    if not isinstance(record, dict):
        return "no records"
    image, category = images.get(whole(record.get("image_id"))), whole(record.get("category_id"))
    score = number(record.get("score", (record.get("partlab") or {}).get("score")))
    if image is None:
        return "of images that the data set does not have"
    if category not in names:
        return "of categories without a name"
    if not isinstance(score, int | float) or not math.isfinite(score):
        return "without a score"
    if not _has(record, "segmentation" if of == "segm" else "bbox"):
        return "without a mask" if of == "segm" else "without a box"
    try:
        shape = _shape(record, image, of)
    except (MaskError, TypeError, ValueError):
        return "whose mask cannot be drawn" if of == "segm" else "whose box is none"
    return {"image_id": image.id, "category_id": category, "score": float(score), **shape}


def _shape(record: Mapping[str, Any], image: Image, of: Of) -> Result:
    if of == "segm":
        return {
            "segmentation": from_segmentation(record["segmentation"], image.height, image.width)
        }
    box = [float(side) for side in record["bbox"]]
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(box)
    return {"bbox": box}


@dataclass(frozen=True, slots=True)
class NameMap:
    """What a model's names are in the data set: their name -> ours."""

    same: Mapping[str, str]  # spelled alike
    alike: Mapping[str, str]  # alike without case and signs, and no second one is
    table: Mapping[str, str]  # said by a person
    left_out: tuple[str, ...]  # a person said that they are not to count
    unknown: tuple[str, ...]  # in none of these

    @property
    def all(self) -> Mapping[str, str]:
        """Every name that has one of ours."""
        return {**self.same, **self.alike, **self.table}


def match_names(theirs: Iterable[str], ours: Sequence[str], table: Table | None = None) -> NameMap:
    """Match a model's names with part names `object:part`; what the table says comes first.

    Raises:
        SchemaError: the table names a part that the data set does not have.
    """
    names = list(dict.fromkeys(theirs))
    said = {name: _said(table[name], ours) for name in names if name in (table or {}) and table}
    free = [name for name in names if name not in said]
    same = {name: name for name in free if name in set(ours)}
    alike = _alike([name for name in free if name not in same], ours)
    return NameMap(
        same,
        alike,
        {name: target for name, target in said.items() if target},
        tuple(name for name, target in said.items() if not target),
        tuple(name for name in free if name not in same and name not in alike),
    )


def _said(pair: tuple[str, str], ours: Sequence[str]) -> str:
    owner, part = pair
    name = join_name(owner, part or owner) if owner else ""
    if name and name not in ours:
        raise SchemaError(
            f"the table names the part {name!r}, which the data set does not have",
            hint="list its parts: partlab data stats DATA --all",
        )
    return name


def _alike(theirs: Sequence[str], ours: Sequence[str]) -> dict[str, str]:
    """`Dog's head` and `dog_head` are `dog:head`, if no other part is spelled so."""
    spelled: defaultdict[str, list[str]] = defaultdict(list)
    for name in ours:
        spelled[_heard(name)].append(name)
    found = {name: spelled.get(_heard(name), []) for name in theirs}
    return {name: targets[0] for name, targets in found.items() if len(targets) == 1}


def _heard(name: str) -> str:
    return folded(name.replace("'s ", " ").replace("’s ", " ").replace(":", " "))
