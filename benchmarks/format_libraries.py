"""What datumaro and supervision keep of part masks through each format they write and read.

    python benchmarks/format_libraries.py partlab              (partlab's own environment)
    python -m venv libs && libs/bin/pip install datumaro supervision
    libs/bin/python benchmarks/format_libraries.py datumaro supervision

Each puts the same four pictures into its own records, writes them and reads them back: a ragged
mask in two pieces, two legs, holes, a horn over a head. `kept`: the same pixels; `changed`: others;
`lost`: another number of masks. Of names: whether all come back. An exception is told as it is.
The result is added to benchmarks/results/format_libraries.json, beside what others did there.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RESULTS = Path(__file__).resolve().parent / "results" / "format_libraries.json"
WIDTH, HEIGHT = 61, 43  # odd, so that rounding shows
NAMES = ["ram:head", "ram:horn", "ram:left leg"]
SUBSETS = ("train", "val")  # its YOLO writer wants both
Found = dict[str, list[tuple[str, np.ndarray]]]  # picture -> (name, mask)


def area(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def drawn() -> Found:
    ragged = area(2, 2, 40, 30)
    ragged[2:30, 2:40] &= np.arange(38) < 30 + np.arange(28)[:, None] % 5
    ragged[HEIGHT - 2 :, WIDTH - 3 :] = True
    holes = area(3, 2, 40, 30) & ~area(10, 8, 20, 18) & ~area(25, 12, 31, 25)
    return {
        "pixels": [("ram:head", ragged)],
        "instances": [("ram:left leg", area(x, 2, x + 7, 20)) for x in (2, 20)],
        "holes": [("ram:head", holes)],
        "layers": [("ram:head", area(5, 5, 30, 30)), ("ram:horn", area(20, 20, 50, 40))],
    }


def pictures(folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True)
    paths = {kind: folder / f"{kind}.png" for kind in drawn()}
    for path in paths.values():
        Image.new("RGB", (WIDTH, HEIGHT), (9, 99, 199)).save(path)
    return paths


def through_datumaro(written: str, read: str) -> Callable[[Path], Found]:
    def run(folder: Path) -> Found:
        import datumaro as dm
        from datumaro.components.media import Image as Media

        items = [
            dm.DatasetItem(
                kind,
                subset=subset,
                media=Media.from_file(path=str(path)),
                annotations=[
                    dm.Mask(mask.astype(np.uint8), label=NAMES.index(name), group=number)
                    for number, (name, mask) in enumerate(drawn()[kind], 1)
                ],
            )
            for subset in SUBSETS
            for kind, path in pictures(folder / subset).items()
        ]
        dm.Dataset.from_iterable(items, categories=NAMES).export(
            str(folder / "out"), written, save_media=True
        )
        again = dm.Dataset.import_from(str(folder / "out"), read)
        labels = again.categories()[dm.AnnotationType.label]
        return {
            Path(item.id).name: [
                (labels[one.label].name if one.label is not None else "", pixels)
                for one in item.annotations
                if (pixels := as_mask(one)) is not None
            ]
            for item in again
            if item.subset == "train"
        }

    return run


def as_mask(one: Any) -> np.ndarray | None:
    """A mask or polygon of datumaro as pixels; None of boxes, which have none."""
    if hasattr(one, "image"):
        return np.asarray(one.image).astype(bool)
    if one.type.name != "polygon":
        return None
    from pycocotools import mask as coco

    return coco.decode(coco.merge(coco.frPyObjects([one.points], HEIGHT, WIDTH))).astype(bool)


def through_supervision(write: str, places: dict[str, str]) -> Callable[[Path], Found]:
    def run(folder: Path) -> Found:
        import supervision as sv

        paths = pictures(folder / "in")
        records = {str(path): _detections(sv, kind) for kind, path in paths.items()}
        data = sv.DetectionDataset(NAMES, [*records], records)
        there = {key: str(folder / place) for key, place in places.items()}
        getattr(data, f"as_{write}")(images_directory_path=str(folder / "images"), **there)
        more = {} if write == "labelme" else {"force_masks": True}
        again = getattr(sv.DetectionDataset, f"from_{write}")(
            images_directory_path=str(folder / "images"), **there, **more
        )
        return {
            Path(path).stem: [
                (again.classes[number], mask.astype(bool))
                for number, mask in zip(one.class_id, one.mask, strict=True)
            ]
            for path, one in again.annotations.items()
            if one.mask is not None
        }

    return run


def _detections(sv: Any, kind: str) -> Any:
    names, masks = zip(*drawn()[kind], strict=True)
    stack = np.stack(masks)
    numbers = np.array([NAMES.index(name) for name in names])
    return sv.Detections(xyxy=sv.mask_to_xyxy(stack), mask=stack, class_id=numbers)


def through_partlab(name: str) -> Callable[[Path], Found]:
    def run(folder: Path) -> Found:
        from annotate.data.convert import export_folder, import_source
        from annotate.data.formats import Source
        from partlab.coco import read_dataset, write_coco
        from partlab.masks import decode, encode
        from partlab.schema import Annotation, Category, Dataset
        from partlab.schema import Image as Record
        from partlab.truth import drawn_masks

        pictures(folder / "in" / "images")
        images, annotations = [], []
        for number, (kind, masks) in enumerate(drawn().items(), 1):
            images.append(Record.new(number, f"{kind}.png", (WIDTH, HEIGHT), object="ram"))
            for part, mask in masks:
                new = len(annotations) + 1
                annotations.append(Annotation.new(new, number, NAMES.index(part) + 1, encode(mask)))
        categories = [Category.new(n, *one.split(":")) for n, one in enumerate(NAMES, 1)]
        data = Dataset(images, annotations, categories)
        write_coco(data, folder / "in" / "annotations" / "train.json")
        export_folder(folder / "in", folder / "out", format=name)
        owner = "ram" if name == "voc" else None  # which has a colon in no name
        import_source(Source(folder / "out", object=owner), folder / "back")
        back = read_dataset(folder / "back")
        return {
            Path(image.file_name).stem: [
                (back.names[back.label_of[one.category_id]], decode(rle))
                for one, rle in drawn_masks(back, image).masks
            ]
            for image in back.images
        }

    return run


def told(run: Callable[[Path], Found]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            again = run(Path(folder))
        except Exception as error:  # another library's: it is the result
            words = f"{type(error).__name__}: {error}".replace(folder, "FOLDER")
            return {"error": words.splitlines()[0][:200]}
    before = drawn()
    result = {kind: compared(masks, again.get(kind, [])) for kind, masks in before.items()}
    names = {name for masks in again.values() for name, _ in masks}
    return result | {"names": "kept" if names and names <= {*NAMES} else "changed"}


def compared(before: list[tuple[str, np.ndarray]], after: list[tuple[str, np.ndarray]]) -> str:
    if len(before) != len(after):
        return f"lost ({len(after)} masks of {len(before)})"
    one, two = (sorted(mask.tobytes() for _, mask in masks) for masks in (before, after))
    return "kept" if one == two else f"changed (IoU {least_overlap(before, after):.2f})"


def least_overlap(
    before: list[tuple[str, np.ndarray]], after: list[tuple[str, np.ndarray]]
) -> float:
    """Of the masks before, the IoU of the worst with the mask after that is most like it."""

    def iou(one: np.ndarray, two: np.ndarray) -> float:
        return float((one & two).sum() / (one | two).sum())

    return min(max(iou(one, two) for _, two in after) for _, one in before)


LABELS = {"annotations_directory_path": "labels"}
WAYS: dict[str, dict[str, Callable[[Path], Found]]] = {
    "datumaro": {
        "coco": through_datumaro("coco_instances", "coco"),
        "cvat": through_datumaro("cvat", "cvat"),
        "datumaro": through_datumaro("datumaro", "datumaro"),
        "voc": through_datumaro("voc_segmentation", "voc_segmentation"),
        "yolo": through_datumaro("yolo_ultralytics", "yolo"),
    },
    "supervision": {
        "coco": through_supervision("coco", {"annotations_path": "a.json"}),
        "labelme": through_supervision("labelme", LABELS),
        "voc": through_supervision("pascal_voc", LABELS),
        "yolo": through_supervision("yolo", {**LABELS, "data_yaml_path": "data.yaml"}),
    },
    "partlab": {
        name: through_partlab(name)
        for name in (
            "coco", "cvat", "datumaro", "labelme", "labelstudio",
            "supervisely", "via", "voc", "yolo",
        )
    },
}  # fmt: skip


def main() -> None:
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for who in sys.argv[1:] or [*WAYS]:
        results[who] = {"version": version(who)}
        for name, run in WAYS[who].items():
            results[who][name] = told(run)
            print(who, name, results[who][name], flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
