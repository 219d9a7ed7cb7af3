"""Published part data sets in their authors' layouts: PACO, PartImageNet, Panoptic Parts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from annotate.data.convert import import_folder
from annotate.data.formats import formats, get_format
from annotate.data.formats.panoptic_names import PASCAL
from annotate.data.formats.panopticparts import decoded
from annotate.data.formats.partimagenet import PARTS
from annotate.data.formats.published import PUBLISHED, beside
from app.cli.main import app
from partlab.coco import read_dataset
from partlab.masks import encode

SQUARE = [[2, 2, 12, 2, 12, 12, 2, 12]]
SIZE = (30, 20)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", SIZE).save(path)


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def drawn(id: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    about = {"id": id, "image_id": 1, "category_id": category, "iscrowd": 0, "area": 100}
    return {**about, "bbox": [2, 2, 10, 10], "segmentation": segmentation, **more}


def paco() -> dict[str, Any]:
    """Two cups: an object's annotation has its own id as `obj_ann_id`, its parts point to it."""
    mask = np.zeros(SIZE[::-1], bool)
    mask[3:9, 3:9] = True
    runs = {"size": [SIZE[1], SIZE[0]], "counts": [43, 5, *([15, 5] * 2), SIZE[0] * SIZE[1] - 88]}
    image = {"id": 1, "file_name": "val2017/000000000001.jpg", "width": 30, "height": 20}
    image |= {"neg_category_ids": [5], "not_exhaustive_category_ids": [], "license": 2}
    kinds = [("OBJECT", 7, "cup"), ("PART", 400, "cup:handle"), ("PART", 401, "cup:rim")]
    said = {"attribute_ids": [3], "dom_color_ids": [1], "unknown_color": 0}
    return {
        "info": {},
        "images": [image],
        "annotations": [
            drawn(11, 7, SQUARE, obj_ann_id=11, **said),
            drawn(12, 400, {**encode(mask)}, obj_ann_id=11, **said),
            drawn(13, 7, SQUARE, obj_ann_id=13, **said),
            drawn(14, 401, runs, obj_ann_id=13, **said),
        ],
        "categories": [{"supercategory": s, "id": n, "name": name} for s, n, name in kinds],
        "part_categories": [{"id": 1, "name": "handle"}, {"id": 2, "name": "rim"}],
        "attributes": [{"id": 3, "name": "red"}],
        "attr_type_to_attr_idxs": {"color": [0]},
    }


def test_paco(tmp_path: Path) -> None:
    for split in ("train", "val"):
        put(tmp_path / "in" / "annotations" / f"paco_lvis_v1_{split}.json", paco())
    picture(tmp_path / "in" / "val2017" / "000000000001.jpg")
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert told["title"] == "PACO"
    assert list(told["splits"]) == ["paco_lvis_v1_train", "paco_lvis_v1_val"]
    rows = {what: (found, stated) for what, found, stated in told["published"]["rows"]}
    assert rows["paco_lvis_v1_val: images"] == (1, 2_410)
    assert rows["paco_lvis_v1_train: masks"] == (4, 612_188)
    assert rows["part categories"] == (3, 531)
    assert "paco_ego4d_v1_val: images" not in rows
    data = read_dataset(tmp_path / "out", "paco_lvis_v1_val")
    assert data.names == ("cup:cup", "cup:handle", "cup:rim")
    assert [one.object_id for one in data.annotations] == [11, 11, 13, 13]
    assert data.categories[0].whole_object
    assert not data.categories[1].whole_object
    assert data.annotations[1].raw["attribute_ids"] == [3]
    assert "attributes" in data.top
    assert data.image_path(data.images[0]).is_file()


def test_numbers_of_objects_that_begin_with_0(tmp_path: Path) -> None:
    found = paco()
    for number, one in enumerate(found["annotations"]):
        del one["obj_ann_id"]
        one["object"] = number // 2
    import_folder(put(tmp_path / "in" / "a.json", found), tmp_path / "out")
    assert [one.object_id for one in read_dataset(tmp_path / "out").annotations] == [1, 1, 2, 2]


