"""`partlab data check --fix`: repairs that lose nothing, always in a new data set."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.check import check_folder
from annotate.checks.kinds import KINDS
from annotate.fix import fix_dataset, fix_folder
from annotate.formats.pictures import Pictures
from partlab.coco import read_dataset
from partlab.errors import OutputExistsError
from partlab.masks import area, bbox, decode, encode, from_segmentation

Raw = dict[str, Any]
SQUARE = [[2, 2, 12, 2, 12, 12, 2, 12]]


def annotation(number: int, segmentation: Any = SQUARE, image: int = 1, **changes: Any) -> Raw:
    rle = from_segmentation(segmentation, 40, 30)
    base = {"id": number, "image_id": image, "category_id": image, "segmentation": segmentation}
    return {**base, "bbox": bbox(rle), "area": area(rle), "iscrowd": 0, "note": "kept", **changes}


def make(folder: Path, *annotations: Raw, images: list[Raw] | None = None, **ours: Any) -> Path:
    for number in (1, 2):
        noise = np.random.default_rng(number).integers(0, 255, (40, 30, 3), dtype=np.uint8)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(noise).save(folder / "images" / f"{number}.png")
    plain = [{"id": n, "file_name": f"{n}.png", "width": 30, "height": 40} for n in (1, 2)]
    data = {
        "info": {"unknown": "kept"},
        "images": plain if images is None else images,
        "annotations": [*annotations, annotation(50, image=2)],
        "categories": [
            {"id": 1, "name": "goose:body", "supercategory": "goose", "part": "body"},
            {"id": 2, "name": "cart:bed", "supercategory": "cart", "part": "bed"},
        ],
        "partlab": ours,
    }
    (folder / "annotations").mkdir()
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    return folder


def fixed(tmp_path: Path, *annotations: Raw, **more: Any) -> tuple[Raw, dict[str, int], set[str]]:
    """The repaired file, what was repaired, and the kinds that remain."""
    before = make(tmp_path / "before", *annotations, **more)
    old = (before / "annotations" / "train.json").read_bytes()
    repair = fix_folder(before, tmp_path / "after")
    assert (before / "annotations" / "train.json").read_bytes() == old
    data = json.loads((tmp_path / "after" / "annotations" / "train.json").read_text())
    return data, dict(repair.repaired), {f.kind for f in repair.remaining.findings}


def test_area_and_box_are_told_anew(tmp_path: Path) -> None:
    data, repaired, left = fixed(tmp_path, annotation(1, area=3, bbox=[0, 0, 30, 40]))
    assert repaired == {"wrong_area": 1, "wrong_bbox": 1}
    assert left == set()
    assert data["annotations"][0] == annotation(1)
    assert data["info"] == {"unknown": "kept"}


def test_a_polygon_outside_keeps_its_pixels_inside(tmp_path: Path) -> None:
    wild = [[20, 30, 90, 30, 90, 70, 20, 70]]
    data, repaired, left = fixed(tmp_path, annotation(1, wild))
    assert repaired == {"out_of_bounds": 1}
    assert left == set()
    inside = np.zeros((40, 30), bool)
    inside[30:, 20:] = True
    assert (decode(data["annotations"][0]["segmentation"]) == inside).all()
    assert data["annotations"][0]["area"] == 100
    assert data["annotations"][0]["note"] == "kept"


def test_taken_ids_are_renumbered_and_nothing_is_dropped(tmp_path: Path) -> None:
    other = [[15, 15, 25, 15, 25, 25, 15, 25]]
    third = [[15, 28, 25, 28, 25, 38, 15, 38]]
    same = annotation(1), annotation(1, other), annotation(1, third)
    data, repaired, left = fixed(tmp_path, *same)
    assert (repaired, left) == ({"duplicate_annotation_id": 2}, set())
    assert [a["id"] for a in data["annotations"]] == [1, 51, 52, 50]


def test_word_for_word_copies_go_but_other_opinions_stay(tmp_path: Path) -> None:
    copies = annotation(1), annotation(2), annotation(3, partlab={"provenance": "human:b"})
    data, repaired, left = fixed(tmp_path, *copies)
    assert (repaired, left) == ({"duplicate_mask": 1}, {"duplicate_mask"})
    assert [a["id"] for a in data["annotations"]] == [1, 3, 50]


def test_the_size_comes_from_the_picture(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "1.png", "width": 33, "height": 44},
        {"id": 2, "file_name": "2.png", "width": 30, "height": 40},
    ]
    data, repaired, left = fixed(tmp_path, annotation(1), images=images)
    assert (repaired, left) == ({"wrong_image_size": 1}, set())
    assert (data["images"][0]["width"], data["images"][0]["height"]) == (30, 40)


def test_a_size_that_masks_speak_against_stays(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "1.png", "width": 33, "height": 44},
        {"id": 2, "file_name": "2.png", "width": 30, "height": 40},
    ]
    mask = annotation(1, area=1, bbox=[0, 0, 1, 1])
    mask["segmentation"] = encode(np.eye(44, 33))
    mask |= {"area": 33, "bbox": [0, 0, 33, 33]}
    _, repaired, left = fixed(tmp_path, mask, images=images)
    assert repaired == {}
    assert left == {"wrong_image_size"}


def test_image_records_said_twice_are_said_once(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "1.png", "width": 30, "height": 40}
    images = [
        image,
        image,
        {**image, "file_name": "2.png"},
        {**image, "id": 2, "file_name": "3.png"},
    ]
    data, repaired, left = fixed(tmp_path, annotation(1), images=images)
    assert repaired == {"duplicate_image_id": 1}
    assert left == {"duplicate_image_id", "missing_image"}
    assert len(data["images"]) == 3


def test_a_part_in_itself(tmp_path: Path) -> None:
    loop = {"goose": {"body": "body"}}
    data, repaired, left = fixed(tmp_path, annotation(1), inclusions=loop)
    assert (repaired, left) == ({"inclusion_self": 1}, set())
    assert data["partlab"]["inclusions"] == {"goose": {}}


def test_what_cannot_be_repaired_is_kept_as_it_was(tmp_path: Path) -> None:
    odd = annotation(1, segmentation=SQUARE)
    odd["segmentation"] = [[1, 1, 20, 1, 20, 20, 1]]
    broken = {"id": 7}
    data, repaired, left = fixed(tmp_path, odd, broken)
    assert repaired == {}
    assert left == {"odd_coordinates", "unreadable_record"}
    assert data["annotations"][0] == odd
    assert data["partlab"]["broken"][0]["record"] == broken


def test_everything_called_fixable_is(tmp_path: Path) -> None:
    tested = {"out_of_bounds", "wrong_area", "wrong_bbox", "duplicate_mask", "inclusion_self"}
    tested |= {"duplicate_annotation_id", "duplicate_image_id", "wrong_image_size"}
    tested |= {"bad_size", "duplicate_category", "stray_piece"}
    assert {name for name, kind in KINDS.items() if kind.fixable} == tested


def test_a_stray_piece_goes_and_no_pixel_with_it(tmp_path: Path) -> None:
    stray = annotation(1, segmentation=[*SQUARE, [5, 5], [1, 1, 2, 2]])
    data, repaired, left = fixed(tmp_path, stray)
    assert (repaired, left) == ({"stray_piece": 1}, set())
    assert data["annotations"][0]["segmentation"] == SQUARE
    assert data["annotations"][0]["area"] == stray["area"]


def test_sizes_that_are_not_stated_come_from_the_picture(tmp_path: Path) -> None:
    before = make(tmp_path / "before", annotation(1))
    path = before / "annotations" / "train.json"
    data = json.loads(path.read_text())
    sizes = [(image["width"], image["height"]) for image in data["images"]]
    data["images"][0].update(width=None, height=0)
    path.write_text(json.dumps(data))
    assert {f.kind for f in check_folder(before).findings} == {"bad_size"}
    repair = fix_folder(before, tmp_path / "after")
    assert repair.repaired == {"bad_size": 1}
    assert repair.remaining.findings == []
    after = read_dataset(tmp_path / "after")
    assert [(image.width, image.height) for image in after.images] == sizes


def test_a_lost_image_record_is_told_once(tmp_path: Path) -> None:
    before = make(tmp_path / "before", annotation(1), annotation(2, image=2))
    path = before / "annotations" / "train.json"
    data = json.loads(path.read_text())
    del data["images"][0]["file_name"]
    path.write_text(json.dumps(data))
    kinds = [f.kind for f in check_folder(before).findings]
    assert kinds.count("unreadable_record") == 1
    assert "unknown_image" not in kinds


def test_an_image_whose_only_mask_is_lost_is_told_once(tmp_path: Path) -> None:
    lost = {**annotation(1), "category_id": None}
    kinds = [f.kind for f in check_folder(make(tmp_path / "before", lost)).findings]
    assert "unreadable_record" in kinds
    assert "no_parts" not in kinds


def test_two_categories_of_one_name_become_one_with_all_masks(tmp_path: Path) -> None:
    before = make(tmp_path / "before", annotation(1))
    path = before / "annotations" / "train.json"
    data = json.loads(path.read_text())
    data["categories"][1] = {**data["categories"][0], "id": data["categories"][1]["id"]}
    path.write_text(json.dumps(data))
    repair = fix_folder(before, tmp_path / "after")
    assert repair.repaired == {"duplicate_category": 1}
    after = read_dataset(tmp_path / "after")
    assert len(after.categories) == 1
    assert {a.category_id for a in after.annotations} == {after.categories[0].id}


def test_a_clean_data_set_passes_unchanged(tmp_path: Path) -> None:
    before = make(tmp_path / "before", annotation(1))
    repair = fix_folder(before, tmp_path / "after", pictures=Pictures.copy)
    assert not repair.repaired
    name = "annotations/train.json"
    assert (tmp_path / "after" / name).read_bytes() == (before / name).read_bytes()
    shutil.rmtree(before)
    assert check_folder(tmp_path / "after").findings == []


def test_the_input_object_stays_as_it_is(tmp_path: Path) -> None:
    dataset = read_dataset(make(tmp_path / "before", annotation(1, area=3)))
    fix_dataset(dataset)
    assert dataset.annotations[0].area == 3


def test_an_output_is_not_overwritten(tmp_path: Path) -> None:
    before = make(tmp_path / "before", annotation(1))
    with pytest.raises(OutputExistsError):
        fix_folder(before, before)
    with pytest.raises(OutputExistsError, match="input"):
        fix_folder(before, before, force=True)
    with pytest.raises(OutputExistsError, match="input"):
        fix_folder(before / "annotations" / "train.json", tmp_path, force=True)
    assert (before / "annotations" / "train.json").exists()
