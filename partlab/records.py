"""The three lists of a COCO file: each record spelled as COCO has it, or set aside with the reason.

Ids as text or floats are numbers, in all three lists alike; ids that are no numbers get free ones
(the text stays under `partlab.text_id`). A size that is not stated becomes 0 x 0 here, and is read
from the picture later. A record that was well spelled stays the very object that was read.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from partlab.errors import MaskError
from partlab.spelling import number, spelled, whole

LISTS = ("images", "annotations", "categories")
Raw = dict[str, Any]
_LARGEST = 2**63 - 1  # what numpy can hold; a larger side is none


@dataclass
class Records:
    """What was read of one file; `broken` entries say list, position, reason and record."""

    images: list[Raw] = field(default_factory=list)
    annotations: list[Raw] = field(default_factory=list)
    categories: list[Raw] = field(default_factory=list)
    broken: list[Raw] = field(default_factory=list)
    respelled: list[str] = field(default_factory=list)  # list and position of changed records

    @property
    def first_fault(self) -> str:
        """The first record set aside, and why."""
        entry = self.broken[0]
        return f"{entry.get('list')}[{entry.get('position')}] {entry.get('reason')}"


class _Fault(Exception):
    """Why one record cannot be read."""


def read_records(lists: dict[str, list[Any]]) -> Records:
    """Bring the lists `images`, `annotations` and `categories` (any of them) to COCO's spelling."""
    found = Records()
    numbers = {name: _Numbers(raws) for name, raws in lists.items()}
    steps: dict[str, Callable[[Raw], Raw]] = {
        "images": lambda raw: _image(raw, numbers["images"]),
        "categories": lambda raw: _category(raw, numbers["categories"]),
        "annotations": lambda raw: _annotation(raw, numbers),
    }
    for name, step in steps.items():
        if name in lists:
            _read_list(found, name, lists[name], step)
    _turn_sizes(found)
    return found


def _read_list(found: Records, name: str, raws: list[Any], step: Callable[[Raw], Raw]) -> None:
    whole_ones: list[Raw] = getattr(found, name)
    for position, raw in enumerate(raws):
        try:
            changes = step(_object(raw))
        except _Fault as fault:
            entry = {"list": name, "position": position, "reason": str(fault), "record": raw}
            found.broken.append(entry)
            continue
        if changes:
            found.respelled.append(f"{name}[{position}] {', '.join(map(repr, changes))}")
            raw = {**raw, **changes}
        whole_ones.append(raw)


def _object(raw: Any) -> Raw:
    if type(raw) is not dict:
        raise _Fault("is not an object")
    if "partlab" in raw and type(raw["partlab"]) is not dict:
        raise _Fault("has a 'partlab' that is not an object")
    return raw


class _Numbers:
    """Numbers of the ids of one list; texts that are no numbers get free ones, in order."""

    def __init__(self, raws: list[Any]) -> None:
        stated = [whole(raw.get("id")) for raw in raws if type(raw) is dict]
        texts = dict.fromkeys(one for one in stated if type(one) is str and one.strip())
        self.free = count(max((one for one in stated if type(one) is int), default=0) + 1)
        self.of_text = {text: next(self.free) for text in texts}

    def __call__(self, raw: Raw, key: str) -> int:
        value = whole(raw.get(key))
        if type(value) is str and value in self.of_text:
            return self.of_text[value]
        if type(value) is int:
            return value
        raise _Fault(_lacks(raw, key, "a number"))


def _lacks(raw: Raw, key: str, wanted: str) -> str:
    if key not in raw:
        return f"has no {key!r}"
    shown = json.dumps(raw[key], ensure_ascii=False, default=str)
    return f"has the {key!r} {shown[:40]}, which is not {wanted}"


def _ids(raw: Raw, **numbers: _Numbers) -> Raw:
    """The ids that change; a text that was an id of its own is kept."""
    changes: Raw = {}
    for key, of in numbers.items():
        if type(raw.get(key)) is not int:
            changes[key] = of(raw, key)
    if "id" in changes and type(text := whole(raw["id"])) is str:
        changes["partlab"] = {**raw.get("partlab", {}), "text_id": text}
    return changes


def _text(raw: Raw, key: str) -> None:
    if type(raw.get(key)) is not str:
        raise _Fault(_lacks(raw, key, "text"))


def _image(raw: Raw, numbers: _Numbers) -> Raw:
    changes = _ids(raw, id=numbers)
    _text(raw, "file_name")
    for side in ("width", "height"):
        stated = whole(raw.get(side))
        if type(stated) is not int or stated > _LARGEST:
            stated = 0
        if stated is not raw.get(side):
            changes[side] = stated
    return changes


def _category(raw: Raw, numbers: _Numbers) -> Raw:
    changes = _ids(raw, id=numbers)
    _text(raw, "name")
    return changes


def _annotation(raw: Raw, numbers: dict[str, _Numbers]) -> Raw:
    own = numbers["annotations"]
    changes: Raw = {"id": next(own.free)} if raw.get("id") is None else _ids(raw, id=own)
    changes |= _ids(raw, image_id=numbers["images"], category_id=numbers["categories"])
    for key, new in _values(raw):
        if new is not raw.get(key):
            changes[key] = new
    return changes


def _values(raw: Raw) -> Iterator[tuple[str, Any]]:
    yield "segmentation", spelled(raw.get("segmentation"))
    if type(raw.get("area")) is str:
        yield "area", number(raw["area"])
    box = raw.get("bbox")
    if type(box) is list and str in set(map(type, box)):
        yield "bbox", [number(value) for value in box]
    if "iscrowd" in raw and type(raw["iscrowd"]) is not int:
        stated = whole(raw["iscrowd"])
        yield "iscrowd", int(stated or 0) if stated is None or type(stated) is bool else stated


def _turn_sizes(found: Records) -> None:
    """Masks whose size is written width, height: read where the stated box proves it."""
    sizes = {raw["id"]: [raw["height"], raw["width"]] for raw in found.images}
    for position, raw in enumerate(found.annotations):
        mask, size = raw.get("segmentation"), sizes.get(raw["image_id"])
        if type(mask) is not dict or not size or mask.get("size") == size:
            continue
        if mask.get("size") == size[::-1] and _is_turned(raw, size):
            found.annotations[position] = {**raw, "segmentation": {**mask, "size": size}}
            found.respelled.append(f"annotations[{position}] 'segmentation'")


def _is_turned(raw: Raw, size: list[int]) -> bool:
    """Whether the mask has the stated box if its size is the image's, and only then."""
    mask = raw["segmentation"]
    return _has_box(raw, {**mask, "size": size}) and not _has_box(raw, mask)


def _has_box(raw: Raw, mask: Raw) -> bool:
    from partlab.masks import bbox, from_segmentation  # numpy only where masks are looked at

    box = raw.get("bbox")
    if type(box) is not list or not all(type(side) in (int, float) for side in box):
        return False
    try:
        true = bbox(from_segmentation(mask, *mask["size"]))
    except MaskError:
        return False
    return len(box) == 4 and all(abs(a - b) <= 1 for a, b in zip(box, true, strict=True))
