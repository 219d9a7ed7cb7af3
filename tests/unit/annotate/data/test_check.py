"""`partlab data check`: one planted defect of each kind is found, and nothing else is."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.check import Report, check_folder, varied
from annotate.data.checks.kinds import KINDS
from annotate.data.checks.records import record_findings
from annotate.data.checks.settings import CheckSettings
from partlab.errors import NotFoundError, SchemaError
from partlab.masks import area, bbox, encode
from partlab.schema import Dataset, Discard, Finding, Image

SIDE = 64
Raw = dict[str, Any]
Plant = Callable[[Raw, Path], None]


def box_mask(left: int, top: int, right: int, bottom: int) -> Any:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return encode(mask)


def annotation(id: int, image: int, category: int, box: tuple[int, int, int, int]) -> Raw:
    """Even ids are run lengths, odd ones polygons."""
    left, top, right, bottom = box
    rle = box_mask(*box)
    polygon = [left, top, right, top, right, bottom, left, bottom]
    return {
        "id": id,
        "image_id": image,
        "category_id": category,
        "segmentation": [polygon] if id % 2 else rle,
        "bbox": bbox(rle),
        "area": area(rle),
        "iscrowd": 0,
        "partlab": {"provenance": "human:ann"},
    }


def clean() -> Raw:
    """Two objects of two pictures each: a goose (beak in head, body) and a cart."""
    names = [("goose", "beak"), ("goose", "head"), ("goose", "body"), ("cart", "wheel")]
    categories = [
        {"id": i, "name": f"{o}:{p}", "supercategory": o, "part": p}
        for i, (o, p) in enumerate([*names, ("cart", "bed")], 1)
    ]
    images, annotations = [], []
    for number in range(1, 5):
        owner = "goose" if number < 3 else "cart"
        images.append(
            {
                "id": number,
                "file_name": f"{owner}/{number}.png",
                "width": SIDE,
                "height": SIDE,
                "partlab": {"object": owner},
            }
        )
        shift, start = number % 2, 10 * number
        goose = [(1, (20, 10, 26, 14)), (2, (10, 4, 26 + shift, 20)), (3, (4, 19, 40, 60))]
        cart = [(4, (5, 40, 20, 55 + shift)), (4, (40, 40, 55, 55)), (5, (0, 10, 64, 41))]
        for offset, (category, box) in enumerate(goose if owner == "goose" else cart):
            annotations.append(annotation(start + offset, number, category, box))
    ours = {
        "inclusions": {"goose": {"beak": "head"}},
        "discards": [{"file_name": "goose/blurred.png", "partlab": {"reason": "blurred"}}],
    }
    return {"images": images, "annotations": annotations, "categories": categories, "partlab": ours}


def write(folder: Path, data: Raw, split: str = "train", seed: int = 0) -> Path:
    """The data set with one picture of noise for each image."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / f"{split}.json").write_text(json.dumps(data))
    for image in clean()["images"]:
        path = folder / "images" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        save_noise(path, (SIDE, SIDE), seed + image["id"])
    return folder


def save_noise(path: Path, size: tuple[int, int], seed: int, **options: Any) -> None:
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    PillowImage.fromarray(noise).save(path, **options)


