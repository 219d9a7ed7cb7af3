"""The PIN++ release: every trap of its files, and the way back (requirements B3, C1)."""

import json
from pathlib import Path
from typing import Any

import pytest

from annotate.data.check import check_dataset, check_folder
from annotate.data.convert import export_folder, import_folder
from annotate.data.formats import Source, get_format, guess_format
from annotate.data.formats.pictures import Pictures
from partlab.coco import read_dataset
from partlab.errors import NotFoundError, OutputExistsError, SchemaError
from partlab.masks import area, decode, from_segmentation
from partlab.schema import Dataset

Raw = dict[str, Any]
RAM, CRANE, CRANE2, BAKERY = "n02412080", "n02012849", "n03126707", "n02776631"


def image(number: int, wnid: str) -> Raw:
    name = f"{wnid}/{wnid}_{number}.JPEG"
    return {"id": number, "width": 64, "height": 48, "file_name": name, "flickr": number}


def mask(number: int, picture: int, category: int, *polygons: list[Any]) -> Raw:
    shape = {"segmentation": [list(p) for p in polygons], "bbox": [0, 0, 1, 1], "area": 1.0}
    return {"id": number, "image_id": picture, "category_id": category, "iscrowd": 0, **shape}


def square(left: int, top: int, side: int) -> list[int]:
    right, bottom = left + side, top + side
    return [left, top, right, top, right, bottom, left, bottom]


def release(folder: Path) -> Path:
    """Four classes: inclusion, two of one name, one whole-object, every broken polygon."""
    ram = {
        "images": [image(1, RAM), image(2, RAM)],
        "annotations": [
            mask(1, 1, 3, square(4, 4, 8)),
            mask(2, 1, 1, square(2, 2, 20)),
            mask(3, 2, 2, square(10, 10, 30)),
            mask(4, 2, 2, [1, 1, 9, 1, 9, 9, 1]),
            mask(5, 2, 2, [1, 1, 9, 9]),
            mask(6, 2, 2, [1, 1, 1, 1, 1, 1]),
            mask(7, 2, 2, square(50, 40, 30)),
            mask(8, 77, 2, square(1, 1, 9)),
            {"id": 9, "image_id": 2},
        ],
        "categories": [
            {"id": 1, "name": "head", "colour": "red"},
            {"id": 2, "name": "body"},
            {"id": 3, "name": "sheep horn"},
        ],
    }
    crane = {
        "images": [image(1, CRANE)],
        "annotations": [mask(1, 1, 1, square(1, 1, 20)), mask(2, 1, 2, square(30, 1, 9))],
        "categories": [{"id": 1, "name": "body"}, {"id": 2, "name": "head"}],
    }
    lift = {
        "images": [image(1, CRANE2)],
        "annotations": [mask(1, 1, 7, square(1, 1, 20)), mask(2, 1, 8, square(30, 1, 9))],
        "categories": [{"id": 7, "name": "arm"}, {"id": 8, "name": "part1"}],
    }
    bakery = {
        "images": [image(1, BAKERY)],
        "annotations": [mask(1, 1, 1, square(0, 0, 40))],
        "categories": [{"id": 1, "name": "bakery"}],
    }
    (folder / "json").mkdir(parents=True)
    classes = {RAM: ram, CRANE: crane, CRANE2: lift, BAKERY: bakery}
    for wnid, data in classes.items():
        (folder / "json" / f"{wnid}.json").write_text(json.dumps(data))
    (folder / "including").mkdir()
    (folder / "including" / f"{RAM}.txt").write_bytes(b"sheep horn:head")  # no last newline
    (folder / "including" / f"{CRANE}.txt").write_bytes(b"head:body\n")  # 10 bytes
    discarded = [
        {"file_name": f"{RAM}/{RAM}_9.JPEG", "reason_code": 3, "who": {"name": "a"}},
        {"no name": 1},
    ]
    (folder / "discarded_data.json").write_text(json.dumps(discarded))
    names = {f"{RAM}.json": ["ram, tup", ["head", "body"]], f"{CRANE}.json": {"object": "crane"}}
    names |= {f"{CRANE2}.json": "crane", f"{BAKERY}.json": {"name": "bakery: shop", "parts": []}}
    (folder / "category_name.json").write_text(json.dumps(names))
    return folder


def read(folder: Path) -> Dataset:
    return get_format("pinpp").read(Source(folder))["all"]


@pytest.fixture
def pinpp(tmp_path: Path) -> Path:
    return release(tmp_path / "PartImageNetPP")


def test_categories_are_sorted_by_wnid_and_keep_the_order_of_their_file(pinpp: Path) -> None:
    """B3: global id = parts of all earlier classes + position in the class."""
    dataset = read(pinpp)
    assert [(c.id, c.wnid, c.part) for c in dataset.categories] == [
        (1, CRANE, "body"),
        (2, CRANE, "head"),
        (3, RAM, "head"),
        (4, RAM, "body"),
        (5, RAM, "sheep horn"),
        (6, BAKERY, "bakery"),
        (7, CRANE2, "arm"),
        (8, CRANE2, "part1"),
    ]


