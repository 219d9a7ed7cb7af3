"""Label Studio's own JSON export, full ("JSON") or short ("JSON-MIN"), as a source.

Each region becomes one mask, drawn as `annotate.studio` draws what it pulls: brush and bitmask,
polygons, outlines and rectangles, turned ones too. A region of another kind is passed over and
counted. Of several annotations of a task the ground truth is taken, else the one changed last;
predictions and cancelled annotations never. Sizes are those of the picture in Label Studio.

Written are a file of tasks for each split, the pictures, and labels.xml: the interface that a
project needs before tasks are imported. A part that is one polygon stays one, every other one is a
brush region.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered, possible, printable
from annotate.data.formats.layout import Holds, Layout
from annotate.data.formats.pictures import Pictures, in_folder, place
from partlab.errors import DatasetError, NotFoundError, SchemaError
from partlab.files import read_pieces, write_pieces, write_text
from partlab.images import image_size
from partlab.layouts import home_of
from partlab.pictures import PictureFinder, plain_name
from partlab.progress import track
from partlab.schema import Dataset, Image

log = logging.getLogger(__name__)

_HEAD = 1 << 16
_GLANCE = 20  # files of a folder that are looked at to know its format
_CONTROLS = ("annotation_id", "annotator", "lead_time")
_MODEL = "model-assisted:label-studio"  # the export does not say which model suggested a region
_Raw = dict[str, Any]


class LabelStudioLayout(Layout):
    """Format of Label Studio's JSON exports."""

    title = "Label Studio's JSON export"
    one_folder = True
    holds = Holds(
        attributes="only a mask's object is kept, up to number 999; who drew it, crowd regions, "
        "scores, inclusions and discards are left out",
    )

    def fits(self, path: Path) -> bool:
        """A JSON list of tasks, or a folder that holds such files."""
        return any(map(_is_export, _jsons(path)[:_GLANCE]))

    def read(self, source: Source) -> dict[str, Dataset]:
        """One split for each file; other JSON files of a folder are named, and passed over."""
        if source.path.is_file():
            return {source.path.stem: _Reader(source, source.path).read()}
        exports = {file: _is_export(file) for file in _jsons(source.path)}
        files = [file for file, fits in exports.items() if fits]
        if not files:
            raise NotFoundError(f"{source.path} has no export of Label Studio (*.json)")
        if others := [file.name for file, fits in exports.items() if not fits]:
            told = "%s: JSON files that are no export of Label Studio are passed over: %s"
            log.warning(told, source.path, ", ".join(others))
        return {file.stem: _Reader(source, file).read() for file in files}

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """<split>.json, images/<split>/ and labels.xml, which has the labels of all splits.

        Raises:
            SchemaError: a file name points outside the data set.
            MaskError: a mask cannot be drawn.
        """
        from annotate.studio.spelling.tasks import interface, labels_of, task

        dataset = dataset.settled()
        place(in_folder(dataset, out / "images" / split), pictures)
        names = dict.fromkeys([*labels_of(out / "labels.xml"), *dataset.names])
        write_text(out / "labels.xml", interface([*names]) + "\n")
        images = track(dataset.images, "pictures", total=len(dataset.images))
        tasks = (json.dumps(task(dataset, image, Path("images", split))) for image in images)
        write_pieces(out / f"{split}.json", "[", tasks, "]\n")


def _jsons(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob("*.json"))
    return [file for file in files if file.suffix == ".json" and file.is_file()]


def _is_export(file: Path) -> bool:
    with open(file, "rb") as handle:
        head = handle.read(_HEAD).lstrip(b"\xef\xbb\xbf \r\n\t")
    if not head.startswith(b"["):
        return False
    full = b'"data"' in head and (b'"annotations"' in head or b'"completions"' in head)
    large = b'"original_width"' in head  # the first task may be longer than the head
    return full or large or any(f'"{key}"'.encode() in head for key in _CONTROLS)


