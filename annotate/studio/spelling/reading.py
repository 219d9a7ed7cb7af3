"""What an annotator drew, as part masks.

Everything that knows how Label Studio spells a result is in this file, `uniting`, `shapes` and
`codec`, and in `writing`, the way back; what leaves them are `Reading` and `PartMask`. A region
that cannot be taken is a problem with a sentence, never an exception and never a guess, and the
raw result stays with the answer.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from annotate.studio.spelling.names import BOX, CLICK, DISCARD, META, MODEL, OBJECT
from annotate.studio.spelling.shapes import Size, geometry_of
from annotate.studio.spelling.uniting import (
    Origin,
    PartMask,
    RefusedError,
    Region,
    Sheet,
    united,
)
from annotate.vocabulary.model import ObjectParts
from annotate.work.complaints import KINDS, Problem, problem

MIN_PIXELS = 4
"""Blobs with fewer pixels of the shown picture are slips of the mouse."""

_ORIGINS: tuple[Origin, ...] = ("manual", "prediction", "prediction-changed")
_SHAPES = frozenset({"brush", "magicwand", "bitmask", "polygon", "vector", "rectangle"})
_Item = dict[str, Any]


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
    regions: list[Region] = []
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
        except RefusedError as refused:
            problems.append(refused.about(id))
    masks = tuple(united(regions, parts, Sheet(size, shown, min_pixels, problems, specks)))
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
        with suppress(RefusedError):
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
) -> Region:
    values = [item["value"] for item in items if isinstance(item.get("value"), dict)]
    shape = next((value for value in values if geometry_of(value)), None)
    if shape is None:
        raise RefusedError("unknown-region", "it has no shape that can be read")
    part = labels.part(items)
    for item in items:
        _check_picture(item, shown)
    origin, model = _origin(items, unsaid), _model(items)
    if model is not None and origin == "manual":  # the page calls a copy so
        origin = "prediction-changed"
    return Region(id, part, _object(values), shape, origin, model)


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
                raise RefusedError("no-label", words)
            words = f"it has {len(found)} labels {', '.join(found)}"
            raise RefusedError("several-labels", words)
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
        raise RefusedError("unknown-label", words)


def _check_picture(item: _Item, shown: Size) -> None:
    stated = (item.get("original_width"), item.get("original_height"))
    if stated != shown:
        raise RefusedError(
            "wrong-size",
            f"it belongs to a picture of {stated[0]}x{stated[1]} pixels, "
            f"the picture shown has {shown[0]}x{shown[1]}",
        )
    if item.get("image_rotation"):
        raise RefusedError("rotated", f"the picture was turned by {item['image_rotation']} degrees")


def _object(values: Iterable[_Item]) -> int:
    for value in values:
        if (number := value.get("number")) is not None:
            if number not in range(1, 1000):
                raise RefusedError("wrong-object", f"{number!r} is not the number of an object")
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
        except RefusedError:
            return f"region {id}"

    said = item.get("labels")
    what = ", ".join(map(str, said)) if isinstance(said, list) and said else "is related to"
    return f"relation: {name('from_id')} {what} {name('to_id')}"
