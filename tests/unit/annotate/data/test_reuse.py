"""Which PartImageNet classes can be reused (requirements R-01, R-02)."""

import json
import re
from pathlib import Path

import pytest

from annotate.data.reuse import DROPPED, Candidate, candidates_of, judge, judge_folder, retained
from partlab.errors import NotFoundError, SchemaError
from partlab.schema import Annotation, Category, Dataset, Image

SQUARE = [[1, 1, 9, 1, 9, 9, 1, 9]]


def candidate(name: str, above: str, parts: str, images: int) -> Candidate:
    return Candidate(name, above, frozenset(parts.split()), images)


def test_the_90_retained_classes() -> None:
    """R-02: 90 unique ids; snakes and the ram are not among them, two bicycles and a boat are."""
    found = retained()
    assert len(found) == 90
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in found)
    assert {"n01440764", "n04483307", "n03792782", "n02835271", "n04482393"} <= found
    assert not {"n01728572", "n02412080"} & found
    assert not {wnid for wnid in found if wnid.startswith(("n0172", "n0173"))}


def test_the_90_have_the_published_number_of_parts() -> None:
    """63 classes with 4 parts, 26 with 5, 1 with 2: 384 parts."""
    path = Path(__file__).parents[5] / "shared" / "data" / "lists" / "pinpp_part_counts.json"
    if not path.is_file():
        pytest.skip("the list of part counts is not beside the checkout")
    counts = json.loads(path.read_text())
    own = [counts[wnid] for wnid in retained()]
    assert sum(own) == 384
    assert (own.count(4), own.count(5), own.count(2)) == (63, 26, 1)


def test_the_chain_gives_the_first_reason() -> None:
    """R-01: supercategory, then important parts, then 100 images."""
    verdicts = judge(
        [
            candidate("n01728572", "Snake", "head body", 300),
            candidate("n02412080", "Quadruped", "head body foot tail", 40),
            candidate("n02129604", "Quadruped", "head body foot tail", 99),
            candidate("n02129605", "Quadruped", "head body foot tail", 100),
            candidate("n02690373", "Aeroplane", "head", 5),
        ]
    )
    assert [v.reason for v in verdicts] == [
        "supercategory Snake is left out",
        "lacks the important part horn",
        "has 99 annotated images, under 100",
        None,
        "supercategory Aeroplane is left out",
    ]
    assert [v.kept for v in verdicts] == [False, False, False, True, False]
    assert DROPPED == ("snake", "car", "aeroplane", "bottle")


def test_important_parts_of_class_and_supercategory() -> None:
    needs = {"Ram": ["Horn"], "quadruped": ["tail"]}
    ram = candidate("ram", "Quadruped", "horn head", 500)
    assert judge([ram], required=needs)[0].reason == "lacks the important part tail"
    tailed = candidate("ram", "Quadruped", "HORN tail", 500)
    assert judge([tailed], required=needs)[0].kept
    assert judge([ram], required={}, drop=["quadruped"])[0].reason is not None


def dataset() -> Dataset:
    """PartImageNet's way: supercategories as objects, the class in the file name."""
    categories = [Category.new(1, "Quadruped", "Head"), Category.new(2, "Snake", "Head")]
    images = [
        Image.new(1, "n02129604_1.JPEG", (20, 20)),
        Image.new(2, "n02129604_2.JPEG", (20, 20)),
        Image.new(3, "n01728572_1.JPEG", (20, 20)),
        Image.new(4, "n02129604_3.JPEG", (20, 20), object="Quadruped"),
    ]
    masks = [Annotation.new(i, i, 2 if i == 3 else 1, SQUARE) for i in (1, 2, 3)]
    return Dataset(images, masks, categories)


def test_classes_come_from_file_names() -> None:
    assert candidates_of([dataset(), dataset()]) == [
        candidate("n01728572", "Snake", "Head", 2),
        candidate("n02129604", "Quadruped", "Head", 4),  # the one without masks does not count
    ]


def test_classes_without_wnid_are_the_objects() -> None:
    one = Dataset(
        [Image.new(1, "x.jpg", (20, 20))],
        [Annotation.new(1, 1, 1, SQUARE)],
        [Category.new(1, "goose", "beak")],
    )
    assert candidates_of([one]) == [candidate("goose", "goose", "beak", 1)]


def test_a_folder_is_judged(tmp_path: Path) -> None:
    from partlab.coco import write_coco

    write_coco(dataset(), tmp_path / "annotations" / "train.json")
    told = judge_folder(tmp_path, min_images=2)
    assert [row["class"] for row in told["kept"]] == ["n02129604"]
    assert told["kept"][0]["retained"] is True
    assert told["excluded"][0]["reason"] == "supercategory Snake is left out"
    needs = tmp_path / "needs.json"
    needs.write_text('{"n02129604": ["mane"]}')
    told = judge_folder(tmp_path, required=needs, drop=["car"], min_images=1)
    assert [row["class"] for row in told["kept"]] == ["n01728572"]
    needs.write_text('{"ram": "horn"}')
    with pytest.raises(SchemaError, match="class"):
        judge_folder(tmp_path, required=needs)
    with pytest.raises(NotFoundError):
        judge_folder(tmp_path / "nowhere")