def test_names_come_from_the_table_and_stay_apart(pinpp: Path) -> None:
    """Two cranes are told apart by wnid; a colon would split object and part wrongly."""
    objects = read(pinpp).objects
    assert objects == (f"crane ({CRANE})", "ram, tup", "bakery  shop", f"crane ({CRANE2})")
    assert len(set(read(pinpp).names)) == 8


def test_without_the_table_the_wnid_is_the_name(pinpp: Path) -> None:
    (pinpp / "category_name.json").unlink()
    assert read(pinpp).objects == (CRANE, RAM, BAKERY, CRANE2)


def test_ids_are_local_to_each_file(pinpp: Path) -> None:
    dataset = read(pinpp)
    assert [i.id for i in dataset.images] == [1, 2, 3, 4, 5]
    ids = [a.id for a in dataset.annotations]
    assert len(ids) == len(set(ids)) == 13
    (horn,) = [a for a in dataset.annotations if a.category_id == 5]
    assert dataset.image_by_id[horn.image_id].file_name == f"{RAM}/{RAM}_1.JPEG"


def test_inclusions_with_spaces_and_without_last_newline(pinpp: Path) -> None:
    assert read(pinpp).inclusions == {
        "ram, tup": {"sheep horn": "head"},
        f"crane ({CRANE})": {"head": "body"},
    }


def test_a_colon_in_a_part_name_is_split_where_the_parts_are_known(pinpp: Path) -> None:
    path = pinpp / "json" / f"{RAM}.json"
    data = json.loads(path.read_text())
    data["categories"][2]["name"] = "horn: left"
    path.write_text(json.dumps(data))
    (pinpp / "including" / f"{RAM}.txt").write_text("horn: left:head\n\nhorn\nhead:body\nhead:tail")
    dataset = read(pinpp)
    assert dataset.inclusions["ram, tup"] == {"horn: left": "head", "head": ["body", "tail"]}
    reasons = [(b["record"], b["reason"]) for b in dataset.broken if "including" in b["list"]]
    assert reasons == [("horn", "is not small:large")]


def test_discards_keep_unknown_fields(pinpp: Path) -> None:
    (discard,) = read(pinpp).discards
    assert discard.raw["reason_code"] == 3
    assert discard.raw["who"] == {"name": "a"}
    assert discard.object == "ram, tup"


def test_unknown_keys_survive(pinpp: Path) -> None:
    dataset = read(pinpp)
    assert dataset.images[0].raw["flickr"] == 1
    assert dataset.categories[2].raw["colour"] == "red"


def test_a_single_part_is_the_whole_object(pinpp: Path) -> None:
    """V-04: bakery is its own part."""
    assert [c.part for c in read(pinpp).categories if c.whole_object] == ["bakery"]


def test_origin_is_noted(pinpp: Path) -> None:
    """D-01, and which release it was."""
    dataset = read(pinpp)
    assert {i.origin_split for i in dataset.images} == {"train"}
    assert {i.source for i in dataset.images} == {"pinpp"}
    origin = dataset.top["partlab"]["origin"]
    assert (origin["format"], origin["masks"]) == ("pinpp", 13)
    assert origin["version"] == read(pinpp).top["partlab"]["origin"]["version"]


def test_broken_records_are_kept_and_the_check_names_them(pinpp: Path, tmp_path: Path) -> None:
    told = import_folder(pinpp, tmp_path / "ours")
    assert told["format"] == "pinpp"
    assert told["splits"]["all"] == {
        "images": 5,
        "annotations": 13,
        "categories": 8,
        "objects": 4,
        "inclusions": 2,
        "discards": 1,
        "broken": 2,
    }
    report = check_folder(tmp_path / "ours", pictures=False)
    counts = {kind: len(found) for kind, found in report.by_kind.items()}
    broken = {"odd_coordinates": 1, "few_points": 1, "unknown_image": 1, "unreadable_record": 2}
    assert broken.items() <= counts.items()
    assert counts["placeholder_name"] == 1
    assert counts["out_of_bounds"] == 1
    (empty,) = [a for a in read(pinpp).annotations if a.segmentation == [[1] * 6]]
    drawn = from_segmentation(empty.segmentation, 48, 64)
    assert counts.get("empty_mask", 0) == (area(drawn) == 0)


def test_a_category_nobody_has_stays_unknown(pinpp: Path) -> None:
    path = pinpp / "json" / f"{RAM}.json"
    data = json.loads(path.read_text())
    data["annotations"][0]["category_id"] = 4  # another class's category in global numbers
    path.write_text(json.dumps(data))
    kinds = [f.kind for f in check_dataset(read(pinpp))]
    assert kinds.count("unknown_category") == 1


def test_equal_ids_in_one_file_are_found_not_hidden(pinpp: Path) -> None:
    path = pinpp / "json" / f"{RAM}.json"
    data = json.loads(path.read_text())
    data["images"][1]["id"] = 1
    data["annotations"][1]["id"] = 1
    path.write_text(json.dumps(data))
    kinds = {f.kind for f in check_dataset(read(pinpp))}
    assert {"duplicate_image_id", "duplicate_annotation_id"} <= kinds