class _Reader:
    """Reads one file."""

    def __init__(self, source: Source, file: Path) -> None:
        self.source, self.file = source, file
        self.root = source.images or home_of(file)
        self.gathered = Gathered(source, "a Label Studio export")
        self.numbered = False  # whether tasks have ids that can be those of images

    def read(self) -> Dataset:
        ids = [task.get("id") for task in self._tasks()]
        self.numbered = len({*map(str, ids)}) == len(ids) and all(type(i) is int for i in ids)
        finder = PictureFinder(self.root)
        for position, task in enumerate(track(self._tasks(), "tasks", total=len(ids)), 1):
            self._task(position, task, finder)
        self.gathered.say()
        return self.gathered.dataset(self.file, self.root)

    def _tasks(self) -> Iterator[_Raw]:
        """One by one: a brush stroke is a list of numbers, large in a file, larger in memory."""
        for key, tasks, _ in read_pieces(self.file):
            if key is not None or not isinstance(tasks, list) or len(_records(tasks)) < len(tasks):
                raise SchemaError(f"{self.file} is not a Label Studio export: no list of tasks")
            yield from tasks

    def _task(self, position: int, task: _Raw, finder: PictureFinder) -> None:
        data = task["data"] if isinstance(task.get("data"), dict) else task
        name = plain_name(_picture_of(data))
        if not name:
            self.gathered.pass_over("task", "without a picture")
            return
        annotation = self._annotation(task)
        if annotation is None:
            return
        items = _records(annotation.get("result"))
        size = _size(items) or _size_of(finder.find(name).path)
        if size is None:
            self.gathered.pass_over("task", "without a region whose picture is not there either")
            return
        image = self._image(position, task, name, size, data)
        self._regions(image, items, _who(annotation.get("completed_by")))

    def _annotation(self, task: _Raw) -> _Raw | None:
        """The one whose regions are read; None where nobody has drawn."""
        pass_over = self.gathered.pass_over
        if "annotations" not in task and "completions" not in task:
            return _short(task)
        listed = _records(task.get("annotations") or task.get("completions"))
        drawn = [a for a in listed if not a.get("was_cancelled")]
        pass_over("prediction", count=len(_records(task.get("predictions"))))
        pass_over("cancelled annotation", count=len(listed) - len(drawn))
        pass_over("task", "without an annotation", not drawn)
        pass_over("earlier annotation", "of the same task", max(len(drawn) - 1, 0))
        return max(drawn, key=_newest, default=None)

    def _image(
        self, position: int, task: _Raw, name: str, size: tuple[int, int], data: _Raw
    ) -> Image:
        owner = data.get("object")
        ours = {"object": owner} if owner and isinstance(owner, str) else {}
        image = self.gathered.image(name, size, **ours)
        self.gathered.images[-1] = image.changed(id=task["id"] if self.numbered else position)
        return self.gathered.images[-1]

    def _regions(self, image: Image, items: list[_Raw], who: str) -> None:
        from annotate.studio.spelling.reading import read_result
        from annotate.vocabulary.model import ObjectParts, Part

        named = dict.fromkeys(label for item in items for label in _labels(item))
        labels = [label for label in named if printable(label) == label]  # others are no text
        parts = ObjectParts(
            name="the export", parts=tuple(Part(id=label, name=label) for label in labels)
        )
        for group in _grouped(items):
            shown = _size(group) or (image.width, image.height)
            reading = read_result(group, parts, (image.width, image.height), shown, min_pixels=1)
            for problem in reading.problems:
                self._pass_over(image, group, problem["message"])
            for mask in reading.masks:
                provenance = f"human:{who}" if mask.origin == "manual" else _MODEL
                ours: _Raw = {"object": image.object, "provenance": provenance}
                ours |= {"object_id": mask.object} if mask.object != 1 else {}
                self.gathered.mask(image, mask.part, mask.rle, **ours)

    def _pass_over(self, image: Image, group: list[_Raw], why: str) -> None:
        from annotate.studio.spelling.shapes import geometry_of

        kinds = {str(item.get("type", "")).removesuffix("labels") for item in group}
        labels = ", ".join(dict.fromkeys(label for item in group for label in _labels(item)))
        self.gathered.pass_over(f"{'/'.join(sorted(kinds)) or 'unknown'} region")
        if labels or any(
            isinstance(v := item.get("value"), dict) and geometry_of(v) for item in group
        ):
            self.gathered.set_aside(image, labels, why)
        about = f" ({labels})" if labels else ""
        log.info("%s: %s%s: %s", self.file, image.file_name, about, why)


def _records(listed: Any) -> list[_Raw]:
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _picture_of(data: _Raw) -> str:
    """The address of the task's picture: `image`, else the first value that looks like one."""
    values = [data.get("image"), *data.values()]
    texts = [value for value in values if isinstance(value, str)]
    if isinstance(data.get("image"), str):
        return texts[0]
    from partlab.images import is_image_name

    return next((text for text in texts if is_image_name(plain_name(text))), "")


def _short(task: _Raw) -> _Raw:
    """A task of JSON-MIN as an annotation: each control's values become regions."""
    result: list[_Raw] = []
    for control, values in task.items():
        for value in values if isinstance(values, list) else []:
            if isinstance(value, dict):
                kind = next((key for key in value if key.endswith("labels")), control)
                sizes = {key: value.get(key) for key in ("original_width", "original_height")}
                rest = {"from_name": control, "value": value, "origin": "manual"}
                result.append({"id": f"{control}-{len(result)}", "type": kind, **sizes, **rest})
    return {"result": result, "completed_by": task.get("annotator")}


def _newest(annotation: _Raw) -> tuple[bool, str, int]:
    changed = annotation.get("updated_at") or annotation.get("created_at") or ""
    number = annotation.get("id")
    truth = annotation.get("ground_truth") is True
    return truth, str(changed), number if isinstance(number, int) else 0


def _grouped(items: list[_Raw]) -> Iterator[list[_Raw]]:
    """Items of one region each: its shape, labels and number share an id."""
    groups: dict[str, list[_Raw]] = {}
    for position, item in enumerate(items):
        groups.setdefault(str(item.get("id", f"#{position}")), []).append(item)
    yield from groups.values()


def _labels(item: _Raw) -> list[str]:
    kind, value = item.get("type"), item.get("value")
    listed = value.get(kind) if isinstance(value, dict) and isinstance(kind, str) else None
    named = isinstance(listed, list) and str(kind).endswith("labels")
    return [str(label) for label in listed if str(label)] if named and listed else []


def _size(items: list[_Raw]) -> tuple[int, int] | None:
    """(width, height) of the picture as Label Studio showed it, if a region says it."""
    for item in items:
        width, height = item.get("original_width"), item.get("original_height")
        if isinstance(width, int) and isinstance(height, int) and possible(width, height):
            return width, height
    return None


def _size_of(picture: Path) -> tuple[int, int] | None:
    try:
        return image_size(picture)
    except (NotFoundError, DatasetError):
        return None


def _who(completed_by: Any) -> str:
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return str(completed_by or "unknown")


layout = LabelStudioLayout()
