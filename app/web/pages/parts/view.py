"""An answer as HTML: pictures with masks that can be pointed at, tables, files, and the call."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

from annotate.draw import Style, overlay, palette
from app.web.outlines import SHOWN, middle, outline
from app.web.pages.parts.answer import Answer, Change
from app.web.pages.parts.calls import Call, calls
from app.web.shelf import Known
from app.web.shown import Shown
from partlab.coco import write_coco
from partlab.composite import paint_order
from partlab.masks import BoolMask, decode
from partlab.pages import render
from partlab.parts import split_name
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.predictor import FoundPart, Prediction
from segmenter.protocol import Pixels

_OTHERS, _TOLD = 3, 0.005  # runner-up parts, if they are not 0.00


@dataclass(frozen=True, slots=True)
class Mark:
    """A mask as the page shows it: `at` is where its name stands, in percent of the picture."""

    id: str
    name: str
    short: str
    colour: str
    score: float
    area: int
    share: float  # of the picture, in percent
    outline: str  # SVG, in pixels of the picture
    at: tuple[float, float]
    others: tuple[tuple[str, float], ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """Where the picture came from: its file's name, and what a call can open."""

    file: str
    path: str
    said: str = ""  # of the classifier


def page_of(answer: Answer, made: Made, known: Known, shown: Shown, server: str | None) -> str:
    """The whole result as HTML."""
    filtered, ask = answer.filtered, answer.ask
    numbers = _numbers(filtered)
    marks = _marks(filtered, numbers, answer.added)
    removed = _plain_marks(answer, numbers)
    views = [("filtered", _title(answer), marks)]
    if answer.plain is not None:
        views.append(("plain", f"Filter off: {_count(answer.plain)}", removed))
    height, width = filtered.size
    return render(
        "app.web.pages.parts",
        "result.html",
        filters={"score": "{:.2f}".format, "count": "{:,}".format, "percent": "{:.1f} %".format},
        picture=shown.picture(_small(filtered.pixels), Path(made.file).stem + ".png"),
        smaller=_smaller(filtered.pixels),
        width=width,
        height=height,
        views=views,
        marks=marks,
        gone=[mark for mark in removed if mark.why],
        answer=answer,
        ask=ask,
        limits=_limits(answer),
        made=made,
        known=known,
        files=_files(answer, made, shown),
        calls=calls(Call(ask, made.path, known, server)),
    )


def _limits(answer: Answer) -> str:
    """By what thresholds, in words; of a tuned model between which bounds."""
    ask, parts = answer.ask, answer.filtered.parts
    if ask.tuned is None:
        return f"threshold {ask.threshold:.2f}"
    labels = parts.labels_of(ask.object) if ask.object else range(len(parts))
    every = ask.tuned.of(parts.names)[list(labels)]
    span = " to ".join(dict.fromkeys(f"{each:.2f}" for each in (every.min(), every.max())))
    return f"thresholds as tuned with the model ({span}" + (
        f" for {ask.object})" if ask.object else ")"
    )


def _title(answer: Answer) -> str:
    if answer.ask.object is None:
        return f"No category filter: {_count(answer.filtered)}"
    return f"Filter on ({answer.ask.object}): {_count(answer.filtered)}"


def _count(found: Prediction) -> str:
    number = len(found.masks)
    return f"{number} mask" + ("" if number == 1 else "s")


def _small(pixels: Pixels) -> Pixels:
    """At most `SHOWN` a side; a smaller picture is shown in every pixel (SV-17)."""
    longer = max(pixels.shape[:2])
    if longer <= SHOWN:
        return pixels
    size = tuple(max(round(side * SHOWN / longer), 1) for side in pixels.shape[1::-1])
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _smaller(pixels: Pixels) -> str:
    longer = max(pixels.shape[:2])
    return "" if longer <= SHOWN else f"shown at {100 * SHOWN / longer:.0f} % of its size"


def _numbers(found: Prediction) -> list[str]:
    """What each mask is called on the page: 1 is the likeliest."""
    best = sorted(range(len(found.masks)), key=lambda at: -found.masks[at].score)
    place = {at: number for number, at in enumerate(best, 1)}
    return [str(place[at]) for at in range(len(found.masks))]


