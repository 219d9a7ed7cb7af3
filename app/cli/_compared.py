"""Several segmenters in one table, for people (`partlab segmenter evaluate RUN RUN… DATA`)."""

from collections.abc import Iterator
from itertools import count, islice, product
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from app.cli._plain import percent, table

SCORES = {
    "miou": "mIoU of the composite",
    "boundary_iou": "boundary IoU of the composite",
    "pixel_accuracy": "pixel accuracy (all pixels)",
    "foreground_pixel_accuracy": "pixel accuracy (parts only)",
    "ap": "mask AP",
    "ap50": "mask AP50",
}
COSTS = {
    "training_minutes": "training, minutes",
    "images_per_second": "images/s, both ways",
    "parameters": "numbers in its weights",
}
OBJECT = {"miou": "mIoU", "boundary_iou": "boundary", "ap": "AP", "ap50": "AP50"}
PART = {"iou": "IoU", "boundary_iou": "boundary", "ap": "AP", "ap50": "AP50"}


def compared(found: dict[str, Any], *, per_part: bool) -> str:
    """The whole comparison as text."""
    data, letters = found["data"], list(islice(_letters(), len(found["runs"])))
    head = f"{data['path']} {data['split']}: {found['images']} images. Percent, with CF."
    names = [
        f"{letter} {Path(run['run']).resolve().name}"
        for letter, run in zip(letters, found["runs"], strict=True)
    ]
    shown = [head, _overall(found, names), *(_difference(each) for each in found["differences"])]
    shown.append(_rows(found["per_object"], ["object"], OBJECT, letters))
    if per_part:
        shown.append(_rows(found["per_part"], ["object", "part"], PART, letters))
    return "\n".join([*shown, f"kept in {found['file']}"])


def _letters() -> Iterator[str]:
    """What runs are called where columns are narrow: A, B … Z, AA, AB …"""
    for length in count(1):
        yield from ("".join(each) for each in product(ascii_uppercase, repeat=length))


def _overall(found: dict[str, Any], names: list[str]) -> str:
    runs = found["runs"]
    rows = [[title, *(percent(run[key]) for run in runs)] for key, title in SCORES.items()]
    rows += [[title, *(_number(run[key]) for run in runs)] for key, title in COSTS.items()]
    return table(["", *names], rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _difference(found: dict[str, Any]) -> str:
    words = [
        f"{title.removesuffix(' of the composite')} {_interval(found[key])}"
        for key, title in SCORES.items()
        if key in found
    ]
    return f"{found['run']} less {found['less']}, 95 % interval over images: {', '.join(words)}"


def _interval(found: dict[str, float]) -> str:
    value, low, high = (percent(found[key], "difference") for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _rows(
    records: list[dict[str, Any]], words: list[str], scores: dict[str, str], letters: list[str]
) -> str:
    """A row for each object or part with truth, the runs one after the other under each score."""
    head = [*words, "masks", *(f"{title} {name}" for title in scores.values() for name in letters)]
    rows = [
        [
            *(record[word] for word in words),
            str(record["masks"]),
            *(percent(run[key]) for key in scores for run in record["scores"]),
        ]
        for record in records
        if record["masks"]
    ]
    return table(head, rows, words=len(words))