def kinds_of(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


def of(data: Raw, number: int) -> Raw:
    """An annotation of the first goose: 10 beak (rle), 11 head (polygon), 12 body (rle)."""
    found: Raw = next(a for a in data["annotations"] if a["id"] == number)
    return found


def setting(number: int, **values: Any) -> Plant:
    def plant(data: Raw, folder: Path) -> None:
        of(data, number).update(values)

    return plant


def ours(number: int, **values: Any) -> Plant:
    def plant(data: Raw, folder: Path) -> None:
        of(data, number)["partlab"].update(values)

    return plant


def added(name: str, **values: Any) -> Plant:
    """A copy of the first record of a list, with other values, at its end."""

    def plant(data: Raw, folder: Path) -> None:
        data[name].append({**copy.deepcopy(data[name][0]), **values})

    return plant


def inclusions(pairs: dict[str, str]) -> Plant:
    def plant(data: Raw, folder: Path) -> None:
        data["partlab"]["inclusions"]["goose"] = {"beak": "head", **pairs}

    return plant


def image_with(**values: Any) -> Plant:
    def plant(data: Raw, folder: Path) -> None:
        data["images"][0].update(values)

    return plant


def placeholder(data: Raw, folder: Path) -> None:
    data["categories"][4].update(name="cart:part_1", part="part_1")


def with_colon(data: Raw, folder: Path) -> None:
    for category in data["categories"][3:]:
        category["supercategory"] = "hand:cart"
    for image in data["images"][2:]:
        image["partlab"]["object"] = "hand:cart"


def extra_category(**values: Any) -> Plant:
    new = {"id": 6, "name": "cart:seat", "supercategory": "cart", "part": "seat", **values}

    def plant(data: Raw, folder: Path) -> None:
        data["categories"].append(new)

    return plant


def second_bed(data: Raw, folder: Path) -> None:
    extra_category(name="cart:bed", part="bed")(data, folder)
    data["annotations"].append(annotation(98, 3, 6, (30, 45, 36, 60)))


def similar_beds(data: Raw, folder: Path) -> None:
    second_bed(data, folder)
    data["categories"][-1].update(name="cart:Bed", part="Bed")


def without_object(data: Raw, folder: Path) -> None:
    data["categories"].append({"id": 6, "name": "seat", "supercategory": ""})


def same_file(data: Raw, folder: Path) -> None:
    added("images", id=9)(data, folder)
    data["annotations"].append(annotation(98, 9, 3, (0, 0, 9, 9)))


def unequal(data: Raw, folder: Path) -> None:
    for number in (5, 6):
        image = {"id": number, "file_name": f"goose/{number}.png", "width": SIDE, "height": SIDE}
        data["images"].append({**image, "partlab": {"object": "goose"}})
        data["annotations"].append(annotation(10 * number, number, 3, (4, 4, 40, 40)))
        save_noise(folder / "images" / image["file_name"], (SIDE, SIDE), number)


def two_objects(data: Raw, folder: Path) -> None:
    del data["images"][0]["partlab"]
    data["annotations"].append(annotation(99, 1, 4, (50, 0, 60, 10)))


def no_parts(data: Raw, folder: Path) -> None:
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] != 1]


def uncovered(data: Raw, folder: Path) -> None:
    data["images"][0]["partlab"]["object_mask"] = box_mask(0, 0, SIDE, SIDE)


def duplicate_id(data: Raw, folder: Path) -> None:
    of(data, 11)["id"] = 10


def copied_mask(data: Raw, folder: Path) -> None:
    data["annotations"].append({**of(data, 10), "id": 99})


def overlapping(data: Raw, folder: Path) -> None:
    data["annotations"].append(annotation(98, 3, 4, (0, 0, 30, 30)))  # wheel over bed


def accepted_overlapping(data: Raw, folder: Path) -> None:
    overlapping(data, folder)
    data["partlab"]["overlaps"] = {"cart": [["wheel", "bed"]]}


def predicted_overlapping(data: Raw, folder: Path) -> None:
    overlapping(data, folder)
    data["annotations"][-1]["partlab"] = {"provenance": "pseudo:seg", "score": 0.7}


def swapped(data: Raw, folder: Path) -> None:
    data["partlab"]["inclusions"]["goose"] = {"head": "beak"}


def picture(change: Callable[[Path], object]) -> Plant:
    def plant(data: Raw, folder: Path) -> None:
        change(folder / "images" / data["images"][0]["file_name"])

    return plant