def masks_by_name(dataset: Dataset) -> dict[tuple[str, str], list[bytes]]:
    found: dict[tuple[str, str], list[bytes]] = {}
    for picture in dataset.images:
        for a in dataset.annotations_of(picture):
            name = dataset.category_by_id[a.category_id].name
            rle = from_segmentation(a.segmentation, picture.height, picture.width)
            found.setdefault((picture.file_name, name), []).append(decode(rle).tobytes())
    return found


def whole(folder: Path) -> Path:
    """The release without the records that cannot be drawn."""
    for path in (folder / "json").glob("*.json"):
        data = json.loads(path.read_text())
        good = [a for a in data["annotations"] if a["id"] not in (4, 5, 6, 8, 9)]
        path.write_text(json.dumps({**data, "annotations": good}))
    return folder


def test_round_trip_is_pixel_exact_and_loses_no_key(pinpp: Path, tmp_path: Path) -> None:
    first = import_folder(whole(pinpp), tmp_path / "a")
    export_folder(tmp_path / "a", tmp_path / "out", format="pinpp")
    assert guess_format(tmp_path / "out") == "pinpp"
    second = import_folder(tmp_path / "out", tmp_path / "b")
    assert {**first, "out": 0, "splits": 0} == {**second, "out": 0, "splits": 0}
    a, b = read_dataset(tmp_path / "a"), read_dataset(tmp_path / "b")
    assert masks_by_name(a) == masks_by_name(b)
    for name in ("images", "annotations", "categories", "discards"):
        assert [r.raw for r in getattr(a, name)] == [r.raw for r in getattr(b, name)]
    assert a.inclusions == b.inclusions


def test_the_written_release_has_local_ids_and_plain_part_names(
    pinpp: Path, tmp_path: Path
) -> None:
    import_folder(whole(pinpp), tmp_path / "a")
    export_folder(tmp_path / "a", tmp_path / "out", format="pinpp")
    data = json.loads((tmp_path / "out" / "json" / f"{CRANE2}.json").read_text())
    assert [c["id"] for c in data["categories"]] == [1, 2]
    assert [c["name"] for c in data["categories"]] == ["arm", "part1"]
    assert [i["id"] for i in data["images"]] == [1]
    text = (tmp_path / "out" / "including" / f"{RAM}.txt").read_text()
    assert text == "sheep horn:head\n"
    assert sorted(p.name for p in (tmp_path / "out" / "including").iterdir()) == [
        f"{CRANE}.txt",
        f"{RAM}.txt",
    ]


def test_objects_without_wnid_are_written_under_their_name(tmp_path: Path) -> None:
    data = {
        "images": [{"id": 4, "file_name": "a.jpg", "width": 20, "height": 20}],
        "annotations": [mask(1, 4, 9, square(1, 1, 5)), mask(2, 4, 8, square(9, 9, 5))],
        "categories": [
            {"id": 9, "name": "a/b:leg", "supercategory": "a/b", "part": "leg"},
            {"id": 8, "name": "ünï:arm", "supercategory": "ünï", "part": "arm"},
        ],
    }
    (tmp_path / "c.json").write_text(json.dumps(data))
    export_folder(tmp_path / "c.json", tmp_path / "out", format="pinpp")
    again = read(tmp_path / "out")
    assert again.names == ("a/b:leg", "ünï:arm")
    assert again.categories[0].wnid is None
    assert len(again.images) == 2  # once in the file of each object it shows
    assert len(again.annotations) == 2


def test_pictures_follow_when_their_folder_is_named(pinpp: Path, tmp_path: Path) -> None:
    photos = tmp_path / "imagenet"
    (photos / RAM).mkdir(parents=True)
    (photos / RAM / f"{RAM}_1.JPEG").write_bytes(b"jpeg")
    import_folder(pinpp, tmp_path / "ours", images=photos, pictures=Pictures.copy)
    dataset = read_dataset(tmp_path / "ours")
    placed = [dataset.image_path(i).is_file() for i in dataset.images]
    assert placed.count(True) == 1


def test_bad_input_is_one_clear_error(pinpp: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="none of the formats"):
        import_folder(tmp_path, tmp_path / "ours")
    with pytest.raises(NotFoundError, match="does not exist"):
        import_folder(tmp_path / "nowhere", tmp_path / "ours")
    with pytest.raises(NotFoundError, match="json"):
        import_folder(tmp_path, tmp_path / "ours", format="pinpp")
    with pytest.raises(OutputExistsError):
        import_folder(pinpp, pinpp)
    (pinpp / "discarded_data.json").write_text("{}")
    with pytest.raises(SchemaError, match="discarded_data"):
        import_folder(pinpp, tmp_path / "ours")
    (pinpp / "json" / f"{RAM}.json").write_text('{"images": [')
    with pytest.raises(SchemaError, match=RAM):
        import_folder(pinpp, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()
