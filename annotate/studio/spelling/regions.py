"""What an annotator drew, as part masks; and part masks as regions, for pre-annotations.

Everything that knows how Label Studio spells a result is in this file, `shapes` and `codec`;
what leaves it are `Reading` and `PartMask`. A region that cannot be taken is a problem with a
sentence, never an exception and never a guess, and the raw result stays with the answer.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from annotate.studio.spelling.codec import encode_brush
from annotate.studio.spelling.shapes import Size, Value, draw, geometry_of, resized
from annotate.vocabulary.model import ObjectParts
from annotate.work.complaints import KINDS, Problem, problem
from partlab.errors import MaskError
from partlab.masks import BoolMask, Rle, decode, encode

PART, OBJECT, DISCARD, IMAGE = "part", "object", "discard", "image"
"""Names of the controls and of the picture in the labelling interface."""

BRUSH, POLYGON = "brush", "polygon"
"""Its tools; in projects of earlier versions lists of parts of their own."""

CLICK, BOX = "click", "box"
"""Its tools that ask a model; what they leave behind is no drawing."""

LABELS = {False: "labels", True: "brushlabels"}
"""Under which name a painted region has its label; by whether each tool has a list of parts."""

META, MODEL = "meta", "model"
"""Where a region says which model it came from, as an answer to a click or a box."""

TODO = "todo"
"""In the data of every task: what is to be done that nobody would see otherwise."""

FIRST = "first"
"""In the data of a task that is to be drawn before others: its place among them."""

MIN_PIXELS = 4
"""Blobs with fewer pixels of the shown picture are slips of the mouse."""

Origin = Literal["manual", "prediction", "prediction-changed"]
_ORIGINS: tuple[Origin, ...] = ("manual", "prediction", "prediction-changed")
_SHAPES = frozenset({"brush", "magicwand", "bitmask", "polygon", "vector", "rectangle"})
_Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PartMask:
    """One part of one object instance: the union of everything drawn for it.

    `part` is the part's id, `object` counts the instances from 1 (M-06), `rle` is in the size
    of the data set's image. `origin` tells how much a model helped (D-05): "prediction" was
    taken as it came, "prediction-changed" was changed or added to by hand. `regions` is how
    many regions it was made of, `model` what answered a click or a box with it, if one did.
    """

    part: str
    object: int
    rle: Rle
    origin: Origin = "manual"
    regions: int = 1
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One result, understood.

    `masks` come in the vocabulary's order, one for each part and object instance. `discard` is
    the reason if the annotator refused the image (M-07). `problems` are regions that gave no
    mask; `notes` are things seen that need no action, `specks` says what was dropped as such.
    """

    masks: tuple[PartMask, ...] = ()
    discard: str | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    specks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Region:
    """One region that is understood, but not drawn yet: a mask of a large photo is large."""

    id: str
    part: str
    object: int
    shape: Value
    origin: Origin
    model: str | None


