"""Records as other tools spell them are read; what cannot be read is set aside and said once."""

import codecs
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from partlab.coco import read_coco, with_images_at, write_coco
from partlab.errors import SchemaError
from partlab.masks import decode, encode, from_segmentation
from partlab.schema import Dataset
from partlab.truth import incomplete

Raw = dict[str, Any]
BOX = [[5, 5, 25, 5, 25, 15, 5, 15]]
MASK = np.zeros((40, 60), bool)
MASK[5:15, 5:25] = True


def coco(**changes: Any) -> Raw:
    data: Raw = {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": BOX}],
        "categories": [{"id": 1, "name": "cat:head"}],
    }
    for name, values in changes.items():
        data[name][0].update(values)
    return data


def read(folder: Path, data: Raw, *, picture: bool = False) -> Dataset:
    if picture:
        PillowImage.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / "a.png")
    (folder / "a.json").write_text(json.dumps(data))
    return read_coco(folder / "a.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"images": {"id": "1"}, "annotations": {"image_id": 1.0}},
        {"images": {"id": "x7"}, "annotations": {"image_id": "x7"}},
        {"categories": {"id": "1"}, "annotations": {"id": "9", "category_id": "1"}},
        {"categories": {"id": "head"}, "annotations": {"id": None, "category_id": "head"}},
        {"images": {"width": 60.0, "height": "40"}},
        {"annotations": {"segmentation": BOX[0], "iscrowd": None, "bbox": ["5", "5", "20", "10"]}},
        {"annotations": {"iscrowd": False, "area": "200", "bbox": None}},
    ],
)
def test_other_spellings_are_the_same_data_set(tmp_path: Path, changes: Raw) -> None:
    data = read(tmp_path, coco(**changes))
    assert data.broken == []
    (image,), (annotation,) = data.images, data.annotations
    assert (image.width, image.height) == (60, 40)
    assert data.annotations_of(image) == [annotation]
    assert data.label_of[annotation.category_id] == 0
    assert annotation.iscrowd == 0
    assert (decode(from_segmentation(annotation.segmentation, 40, 60)) == MASK).all()
    ids = [image.id, annotation.id, annotation.image_id, annotation.category_id]
    assert {type(id) for id in ids} == {int}


def test_text_ids_are_kept_beside_their_numbers(tmp_path: Path) -> None:
    data = coco()
    data["images"] = [{**data["images"][0], "id": id, "file_name": f"{id}.png"} for id in ("b", 5)]
    data["annotations"][0]["image_id"] = "b"
    found = read(tmp_path, data)
    assert [image.id for image in found.images] == [6, 5]
    assert found.images[0].raw["partlab"] == {"text_id": "b"}
    assert found.annotations[0].image_id == 6


def test_only_the_records_spelled_otherwise_are_written_anew(tmp_path: Path) -> None:
    data = coco(annotations={"note": 1.0})
    data["annotations"].append({**data["annotations"][0], "id": "2", "area": None})
    found = read(tmp_path, data)
    write_coco(found, tmp_path / "b.json")
    after = json.loads((tmp_path / "b.json").read_text())
    assert after["annotations"] == [data["annotations"][0], {**data["annotations"][1], "id": 2}]
    again = (tmp_path / "b.json").read_bytes()
    write_coco(read_coco(tmp_path / "b.json"), tmp_path / "c.json")
    assert (tmp_path / "c.json").read_bytes() == again


@pytest.mark.parametrize(
    "size", [{"width": 0, "height": 0}, {"width": None}, {"width": "wide"}, {"height": -40}]
)
def test_sizes_that_are_not_stated_come_from_the_picture(
    tmp_path: Path, size: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (image,) = read(tmp_path, coco(images=size), picture=True).images
    assert (image.width, image.height) == (60, 40)
    assert "of no stated size, read from the picture: 1" in caplog.text


def test_a_size_that_nothing_tells_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = read(tmp_path, coco(images={"width": None}))
    assert len(data.annotations) == 1
    assert "of no stated size and no readable picture: 1, the first a.png" in caplog.text
    assert "0 x 40" in incomplete(data)[1]
    (tmp_path / "elsewhere").mkdir()
    PillowImage.new("RGB", (60, 40)).save(tmp_path / "elsewhere" / "a.png")
    assert with_images_at(data, tmp_path / "elsewhere").images[0].width == 60


def test_a_turned_mask_size_is_read_where_the_box_proves_it(tmp_path: Path) -> None:
    turned = {**encode(MASK), "size": [60, 40]}
    data = read(tmp_path, coco(annotations={"segmentation": turned, "bbox": [5, 5, 20, 10]}))
    assert data.annotations[0].segmentation == encode(MASK)
    unproved = read(tmp_path, coco(annotations={"segmentation": turned}))
    assert unproved.annotations[0].segmentation == turned
    assert "that is width, height" in incomplete(unproved)[1]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.json"
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b""
    path.write_bytes(mark + json.dumps(coco(), ensure_ascii=False).encode(encoding))
    write_coco(read_coco(path), tmp_path / "b.json")
    assert (tmp_path / "b.json").read_text() == json.dumps(coco())


def test_what_cannot_be_read_is_said_once_with_the_first_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = coco()
    data["annotations"] += [{**data["annotations"][0], "category_id": None}, {"id": 5}]
    found = read(tmp_path, data)
    assert len(found.annotations) == 1
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "cannot be read: 2, the first annotations[1] has the 'category_id' null" in said[0]
    assert list(found.incomplete) == [1]
    write_coco(found, tmp_path / "b.json")
    assert read_coco(tmp_path / "b.json").broken == found.broken
    assert caplog.records[1].getMessage().endswith(said[0].partition(": ")[2])


@pytest.mark.parametrize("name", ["images", "annotations", "categories"])
def test_a_list_without_one_readable_record_is_refused(tmp_path: Path, name: str) -> None:
    data = coco()
    data[name] = [None, {"id": 1}]
    with pytest.raises(SchemaError, match=rf"none of its 2 {name} can be read"):
        read(tmp_path, data)
