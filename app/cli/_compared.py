"""Several segmenters in one table, for people (`partlab segmenter evaluate RUN RUN… DATA`)."""

from pathlib import Path
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
    data, names = found["data"], [Path(run["run"]).resolve().name for run in found["runs"]]
    head = f"{data['path']} {data['split']}: {found['images']} images. Percent, with CF."
    shown = [head, _overall(found, names), *(_difference(each) for each in found["differences"])]
    shown.append(_rows(found["per_object"], ["object"], OBJECT, names))
    if per_part:
        shown.append(_rows(found["per_part"], ["object", "part"], PART, names))
    return "\n".join([*shown, f"kept in {found['file']}"])


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
    records: list[dict[str, Any]], words: list[str], scores: dict[str, str], names: list[str]
) -> str:
    """A row for each object or part with truth, the runs one after the other under each score."""
    head = [*words, "masks", *(f"{title} {name}" for title in scores.values() for name in names)]
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
