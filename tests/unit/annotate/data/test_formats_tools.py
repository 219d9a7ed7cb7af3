"""VIA, makesense and Supervisely, as these tools write their files."""

import base64
import csv
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.convert import import_folder
from annotate.data.formats import guess_format
from partlab.coco import read_dataset
from partlab.errors import NotFoundError, SchemaError
from partlab.masks import decode, encode

WIDTH, HEIGHT = 60, 40


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", (WIDTH, HEIGHT)).save(path)
    return path


def masks(folder: Path, split: str | None = None) -> list[tuple[str, int]]:
    data = read_dataset(folder, split)
    return [(data.names[data.label_of[a.category_id]], int(a.area or 0)) for a in data.annotations]


# --- VIA

SQUARE = {"name": "polygon", "all_points_x": [5, 25, 25, 5], "all_points_y": [5, 5, 15, 15]}
RECT = {"name": "rect", "x": 1, "y": 2, "width": 10, "height": 4}


def via(*regions: tuple[dict[str, Any], Any], name: str = "a.jpg") -> dict[str, Any]:
    listed = [{"shape_attributes": one, "region_attributes": said} for one, said in regions]
    return {f"{name}123": {"filename": name, "size": 123, "regions": listed}}


def via_csv(regions: list[tuple[dict[str, Any], Any]]) -> str:
    out = io.StringIO()
    made = csv.writer(out)
    names = "filename,file_size,file_attributes,region_count,region_id"
    made.writerow([*names.split(","), "region_shape_attributes", "region_attributes"])
    for number, (shape, said) in enumerate(regions):
        about = [json.dumps(shape), json.dumps(said)]
        made.writerow(["a.jpg", 123, "{}", len(regions), number, *about])
    return out.getvalue()


def via3(*regions: tuple[list[float], dict[str, str]], **file: Any) -> str:
    """As VIA 3.0.13 saves a project: a choice is the number of an option."""
    options = {"0": "head", "1": "leg", "2": "eye"}
    attribute = {"aname": "part", "anchor_id": "FILE1_Z0_XY1", "type": 4, "options": options}
    about = {"fid": "1", "fname": "a.jpg", "type": 2, "loc": 1, "src": "", **file}
    metadata = {
        f"1_{n}": {"vid": "1", "flg": 0, "z": [], "xy": xy, "av": av}
        for n, (xy, av) in enumerate(regions)
    }
    return json.dumps(
        {
            "project": {"pid": "x", "pname": "farm", "vid_list": ["1"]},
            "config": {"file": {"loc_prefix": {"1": ""}}},
            "attribute": {"1": attribute},
            "file": {"1": about, "2": {"fid": "2", "fname": "a.mp4", "type": 4, "src": ""}},
            "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
            "metadata": metadata,
        }
    )


TWO = [(SQUARE, {"part": "head"}), (RECT, {"part": "leg"})]
FILES = {
    "via_region_data.json": json.dumps(via(*TWO)),
    "via_project.json": json.dumps(
        {"_via_settings": {}, "_via_img_metadata": via(*TWO), "_via_attributes": {}}
    ),
    "via_region_data.csv": via_csv(TWO),
    "via_project_30Nov2026.json": via3(
        ([7, 5, 5, 25, 5, 25, 15, 5, 15], {"1": "0"}), ([2, 1, 2, 10, 4], {"1": "1"})
    ),
    "labels_my-project.json": json.dumps(  # makesense
        {
            "a.jpg": {
                "fileref": "",
                "filename": "a.jpg",
                "regions": {
                    str(n): {"shape_attributes": one, "region_attributes": {"label": said["part"]}}
                    for n, (one, said) in enumerate(TWO)
                },
            }
        }
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_via(name: str, tmp_path: Path) -> None:
    file = put(tmp_path / "in" / name, FILES[name])
    picture(tmp_path / "in" / "a.jpg")
    for source in (file, file.parent):
        assert guess_format(source) == "via"
    told = import_folder(tmp_path / "in", tmp_path / "out", object="ram")
    assert list(told["splits"]) == ["in"]
    assert masks(tmp_path / "out") == [("ram:head", 200), ("ram:leg", 40)]


def test_folders_of_via_called_like_splits(tmp_path: Path) -> None:
    """The balloon data set, and many made after it."""
    for split in ("train", "val"):
        put(tmp_path / "in" / split / "via_region_data.json", FILES["via_region_data.json"])
        picture(tmp_path / "in" / split / "a.jpg")
    told = import_folder(tmp_path / "in", tmp_path / "out", object="ram")
    assert list(told["splits"]) == ["train", "val"]


def test_shapes_and_labels_of_via(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    circle = {"name": "circle", "cx": 30, "cy": 20, "r": 5}
    ellipse = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 8, "ry": 4, "theta": np.pi / 2}
    regions = [
        (circle, {"part": {"eye": True, "ear": False}}),
        (ellipse, {"shape": "x", "Name": "nose"}),
        ({"name": "point", "cx": 1, "cy": 1}, {"part": "dot"}),
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]}, {"part": "head"}),
        (SQUARE, {"colour": "red", "size": "big"}),
    ]
    put(tmp_path / "in" / "via.json", json.dumps(via(*regions)))
    picture(tmp_path / "in" / "a.jpg")
    import_folder(tmp_path / "in", tmp_path / "out", object="ram")
    assert masks(tmp_path / "out") == [("ram:eye", 80), ("ram:nose", 100)]
    data = read_dataset(tmp_path / "out")
    _, nose = (decode(a.segmentation) for a in data.annotations)
    assert np.ptp(np.flatnonzero(nose.any(1))) > np.ptp(np.flatnonzero(nose.any(0)))
    assert "1 region of the kind point, 1 region that cannot be drawn" in caplog.text
    assert "1 shape without a label" in caplog.text
    assert len(data.broken) == 3