def test_partimagenet_of_the_ood_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """File names lack the class folder, and some masks are empty or degenerate."""
    names = ["Quadruped Head", "Quadruped Body"]
    content = {
        "images": [{"id": 1, "file_name": "n02085620_1.JPEG", "width": 30, "height": 20}],
        "annotations": [
            drawn(1, 0, SQUARE),
            drawn(2, 1, [], area=0),
            drawn(3, 1, [[2, 2, 3, 3]], area=0),
        ],
        "categories": [
            {"id": n, "name": name, "supercategory": "Quadruped"} for n, name in enumerate(names)
        ],
    }
    put(tmp_path / "in" / "annotations" / "train.json", content)
    path = tmp_path / "in" / "train" / "n02085620" / "n02085620_1.JPEG"
    path.parent.mkdir(parents=True)
    PillowImage.new("RGB", SIZE).save(path, "JPEG")
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert told["splits"]["train"]["annotations"] == 3
    data = read_dataset(tmp_path / "out")
    assert data.objects == ("Quadruped",)
    assert data.image_path(data.images[0]).is_file()
    from annotate.data.check import check_folder

    kinds = check_folder(tmp_path / "out").as_json(None)["kinds"]
    assert {"empty_mask", "few_points"} & set(kinds)


# --- Cityscapes Panoptic Parts


def test_numbers_of_class_instance_and_part() -> None:
    numbers = np.array([0, 7, 26, 26_000, 26_001, 2_600_000, 2_600_002, 2_601_203, 100_000])
    kinds, instances, parts = decoded(numbers)
    assert kinds.tolist() == [0, 7, 26, 26, 26, 26, 26, 26, 1]
    assert instances.tolist() == [-1, -1, -1, 0, 1, 0, 0, 12, 0]
    assert parts.tolist() == [-1, -1, -1, -1, -1, 0, 2, 3, 0]
    for wrong in (-1, 100, 999, 10_000_000):
        with pytest.raises(ValueError, match="is no number of class"):
            decoded(np.array([wrong]))


def cityscapes(top: Path, pixels: np.ndarray, split: str = "train", name: str = "a_1_2") -> Path:
    file = top / "gtFinePanopticParts" / split / "aachen" / f"{name}_gtFinePanopticParts.tif"
    file.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(pixels.astype(np.int32)).save(file)
    picture(top / "leftImg8bit" / split / "aachen" / f"{name}_leftImg8bit.png")
    return file


def test_cityscapes_panoptic_parts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.full(SIZE[::-1], 7)
    pixels[2:6, 2:6] = 2_600_002  # wheels of the first car
    pixels[2:6, 10:14] = 2_600_102  # and of the second
    pixels[8:12, 2:6] = 2_400_001  # torso of the first person
    pixels[8:12, 8:12] = 2_400_005  # an artefact
    pixels[14:, :] = 26_000  # car, no part
    cityscapes(tmp_path / "in", pixels)
    cityscapes(tmp_path / "in", np.full(SIZE[::-1], 150), "val")  # three digits
    cityscapes(tmp_path / "in", pixels, "val", "b_1_2")
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert told["format"] == "panopticparts"
    assert {name: n["images"] for name, n in told["splits"].items()} == {"train": 1, "val": 1}
    data = read_dataset(tmp_path / "out", "train")
    found = [(data.names[data.label_of[a.category_id]], a.area) for a in data.annotations]
    assert sorted(found) == [("car:wheels", 16), ("car:wheels", 16), ("person:torso", 16)]
    assert len({a.object_id for a in data.annotations}) == 3
    assert data.image_path(data.images[0]).is_file()
    assert "1 region of part 5 of a person, which is none" in caplog.text
    assert "1 file that cannot be read" in caplog.text


# --- PASCAL Panoptic Parts


def test_the_names_of_pascals_numbers() -> None:
    """As ppp_datasetspec.yaml has them, numbered parts unfolded."""
    assert {owner: len(set(parts)) for owner, parts in PASCAL.values()} == {
        "aeroplane": 7, "bicycle": 6, "bird": 13, "bottle": 2, "bus": 13, "car": 13, "cat": 17,
        "cow": 19, "dog": 18, "horse": 21, "motorbike": 5, "person": 24, "pottedplant": 2,
        "sheep": 19, "train": 13, "tvmonitor": 2,
    }  # fmt: skip
    aeroplane, car, train = PASCAL[1][1], PASCAL[7][1], PASCAL[19][1]
    assert [aeroplane[n - 1] for n in (1, 5, 6, 15, 16, 25)] == [
        "body", "tail", "engine", "engine", "wheel", "wheel",
    ]  # fmt: skip
    assert len(aeroplane) == 25
    assert [car[n - 1] for n in (9, 10, 19, 20, 30, 40, 59)] == [
        "bliplate", "door", "door", "wheel", "headlight", "window", "window",
    ]  # fmt: skip
    assert (len(car), len(train), train[6], train[75]) == (59, 76, "headlight", "croofside")


