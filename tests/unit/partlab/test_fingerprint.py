"""A data set is known by what it says, not by where it lies."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from partlab.coco import read_coco, write_coco
from partlab.schema import Annotation, Category, Dataset, Image


def dataset(count: int = 3) -> Dataset:
    images = [Image.new(number, f"{number}.jpg", (5, 4)) for number in range(1, count + 1)]
    square = [[0.0, 0.0, 2.5, 0.0, 2.5, 2.5]]
    masks = [Annotation.new(image.id, image.id, 7, square) for image in images]
    inclusions = {"ram": {"horn": "head"}}
    categories = [Category.new(7, "ram", "head"), Category.new(3, "ram", "horn")]
    return Dataset(images, masks, categories, inclusions)


def test_a_file_its_copy_and_its_records_are_one(tmp_path: Path) -> None:
    made = dataset()
    first = read_coco(write_coco(made, tmp_path / "a.json"))
    second = read_coco(write_coco(made, tmp_path / "elsewhere" / "b.json"))
    text = json.dumps(json.loads((tmp_path / "a.json").read_text()), indent=1, sort_keys=True)
    (tmp_path / "spelled.json").write_text(text)
    spelled = read_coco(tmp_path / "spelled.json")
    assert len({each.fingerprint for each in (made, first, second, spelled)}) == 1
    assert len(made.fingerprint) == 64


def test_a_subset_is_another_data_set_although_its_path_is_the_same(tmp_path: Path) -> None:
    whole = read_coco(write_coco(dataset(), tmp_path / "a.json"))
    one = whole.subset([1])
    assert one.path == whole.path
    assert one.fingerprint != whole.fingerprint
    assert one.fingerprint == dataset(1).fingerprint
    assert whole.subset([1, 2, 3]).fingerprint == whole.fingerprint


def changed(data: Dataset, what: str) -> Dataset:
    match what:
        case "a mask":
            moved = data.annotations[1].changed(segmentation=[[0.0, 0.0, 2.5, 0.0, 2.5, 2.25]])
            return replace(data, annotations=[data.annotations[0], moved, data.annotations[2]])
        case "a size":
            return replace(data, images=[data.images[0].changed(width=6), *data.images[1:]])
        case "a picture":
            return replace(data, images=[data.images[0].changed(sha256="0"), *data.images[1:]])
        case "the order":
            return replace(data, images=data.images[::-1])
        case "a name":
            return replace(data, categories=[data.categories[1], data.categories[0]])
        case _:
            return replace(data, inclusions={"ram": {"head": "horn"}})


@pytest.mark.parametrize(
    "what", ["a mask", "a size", "a picture", "the order", "a name", "an inclusion"]
)
def test_any_other_content_is_another_data_set(what: str) -> None:
    assert changed(dataset(), what).fingerprint != dataset().fingerprint


def test_records_no_json_writer_likes_have_a_fingerprint() -> None:
    odd = dataset().images[0].changed(file_name="\ud800.jpg", width=1 << 70)
    data = replace(dataset(), images=[odd])
    assert data.fingerprint == replace(data).fingerprint
    assert data.fingerprint != dataset(1).fingerprint
