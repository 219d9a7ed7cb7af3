"""Part masks as regions, for suggestions; `reading` gets the masks back from them."""

from collections.abc import Iterable
from typing import Any

from annotate.studio.spelling.codec import encode_brush
from annotate.studio.spelling.names import BRUSH, IMAGE, OBJECT, PART
from annotate.studio.spelling.shapes import Size, Value, resized
from annotate.studio.spelling.uniting import PartMask
from annotate.vocabulary.model import ObjectParts
from partlab.masks import BoolMask, decode

_Item = dict[str, Any]


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