def test_pascal_panoptic_parts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Beside PASCAL VOC's own folders, which look like another format."""
    pixels = np.zeros(SIZE[::-1], np.int32)
    pixels[2:6, 2:6] = 100_106  # an engine of the first aeroplane
    pixels[2:6, 8:12] = 100_107  # its second engine
    pixels[8:12, 2:6] = 1_500_201  # the head of the second person
    pixels[8:12, 8:12] = 1_500_225  # a part that persons do not have
    pixels[14:, :] = 85  # a stuff class
    for split, name in (("training", "2008_000008"), ("validation", "2008_000015")):
        file = tmp_path / "in" / "labels" / split / f"{name}.tif"
        file.parent.mkdir(parents=True)
        PillowImage.fromarray(pixels).save(file)
        picture(tmp_path / "in" / "JPEGImages" / f"{name}.jpg")
    (tmp_path / "in" / "SegmentationClass").mkdir()
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert (told["format"], told["title"]) == ("panopticparts", "PASCAL Panoptic Parts")
    assert {name: n["images"] for name, n in told["splits"].items()} == {"train": 1, "val": 1}
    data = read_dataset(tmp_path / "out", "train")
    found = [(data.names[data.label_of[a.category_id]], a.object_id) for a in data.annotations]
    assert found == [
        ("aeroplane:engine", 1002), ("aeroplane:engine", 1002), ("person:head", 15_003),
    ]  # fmt: skip
    assert data.image_path(data.images[0]).is_file()
    assert "2 regions of part 25" not in caplog.text
    assert "1 region of part 25 of a person, which is none" in caplog.text


# --- PartImageNet, Seg form


def label_map(top: Path, pixels: np.ndarray, split: str, name: str) -> None:
    file = top / "annotations" / split / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(pixels.astype(np.uint8)).save(file)
    (top / "annotations" / split / f"{name}.json").write_text('{"imgHeight": 20, "imgWidth": 30}')
    (top / "annotations" / f"{split}_whole").mkdir(exist_ok=True)
    path = top / "images" / split / f"{name}.JPEG"
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", SIZE).save(path, "JPEG")


def test_the_names_of_partimagenets_numbers() -> None:
    assert len(PARTS) == 40
    assert PARTS[0] == ("Quadruped", "Head")
    assert PARTS[26] == ("Car", "Side Mirror")
    assert PARTS[27] == ("Bicycle", "Body")
    assert PARTS[39] == ("Bottle", "Body")
    assert len({owner for owner, _ in PARTS}) == 11


def test_partimagenet_of_the_seg_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.full(SIZE[::-1], 40)
    pixels[2:6, 2:6] = 0
    pixels[6:12, 2:12] = 1
    odd = pixels.copy()
    odd[0, 0] = 158  # a value of whole objects
    for split in ("train", "test"):
        label_map(tmp_path / "in", pixels, split, "n02085620_1")
    label_map(tmp_path / "in", odd, "test", "n02085620_2")
    (tmp_path / "in" / "annotations" / "test" / "n02085620_3.png").write_bytes(b"half")
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert told["format"] == "partimagenet"
    assert {name: n["images"] for name, n in told["splits"].items()} == {"train": 1, "test": 2}
    data = read_dataset(tmp_path / "out", "train")
    assert data.names == ("Quadruped:Head", "Quadruped:Body")
    assert [a.area for a in data.annotations] == [16, 60]
    assert data.images[0].object == "Quadruped"
    assert data.image_path(data.images[0]).is_file()
    assert "1 value of no part" in caplog.text
    assert "1 label map that cannot be read" in caplog.text
    assert len(read_dataset(tmp_path / "out", "test").incomplete) == 1


# --- ADE20K


