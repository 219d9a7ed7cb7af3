"""ADE20K's release of 2021: a JSON file beside each picture, with every outline that was drawn.

    a/street/ADE_train_1.jpg, ADE_train_1.json
    a/street/ADE_train_1_seg.png, ADE_train_1_parts_1.png       what is in sight; not needed

An outline covers what is hidden behind other things too. A part says what it is part of by
`ispartof`; followed upwards that ends at an object.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotate.data.formats.gather import Gathered
from partlab.errors import MaskError
from partlab.masks import from_segmentation
from partlab.schema import Image, Raw

Pairs = set[tuple[str, str, str]]  # object, inner part, outer part
_DEEPEST = 10  # parts of parts of …: a circle is none


def is_of_2021(file: Path) -> bool:
    """Whether a JSON file begins as those of ADE20K do."""
    with open(file, "rb") as handle:
        head = handle.read(400)
    return b'"annotation"' in head and b'"ADE20K' in head


def read_2021(file: Path, top: Path, gathered: Gathered, pairs: Pairs) -> None:
    """Read one picture's file.

    Raises:
        OSError, ValueError, LookupError, TypeError: it cannot be read.
    """
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # some names are
    about = json.loads(text)["annotation"]
    height, width = (int(side) for side in about["imsize"][:2])
    things: dict[int, Raw] = {int(one["id"]): one for one in about["object"]}
    image = gathered.image(file.with_suffix(".jpg").relative_to(top).as_posix(), (width, height))
    owners = set()
    for number, one in things.items():
        if not one["parts"]["part_level"]:
            continue
        above = _above(number, things)
        if not above or things[above[-1]]["parts"]["part_level"]:
            gathered.pass_over("part", "in no object")
            gathered.set_aside(image, _name(one), "lies in no object")
            continue
        owners.add(above[-1])
        owner = _name(things[above[-1]])
        if _mask(one, owner, above[-1] + 1, image, gathered) and len(above) > 1:
            pairs.add((owner, _name(one), _name(things[above[0]])))
    objects = sum(not one["parts"]["part_level"] for one in things.values())
    gathered.pass_over("object", "without parts", objects - len(owners))


def _above(number: int, things: Mapping[int, Raw]) -> list[int]:
    """What it is part of, what that is part of, and so on; empty where that is not said."""
    found: list[int] = []
    while len(found) < _DEEPEST:
        above = things[number]["parts"]["ispartof"]
        above = above[0] if isinstance(above, list) and above else above
        if not isinstance(above, int) or above not in things:
            return found
        found.append(above)
        number = above
    return []


def _name(one: Raw) -> str:
    """The first of several names."""
    return str(one["name"] or one["raw_name"]).partition(",")[0].strip()


def _mask(one: Raw, owner: str, number: int, image: Image, gathered: Gathered) -> bool:
    """Take its outline; False where it is none."""
    polygon: Any = one["polygon"]
    points = [float(v) for xy in zip(polygon["x"], polygon["y"], strict=True) for v in xy]
    try:
        rle = from_segmentation([points], image.height, image.width)
    except MaskError as error:
        gathered.pass_over("part", "whose outline is none")
        gathered.set_aside(image, _name(one), error.message)
        return False
    gathered.mask(image, _name(one), rle, object=owner, object_id=number, provenance="human")
    return True
