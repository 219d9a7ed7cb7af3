"""Formats of other tools that are not read: which it is, and what to do."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_HEAD = 1 << 20
_DATUMARO = (
    "pip install datumaro, then `datum convert -i {path} -if {kind} -f coco_instances -o coco -- "
    "--save-media`, and import the folder coco"
)
_HINTS = {
    "labelme": "name the folder in which the labelme files are",
    "CVAT XML": "name the file itself; of a video choose COCO 1.0 in CVAT's export",
    "Pascal VOC boxes": "boxes have no pixels; name the folder that holds SegmentationClass/",
    "Datumaro": "name the folder that holds its annotations/ and images/",
    "Labelbox": "write COCO from it with labelbox's Python package, and import that",
    "Cityscapes": _DATUMARO.replace("{kind}", "cityscapes"),
    "Cityscapes without parts": "get gtFinePanopticParts of the Panoptic Parts data sets, and put "
    "it beside leftImg8bit/",
    "ADE20K's challenge set (SceneParse150), which has no parts": "get the full release of ADE20K "
    "(*_seg.png beside *_atr.txt or *.json), for which one registers with its authors",
    "Label Studio CSV": "in Label Studio choose Export > JSON, and import that file",
    "JSON lines": "write it as one JSON file; COCO has one object with images and annotations",
}


def recognise(path: Path) -> tuple[str, str] | None:
    """(name, hint) of the foreign format a file or folder is of; None when it is none known."""
    files = (_file(path, file) for file in _looked_at(path))
    name = _release(path) or next(filter(None, files), None)
    return (name, _HINTS[name].replace("{path}", str(path))) if name else None


def _release(top: Path) -> str | None:
    """Which release without parts a folder is, of a data set that has one with them."""
    if (top / "gtFine").is_dir():
        return "Cityscapes without parts"
    maps = (top / "annotations" / split for split in ("training", "validation"))
    if any(next(folder.glob("ADE_*.png"), None) for folder in maps):
        return "ADE20K's challenge set (SceneParse150), which has no parts"
    return None


def _looked_at(path: Path) -> Iterator[Path]:
    """The file, or a few files of each kind at the top of the folder and one below it."""
    if path.is_file():
        yield path
        return
    for ending in ("json", "xml", "csv", "jsonl", "ndjson"):
        for depth in ("", "*/", "*/*/"):
            for _, file in zip(range(3), sorted(path.glob(f"{depth}*.{ending}")), strict=False):
                yield file


def _file(top: Path, file: Path) -> str | None:
    test = _BY_ENDING.get(file.suffix.lower())
    if test is None or not file.is_file():
        return None
    with open(file, "rb") as handle:
        head = handle.read(_HEAD).decode("utf-8", "replace")
    return test(head)


def _of_json(head: str) -> str | None:
    try:
        found: Any = json.loads(head)
    except ValueError:
        found = None
    keys = {*found} if isinstance(found, dict) else {k for k in _KEYS if f'"{k}"' in head}
    if {"shapes", "imagePath"} <= keys or {"shapes", "imageHeight"} <= keys:
        return "labelme"
    if {"imgHeight", "imgWidth", "objects"} <= keys:
        return "Cityscapes"
    if {"items", "categories"} <= keys and "images" not in keys:
        return "Datumaro"
    return "Labelbox" if '"data_row"' in head else None


_KEYS = ("shapes", "imagePath", "imageHeight", "classes", "tags", "items", "categories", "images")


def _of_xml(head: str) -> str | None:
    if "<annotations" in head and ("<image " in head or "<track " in head or "<meta>" in head):
        return "CVAT XML"
    return "Pascal VOC boxes" if "<annotation" in head and "<filename>" in head else None


def _of_csv(head: str) -> str | None:
    first = head.partition("\n")[0]
    return "Label Studio CSV" if "annotation_id" in first and "lead_time" in first else None


def _of_lines(head: str) -> str | None:
    return "Labelbox" if '"data_row"' in head else "JSON lines" if head.startswith("{") else None


_BY_ENDING: dict[str, Callable[[str], str | None]] = {
    ".json": _of_json,
    ".xml": _of_xml,
    ".csv": _of_csv,
    ".jsonl": _of_lines,
    ".ndjson": _of_lines,
}