def rotated(data: Raw, folder: Path) -> None:
    """The stated size is the stored one; a viewer shows 64 x 80 as 80 x 64."""
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    save_noise(folder / "images" / "goose/1.png", (80, 64), 7, exif=exif)  # height, width
    data["images"][0]["height"] = 80
    for number in (10, 11, 12):
        left, top, width, height = (int(side) for side in of(data, number)["bbox"])
        right, bottom = left + width, top + height
        of(data, number)["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]


def leak(data: Raw, folder: Path) -> None:
    """The first goose once more, under another name in another split."""
    target = folder / "images" / "goose" / "again.png"
    target.write_bytes((folder / "images" / "goose" / "1.png").read_bytes())
    other = clean()
    other["images"] = [
        {**other["images"][0], "file_name": "goose/again.png"},
        {**other["images"][2], "file_name": "cart/new.png"},
    ]
    other["annotations"] = [a for a in other["annotations"] if a["image_id"] in (1, 3)]
    save_noise(folder / "images" / "cart" / "new.png", (SIDE, SIDE), 77)
    (folder / "annotations" / "val.json").write_text(json.dumps(other))


def broken_record(data: Raw, folder: Path) -> None:
    data["annotations"].append({"id": 97, "segmentation": []})


def brushed(data: Raw, folder: Path) -> None:
    """Every run-length mask says iscrowd, and carries what CVAT writes."""
    for one in data["annotations"]:
        if isinstance(one["segmentation"], dict):
            one |= {"iscrowd": 1, "attributes": {"occluded": False}}


def stale(data: Raw, folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps({"stale": {"goose": "a slip"}}))


PLANTS: dict[str, Plant] = {
    "stale": stale,
    "unreadable_record": broken_record,
    "duplicate_image_id": added("images"),
    "duplicate_annotation_id": duplicate_id,
    "duplicate_category_id": extra_category(id=5),
    "duplicate_category": second_bed,
    "similar_category": similar_beds,
    "no_object": without_object,
    "duplicate_file_name": same_file,
    "unknown_image": setting(12, image_id=77),
    "unknown_category": setting(12, category_id=77),
    "unsafe_file_name": image_with(file_name="../images/goose/1.png"),
    "bad_size": image_with(width=0),
    "bad_score": ours(10, score=1.5),
    "crowd": setting(10, iscrowd=1),
    "crowd_mask": brushed,
    "unknown_provenance": ours(10, provenance="somebody"),
    "several_annotators": ours(10, provenance="human:bob"),
    "discard_annotated": lambda data, folder: data["partlab"]["discards"].append(
        {"file_name": "goose/1.png"}
    ),
    "placeholder_name": placeholder,
    "ambiguous_name": with_colon,
    "unused_category": extra_category(),
    "unequal_counts": unequal,
    "foreign_part": lambda data, folder: data["annotations"].append(
        annotation(99, 1, 4, (50, 0, 60, 10))
    ),
    "mixed_objects": two_objects,
    "no_parts": no_parts,
    "uncovered_object": uncovered,
    "odd_coordinates": setting(11, segmentation=[[1, 1, 20, 1, 20, 20, 1]]),
    "few_points": setting(11, segmentation=[[1, 1, 20, 20]]),
    "not_a_number": setting(11, segmentation=[[1, 1, 20, 1, float("nan"), 20]]),
    "stray_piece": setting(11, segmentation=[[10, 4, 27, 4, 27, 20, 10, 20], [30, 30, 31, 31]]),
    "out_of_bounds": setting(
        11, segmentation=[[10, 4, 27, 4, 27, 20, 10, 20], [27, 5, 70, 5, 70, 8]]
    ),
    "corrupt_rle": setting(10, segmentation={"size": [SIDE, SIDE], "counts": "04L4"}),
    "wrong_mask_size": setting(10, segmentation=encode(np.ones((20, 30), bool))),
    "empty_mask": setting(10, segmentation=encode(np.zeros((SIDE, SIDE), bool))),
    "wrong_area": setting(10, area=999),
    "wrong_bbox": setting(11, bbox=[1, 1, 5, 5]),
    "duplicate_mask": copied_mask,
    "overlap": overlapping,
    "accepted_overlap": accepted_overlapping,
    "predicted_overlap": predicted_overlapping,
    "inclusion_self": inclusions({"body": "body"}),
    "inclusion_cycle": lambda data, folder: data["partlab"]["inclusions"].update(
        cart={"wheel": "bed", "bed": "wheel"}
    ),
    "inclusion_unknown": inclusions({"horn": "head"}),
    "inclusion_swapped": swapped,
    "missing_image": picture(Path.unlink),
    "corrupt_image": picture(lambda path: path.write_bytes(path.read_bytes()[:200])),
    "wrong_image_size": picture(lambda path: save_noise(path, (70, 90), 5)),
    "exif_rotated": rotated,
    "picture_too_large": picture(
        lambda path: PillowImage.new("1", (20_000, 10_000)).save(path, "PNG")
    ),
    "duplicate_picture": picture(
        lambda path: path.write_bytes((path.parent / "2.png").read_bytes())
    ),
    "split_leak": leak,
    "model_made": ours(10, provenance="model-assisted:runs/a"),
}

FOLLOWS = {  # what a defect brings along by its nature, not false alarms
    "duplicate_category_id": {"inclusion_unknown"},
    "out_of_bounds": {"wrong_area", "wrong_bbox"},
    "inclusion_cycle": {"inclusion_swapped"},
    "unsafe_file_name": {"missing_image"},
    "no_object": {"unused_category"},
    "predicted_overlap": {"model_made"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "set", clean())


def test_a_clean_data_set_has_no_findings(folder: Path) -> None:
    report = check_folder(folder)
    assert report.findings == []
    assert (report.images, report.annotations) == (4, 12)


def test_a_data_set_of_people_alone(folder: Path) -> None:
    """D-05: a model's mask, or its suggestion shown while drawing, is an error when asked."""
    data = clean()
    of(data, 10)["partlab"] = {"provenance": "model-assisted:runs/a"}
    data["images"][1]["partlab"]["suggested_by"] = "runs/b"
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    assert check_folder(folder).errors == 0
    told = check_folder(folder, settings=CheckSettings(human_only=True)).findings
    assert [(f.kind, f.image_id) for f in told] == [("model_made", 2), ("model_made", 1)]
    assert "runs/b" in told[0].message
    assert "runs/a" in told[1].message


def test_a_crowd_region_covers_what_it_likes(folder: Path) -> None:
    """It is no overlap, no copy, and no size to compare with."""
    data = clean()
    overlapping(data, folder)
    data["annotations"][-1]["iscrowd"] = 1
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    report = check_folder(folder)
    assert kinds_of(report) == {"crowd"}
    assert report.errors == 0


def test_every_kind_is_planted() -> None:
    assert set(PLANTS) == set(KINDS)
    assert len(KINDS) >= 20


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_planted_defect_is_found_and_no_other(kind: str, folder: Path) -> None:
    data = clean()
    PLANTS[kind](data, folder)
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    settings = CheckSettings(human_only=kind == "model_made")  # asked for, not usual
    report = check_folder(folder, settings=settings)
    assert kind in kinds_of(report)
    assert kinds_of(report) - {kind} <= FOLLOWS.get(kind, set())
    for finding in report.findings:
        assert finding.severity in ("error", "warning")
        assert finding.hint
        assert finding.file is not None
        assert finding.file.endswith(".json")


@pytest.mark.parametrize(
    ("kind", "image", "annotation", "words"),
    [
        ("corrupt_rle", 1, 10, "goose/1.png"),
        ("odd_coordinates", 1, 11, "odd number"),
        ("overlap", 3, 98, "cart:wheel shares"),
        ("foreign_part", 1, 99, "cart:wheel in an image of goose"),
        ("missing_image", 1, None, "there is no"),
        ("wrong_area", 1, 10, "999"),
        ("duplicate_annotation_id", 1, 10, "taken"),
    ],
)
def test_a_finding_names_image_and_annotation(
    kind: str, image: int, annotation: int | None, words: str, folder: Path
) -> None:
    data = clean()
    PLANTS[kind](data, folder)
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    (finding,) = [f for f in check_folder(folder).findings if f.kind == kind]
    assert (finding.image_id, finding.annotation_id) == (image, annotation)
    assert words in finding.message


def moved(data: Raw, kind: str, block: int) -> Raw:
    """The data set with ids, objects and file names of its own, to lie beside others."""
    first = 1000 * block
    for image in data["images"]:
        image["id"] += first
        image["file_name"] = f"{kind}/{image['file_name']}"
        if "partlab" in image:
            image["partlab"]["object"] += f" {kind}"
    for category in data["categories"]:
        category["id"] += first
        category["supercategory"] += f" {kind}" if category["supercategory"] else ""
    for one in data["annotations"]:
        for key in ("id", "image_id", "category_id"):
            if key in one:
                one[key] += first
    ours = data["partlab"]
    for pairs_by_object in ("inclusions", "overlaps"):
        stated = ours.get(pairs_by_object, {})
        ours[pairs_by_object] = {f"{o} {kind}": pairs for o, pairs in stated.items()}
    for discard in ours["discards"]:
        discard["file_name"] = f"{kind}/{discard['file_name']}"
    return data


def test_one_data_set_with_a_defect_of_each_kind(tmp_path: Path) -> None:
    """Every kind planted in a corner of its own: each found there, and nothing elsewhere."""
    whole: Raw = {"images": [], "annotations": [], "categories": [], "partlab": {}}
    whole["partlab"] = {"inclusions": {}, "overlaps": {}, "discards": []}
    target = tmp_path / "whole"
    (target / "annotations").mkdir(parents=True)
    for block, kind in enumerate(sorted(PLANTS), 1):
        data = clean()
        alone = write(tmp_path / kind, data, seed=100 * block)
        PLANTS[kind](data, alone)
        data = moved(data, kind, block)
        for name in ("images", "annotations", "categories"):
            whole[name] += data[name]
        for pairs_by_object in ("inclusions", "overlaps"):
            whole["partlab"][pairs_by_object] |= data["partlab"][pairs_by_object]
        whole["partlab"]["discards"] += data["partlab"]["discards"]
        (target / "images").mkdir(exist_ok=True)
        (alone / "images").rename(target / "images" / kind)
        if (alone / "manifest.json").exists():
            (alone / "manifest.json").rename(target / "manifest.json")
        if (alone / "annotations" / "val.json").exists():
            other = json.loads((alone / "annotations" / "val.json").read_text())
            (target / "annotations" / "val.json").write_text(json.dumps(moved(other, kind, block)))
    (target / "annotations" / "train.json").write_text(json.dumps(whole))

    found: dict[str, set[str]] = {kind: set() for kind in PLANTS}
    for finding in check_folder(target, settings=CheckSettings(human_only=True)).findings:
        ids = (finding.annotation_id, finding.image_id, finding.category_id)
        number = next((number for number in ids if number is not None), None)
        named = [kind for kind in PLANTS if kind in finding.message and kind != "overlap"]
        corner = sorted(PLANTS)[number // 1000 - 1] if number else (named or [finding.kind])[0]
        if finding.kind in ("unequal_counts", "unreadable_record"):  # of the file as a whole
            corner = finding.kind
        found[corner].add(finding.kind)
    for kind, kinds in found.items():
        assert kind in kinds
        assert kinds - {kind} <= FOLLOWS.get(kind, set()), kind


def test_discarded_images_were_sampled_too() -> None:
    """Whether others stand in their place or not, the numbers are those of the draw."""

    def found(discards: dict[str, int], **images: int) -> list[str]:
        records = [
            Image.new(n, f"{name}/{n}.jpg", (8, 8), object=name)
            for name, count in images.items()
            for n in range(count)
        ]
        refused = [
            Discard({"file_name": f"{name}/x{n}.jpg", "partlab": {"object": name}})
            for name, count in discards.items()
            for n in range(count)
        ]
        told = record_findings(Dataset(records, [], [], discards=refused))
        return [one.message for one in told if one.kind == "unequal_counts"]

    assert found({}, lamp=12, ram=9) == ["lamp has 12 images, ram has 9"]
    assert found({"ram": 3}, lamp=12, ram=9) == []
    assert found({"ram": 3, "duck": 2}, lamp=12, ram=9, duck=12) == []
    assert found({"ram": 2}, lamp=13, ram=9) == ["lamp has 13 images, ram has 9 and 2 discarded"]


def test_pictures_stay_closed_when_asked(folder: Path) -> None:
    (folder / "images" / "goose" / "1.png").unlink()
    assert check_folder(folder, pictures=False).findings == []


def test_a_shared_border_is_no_overlap(folder: Path) -> None:
    """M-02: neighbours may share a thin border, however long; a thick one is reported."""
    data = clean()
    data["partlab"]["inclusions"] = {}
    data["annotations"] = [
        annotation(10, 1, 2, (0, 0, 64, 30)),
        annotation(12, 1, 3, (0, 26, 64, 64)),  # 4 pixels high, 64 long
        *[a for a in data["annotations"] if a["image_id"] > 1 and a["category_id"] != 1],
    ]
    del data["categories"][0]
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    assert kinds_of(check_folder(folder)) == set()
    strict = CheckSettings(edge_pixels=1)
    assert kinds_of(check_folder(folder, settings=strict)) == {"overlap"}


def test_a_thin_part_inside_another_is_no_border(folder: Path) -> None:
    """An eye 3 pixels high covers no thick piece of the head, but lies in it wholly."""
    data = clean()
    data["annotations"].append(annotation(98, 3, 4, (20, 20, 40, 23)))
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    assert kinds_of(check_folder(folder)) == {"overlap"}


def test_inclusion_through_another_part_allows_the_overlap(folder: Path) -> None:
    data = clean()
    data["partlab"]["inclusions"]["goose"] = {"beak": "head", "head": "body"}
    body = [[0, 0, 60, 0, 60, 60, 0, 60]]
    for number in (12, 22):
        of(data, number).update(segmentation=body, bbox=[0, 0, 60, 60], area=3600)
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    assert kinds_of(check_folder(folder)) == set()


def test_whole_object_masks_lie_under_their_parts(folder: Path) -> None:
    """V-04, M-01: the object's own mask is what the parts are measured against."""
    data = clean()
    extra_category(id=6, name="goose:object", supercategory="goose", part="object")(data, folder)
    for image in (1, 2):
        data["annotations"].append(annotation(90 + image, image, 6, (4, 4, 41, 60)))
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    assert kinds_of(check_folder(folder)) == {"uncovered_object"}
    loose = CheckSettings(coverage=0.5)
    assert kinds_of(check_folder(folder, settings=loose)) == set()


def test_a_discarded_image_needs_no_parts(folder: Path) -> None:
    data = clean()
    no_parts(data, folder)
    data["partlab"]["discards"].append({"file_name": "goose/1.png"})
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    assert kinds_of(check_folder(folder)) == set()


def test_huge_coordinates_do_no_harm(folder: Path) -> None:
    data = clean()
    of(data, 11)["segmentation"] = [[0, 0, 1e12, 0, 5, 5]]
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    (finding,) = check_folder(folder).findings
    assert (finding.kind, finding.fixable) == ("out_of_bounds", False)


def test_one_split_only(folder: Path) -> None:
    leak({}, folder)
    assert kinds_of(check_folder(folder, "val")) == set()
    with pytest.raises(NotFoundError, match="no split 'test'"):
        check_folder(folder, "test")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="annotations"):
        check_folder(tmp_path)
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(SchemaError, match="not a COCO file"):
        check_folder(tmp_path / "list.json")


def test_json_limits_examples_but_counts_all(folder: Path) -> None:
    data = clean()
    for number in (10, 20, 30):
        of(data, number)["area"] = 5
    (folder / "annotations" / "train.json").write_text(json.dumps(data))
    told = check_folder(folder).as_json(limit=2)
    assert told["warnings"] == told["kinds"]["wrong_area"]["count"] == 3
    assert len(told["kinds"]["wrong_area"]["findings"]) == 2
    assert told["errors"] == 0
    json.dumps(told)


def test_examples_show_different_categories_first() -> None:
    rows = [(1, "a"), (1, "b"), (1, "c"), (2, "d"), (3, "e")]
    found = [Finding("overlap", "error", m, "", category_id=c) for c, m in rows]
    assert [finding.message for finding in varied(found, 4)] == ["a", "d", "e", "b"]
    assert len(varied(found, None)) == 5


def test_the_guide_lists_every_kind() -> None:
    """docs/guide/checks.md is kept true."""
    guide = (Path(__file__).parents[4] / "docs" / "guide" / "checks.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+?) \| (yes|) ?\|$", guide, re.MULTILINE)
    said = {name: (severity, meaning, bool(fix)) for name, severity, meaning, fix in rows}
    assert said == {name: (k.severity, k.meaning, k.fixable) for name, k in KINDS.items()}


def test_the_part_world_is_free_of_errors(tmp_path: Path) -> None:
    from annotate.world import WorldConfig, make_world

    make_world(tmp_path / "world", WorldConfig(images=28, pool=2, heldout=14, size=96))
    report = check_folder(tmp_path / "world")
    assert kinds_of(report) <= {"unequal_counts"}
    assert report.errors == 0


REAL = Path(__file__).parents[5] / "shared" / "data" / "pascal18"


@pytest.mark.skipif(not REAL.is_dir(), reason="real photos are not beside the checkout")
def test_real_photos_have_nested_parts_but_no_broken_masks() -> None:
    report = check_folder(REAL)
    assert {f.kind for f in report.findings if f.severity == "error"} == {"overlap"}