def _marks(found: Prediction, ids: Sequence[str], changes: Sequence[Change]) -> list[Mark]:
    """Large masks first, so that small ones lie on top; names stand where a mask is seen."""
    why = {id(change.mask): change.why for change in changes}
    colours = palette(found.parts.names)
    covered = np.zeros(found.size, bool)
    marks = []
    for at in reversed(paint_order(found.layers, found.parts.parents)):
        mask = found.masks[at]
        pixels = decode(mask.rle)
        seen = pixels & ~covered
        covered |= pixels
        spot = middle(seen if seen.any() else pixels)
        marks.append(_mark(mask, pixels, spot, ids[at], colours[mask.label], why.get(id(mask), "")))
    return marks[::-1]


def _plain_marks(answer: Answer, numbers: Sequence[str]) -> list[Mark]:
    """Without the filter: masks that stay keep their number, removed ones have letters."""
    if answer.plain is None:
        return []
    letters = map(_letter, count(1))
    ids = [next(letters) if twin is None else numbers[twin] for twin in answer.twins]
    return _marks(answer.plain, ids, answer.removed)


def _mark(
    mask: FoundPart,
    pixels: BoolMask,
    spot: tuple[float, float],
    id: str,
    colour: tuple[int, int, int],
    why: str,
) -> Mark:
    height, width = pixels.shape
    red, green, blue = colour
    return Mark(
        id,
        mask.name,
        split_name(mask.name)[1] or mask.name,
        f"#{red:02x}{green:02x}{blue:02x}",
        mask.score,
        mask.area,
        100 * mask.area / (height * width),
        outline(pixels),
        (100 * spot[0] / width, 100 * spot[1] / height),
        tuple(other for other in mask.alternatives[:_OTHERS] if other[1] >= _TOLD),
        why,
    )


def _letter(number: int) -> str:
    """1 -> a, 27 -> aa."""
    text = ""
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


def _files(answer: Answer, made: Made, shown: Shown) -> list[tuple[str, str, str]]:
    """(address, file name, what it is) of what can be saved."""
    stem = Path(made.file).stem
    held = BytesIO()
    _drawn(answer.filtered).save(held, "PNG")
    picture = shown.put(held.getvalue(), f"{stem}-parts.png")
    coco = shown.put(coco_of(answer, made), f"{stem}-parts.json")
    return [
        (coco, f"{stem}-parts.json", "COCO, masks as run lengths"),
        (picture, f"{stem}-parts.png", "picture with masks and names"),
    ]


def _drawn(found: Prediction) -> PillowImage.Image:
    """Picture and masks in the picture's own size, with a legend."""
    style = Style(side=max(*found.size, 512), legend=True)
    names, parents = found.parts.names, found.parts.parents
    return overlay(found.pixels, found.layers, names, parents=parents, style=style)


def coco_of(answer: Answer, made: Made) -> bytes:
    """The masks of the answer as a COCO file of one image; labels are category ids from 1."""
    found, ask = answer.filtered, answer.ask
    height, width = found.size
    names = found.parts.names
    categories = [Category.new(at, *split_name(name)) for at, name in enumerate(names, 1)]
    records = [
        Annotation.new(
            number,
            1,
            mask.label + 1,
            {"size": list(mask.rle["size"]), "counts": mask.rle["counts"]},
            bbox=list(mask.bbox),
            area=mask.area,
            score=round(mask.score, 6),
            provenance=f"pseudo:{ask.model}",
        )
        for number, mask in enumerate(found.masks, 1)
    ]
    ours = {"object": ask.object} if ask.object else {}
    image = Image.new(1, made.file, (width, height), **ours)
    data = Dataset([image], records, categories, found.parts.inclusions)
    with tempfile.TemporaryDirectory() as folder:
        return write_coco(data, Path(folder) / "parts.json").read_bytes()


def table_of(answer: Answer) -> dict[str, Any]:
    """The answer for programs: what `/v1/segment` says, with what the filter did."""
    height, width = answer.filtered.size
    return {
        "model": answer.ask.model,
        "width": width,
        "height": height,
        "object": answer.ask.object,
        "status": answer.filtered.status,
        "parts": [_told(mask) for mask in answer.filtered.masks],
        "removed_by_filter": [_changed(change) for change in answer.removed],
        "added_by_filter": [_changed(change) for change in answer.added],
    }


def _changed(change: Change) -> dict[str, Any]:
    return {**_told(change.mask), "why": change.why}


def _told(mask: FoundPart) -> dict[str, Any]:
    return {
        "part": mask.name,
        "label": mask.label,
        "score": mask.score,
        "area": mask.area,
        "box": list(mask.bbox),
        "alternatives": [list(each) for each in mask.alternatives[:3]],
        "mask": {"size": list(mask.rle["size"]), "counts": mask.rle["counts"]},
    }
