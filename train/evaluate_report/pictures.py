"""Chosen images of an evaluation: clean, attacked, what the attack added, and the part maps.

`train.evaluate.album` writes them: `clean.png`, and `STEM.png` of each condition, each with a
`STEM.parts.png` where the model has part outputs.
"""

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from partlab.errors import SchemaError
from partlab.files import read_json
from train.evaluate.outcomes import stem
from train.evaluate_report.reading import Measured
from train.evaluate_report.words import title

_COLOUR = re.compile("#[0-9a-f]{6}")
MOST = 12  # of one evaluation are shown
_FIRST, _MAP = "clean", ".parts"


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture with what is written under it."""

    caption: str
    uri: str


@dataclass(frozen=True, slots=True)
class Maps:
    """All pictures of one image; `broken` says which attacks the model loses it to.

    `pictures` are in groups: what is clean, and what each condition made. `legend` is part -> its
    colour in the part maps.
    """

    image: str
    broken: str
    pictures: list[list[Shown]]
    legend: dict[str, str]


def maps(each: Measured) -> tuple[list[Maps], int]:
    """The maps of an evaluation, and how many more it has than are shown.

    Raises:
        SchemaError: the index or a picture is damaged, or lies outside the folder.
    """
    home = each.folder / "pictures"
    if not (home / "index.json").is_file():
        return [], 0
    index = read_json(home / "index.json")
    try:
        chosen = [(str(one["image"]), str(one["key"])) for one in index]
    except (TypeError, KeyError) as error:
        raise SchemaError(f"{home / 'index.json'} is no list of image and key") from error
    shown = [_maps(each, image, _inside(home, key)) for image, key in chosen[:MOST]]
    return shown, len(chosen) - len(shown)


def _inside(home: Path, key: str) -> Path:
    folder = home / key
    if not folder.resolve().is_relative_to(home.resolve()) or not folder.is_dir():
        raise SchemaError(f"{home / 'index.json'} names {key!r}, which is no folder beside it")
    return folder


def _maps(each: Measured, image: str, folder: Path) -> Maps:
    files = {file.stem: file for file in sorted(folder.glob("*.png"))}
    names = {stem(*condition): title(condition._asdict()) for condition in each.outcomes}
    found = [name for name in (_FIRST, *names, *files) if name in files]
    stems = [name for name in dict.fromkeys(found) if not name.endswith(_MAP)]
    legend: dict[str, str] = {}
    for name in stems:
        if name + _MAP in files:
            legend |= _legend(files[name + _MAP])
    return Maps(image, _broken(each, image), list(_told(files, stems, names)), legend)


def _told(files: dict[str, Path], stems: list[str], names: dict[str, str]) -> Iterator[list[Shown]]:
    clean = _pixels(files[_FIRST]) if _FIRST in files else None
    for one in stems:
        pixels, called = _pixels(files[one]), names.get(one, one)
        group = [Shown(called, _uri(files[one].read_bytes()))]
        if one != _FIRST and clean is not None and clean.shape == pixels.shape:
            group.append(_perturbation(pixels - clean))
        if one + _MAP in files:
            group.append(Shown("parts the model sees", _uri(files[one + _MAP].read_bytes())))
        yield group


def _legend(file: Path) -> dict[str, str]:
    """Which colour is which part, as the map itself says; nothing where it does not."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            picture.load()
            told = json.loads(picture.info.get("parts", "{}"))
    except (OSError, ValueError) as error:
        raise SchemaError(f"{file} is damaged or half written") from error
    return {str(part): colour for part, colour in told.items() if _COLOUR.fullmatch(str(colour))}


def _perturbation(added: Any) -> Shown:
    """What an attack added."""
    from PIL import Image

    picture, caption = magnified(added)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return Shown(caption, _uri(buffer.getvalue()))


def magnified(added: Any) -> tuple[Any, str]:
    """A difference of colours (signed) times as much as fits about grey, and how much that is."""
    most = int(np.abs(added).max())
    factor = max(1, 127 // most) if most else 1
    picture = np.clip(128 + factor * added, 0, 255).astype(np.uint8)
    return picture, f"perturbation × {factor}, at most {most}/255"


def _pixels(file: Path) -> Any:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGB"), np.int16)
    except OSError as error:
        raise SchemaError(f"{file} is damaged or half written") from error


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _broken(each: Measured, image: str) -> str:
    lost = []
    for condition, outcome in each.outcomes.items():
        at = np.searchsorted(outcome.images, image)
        if at < len(outcome.images) and outcome.images[at] == image and not outcome.right[at]:
            lost.append(condition.threat)
    lost = [one for one in dict.fromkeys(lost) if not one.startswith(("corruption:", "ood:"))]
    return f"wrong under {', '.join(lost)}" if lost else "right under all of them"
