"""Splits of data sets as other tools lay them out; what is no part data is passed over by name."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from partlab import layouts
from partlab.coco import read_dataset
from partlab.errors import NotFoundError, SchemaError
from partlab.layouts import find_layout, find_splits, split_of

PARTS = [{"id": 1, "name": "cat:head", "supercategory": "cat"}]
COCO: dict[str, Any] = {"images": [], "annotations": [], "categories": PARTS}
CAPTIONS = {"images": [], "annotations": [{"image_id": 1, "id": 1, "caption": "A cat."}]}
POINTS = {**COCO, "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}]}
PANOPTIC = {**COCO, "annotations": [{"segments_info": [], "image_id": 1}]}


def put(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_a_folder_for_each_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for folder in ("train", "valid", "test"):
        put(tmp_path / folder / "_annotations.coco.json", COCO)
    assert list(find_splits(tmp_path)) == ["test", "train", "val"]
    assert "valid/_annotations.coco.json is the split val" in caplog.text
    assert list(find_splits(tmp_path / "train")) == ["train"]
    assert list(find_splits(tmp_path / "valid" / "_annotations.coco.json")) == ["val"]
    assert read_dataset(tmp_path, "val").image_root == tmp_path / "valid"


def test_folders_of_other_names_and_files_of_other_names(tmp_path: Path) -> None:
    put(tmp_path / "fold1" / "_annotations.coco.json", COCO)
    put(tmp_path / "train2017" / "parts.json", COCO)
    put(tmp_path / "json" / "n01.json", COCO)  # another format's folder is no split
    assert list(find_splits(tmp_path)) == ["fold1", "train2017"]
    put(tmp_path / "train2017" / "more.json", COCO)
    names = [*find_splits(tmp_path)]
    assert names == ["fold1-_annotations.coco", "train2017-more", "train2017-parts"]


def test_a_file_beside_its_pictures(tmp_path: Path) -> None:
    put(tmp_path / "result.json", COCO)
    put(tmp_path / "info.json", {"name": "a project"})
    put(tmp_path / "tasks.json", [{"id": 1}])
    found = find_layout(tmp_path)
    assert list(found.splits) == ["result"]
    assert "info.json (no list 'images')" in found.note
    assert "tasks.json (its top level is not an object)" in found.note


@pytest.mark.parametrize("whole", [1 << 22, 0], ids=["parsed", "as a large file"])
def test_other_files_are_passed_over_and_named(
    whole: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(layouts, "_WHOLE", whole)
    caplog.set_level(logging.INFO)
    folder = tmp_path / "annotations"
    others = {"captions_val": CAPTIONS, "person_keypoints_val": POINTS, "panoptic_val": PANOPTIC}
    for name, value in others.items():
        put(folder / f"{name}.json", value)
    with pytest.raises(NotFoundError, match="holds no part data") as caught:
        find_splits(tmp_path)
    put(folder / "instances_val.json", COCO)
    assert list(find_splits(tmp_path)) == ["instances_val"]
    for text in (caught.value.message, caplog.text):
        assert "captions_val.json (no list 'categories')" in text
        assert "person_keypoints_val.json (its categories have key points)" in text
        assert "panoptic_val.json (panoptic segments)" in text
    find_splits(tmp_path)
    assert caplog.text.count("captions_val") == 1  # said once


@pytest.mark.parametrize("whole", [1 << 22, 0], ids=["parsed", "as a large file"])
def test_a_damaged_split_is_an_error_not_passed_over(
    whole: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layouts, "_WHOLE", whole)
    put(tmp_path / "annotations" / "train.json", COCO)
    put(tmp_path / "annotations" / "val.json", json.dumps(COCO)[:60])
    assert list(find_splits(tmp_path)) == ["train", "val"]
    with pytest.raises(SchemaError, match="not valid JSON"):
        read_dataset(tmp_path, "val")
    (tmp_path / "annotations" / "val.json").write_bytes(json.dumps(COCO).encode("utf-16"))
    assert read_dataset(tmp_path, "val").names == ("cat:head",)


def test_a_folder_of_many_other_files_is_not_read_through(tmp_path: Path) -> None:
    for number in range(60):
        put(tmp_path / f"{number:03}.json", {"shapes": []})
    assert len(find_layout(tmp_path).passed_over) <= 20


def test_names_of_splits() -> None:
    assert split_of(Path("x/train/_annotations.coco.json")) == "train"
    assert split_of(Path("x/dev/annotations.json")) == "val"
    assert split_of(Path("x/train/mine.json")) == "mine"
    assert split_of(Path("annotations/instances_val2017.json")) == "instances_val2017"
    assert split_of(Path("x/export/result.json")) == "result"
