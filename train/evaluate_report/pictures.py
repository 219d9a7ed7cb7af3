"""Chosen images of an evaluation: clean, attacked, what the attack added, and the part map."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from partlab.errors import SchemaError
from partlab.files import read_json
from train.evaluate_report.reading import Measured

MOST = 12  # of one evaluation are shown
_FIRST, _LAST = "clean", "parts"


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture with what is written under it."""

    caption: str
    uri: str


@dataclass(frozen=True, slots=True)
class Maps:
    """All pictures of one image; `broken` says which attacks the model loses it to."""

    image: str
    broken: str
    pictures: list[Shown]


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
    stems = [stem for stem in (_FIRST, *sorted(files), _LAST) if stem in files]
    told = list(_told(files, list(dict.fromkeys(s for s in stems if s != _LAST))))
    if _LAST in files:
        told.append(Shown("part map", _uri(files[_LAST].read_bytes())))
    return Maps(image, _broken(each, image), told)


def _told(files: dict[str, Path], stems: list[str]) -> Iterator[Shown]:
    clean = _pixels(files[_FIRST]) if _FIRST in files else None
    for stem in stems:
        pixels = _pixels(files[stem])
        yield Shown(stem, _uri(files[stem].read_bytes()))
        if stem != _FIRST and clean is not None and clean.shape == pixels.shape:
            yield _perturbation(pixels - clean)


def _perturbation(added: Any) -> Shown:
    """What an attack added, times as much as fits about grey."""
    most = int(np.abs(added).max())
    factor = max(1, 127 // most) if most else 1
    from PIL import Image

    buffer = io.BytesIO()
    picture = np.clip(128 + factor * added, 0, 255).astype(np.uint8)
    Image.fromarray(picture).save(buffer, "PNG")
    return Shown(f"perturbation × {factor}, at most {most}/255", _uri(buffer.getvalue()))


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
