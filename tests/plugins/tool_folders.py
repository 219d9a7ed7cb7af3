"""A small folder as each tool exports it: one picture with a few parts, and its main file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from scipy.io import savemat

from annotate.data.convert import export_folder
from partlab.coco import write_coco
from partlab.masks import encode
from partlab.schema import Annotation, Category, Dataset, Image

WIDTH, HEIGHT = 30, 20
Maker = Callable[[Path], Path]
SQUARE = [2, 2, 12, 2, 12, 12, 2, 12]


def _mask() -> Any:
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[2:12, 2:12] = True
    return pixels


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    PillowImage.fromarray(pixels).save(path)


def _put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _map(path: Path, pixels: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(pixels).save(path)
    return path


def _of_ours(format: str, main: str) -> Maker:
    """What partlab itself writes in a format."""

    def make(folder: Path) -> Path:
        source = folder.parent / f"{folder.name}-source"
        _picture(source / "images" / "n00000001_1.png")
        image = Image.new(1, "n00000001_1.png", (WIDTH, HEIGHT), object="ram")
        category = Category.new(1, "ram", "head", wnid="n00000001")
        data = Dataset([image], [Annotation.new(1, 1, 1, encode(_mask()))], [category])
        write_coco(data, source / "annotations" / "train.json")
        export_folder(source, folder, format=format)
        for link in (one for one in folder.rglob("*") if one.is_symlink()):
            content = link.read_bytes()
            link.unlink()
            link.write_bytes(content)
        return next(iter(sorted(folder.glob(main))))

    return make


def _coco(name: str, pictures: str, category: dict[str, Any]) -> Maker:
    """COCO of another tool: where its file lies, what pictures and categories are called."""

    def make(folder: Path) -> Path:
        _picture(folder / Path(name).parent / pictures)
        mask = {"id": 0, "image_id": 0, "category_id": category["id"], "iscrowd": 0, "area": 100.0}
        return _put(
            folder / name,
            {
                "info": {"description": "my-project"},
                "images": [{"id": 0, "width": WIDTH, "height": HEIGHT, "file_name": pictures}],
                "annotations": [{**mask, "segmentation": [SQUARE], "bbox": [2, 2, 10, 10]}],
                "categories": [category],
            },
        )

    return make


def _ade_2016(folder: Path) -> Path:
    stem = folder / "images" / "training" / "s" / "ADE_train_1"
    _picture(stem.with_suffix(".jpg"))
    objects, parts = (np.zeros((HEIGHT, WIDTH, 3), np.uint8) for _ in range(2))
    objects[2:14, 2:20] = (10, 7, 40)
    parts[_mask()] = (0, 9, 120)
    _map(stem.with_name("ADE_train_1_seg.png"), objects)
    _map(stem.with_name("ADE_train_1_parts_1.png"), parts)
    rows = ['001 # 0 # 0 # ram # ram # ""', '001 # 1 # 0 # head # head # ""']
    return _put(stem.with_name("ADE_train_1_atr.txt"), "\n".join(rows) + "\n")


def _ade_2021(folder: Path) -> Path:
    stem = folder / "images" / "ADE" / "training" / "ADE_train_1"
    _picture(stem.with_suffix(".jpg"))
    _map(stem.with_name("ADE_train_1_seg.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    outline = {"x": SQUARE[::2], "y": SQUARE[1::2]}
    things = [
        {
            "id": number, "name": name, "raw_name": name, "polygon": outline,
            "parts": {"part_level": number, "ispartof": above, "hasparts": []},
        }
        for number, name, above in ((0, "ram", []), (1, "head", 0))
    ]  # fmt: skip
    about = {"folder": "ADE20K_2021_17_01/images", "imsize": [HEIGHT, WIDTH, 3], "object": things}
    return _put(stem.with_suffix(".json"), {"annotation": about})


def _datumaro(folder: Path) -> Path:
    _picture(folder / "images" / "train" / "a.png")
    shape = {"type": "polygon", "label_id": 0, "group": 0, "points": SQUARE}
    image = {"path": "a.png", "size": [HEIGHT, WIDTH]}
    labels = [{"name": "head", "parent": "ram"}]
    return _put(
        folder / "annotations" / "train.json",
        {
            "info": {},
            "categories": {"label": {"labels": labels}},
            "items": [{"id": "a", "annotations": [shape], "image": image}],
        },
    )


def _fiftyone(folder: Path) -> Path:
    _picture(folder / "data" / "a.png")
    _put(folder / "metadata.json", {"name": "farm"})
    ring = [[x / WIDTH, y / HEIGHT] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)]
    line = {"_cls": "Polyline", "label": "ram:head", "points": [ring], "filled": True}
    return _put(folder / "samples.json", {"samples": [{"filepath": "data/a.png", "parts": line}]})


def _label_studio(folder: Path) -> Path:
    _picture(folder / "a.png")
    corners = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in ((2, 2), (12, 2), (12, 12), (2, 12))]
    region = {
        "id": "r", "type": "polygonlabels", "from_name": "part", "to_name": "image",
        "original_width": WIDTH, "original_height": HEIGHT,
        "value": {"points": corners, "polygonlabels": ["ram:head"]},
    }  # fmt: skip
    task = {"id": 1, "data": {"image": "/data/upload/1/e97d4731-a.png"}}
    return _put(
        folder / "project-1.json", [{**task, "annotations": [{"id": 1, "result": [region]}]}]
    )


def _cityscapes(folder: Path) -> Path:
    pixels = np.where(_mask(), 2_600_002, 7).astype(np.int32)
    _picture(folder / "leftImg8bit" / "train" / "aachen" / "a_1_2_leftImg8bit.png")
    place = folder / "gtFinePanopticParts" / "train" / "aachen"
    return _map(place / "a_1_2_gtFinePanopticParts.tif", pixels)


def _pascal_panoptic(folder: Path) -> Path:
    pixels = np.where(_mask(), 100_106, 0).astype(np.int32)
    _picture(folder / "JPEGImages" / "2008_1.jpg")
    return _map(folder / "labels" / "training" / "2008_1.tif", pixels)


def _partimagenet(folder: Path) -> Path:
    _picture(folder / "images" / "train" / "n02085620_1.JPEG")
    (folder / "annotations" / "train_whole").mkdir(parents=True)
    _map(folder / "annotations" / "train_whole" / "n02085620_1.png", _mask().astype(np.uint8))
    pixels = np.where(_mask(), 0, 40).astype(np.uint8)
    return _map(folder / "annotations" / "train" / "n02085620_1.png", pixels)


def _structs(row: dict[str, Any]) -> Any:
    made = np.zeros((1, 1), [(key, object) for key in row])
    made[0, 0] = tuple(row.values())
    return made


def _pascal_part(folder: Path) -> Path:
    _picture(folder / "JPEGImages" / "2008_1.jpg")
    pixels = _mask().astype(np.uint8)
    head = _structs({"part_name": "head", "mask": pixels})
    cat = _structs({"class": "cat", "class_ind": 8, "mask": pixels, "parts": head})
    path = folder / "Annotations_Part" / "2008_1.mat"
    path.parent.mkdir(parents=True)
    savemat(path, {"anno": _structs({"imname": "2008_1", "objects": cat})})
    return path


def _supervisely(folder: Path) -> Path:
    _picture(folder / "train" / "img" / "a.png")
    _put(folder / "meta.json", {"classes": [{"title": "ram:head", "shape": "polygon"}], "tags": []})
    points = [list(pair) for pair in zip(SQUARE[::2], SQUARE[1::2], strict=True)]
    thing = {"classTitle": "ram:head", "geometryType": "polygon"}
    thing["points"] = {"exterior": points, "interior": []}  # type: ignore[assignment]
    size = {"height": HEIGHT, "width": WIDTH}
    return _put(folder / "train" / "ann" / "a.png.json", {"size": size, "objects": [thing]})


def _via(folder: Path) -> Path:
    _picture(folder / "a.png")
    shape = {"name": "polygon", "all_points_x": SQUARE[::2], "all_points_y": SQUARE[1::2]}
    region = {"shape_attributes": shape, "region_attributes": {"part": "ram:head"}}
    entry = {"filename": "a.png", "size": 1, "regions": [region]}
    return _put(folder / "via_region_data.json", {"a.png1": entry})


def _via_3(folder: Path) -> Path:
    _picture(folder / "a.png")
    return _put(
        folder / "via_project.json",
        {
            "project": {"pname": "farm", "vid_list": ["1"]},
            "attribute": {"1": {"aname": "part", "type": 1}},
            "file": {"1": {"fid": "1", "fname": "a.png", "type": 2, "loc": 1, "src": ""}},
            "view": {"1": {"fid_list": ["1"]}},
            "metadata": {"1_a": {"vid": "1", "z": [], "xy": [7, *SQUARE], "av": {"1": "ram:head"}}},
        },
    )


_ROBOFLOW = {"id": 1, "name": "head", "supercategory": "ram"}
TOOLS: dict[str, tuple[str, Maker]] = {
    "ADE20K 2016": ("ade20k", _ade_2016),
    "ADE20K 2021": ("ade20k", _ade_2021),
    "COCO": ("coco", _of_ours("coco", "annotations/*.json")),
    "labelme2coco": (
        "coco",
        _coco("dataset.json", "a.png", {"id": 0, "name": "ram:head", "supercategory": "ram:head"}),
    ),
    "makesense COCO": (
        "coco",
        _coco("labels_my-project.json", "a.png", {"id": 1, "name": "ram:head"}),
    ),
    "Roboflow": ("coco", _coco("train/_annotations.coco.json", "a_png.rf.0a1b.png", _ROBOFLOW)),
    "CVAT": ("cvat", _of_ours("cvat", "annotations.xml")),
    "Datumaro": ("datumaro", _datumaro),
    "FiftyOne": ("fiftyone", _fiftyone),
    "labelme": ("labelme", _of_ours("labelme", "*.json")),
    "Label Studio": ("labelstudio", _label_studio),
    "Cityscapes Panoptic Parts": ("panopticparts", _cityscapes),
    "PASCAL Panoptic Parts": ("panopticparts", _pascal_panoptic),
    "PartImageNet Seg": ("partimagenet", _partimagenet),
    "PASCAL-Part": ("pascalpart", _pascal_part),
    "PIN++": ("pinpp", _of_ours("pinpp", "json/*.json")),
    "prepared": ("prepared", _of_ours("prepared", "seg/*/*.png")),
    "Supervisely": ("supervisely", _supervisely),
    "VIA 2": ("via", _via),
    "VIA 3": ("via", _via_3),
    "VOC": ("voc", _of_ours("voc", "SegmentationClass/*.png")),
    "YOLO": ("yolo", _of_ours("yolo", "labels/**/*.txt")),
}
"""Tool -> the format it is read as, and what makes its folder and returns its main file."""
