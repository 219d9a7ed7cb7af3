"""COCO part files: our own layout, `annotations/<split>.json` and `images/`."""

import logging
from dataclasses import replace
from pathlib import Path

from annotate.data.formats import Source, formats, get_format
from annotate.data.formats.foreign import recognise
from annotate.data.formats.layout import Layout
from annotate.data.formats.pictures import Pictures, in_folder, is_same, place, say_elsewhere
from annotate.data.stale import marked
from partlab.coco import find_splits, read_coco, with_images_at, with_sizes, write_coco
from partlab.layouts import find_layout, why_no_part_data
from partlab.objects import parts_only
from partlab.progress import track
from partlab.schema import Annotation, Dataset

log = logging.getLogger(__name__)


_MAKERS = {
    "_annotations.coco.json": "Roboflow",
    "result.json": "Label Studio",
    "labels.json": "FiftyOne",
    "instances_default.json": "CVAT or Datumaro",
}


class CocoLayout(Layout):
    """Format of COCO part data sets; nothing is lost in either direction."""

    title = "COCO"
    one_split = False

    def took(self, path: Path) -> str:
        """Also whose export it looks like."""
        files = [path] if path.is_file() else [*find_layout(path).splits.values()]
        maker = next((_MAKERS[file.name] for file in files if file.name in _MAKERS), "")
        if any(file.name.startswith(("paco_lvis_v1_", "paco_ego4d_v1_")) for file in files):
            return "PACO"
        return f"COCO as {maker} exports it" if maker else self.title

    def fits(self, path: Path) -> bool:
        """A JSON file of no other known format, or a folder with annotations in it."""
        if path.is_file():
            return path.suffix == ".json" and not (why_no_part_data(path) and _is_another(path))
        return bool(find_layout(path).splits)

    def read(self, source: Source) -> dict[str, Dataset]:
        """Every split of the folder."""
        files = find_splits(source.path)
        found = {
            name: _grouped(parts_only(marked(read_coco(file, as_is=True))))
            for name, file in track(files.items(), "reading", total=len(files))
        }
        root = source.images
        return {
            name: with_sizes(dataset) if root is None else with_images_at(dataset, root)
            for name, dataset in found.items()
        }

    def write(
        self,
        dataset: Dataset,
        out: Path,
        split: str,
        pictures: Pictures,
    ) -> None:
        """`annotations/<split>.json`, and the pictures under `images/`, as they were found.

        A split of which another picture is there already gets a folder of its own in `images/`.

        Raises:
            SchemaError: a file name points outside the data set.
        """
        settled = dataset.settled()
        say_elsewhere(dataset)
        folder = out / "images"
        if pictures is not Pictures.none and _meets_others(settled, folder):
            log.info("pictures of %s go into images/%s: others have the same names", split, split)
            file = out / "annotations" / f"{split}.json"
            place(in_folder(settled, folder / split), pictures)
            images = [i.changed(file_name=f"{split}/{i.file_name}") for i in settled.images]
            write_coco(replace(settled, images=images), file)
            return
        write_coco(settled, out / "annotations" / f"{split}.json")
        place(in_folder(settled, folder), pictures)


def _grouped(dataset: Dataset) -> Dataset:
    """Masks with the number of their object, where a file states it in PACO's way, or like it."""
    said = [_object_of(annotation) for annotation in dataset.annotations]
    if not any(said):
        return dataset
    log.info("%s: which masks are of one object is read from %s", dataset.path, _first_key(dataset))
    pairs = zip(dataset.annotations, said, strict=True)
    grouped = [one.changed(object_id=number) if number else one for one, number in pairs]
    return replace(dataset, annotations=grouped)


_GROUPS = ("obj_ann_id", "object")  # PACO's: the annotation of the whole object


def _object_of(one: Annotation) -> int | None:
    """The number of its object, from 1; none where partlab's own field says it."""
    if one.object_id is not None:
        return None
    found = next((one.raw[key] for key in _GROUPS if type(one.raw.get(key)) is int), None)
    return None if found is None or found < 0 else found + (0 if "obj_ann_id" in one.raw else 1)


def _first_key(dataset: Dataset) -> str:
    return next(key for one in dataset.annotations for key in _GROUPS if key in one.raw)


def _is_another(file: Path) -> bool:
    others = (name for name in formats.names() if name != "coco")
    return bool(recognise(file)) or any(get_format(name).fits(file) for name in others)


def _meets_others(dataset: Dataset, folder: Path) -> bool:
    """Whether another picture, of another split, lies where one of this data set belongs."""
    pairs = ((dataset.image_path(i), folder / i.file_name) for i in dataset.images)
    return any(
        target.exists() and source.is_file() and not is_same(source, target)
        for source, target in pairs
    )


layout = CocoLayout()