def test_shapes_of_via_3(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shapes: list[tuple[list[float], dict[str, str]]] = [
        ([8, 1, 4, 6, 2, 11, 4, 6, 6], {"1": "1"}),  # four points on the sides of a rectangle
        ([3, 30, 20, 5], {"1": "2"}),
        ([1, 3, 3], {"1": "0"}),
        ([9, 1, 1, 2, 2, 3, 1], {"1": "0"}),
        ([7, 1, 1], {"1": "0"}),
        ([2, 1, 2, 10, 4], {}),
    ]
    put(tmp_path / "in" / "via.json", via3(*shapes, src="data:image/png;base64,AA"))
    picture(tmp_path / "in" / "a.jpg")
    import_folder(tmp_path / "in", tmp_path / "out", object="ram")
    assert masks(tmp_path / "out") == [("ram:leg", 40), ("ram:eye", 80)]
    for words in (
        "1 region of the kind point",
        "of the kind extreme circle",
        "that cannot be drawn",
    ):
        assert words in caplog.text
    assert len(read_dataset(tmp_path / "out").broken) == 4


def test_via_without_its_pictures_asks_for_them(tmp_path: Path) -> None:
    file = put(tmp_path / "in" / "via.json", FILES["via_region_data.json"])
    with pytest.raises(NotFoundError, match="none of its 1 pictures is there") as caught:
        import_folder(file, tmp_path / "out", object="ram")
    assert "--images" in str(caught.value.hint)
    picture(tmp_path / "pics" / "a.jpg")
    import_folder(file, tmp_path / "out", object="ram", images=tmp_path / "pics")
    assert len(masks(tmp_path / "out")) == 2


# --- Supervisely

META = '{"classes": [{"title": "head", "shape": "any"}], "tags": [], "projectType": "images"}'


def bitmap(mask: np.ndarray) -> str:
    """As Supervisely codes it: a palette PNG of which 0 is transparent, in zlib, in base64."""
    image = PillowImage.fromarray(mask.astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    out = io.BytesIO()
    image.save(out, format="PNG", transparency=0)
    return base64.b64encode(zlib.compress(out.getvalue())).decode()


def thing(kind: str, title: str = "head", **more: Any) -> dict[str, Any]:
    return {"id": 1, "classTitle": title, "geometryType": kind, "labelerLogin": "ann", **more}


def project(folder: Path, *objects: Any, data_set: str = "train") -> Path:
    put(folder / "meta.json", META)
    about = {"description": "", "tags": [], "size": {"height": HEIGHT, "width": WIDTH}}
    put(folder / data_set / "ann" / "a.jpg.json", json.dumps({**about, "objects": list(objects)}))
    picture(folder / data_set / "img" / "a.jpg")
    return folder


def test_a_supervisely_project(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring = np.ones((5, 6), bool)
    ring[2, 2] = False
    square = {"exterior": [[10, 10], [19, 10], [19, 19], [10, 19]]}
    top = project(
        tmp_path / "in",
        thing("bitmap", bitmap={"data": bitmap(ring), "origin": [3, 4]}, instance="x"),
        thing("polygon", "leg", points={**square, "interior": [[[12, 12], [14, 12], [14, 14]]]}),
        thing("rectangle", "ear", points={"exterior": [[0, 0], [1, 2]], "interior": []}),
        thing("point", points={"exterior": [[0, 0]], "interior": []}),
        thing("bitmap", bitmap={"data": bitmap(ring), "origin": [58, 4]}),
        thing("bitmap", bitmap={"data": "!!", "origin": [0, 0]}),
    )
    project(top, data_set="valid")
    assert guess_format(top) == guess_format(top / "meta.json") == "supervisely"
    told = import_folder(top, tmp_path / "out", object="ram")
    assert list(told["splits"]) == ["train", "val"]
    assert masks(tmp_path / "out", "train") == [("ram:head", 29), ("ram:leg", 94), ("ram:ear", 6)]
    data = read_dataset(tmp_path / "out", "train")
    head = decode(data.annotations[0].segmentation)
    assert (head[4:9, 3:9] == ring).all()
    assert (data.annotations[0].object_id, data.annotations[0].provenance) == (1, "human:ann")
    assert "1 object of the kind point, 2 objects that cannot be drawn" in caplog.text
    assert data.image_path(data.images[0]).is_file()


def test_a_supervisely_project_in_a_zip(tmp_path: Path) -> None:
    square = {"exterior": [[10, 10], [19, 19]], "interior": []}
    top = project(tmp_path / "in" / "my project", thing("rectangle", points=square))
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as made:
        for file in sorted(top.rglob("*.*")):
            made.write(file, file.relative_to(tmp_path / "in"))
    told = import_folder(tmp_path / "p.zip", tmp_path / "out", object="ram")
    assert told["format"] == "supervisely"
    assert masks(tmp_path / "out") == [("ram:head", 100)]


def test_a_supervisely_project_without_annotations(tmp_path: Path) -> None:
    put(tmp_path / "in" / "meta.json", META)
    with pytest.raises(NotFoundError, match="has no <data set>/ann"):
        import_folder(tmp_path / "in", tmp_path / "out")
    put(tmp_path / "in" / "train" / "ann" / "a.jpg.json", "<html>sign in</html>")
    with pytest.raises(SchemaError, match="is a web page"):
        import_folder(tmp_path / "in", tmp_path / "out")


# --- Datumaro


def datumaro(*annotations: dict[str, Any], size: list[int] | None = None) -> str:
    labels = [{"name": "head", "parent": "ram"}, {"name": "leg", "parent": "ram"}]
    media = {"path": "a.jpg", **({"size": size} if size else {})}
    item = {"id": "a", "annotations": [*annotations], "attr": {"frame": 0}, "image": media}
    return json.dumps(
        {
            "info": {},
            "categories": {"label": {"labels": labels, "attributes": []}, "points": {"items": []}},
            "items": [item],
        }
    )


def rle(mask: np.ndarray) -> dict[str, Any]:
    found = encode(mask)
    return {"counts": found["counts"], "size": found["size"]}


def test_datumaro(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring = np.zeros((HEIGHT, WIDTH), bool)
    ring[5:15, 5:25] = True
    ring[8:10, 8:12] = False
    points = [5.0, 5.0, 25.0, 5.0, 25.0, 15.0, 5.0, 15.0]
    listed: list[dict[str, Any]] = [
        {"id": 0, "type": "mask", "label_id": 0, "group": 3, "rle": rle(ring), "z_order": 0},
        {"id": 1, "type": "polygon", "label_id": 1, "group": 0, "points": points},
        {"id": 2, "type": "bbox", "label_id": 1, "group": 0, "bbox": [1, 1, 4, 4]},
        {"id": 3, "type": "label", "label_id": 1},
        {"id": 4, "type": "mask", "label_id": 0, "rle": {"counts": "x", "size": [1, 1]}},
        {"id": 5, "type": "polygon", "label_id": 9, "points": points},
    ]
    file = put(tmp_path / "in" / "annotations" / "validation.json", datumaro(*listed))
    picture(tmp_path / "in" / "images" / "validation" / "a.jpg")
    assert guess_format(tmp_path / "in") == guess_format(file) == "datumaro"
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert list(told["splits"]) == ["val"]
    assert masks(tmp_path / "out") == [("ram:head", 192), ("ram:leg", 200)]
    data = read_dataset(tmp_path / "out")
    assert (decode(data.annotations[0].segmentation) == ring).all()
    assert data.annotations[0].object_id == 3
    assert data.image_path(data.images[0]).is_file()
    assert "1 annotation of the kind bbox, 1 mask that cannot be drawn" in caplog.text
    assert "1 shape without a label" in caplog.text


def test_datumaro_says_the_size_or_a_mask_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn = {"type": "mask", "label_id": 0, "rle": rle(np.ones((HEIGHT, WIDTH), bool))}
    box = {"type": "bbox", "label_id": 0, "bbox": [1, 1, 4, 4]}
    for name, text in (
        ("train", datumaro(drawn)),
        ("val", datumaro(box, size=[HEIGHT, WIDTH])),
        ("test", datumaro(box)),
    ):
        put(tmp_path / "in" / "annotations" / f"{name}.json", text)
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert {name: n["images"] for name, n in told["splits"].items()} == {
        "test": 0,
        "train": 1,
        "val": 1,
    }
    assert "1 image without a size and without a picture" in caplog.text
    put(tmp_path / "bad" / "annotations" / "train.json", '{"categories": {}, "items": [1]}')
    with pytest.raises(SchemaError, match=r"no list of labels under categories\.label"):
        import_folder(tmp_path / "bad", tmp_path / "two")


# --- Pascal VOC, and CVAT's "Segmentation mask 1.1"

LABELS = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nhead:250,50,83::\nleg:10,20,30::\n"


def png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(pixels).save(path)


def voc(top: Path, split: str = "default") -> Path:
    classes = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    objects = np.zeros_like(classes)
    for left, colour, instance in (
        (2, (250, 50, 83), 1),
        (20, (10, 20, 30), 2),
        (40, (9, 9, 9), 3),
    ):
        classes[5:15, left : left + 10] = colour
        objects[5:15, left : left + 10] = instance
    classes[5:15, 25:30] = (10, 20, 30)
    objects[5:15, 25:30] = 4  # the second leg
    classes[20, :] = (224, 224, 192)
    put(top / "labelmap.txt", LABELS)
    put(top / "ImageSets" / "Segmentation" / f"{split}.txt", "a\n")
    png(top / "SegmentationClass" / "a.png", classes)
    png(top / "SegmentationObject" / "a.png", objects)
    picture(top / "JPEGImages" / "a.jpg")
    return top


def test_label_maps_of_cvat(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    top = voc(tmp_path / "in")
    assert guess_format(top) == "voc"
    import_folder(top, tmp_path / "out", object="ram")
    assert sorted(masks(tmp_path / "out")) == [("ram:head", 100), ("ram:leg", 50), ("ram:leg", 50)]
    assert "1 mask of a colour without a name" in caplog.text
    data = read_dataset(tmp_path / "out")
    assert data.image_path(data.images[0]).name == "a.jpg"
    assert data.incomplete


def test_label_maps_without_their_list_are_refused(tmp_path: Path) -> None:
    top = voc(tmp_path / "in")
    (top / "labelmap.txt").unlink()
    with pytest.raises(NotFoundError, match=r"no list of labels .*labelmap\.txt"):
        import_folder(top, tmp_path / "out", object="ram")
    put(top / "labelmap.txt", "head=1,2,3\n")
    with pytest.raises(SchemaError, match=r"is not `label:red,green,blue::`"):
        import_folder(top, tmp_path / "out", object="ram")


def test_label_maps_of_two_sizes_or_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    top = voc(tmp_path / "in")
    png(top / "SegmentationObject" / "a.png", np.zeros((3, 3), np.uint8))
    put(top / "ImageSets" / "Segmentation" / "default.txt", "a\nb\n")
    told = import_folder(top, tmp_path / "out", object="ram")
    assert told["splits"]["default"]["images"] == 1
    assert told["splits"]["default"]["annotations"] == 0
    assert "1 pair of masks of two sizes, 1 mask that cannot be opened" in caplog.text
