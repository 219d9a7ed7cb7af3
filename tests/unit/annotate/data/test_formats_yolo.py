"""YOLO-seg, as Ultralytics, Roboflow and Label Studio lay it out, read and written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.convert import export_folder, import_folder
from partlab.coco import read_dataset
from partlab.errors import NotFoundError, SchemaError
from partlab.masks import decode, encode

WIDTH, HEIGHT = 60, 40
SQUARE = "0 0.1 0.1 0.4 0.1 0.4 0.3 0.1 0.3"  # 18 x 8 pixels
ROBOFLOW = "train: ../train/images\nval: ../valid/images\n\nnc: 2\nnames: ['hood', 'wheel']\n"
CARPARTS = "path: ../datasets/carparts-seg\ntrain: train/images\nval: valid/images\n" + (
    "names:\n  0: hood\n  1: back_door,\n"
)


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if text:
        path.write_text(text)
    else:
        PillowImage.new("RGB", (WIDTH, HEIGHT)).save(path)
    return path


@pytest.fixture
def cars(tmp_path: Path) -> Path:
    """A folder for each split, with images and labels in it."""
    for split in ("train", "valid"):
        put(tmp_path / "cars" / split / "images" / "a.jpg")
        put(tmp_path / "cars" / split / "labels" / "a.txt", f"{SQUARE}\n")
    return tmp_path / "cars"


@pytest.mark.parametrize("settings", [ROBOFLOW, CARPARTS])
def test_a_folder_for_each_split(settings: str, cars: Path, tmp_path: Path) -> None:
    put(cars / "data.yaml", settings)
    told = import_folder(cars, tmp_path / "out", object="car")
    assert told["format"] == "yolo"
    assert list(told["splits"]) == ["train", "val"]
    data = read_dataset(tmp_path / "out", "val")
    assert (data.names, data.annotations[0].area) == (("car:hood",), 18 * 8)
    assert data.image_path(data.images[0]).is_file()


def test_a_folder_images_and_one_labels(tmp_path: Path) -> None:
    put(tmp_path / "in" / "data.yaml", "path: .\ntrain: images/train\nnames: {0: hood}\n")
    put(tmp_path / "in" / "images" / "train" / "deep" / "a.jpg")
    put(tmp_path / "in" / "labels" / "train" / "deep" / "a.txt", SQUARE)
    put(tmp_path / "in" / "images" / "train" / "empty.jpg")
    told = import_folder(tmp_path / "in", tmp_path / "out", object="car")
    assert told["splits"]["train"]["images"] == 2
    assert told["splits"]["train"]["annotations"] == 1


def test_names_in_a_text_file(tmp_path: Path) -> None:
    """As Label Studio exports it."""
    put(tmp_path / "in" / "images" / "a.jpg")
    put(tmp_path / "in" / "labels" / "a.txt", SQUARE.replace("0 ", "1 ", 1))
    with pytest.raises(NotFoundError, match=r"neither data\.yaml nor classes\.txt"):
        import_folder(tmp_path / "in", tmp_path / "out", object="car")
    put(tmp_path / "in" / "classes.txt", "wheel\nhood\n")
    import_folder(tmp_path / "in", tmp_path / "out", object="car")
    assert read_dataset(tmp_path / "out").names == ("car:hood",)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 10 10 40 10 40 30", "points are in pixels"),
        ("7 0.1 0.1 0.4 0.1 0.4 0.3", "class '7' has no name"),
        ("0 0.1 0.1 0.4 0.1 0.4 0.3 0.9", "no pairs"),
        ("0 0.1 0.1 0.4 x 0.4 0.3", "could not convert"),
        ("0 nan 0.1 0.4 0.1 0.4 0.3", "not a number"),
        ("0 0.5 0.5 0.2 0.2", "is a box"),
    ],
)
def test_a_line_that_is_no_polygon_is_set_aside(line: str, words: str, cars: Path) -> None:
    put(cars / "data.yaml", ROBOFLOW)
    put(cars / "train" / "labels" / "a.txt", f"{SQUARE}\n{line}\n")
    import_folder(cars, cars / "out", object="car")
    data = read_dataset(cars / "out", "train")
    assert len(data.annotations) == 1
    assert words in data.broken[0]["reason"]
    assert data.incomplete


def test_labels_without_pictures(cars: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(cars / "data.yaml", ROBOFLOW)
    (cars / "train" / "images" / "a.jpg").unlink()
    import_folder(cars, cars / "out", object="car")
    assert "1 label file without a picture" in caplog.text
    (cars / "valid" / "images" / "a.jpg").unlink()
    with pytest.raises(NotFoundError, match="none of its pictures is there"):
        import_folder(cars, cars / "two", object="car")


def test_a_list_that_leads_outside_is_not_followed(
    cars: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(cars.parent / "secret" / "images" / "a.jpg")
    put(cars / "data.yaml", ROBOFLOW.replace("../train/images", "../secret/images"))
    told = import_folder(cars, cars / "out", object="car")
    assert list(told["splits"]) == ["val"]
    assert "the split train is left out, there is no ../secret/images" in caplog.text


def test_holes_and_pieces_come_back_to_the_pixel(cars: Path, tmp_path: Path) -> None:
    put(cars / "data.yaml", ROBOFLOW)
    import_folder(cars, tmp_path / "ours", object="car")
    data = read_dataset(tmp_path / "ours", "train")
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:30, 3:50] = True
    mask[10:20, 10:40] = False
    mask[35:, 57:] = True
    file = tmp_path / "ours" / "annotations" / "train.json"
    before = data.annotations[0].changed(segmentation=encode(mask))
    from dataclasses import replace

    from partlab.coco import write_coco

    write_coco(replace(data, annotations=[before]), file)
    told = export_folder(tmp_path / "ours", tmp_path / "yolo", format="yolo")
    assert "inclusions and discards" in told["losses"][0]
    import_folder(tmp_path / "yolo", tmp_path / "back")
    again = read_dataset(tmp_path / "back", "train")
    assert again.names == ("car:hood",)
    assert (decode(again.annotations[0].segmentation) == mask).all()
    assert len(read_dataset(tmp_path / "back", "val").annotations) == 1


def test_two_pictures_cannot_share_labels(cars: Path, tmp_path: Path) -> None:
    put(cars / "data.yaml", ROBOFLOW)
    put(cars / "train" / "images" / "a.png")
    import_folder(cars, tmp_path / "ours", object="car")
    with pytest.raises(SchemaError, match="would share the labels"):
        export_folder(tmp_path / "ours", tmp_path / "yolo", format="yolo")
    assert not (tmp_path / "yolo").exists()
