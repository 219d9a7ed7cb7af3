"""An answer as HTML: pictures with masks that can be pointed at, tables, files, and the call."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import urlencode

import cv2
import numpy as np
from PIL import Image as PillowImage

from annotate.draw import Style, overlay, palette
from app.web.outlines import middle, outline
from app.web.pages.parts.answer import Answer, Ask, Change
from app.web.shelf import Known
from app.web.shown import Shown
from partlab.coco import write_coco
from partlab.composite import paint_order
from partlab.masks import decode
from partlab.pages import render
from partlab.parts import split_name
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.predictor import FoundPart, Prediction
from segmenter.protocol import Pixels

_MOST = 1600  # pixels of the longer side that are sent to the browser


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
        made=made,
        known=known,
        files=_files(answer, made, shown),
        calls=calls(Call(ask, made.path, known, server)),
    )


def _title(answer: Answer) -> str:
    if answer.ask.object is None:
        return f"No category filter: {_count(answer.filtered)}"
    return f"Filter on ({answer.ask.object}): {_count(answer.filtered)}"


def _count(found: Prediction) -> str:
    number = len(found.masks)
    return f"{number} mask" + ("" if number == 1 else "s")


def _small(pixels: Pixels) -> Pixels:
    """At most `_MOST` a side; a smaller picture is shown in every pixel (SV-17)."""
    longer = max(pixels.shape[:2])
    if longer <= _MOST:
        return pixels
    size = tuple(max(round(side * _MOST / longer), 1) for side in pixels.shape[1::-1])
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _smaller(pixels: Pixels) -> str:
    longer = max(pixels.shape[:2])
    return "" if longer <= _MOST else f"shown at {100 * _MOST / longer:.0f} % of its size"


def _numbers(found: Prediction) -> list[str]:
    """What each mask is called on the page: 1 is the likeliest."""
    best = sorted(range(len(found.masks)), key=lambda at: -found.masks[at].score)
    place = {at: number for number, at in enumerate(best, 1)}
    return [str(place[at]) for at in range(len(found.masks))]


def _marks(found: Prediction, ids: Sequence[str], changes: Sequence[Change]) -> list[Mark]:
    """Large masks first, so that small ones lie on top."""
    colours = palette(found.parts.names)
    why = {id(change.mask): change.why for change in changes}
    return [
        _mark(found, mask, ids[at], colours, why.get(id(mask), ""))
        for at in paint_order(found.layers, found.parts.parents)
        for mask in (found.masks[at],)
    ]


def _plain_marks(answer: Answer, numbers: Sequence[str]) -> list[Mark]:
    """Without the filter: masks that stay keep their number, removed ones have letters."""
    if answer.plain is None:
        return []
    letters = map(_letter, count(1))
    ids = [next(letters) if twin is None else numbers[twin] for twin in answer.twins]
    return _marks(answer.plain, ids, answer.removed)


def _mark(found: Prediction, mask: FoundPart, id: str, colours: Any, why: str) -> Mark:
    pixels = decode(mask.rle)
    height, width = found.size
    x, y = middle(pixels)
    red, green, blue = colours[mask.label]
    return Mark(
        id,
        mask.name,
        split_name(mask.name)[1] or mask.name,
        f"#{red:02x}{green:02x}{blue:02x}",
        mask.score,
        mask.area,
        100 * mask.area / (height * width),
        outline(pixels),
        (100 * x / width, 100 * y / height),
        mask.alternatives[:3],
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


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked, of which model, where."""

    ask: Ask
    path: str  # of the picture
    known: Known
    server: str | None

    @property
    def url(self) -> str:
        """Of the server that has the model, or that would."""
        return self.server or "http://127.0.0.1:8600"


def calls(call: Call) -> list[tuple[str, str]]:
    """What gives the same answer elsewhere: (name, text)."""
    return [("curl", _curl(call)), ("Python", _python(call)), ("Command line", _command(call))]


def _curl(call: Call) -> str:
    ask, path = call.ask, quote(call.path)
    place = quote(f"{ask.model}={call.known.place}")
    first = "" if call.server else f"partlab serve {place}   # once, elsewhere\n"
    asked: dict[str, Any] = {"model": ask.model}
    asked |= {"object": ask.object} if ask.object else {}
    asked |= {"unite": False} if ask.apart else {}
    if not ask.own:
        query = urlencode({**asked, "threshold": f"{ask.threshold:g}"}).replace("False", "false")
        where = quote(f"{call.url}/v1/segment?{query}")
        kind = "Content-Type: application/octet-stream"
        return f"{first}curl --data-binary @{path} -H '{kind}' \\\n    {where}"
    told = json.dumps({**asked, "threshold": [_limits(call)]}, ensure_ascii=False)
    start = quote(f'{told[:-1]}, "image": "%s"}}')
    return (
        f'{first}printf {start} "$(base64 -w0 {path})" |\n'
        f"    curl --data-binary @- -H 'Content-Type: application/json' {call.url}/v1/segment"
    )


def _limits(call: Call) -> dict[str, float]:
    """The threshold of every part that may be found: a server's own default is another."""
    ask, parts = call.ask, call.known.parts
    labels = parts.labels_of(ask.object) if ask.object else range(len(parts))
    return {parts.names[at]: ask.own.get(parts.names[at], ask.threshold) for at in labels}


def _python(call: Call) -> str:
    ask, remote = call.ask, call.known.served
    source = f"connect({call.url!r}, model={ask.model!r})" if remote else repr(call.known.place)
    lines = ["from segmenter import PredictionSettings, Predictor, Thresholds"]
    lines += ["from segmenter.remote import connect"] if remote else []
    wanted = f"Thresholds(default={ask.threshold:g}, parts={dict(ask.own)!r})"
    return "\n".join(
        [
            *lines,
            "",
            f"settings = PredictionSettings(unite={not ask.apart})",
            f"predictor = Predictor.load({source}, settings)",
            f"found = predictor({call.path!r}, {ask.object!r}, thresholds={wanted})",
            "for mask in found.masks:",
            "    print(mask.name, mask.score, mask.area)",
        ]
    )


def _command(call: Call) -> str:
    ask, known = call.ask, call.known
    line = f"{call.path},{ask.object}" if ask.object else call.path
    steps = [f"echo {quote(line)} > one.csv"]
    limits = f"--threshold {ask.threshold:g}"
    if ask.own:
        told = json.dumps({"default": ask.threshold, "parts": dict(ask.own)}, ensure_ascii=False)
        steps.append(f"echo {quote(told)} > thresholds.json")
        limits = "--thresholds thresholds.json"
    model = f"--server {call.url} --model {quote(ask.model)}"
    origin = model if known.served else f"--segmenter {quote(known.place)}"
    plain = "" if ask.object else " --no-category-filter"
    steps.append(f"partlab pseudolabel one.csv {origin} \\\n    {limits}{plain} --out pseudo")
    return "\n".join(steps)