def test_ade20k_with_parts_and_parts_of_parts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in" / "images" / "training" / "s" / "street"
    objects = np.zeros((*SIZE[::-1], 3), np.uint8)
    objects[2:14, 2:20] = (10, 7, 40)  # the second value of blue: instance 1 is the smaller
    objects[15:18, :] = (0, 3, 90)
    doors, handles = np.zeros_like(objects), np.zeros_like(objects)
    doors[4:12, 4:10] = (0, 9, 120)
    doors[0:2, 25:28] = (0, 9, 200)  # in no object
    handles[6:8, 5:7] = (0, 8, 30)
    for ending, pixels in (("seg", objects), ("parts_1", doors), ("parts_2", handles)):
        folder.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(pixels).save(folder / f"ADE_train_1_{ending}.png")
    PillowImage.new("RGB", SIZE).save(folder / "ADE_train_1.jpg")
    lines = [
        '001 # 0 # 0 # car, auto, automobile # car # ""',
        '002 # 0 # 0 # road, route # road # ""',
        '001 # 1 # 0 # door # door # ""',
        '002 # 1 # 0 # wheel # wheel # ""',
        '001 # 2 # 0 # handle, grip # handle # ""',
    ]
    (folder / "ADE_train_1_atr.txt").write_text("\n".join(lines) + "\n")
    (folder / "ADE_train_2_atr.txt").write_text("001 # 0 # 0 # car # car\n")
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert (told["format"], list(told["splits"])) == ("ade20k", ["train"])
    data = read_dataset(tmp_path / "out", "train")
    assert data.names == ("car:door", "car:handle")
    assert [a.area for a in data.annotations] == [48, 4]
    assert {a.object_id for a in data.annotations} == {1}
    assert data.inclusions == {"car": {"handle": "door"}}
    assert data.image_path(data.images[0]).is_file()
    for words in ("1 part in no object", "1 object without parts"):
        assert words in caplog.text
    assert "1 picture of which a file cannot be read" in caplog.text
    assert len(data.incomplete) == 1


def thing(number: int, name: str, box: tuple[int, int, int, int], level: int, of: Any) -> Any:
    x, y, w, h = box
    parts = {"hasparts": [], "ispartof": of, "part_level": level}
    polygon = {"x": [x, x + w, x + w, x], "y": [y, y, y + h, y + h], "click_date": []}
    return {"id": number, "name": name, "raw_name": name, "parts": parts, "polygon": polygon}


def test_ade20k_of_2021(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A JSON file with outlines beside each picture, as the authors' repository has some."""
    folder = tmp_path / "in" / "images" / "ADE" / "training" / "urban" / "street"
    folder.mkdir(parents=True)
    things = [
        thing(0, "car, auto, automobile", (2, 2, 20, 14), 0, []),
        thing(1, "wheel", (4, 10, 4, 4), 1, 0),
        thing(2, "rim", (5, 11, 2, 2), 2, 1),
        thing(3, "road, route", (0, 15, 30, 5), 0, []),
        thing(4, "door", (6, 4, 5, 6), 1, [0]),
        thing(5, "window", (1, 1, 3, 3), 1, 99),
        thing(6, "knob", (7, 5, 0, 0), 2, 4),
    ]
    things[6]["polygon"] = {"x": [1, 2], "y": [1, 2], "click_date": []}
    about = {"filename": "ADE_train_1.jpg", "folder": "ADE20K_2021_17_01/images/ADE/training"}
    about |= {"imsize": [SIZE[1], SIZE[0], 3], "object": things, "scene": ["caf\u00e9"]}
    text = json.dumps({"annotation": about}, ensure_ascii=False)
    for name, content in (("ADE_train_1", text), ("ADE_train_2", text[:300])):
        (folder / f"{name}.json").write_bytes(content.encode("latin-1"))
        PillowImage.new("RGB", SIZE).save(folder / f"{name}_seg.png")
        PillowImage.new("RGB", SIZE).save(folder / f"{name}.jpg")
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert (told["format"], list(told["splits"])) == ("ade20k", ["train"])
    data = read_dataset(tmp_path / "out")
    found = [(data.names[data.label_of[a.category_id]], a.area) for a in data.annotations]
    assert found == [("car:wheel", 16), ("car:rim", 4), ("car:door", 30)]
    assert {a.object_id for a in data.annotations} == {1}
    assert data.inclusions == {"car": {"rim": "wheel"}}
    assert data.image_path(data.images[0]).is_file()
    for words in ("1 part in no object", "1 part whose outline is none", "1 object without parts"):
        assert words in caplog.text
    assert "1 picture of which a file cannot be read" in caplog.text
    assert len(data.incomplete) == 1


def test_published_counts_are_told_beside_those_found(tmp_path: Path) -> None:
    cityscapes(tmp_path / "in", np.full(SIZE[::-1], 2_600_002))
    command = ["data", "import", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(app, command).stdout
    assert "read, of what is published (Table 1 of PartImageNet++):" in said
    assert "  objects: 1 of 5" in said
    assert "  part categories: 1 of 23" in said


def test_every_published_data_set_is_one_that_is_read() -> None:
    titles = {get_format(name).title for name in formats.names()}
    own = {"PACO", "Cityscapes Panoptic Parts", "PASCAL Panoptic Parts"}
    assert set(PUBLISHED) <= titles | own
    assert beside("COCO", {}) is None
