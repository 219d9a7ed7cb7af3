"""`partlab data merge`: one data set of several, nothing lost and nothing chosen in silence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.check import check_folder
from annotate.data.formats.pictures import Pictures
from annotate.data.merge import merge_folders
from partlab.coco import read_dataset
from partlab.errors import ConfigError, OutputExistsError, SchemaError

Raw = dict[str, Any]
BOX = [[5, 5, 25, 5, 25, 15, 5, 15]]
OTHER = [[30, 5, 50, 5, 50, 15, 30, 15]]


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    PillowImage.fromarray(noise).save(path)


def data_set(
    folder: Path,
    pictures: dict[str, int],
    part: str,
    segmentation: Any = BOX,
    split: str = "train",
    **top: Any,
) -> Path:
    """Pictures by name and seed, one mask in each; all ids begin at 1."""
    for name, seed in pictures.items():
        picture(folder / "images" / name, seed)
    images = [
        {"id": i, "file_name": name, "width": 60, "height": 40}
        for i, name in enumerate(pictures, 1)
    ]
    annotations = [
        {"id": i, "image_id": i, "category_id": 1, "segmentation": segmentation, "iscrowd": 0}
        for i in range(1, len(images) + 1)
    ]
    for a in annotations:
        a["partlab"] = {"provenance": f"human:{folder.name}", "object_id": 1}
    categories = [{"id": 1, "name": part, "supercategory": part.partition(":")[0]}]
    data = {"images": images, "annotations": annotations, "categories": categories, **top}
    path = folder / "annotations" / f"{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return folder


@pytest.fixture
def ann(tmp_path: Path) -> Path:
    return data_set(tmp_path / "ann", {"a1.png": 1, "a2.png": 2}, "cat:head")


def test_two_annotators_files_become_one_data_set(tmp_path: Path, ann: Path) -> None:
    ben = data_set(tmp_path / "ben", {"b1.png": 3, "b2.png": 4}, "cat:tail", split="ben")
    told = merge_folders([ann, ben / "annotations" / "ben.json"], tmp_path / "out")
    data = read_dataset(tmp_path / "out", "train")
    assert data.names == ("cat:head", "cat:tail")
    assert [image.id for image in data.images] == [1, 2, 3, 4]
    assert [(a.id, a.image_id, a.category_id) for a in data.annotations] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, 3, 2),
        (4, 4, 2),
    ]
    assert [a.provenance for a in data.annotations] == ["human:ann"] * 2 + ["human:ben"] * 2
    assert [a.object_id for a in data.annotations] == [1, 1, 2, 2]
    assert told["splits"]["train"]["images"] == 4
    assert [f for f in check_folder(tmp_path / "out").findings if f.severity == "error"] == []


def test_the_same_picture_is_one_image_with_the_masks_of_both(tmp_path: Path, ann: Path) -> None:
    ben = data_set(tmp_path / "ben", {"a1.png": 1}, "cat:tail", OTHER)
    eve = data_set(tmp_path / "eve", {"a1.png": 1, "a2.png": 2}, "cat:head")
    told = merge_folders([ann, ben, eve], tmp_path / "out")
    data = read_dataset(tmp_path / "out")
    assert len(data.images) == 2
    assert [(a.image_id, data.category_by_id[a.category_id].part) for a in data.annotations] == [
        (1, "head"),
        (2, "head"),
        (1, "tail"),
    ]
    assert (told["shared_images"], told["same_masks"]) == (3, 2)


def test_another_picture_of_the_same_name_gets_a_new_one(tmp_path: Path, ann: Path) -> None:
    discards = [{"file_name": "a1.png", "partlab": {"reason": "dark"}}]
    ben = data_set(tmp_path / "ben", {"a1.png": 9}, "cat:tail", partlab={"discards": discards})
    told = merge_folders([ann, ben], tmp_path / "out", pictures=Pictures.copy)
    data = read_dataset(tmp_path / "out")
    assert [image.file_name for image in data.images] == ["a1.png", "a2.png", "a1-ben-train.png"]
    assert data.images[2].raw["partlab"]["renamed_from"] == "a1.png"
    assert data.image_path(data.images[2]).read_bytes() == (ben / "images/a1.png").read_bytes()
    assert data.image_path(data.images[0]).read_bytes() == (ann / "images/a1.png").read_bytes()
    assert [discard.file_name for discard in data.discards] == ["a1-ben-train.png"]
    assert told["renamed"][0]["to"] == "a1-ben-train.png"


def test_splits_are_joined_by_name(tmp_path: Path, ann: Path) -> None:
    data_set(ann, {"v.png": 5}, "cat:ear", split="val")
    ben = data_set(tmp_path / "ben", {"b.png": 6}, "cat:tail")
    data_set(ben, {"w.png": 7}, "cat:tail", split="val")
    merge_folders([ann, ben], tmp_path / "out")
    train, val = (read_dataset(tmp_path / "out", split) for split in ("train", "val"))
    assert [len(train.images), len(val.images)] == [3, 2]
    assert train.names == val.names == ("cat:head", "cat:ear", "cat:tail")
    merge_folders([ann], tmp_path / "one", split="train")
    assert len(read_dataset(tmp_path / "one").images) == 3


def test_names_that_differ_in_case_are_refused_or_united(tmp_path: Path, ann: Path) -> None:
    inclusions = {"inclusions": {"Cat": {"Ear": "Head"}}}
    ben = data_set(tmp_path / "ben", {"b.png": 3}, "Cat:Head", partlab=inclusions)
    with pytest.raises(SchemaError, match=r"cat:head in .* and Cat:Head in .* share one name"):
        merge_folders([ann, ben], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    merge_folders([ann, ben], tmp_path / "out", unite=True)
    assert read_dataset(tmp_path / "out").names == ("cat:head",)


def test_conflicts_are_named(tmp_path: Path, ann: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = data_set(
        tmp_path / "one", {"b.png": 3}, "cat:head", partlab={"inclusions": {"cat": {"head": "x"}}}
    )
    two = data_set(
        tmp_path / "two", {"b.png": 3}, "cat:head", partlab={"inclusions": {"cat": {"head": "y"}}}
    )
    caplog.set_level("WARNING")
    merge_folders([one, two], tmp_path / "both")
    assert read_dataset(tmp_path / "both").inclusions == {"cat": {"head": ["x", "y"]}}
    assert "cat:head lies in x, y now" in caplog.text
    path = two / "annotations" / "train.json"
    data = json.loads(path.read_text())
    data["partlab"]["inclusions"] = {"cat": {"x": "head"}}
    path.write_text(json.dumps(data))
    with pytest.raises(SchemaError, match="put cat:head into itself: head in x in head"):
        merge_folders([one, two], tmp_path / "out")
    del data["partlab"]
    data["images"][0]["partlab"] = {"object": "dog"}
    path.write_text(json.dumps(data))
    whose = json.loads((one / "annotations" / "train.json").read_text())
    whose["images"][0]["partlab"] = {"object": "cat"}
    (one / "annotations" / "train.json").write_text(json.dumps(whose))
    with pytest.raises(SchemaError, match=r"b\.png has the object cat in .* and dog in"):
        merge_folders([one, two], tmp_path / "out")


def test_records_set_aside_go_along(tmp_path: Path, ann: Path) -> None:
    ben = data_set(tmp_path / "ben", {"b.png": 3}, "cat:tail")
    path = ben / "annotations" / "train.json"
    data = json.loads(path.read_text())
    data["annotations"] += [{"id": 5, "image_id": 1}, {**data["annotations"][0], "image_id": 77}]
    path.write_text(json.dumps(data))
    merge_folders([ann, ben], tmp_path / "out")
    joined = read_dataset(tmp_path / "out")
    assert len(joined.broken) == 2
    assert list(joined.incomplete) == [3]  # the lost mask lies on what is now image 3


def test_licences_keep_their_meaning(tmp_path: Path, ann: Path) -> None:
    one = data_set(tmp_path / "one", {"x.png": 7}, "cat:head", licenses=[{"id": 1, "name": "A"}])
    two = data_set(tmp_path / "two", {"y.png": 8}, "cat:head", licenses=[{"id": 1, "name": "B"}])
    for folder in (one, two):
        path = folder / "annotations" / "train.json"
        data = json.loads(path.read_text())
        data["images"][0]["license"] = 1
        path.write_text(json.dumps(data))
    merge_folders([one, two], tmp_path / "out")
    joined = read_dataset(tmp_path / "out")
    names = {one["id"]: one["name"] for one in joined.top["licenses"]}
    assert [names[image.raw["license"]] for image in joined.images] == ["A", "B"]


def test_nothing_is_written_before_all_is_read(tmp_path: Path, ann: Path) -> None:
    with pytest.raises(ConfigError, match="only one"):
        merge_folders([ann], tmp_path / "out")
    ben = data_set(tmp_path / "ben", {"b.png": 3}, "cat:tail")
    told = merge_folders([ann, ben], tmp_path / "out", dry_run=True)
    assert told["splits"]["train"]["annotations"] == 3
    assert not (tmp_path / "out").exists()
    with pytest.raises(OutputExistsError):
        merge_folders([ann, ben], ann, force=True)


@pytest.mark.parametrize("again", ["images", "categories"])
def test_an_id_that_is_two_records_is_refused(tmp_path: Path, ann: Path, again: str) -> None:
    """Else all masks of the id would be those of the last one."""
    ben = data_set(tmp_path / "ben", {"b1.png": 3, "b2.png": 4}, "cat:tail")
    file = ben / "annotations" / "train.json"
    loaded = json.loads(file.read_text())
    other = {"file_name": "b3.png"} if again == "images" else {"name": "cat:paw"}
    loaded[again].append({**loaded[again][0], **other})
    file.write_text(json.dumps(loaded))
    names = "b1.png and b3.png" if again == "images" else "cat:tail and cat:paw"
    with pytest.raises(SchemaError, match=f"{again} {names} share the id 1"):
        merge_folders([ann, ben], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_that_lost_a_mask_stays_incomplete(tmp_path: Path, ann: Path) -> None:
    gone = {"list": "annotations", "position": 3, "reason": "covers no pixel"}
    lost = {**gone, "record": {"id": 7, "image_id": 2}}
    ben = data_set(
        tmp_path / "ben", {"b1.png": 3, "b2.png": 4}, "cat:tail", partlab={"dropped": [lost]}
    )
    merge_folders([ann, ben], tmp_path / "out")
    assert [*read_dataset(tmp_path / "out", "train").incomplete] == [4]


@pytest.mark.parametrize("stated", ["x", {}, 1.5])
def test_an_object_id_that_is_no_number_is_refused(tmp_path: Path, ann: Path, stated: Any) -> None:
    ben = data_set(tmp_path / "ben", {"b1.png": 3}, "cat:tail")
    file = ben / "annotations" / "train.json"
    loaded = json.loads(file.read_text())
    loaded["annotations"][0]["partlab"]["object_id"] = stated
    file.write_text(json.dumps(loaded))
    with pytest.raises(SchemaError, match="annotation 1 has the object_id"):
        merge_folders([ann, ben], tmp_path / "out")


@pytest.mark.parametrize("odd", [{}, 1, None, "x"])
def test_odd_records_that_were_set_aside_stay_aside(tmp_path: Path, ann: Path, odd: Any) -> None:
    ours = {"broken": [odd], "dropped": [odd]}
    ben = data_set(tmp_path / "ben", {"b1.png": 3}, "cat:tail", partlab=ours)
    assert "unreadable_record" in {finding.kind for finding in check_folder(ben).findings}
    merge_folders([ann, ben], tmp_path / "out")
    assert len(read_dataset(tmp_path / "out", "train").broken) == 1
    eve = data_set(tmp_path / "eve", {"e1.png": 5}, "cat:tail", partlab={"dropped": [odd]})
    merge_folders([ann, eve], tmp_path / "two")
    assert len(read_dataset(tmp_path / "two", "train").dropped) == 1