class _RefusedError(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message

    def about(self, id: str) -> Problem:
        return problem(self.kind, f"region {id}: {self.message}")


def read_result(
    result: Any,
    parts: ObjectParts,
    size: Size,
    shown: Size,
    *,
    min_pixels: int = MIN_PIXELS,
    unsaid: Origin = "manual",
    named: bool = False,
) -> Reading:
    """Understand the `result` of one annotation.

    Regions of the same part and object instance are united. Blobs of fewer than `min_pixels`
    pixels of the shown picture are dropped, and told. Where the shown picture is smaller
    than the data set's image, masks are enlarged by the nearest pixel centre (`resized`); where
    both have one size, masks are exactly what the annotator saw.

    Args:
        result: the list of regions, as Label Studio gives it; anything at all is understood.
        parts: the object category's parts; labels are their ids, and a name counts too.
        size: (width, height) of the image in the data set.
        shown: (width, height) of the picture in Label Studio.
        min_pixels: 1 keeps every blob.
        unsaid: the origin of regions that do not say theirs.
        named: labels are part names, as in projects of earlier versions, and an id counts too.
    """
    if not isinstance(result, list):
        return Reading(problems=(problem("broken-result", KINDS["broken-result"].gist + "."),))
    regions: list[_Region] = []
    problems: list[Problem] = []
    notes: list[str] = []
    specks: list[str] = []
    groups, single = _grouped(result)
    labels = _Labels(parts, named)
    for id, items in groups.items():
        if _is_prompt(items):
            problems.append(problem("prompt-left", f"region {id}: {KINDS['prompt-left'].gist}"))
            continue
        try:
            regions.append(_region(id, items, labels, shown, unsaid))
        except _RefusedError as refused:
            problems.append(refused.about(id))
    masks = tuple(_united(regions, parts, _Sheet(size, shown, min_pixels, problems, specks)))
    discard = None
    for item in single:
        if item.get("type") == "choices" and item.get("from_name") == DISCARD:
            discard = _choice(item) or discard
        elif item.get("type") == "relation":
            notes.append(_relation(item, groups, labels))
        else:
            problems.append(_unknown(item))
    return Reading(masks, discard, tuple(problems), tuple(notes), tuple(specks))


def spelled(
    result: Any, parts: ObjectParts, shown: Size, *, named: bool = False
) -> dict[tuple[str, int], list[list[_Item]]]:
    """The regions of each part id and object as they came; those not understood are left out."""
    found: dict[tuple[str, int], list[list[_Item]]] = {}
    labels = _Labels(parts, named)
    for id, items in _grouped(result if isinstance(result, list) else [])[0].items():
        if _is_prompt(items):
            continue
        with suppress(_RefusedError):
            region = _region(id, items, labels, shown, "manual")
            found.setdefault((region.part, region.object), []).append(items)
    return found


def _grouped(result: list[Any]) -> tuple[dict[str, list[_Item]], list[_Item]]:
    """Items of each region by its id (shape, labels and number share one), and the others."""
    groups: dict[str, list[_Item]] = {}
    single: list[_Item] = []
    for position, item in enumerate(result):
        if not isinstance(item, dict):
            single.append({"type": type(item).__name__, "id": f"#{position}"})
        elif isinstance(item.get("type"), str) and _in_region(item["type"], item.get("from_name")):
            groups.setdefault(str(item.get("id", f"#{position}")), []).append(item)
        else:
            single.append(item)
    return groups, single


def _in_region(type: str, control: Any) -> bool:
    shape = type.removesuffix("labels")
    own = control in (CLICK, BOX) or (type == "number" and control == OBJECT)
    return shape in _SHAPES or type == "labels" or own


def _is_prompt(items: Sequence[_Item]) -> bool:
    """Whether this is a click or a box that asked a model, and was neither accepted nor deleted."""
    return any(item.get("from_name") in (CLICK, BOX) for item in items)


def _region(
    id: str, items: Sequence[_Item], labels: "_Labels", shown: Size, unsaid: Origin
) -> _Region:
    values = [item["value"] for item in items if isinstance(item.get("value"), dict)]
    shape = next((value for value in values if geometry_of(value)), None)
    if shape is None:
        raise _RefusedError("unknown-region", "it has no shape that can be read")
    part = labels.part(items)
    for item in items:
        _check_picture(item, shown)
    origin, model = _origin(items, unsaid), _model(items)
    if model is not None and origin == "manual":  # the page calls a copy so
        origin = "prediction-changed"
    return _Region(id, part, _object(values), shape, origin, model)


@dataclass(frozen=True, slots=True)
class _Labels:
    """What labels mean: ids, else names; where they are `named` names, else ids."""

    parts: ObjectParts
    named: bool

    def part(self, items: Sequence[_Item]) -> str:
        """The id of the one part the region is labelled with."""
        found: dict[str, None] = {}
        for item in items:
            type, value = item["type"], item.get("value")
            said = value.get(type) if isinstance(value, dict) and type.endswith("labels") else None
            found |= dict.fromkeys(map(str, said if isinstance(said, list) else []))
        if len(found) != 1:
            if not found:
                words = "nothing says which part it is: click it, and choose one"
                raise _RefusedError("no-label", words)
            words = f"it has {len(found)} labels {', '.join(found)}"
            raise _RefusedError("several-labels", words)
        return self._id(next(iter(found)))

    def _id(self, label: str) -> str:
        by_name = {part.name: part.id for part in self.parts.parts}
        by_id = dict(zip(self.parts.ids, self.parts.ids, strict=True))
        known = by_id | by_name if self.named else by_name | by_id
        if label in known:
            return known[label]
        near = get_close_matches(label, by_name, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"its parts: {', '.join(by_name)}"
        words = f"{self.parts.name} has no part {label!r}; {hint}"
        raise _RefusedError("unknown-label", words)


def _check_picture(item: _Item, shown: Size) -> None:
    stated = (item.get("original_width"), item.get("original_height"))
    if stated != shown:
        raise _RefusedError(
            "wrong-size",
            f"it belongs to a picture of {stated[0]}x{stated[1]} pixels, "
            f"the picture shown has {shown[0]}x{shown[1]}",
        )
    if item.get("image_rotation"):
        raise _RefusedError(
            "rotated", f"the picture was turned by {item['image_rotation']} degrees"
        )


def _object(values: Iterable[_Item]) -> int:
    for value in values:
        if (number := value.get("number")) is not None:
            if number not in range(1, 1000):
                raise _RefusedError("wrong-object", f"{number!r} is not the number of an object")
            return int(number)
    return 1


def _origin(items: Sequence[_Item], unsaid: Origin) -> Origin:
    said = [item.get("origin") for item in items]
    return next((origin for origin in _ORIGINS if origin in said), unsaid)


def _model(items: Sequence[_Item]) -> str | None:
    """What answered with this region: the page keeps what is said beside a region."""
    notes = (item.get(META) for item in items)
    said = (str(note[MODEL]) for note in notes if isinstance(note, dict) and note.get(MODEL))
    return next(said, None)


def _choice(item: _Item) -> str | None:
    value = item.get("value")
    chosen = value.get("choices") if isinstance(value, dict) else None
    return ", ".join(map(str, chosen)) if isinstance(chosen, list) and chosen else None


def _unknown(item: _Item) -> Problem:
    id, type = str(item.get("id", "")), item.get("type")
    return problem("unknown-region", f"region {id}: {type!r} is not known; kept as it is")


def _relation(item: _Item, groups: dict[str, list[_Item]], labels: _Labels) -> str:
    def name(end: str) -> str:
        id = str(item.get(end))
        try:
            return labels.parts.part(labels.part(groups.get(id, []))).name
        except _RefusedError:
            return f"region {id}"

    said = item.get("labels")
    what = ", ".join(map(str, said)) if isinstance(said, list) and said else "is related to"
    return f"relation: {name('from_id')} {what} {name('to_id')}"


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The picture that regions are drawn on, and what there is to say of them."""

    size: Size
    shown: Size
    min_pixels: int
    problems: list[Problem]
    specks: list[str]

    @property
    def speck_limit(self) -> int:
        """In pixels of the data set's image."""
        ratio = self.size[0] * self.size[1], max(self.shown[0] * self.shown[1], 1)
        return max(self.min_pixels * ratio[0] // ratio[1], 1)

    def draw(self, region: _Region) -> BoolMask | None:
        """The region's mask; None, and a problem, when it has none."""
        try:
            mask = draw(region.shape, self.size, self.shown)
            if not mask.any():
                words = f"{region.part}: no pixel is inside; delete it, or draw it"
                raise _RefusedError("empty-mask", words)
        except MaskError as error:
            broken = _RefusedError("broken-mask", f"{region.part}: {error.message}")
            self.problems.append(broken.about(region.id))
        except _RefusedError as refused:
            self.problems.append(refused.about(region.id))
        else:
            return mask
        return None


def _united(regions: Sequence[_Region], parts: ObjectParts, sheet: _Sheet) -> Iterator[PartMask]:
    """One mask at a time for each part of each object."""
    groups: dict[tuple[int, int], list[_Region]] = {}
    for region in regions:
        groups.setdefault((parts.ids.index(region.part), region.object), []).append(region)
    for (_, object), group in sorted(groups.items()):
        whole: BoolMask | None = None
        drawn: list[_Region] = []
        for region in group:
            if (mask := sheet.draw(region)) is not None:
                whole = mask if whole is None else whole | mask
                drawn.append(region)
        if whole is None:
            continue
        part = group[0].part
        mask, specks = without_specks(whole, sheet.speck_limit)
        if specks:
            pixels = int(whole.sum() - mask.sum())
            sheet.specks.append(f"{part}: {_specks(specks, pixels)} dropped")
        if mask.any():
            origin, count = _common(drawn), len(drawn)
            model = next((one.model for one in drawn if one.model), None)
            yield PartMask(part, object, encode(mask), origin, count, model)


def _specks(count: int, pixels: int) -> str:
    size = f"{pixels} pixel" if pixels == 1 else f"{pixels} pixels"
    return f"1 speck of {size}" if count == 1 else f"{count} specks of {size} in all"


def _common(regions: Sequence[_Region]) -> Origin:
    found = {region.origin for region in regions}
    return found.pop() if len(found) == 1 else "prediction-changed"


def without_specks(mask: BoolMask, limit: int) -> tuple[BoolMask, int]:
    """The mask without its blobs (pixels touching by side or corner) of under `limit` pixels.

    Returns the mask and how many blobs were dropped.
    """
    if limit <= 1:
        return mask, 0
    import cv2

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return mask, 0
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    _, blobs, statistics, _ = cv2.connectedComponentsWithStats(mask[box].astype(np.uint8))
    small = statistics[:, cv2.CC_STAT_AREA] < limit
    small[0] = False  # the background
    if not small.any():
        return mask, 0
    kept = mask.copy()
    kept[box] &= ~small[blobs]
    return kept, int(small.sum())


def regions_of(
    masks: Iterable[PartMask],
    parts: ObjectParts,
    shown: Size,
    *,
    named: bool = False,
    two_lists: bool = False,
) -> list[dict[str, Any]]:
    """Part masks as brush regions of a picture of `shown` (width, height) pixels.

    What `read_result` reads from them is the masks again, bit for bit, where the picture shown
    has the size of the masks. Masks without a pixel (in that size) are left out. `named` is as in
    `read_result`, `two_lists` as in `shaped`.

    Raises:
        UnknownNameError: a mask is of a part that the object does not have.
        MaskError: a mask cannot be decoded.
    """
    regions: list[dict[str, Any]] = []
    for number, mask in enumerate(masks):
        pixels = resized(decode(mask.rle), shown)
        if not pixels.any():
            continue
        head = head_of(f"r{number}", shown)
        brush = brush_of(pixels)
        label = label_of(mask.part, parts, named=named)
        regions += shaped(BRUSH, head, brush, label, two_lists=two_lists)
        if mask.object != 1:
            number_of = {"number": mask.object}
            regions.append({**head, "from_name": OBJECT, "type": "number", "value": number_of})
    return regions


def head_of(id: str, shown: Size) -> _Item:
    """What every item of a region says, of a picture of `shown` (width, height) pixels."""
    return {
        "id": id,
        "to_name": IMAGE,
        "original_width": shown[0],
        "original_height": shown[1],
        "image_rotation": 0,
    }


def brush_of(mask: BoolMask) -> _Item:
    """The geometry of a brush region, from its (height, width) mask."""
    return {"format": "rle", "rle": encode_brush(mask)}


def shaped(
    tool: str, head: _Item, shape: Value, label: str, *, two_lists: bool = False
) -> list[_Item]:
    """One region as Label Studio wants it: the shape by its tool, and again with its label.

    In projects of earlier versions, with `two_lists` of parts, the tool's own list labels it.
    """
    if two_lists:
        type = f"{tool}labels"
        return [{**head, "from_name": tool, "type": type, "value": {**shape, type: [label]}}]
    return [
        {**head, "from_name": tool, "type": tool, "value": dict(shape)},
        {**head, "from_name": PART, "type": "labels", "value": {**shape, "labels": [label]}},
    ]


def label_of(id: str, parts: ObjectParts, *, named: bool = False) -> str:
    """What a region of this part is labelled with; `named` is as in `read_result`.

    Raises:
        UnknownNameError: the object has no such part.
    """
    part = parts.part(id)
    return part.name if named else part.id
