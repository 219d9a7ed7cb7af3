"""`partlab data check --fix`: repairs that lose nothing, always in a new data set."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from annotate.data.check import check_folder
from annotate.data.checks.kinds import KINDS
from annotate.data.fix import fix_dataset, fix_folder
from annotate.data.formats.pictures import Pictures
from partlab.coco import read_coco, read_dataset
from partlab.errors import MaskError, OutputExistsError
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
    wild = [[20, 30, 34, 30, 34, 44, 20, 44]]  # 100 of its 196 pixels are inside
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
    tested = {
        "crowd_mask",
        "out_of_bounds",
        "wrong_area",
        "wrong_bbox",
        "duplicate_mask",
        "inclusion_self",
    }
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


def test_a_mask_that_lies_largely_outside_is_not_cut(tmp_path: Path) -> None:
    wild = annotation(1, [[20, 30, 90, 30, 90, 70, 20, 70]], area=1, bbox=[0, 0, 1, 1])
    data, repaired, left = fixed(tmp_path, wild)
    assert (repaired, left) == ({}, {"out_of_bounds"})
    assert data["annotations"][0] == wild


def test_a_mask_is_cut_only_where_the_picture_tells_where_the_image_ends(tmp_path: Path) -> None:
    """The record is smaller than the picture, and another mask keeps it so."""
    images = [
        {"id": 1, "file_name": "1.png", "width": 20, "height": 20},
        {"id": 2, "file_name": "2.png", "width": 30, "height": 40},
    ]
    beyond = [[5, 5, 25, 5, 25, 25, 5, 25]]
    brush = annotation(2)
    brush |= {"segmentation": encode(np.eye(20)), "area": 20, "bbox": [0, 0, 20, 20]}
    data, repaired, left = fixed(tmp_path, annotation(1, beyond), brush, images=images)
    assert repaired == {}
    assert left == {"wrong_image_size", "out_of_bounds"}
    assert data["annotations"][0]["segmentation"] == beyond


def test_without_a_picture_no_mask_is_cut(tmp_path: Path) -> None:
    before = make(tmp_path / "before", annotation(1, [[20, 30, 34, 30, 34, 44, 20, 44]]))
    blind = fix_folder(before, tmp_path / "blind", look=False)
    assert not blind.repaired
    (before / "images" / "1.png").unlink()
    gone = fix_folder(before, tmp_path / "gone")
    assert not gone.repaired
    (kept,) = [f for f in gone.remaining.findings if f.kind == "out_of_bounds"]
    assert "the picture cannot be read" in kept.message


def turned(tmp_path: Path, *annotations: Raw) -> tuple[list[tuple[int, int]], Raw, set[str]]:
    """Sizes after --fix of two phone pictures, shown 30 x 40 and stated 40 x 30."""
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    images = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 30} for n in (1, 2)]
    before = make(tmp_path / "before", *annotations, images=images)
    for number in (1, 2):
        noise = np.random.default_rng(number).integers(0, 255, (30, 40, 3), dtype=np.uint8)
        PillowImage.fromarray(noise).save(before / "images" / f"{number}.png", exif=exif)
    repair = fix_folder(before, tmp_path / "after")
    data = json.loads((tmp_path / "after" / "annotations" / "train.json").read_text())
    sizes = [(image["width"], image["height"]) for image in data["images"]]
    return sizes, data, {finding.kind for finding in repair.remaining.findings}


TALL = [[5, 5, 15, 5, 15, 38, 5, 38]]  # fits 30 x 40 only
WIDE = [[5, 5, 38, 5, 38, 15, 5, 15]]  # fits 40 x 30 only


def test_a_size_is_turned_where_all_masks_fit_only_so(tmp_path: Path) -> None:
    """The second picture's mask fits both ways; the first one's decides for the file."""
    sizes, data, left = turned(tmp_path, annotation(1, TALL))
    assert sizes == [(30, 40), (30, 40)]
    assert left == set()
    assert data["annotations"][0]["segmentation"] == TALL
    assert area(from_segmentation(TALL, 40, 30)) == 330


def test_a_size_stays_where_masks_disagree(tmp_path: Path) -> None:
    wide = annotation(2, image=2, segmentation=SQUARE) | {"segmentation": WIDE}
    wide |= {"area": 330, "bbox": [5, 5, 33, 10]}
    sizes, data, left = turned(tmp_path, annotation(1, TALL), wide)
    assert sizes == [(30, 40), (40, 30)]
    assert "exif_rotated" in left
    assert [a["segmentation"] for a in data["annotations"]] == [TALL, WIDE, SQUARE]


def test_a_size_stays_where_nothing_tells(tmp_path: Path) -> None:
    sizes, _, left = turned(tmp_path, annotation(1))
    assert (sizes, left) == ([(40, 30), (40, 30)], {"exif_rotated"})


def test_run_lengths_of_the_stated_size_hold_it(tmp_path: Path) -> None:
    brush = annotation(1) | {"segmentation": encode(np.ones((30, 40), bool))}
    brush |= {"area": 1200, "bbox": [0, 0, 40, 30]}
    sizes, data, left = turned(tmp_path, brush)
    assert (sizes, left) == ([(40, 30), (40, 30)], {"exif_rotated"})
    assert data["annotations"][0] == brush


def brushed(number: int, **changes: Any) -> Raw:
    """A mask as CVAT writes it: uncompressed run lengths, a crowd region by its word."""
    mask = np.zeros((40, 30), bool)
    mask[3:13, 2 + number : 14 + number] = True
    flat = mask.ravel(order="F")
    starts = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), len(flat)]
    runs = np.diff(starts).tolist()
    base = annotation(number)
    base["segmentation"] = {"size": [40, 30], "counts": [0, *runs] if flat[0] else runs}
    return base | {"area": 120, "bbox": [2 + number, 3, 12, 10], "iscrowd": 1, **changes}


def test_brush_masks_that_say_crowd_are_single_masks(tmp_path: Path) -> None:
    by_cvat = {"attributes": {"occluded": False}}
    data, repaired, left = fixed(tmp_path, brushed(1, **by_cvat))
    assert (repaired, left) == ({"crowd_mask": 1}, set())
    assert data["annotations"][0]["iscrowd"] == 0
    before = brushed(1, **by_cvat, iscrowd=0)
    assert data["annotations"][0] == before


def test_several_crowd_masks_of_a_part_in_an_image_are_single_masks(tmp_path: Path) -> None:
    _, repaired, _ = fixed(tmp_path, brushed(1), brushed(2))
    assert repaired == {"crowd_mask": 2}


def test_one_crowd_region_beside_single_masks_stays_one(tmp_path: Path) -> None:
    data, repaired, left = fixed(tmp_path, brushed(1))
    assert (repaired, left) == ({}, {"crowd"})
    assert data["annotations"][0]["iscrowd"] == 1


def test_masks_without_pixels_go_only_when_asked(tmp_path: Path) -> None:
    box, blank = annotation(1) | {"segmentation": []}, annotation(2)
    blank["segmentation"] = encode(np.zeros((40, 30), bool))
    away = annotation(3) | {"segmentation": [[50, 50, 60, 50, 60, 60, 50, 60]]}
    before = make(tmp_path / "before", box, blank, away, annotation(4))
    kept = fix_folder(before, tmp_path / "kept")
    assert kept.dropped == 0
    repair = fix_folder(before, tmp_path / "after", drop_unusable=True)
    assert repair.dropped == 2
    data = read_dataset(tmp_path / "after")
    assert [a.id for a in data.annotations] == [3, 4, 50]
    dropped = data.top["partlab"]["dropped"]
    assert [entry["record"] for entry in dropped] == [box, blank]
    assert data.incomplete == {1: "annotations[0] holds no pixels"}
    again = fix_folder(tmp_path / "after", tmp_path / "again", drop_unusable=True)
    assert again.dropped == 0
    assert read_dataset(tmp_path / "again").top["partlab"]["dropped"] == dropped


FAR = [[50, 60, 70, 60, 70, 90, 50, 90]]
OVER_THE_EDGE = [[2, 2, 40, 2, 40, 20, 2, 20]]


@pytest.mark.parametrize("stated", [(30, 40), (0, 0)])
def test_a_mask_that_proves_the_size_wrong_saves_its_neighbours(
    tmp_path: Path, stated: tuple[int, int]
) -> None:
    """Both were drawn on a larger picture: neither is cut, and no size is made up."""
    width, height = stated
    images = [{"id": 1, "file_name": "1.png", "width": width, "height": height}]
    images.append({"id": 2, "file_name": "2.png", "width": 30, "height": 40})
    masks = [annotation(1, OVER_THE_EDGE), annotation(2, FAR)]
    repair = fix_folder(make(tmp_path / "before", *masks, images=images), tmp_path / "after")
    after = read_coco(tmp_path / "after" / "annotations" / "train.json", as_is=True)
    assert [a.segmentation for a in after.annotations[:2]] == [OVER_THE_EDGE, FAR]
    assert (after.images[0].width, after.images[0].height) == stated
    left = repair.remaining.findings
    assert {f.kind for f in left} >= ({"out_of_bounds"} if width else {"bad_size"})
    assert "empty_mask" not in {f.kind for f in left}
    assert not any(f.fixable for f in left if f.image_id == 1)
    assert repair.remaining.errors


def test_one_mask_over_the_edge_alone_is_still_cut(tmp_path: Path) -> None:
    repair = fix_folder(make(tmp_path / "before", annotation(1, OVER_THE_EDGE)), tmp_path / "after")
    assert repair.repaired["out_of_bounds"] == 1


def _pixels(raw: Raw, size: tuple[int, int]) -> int | None:
    """Pixels of a mask: of run lengths their own, of polygons those inside the true picture."""
    segmentation = raw["segmentation"]
    try:
        if isinstance(segmentation, dict):
            return area(from_segmentation(segmentation, *segmentation["size"]))
        return area(from_segmentation(segmentation, *size))
    except MaskError:
        return None


def _everywhere(raw: Raw) -> int | None:
    """Pixels of a mask, those outside of any picture too."""
    if not isinstance(raw["segmentation"], list):
        return _pixels(raw, (0, 0))
    pieces = [[v + 30 for v in piece] for piece in raw["segmentation"]]
    return _pixels({"segmentation": pieces}, (500, 500))


def _all_outside(raw: Raw) -> bool:
    polygons = isinstance(raw["segmentation"], list)
    return polygons and bool(_everywhere(raw)) and not _pixels(raw, (40, 30))


POINT = st.integers(-20, 70)
POLYGON = st.lists(POINT, min_size=6, max_size=10).filter(lambda p: len(p) % 2 == 0)
EDGE = st.integers(31, 45).map(lambda x: [[2, 2, x, 2, x, 20, 2, 20]])  # out, and mostly inside
AFAR = st.integers(50, 400).map(lambda x: [[x, x, x + 20, x, x + 20, x + 20, x, x + 20]])
BAD = st.sampled_from([[], None, [[1, 2, 3]], [[1, 1, 5, 5]], [[1, 1, 9, 1, 9, 9], [3, 3]]])


@st.composite
def brushes(draw: st.DrawFn) -> Raw:
    height, width = draw(st.sampled_from([(40, 30), (30, 40), (20, 20), (50, 60)]))
    mask = np.zeros((height, width), bool)
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    mask[top : top + draw(st.integers(0, 30)), left : left + draw(st.integers(0, 30))] = True
    rle: Raw = dict(encode(mask))
    if draw(st.booleans()):
        flat = np.concatenate([[False], mask.ravel(order="F")])
        edges = np.flatnonzero(np.diff(flat)).tolist()
        rle["counts"] = np.diff([0, *edges, mask.size]).tolist()
    return rle


@st.composite
def planted(draw: st.DrawFn) -> tuple[list[Raw], list[Raw], int]:
    """Image records and annotations with every kind of defect, and the pictures' rotation."""
    sizes = st.sampled_from([(30, 40), (40, 30), (20, 20), (60, 50), (33, 44), (0, 40)])
    images = []
    for number in (1, 2, *draw(st.sampled_from([[], [1], [2, 2]]))):
        width, height = draw(sizes)
        record = {"id": number, "width": width, "height": height}
        images.append({**record, "file_name": f"{draw(st.sampled_from([number, 1]))}.png"})
    shape = st.one_of(st.lists(POLYGON, min_size=1, max_size=2), AFAR, EDGE, brushes(), BAD)
    masks = []
    for mark in range(draw(st.integers(1, 8))):
        number = {"id": draw(st.integers(1, 3)), "image_id": draw(st.integers(1, 3))}
        number |= {"category_id": draw(st.integers(1, 3)), "segmentation": draw(shape)}
        number |= {"area": draw(st.sampled_from([0, 7, 100])), "bbox": [1, 1, 5, 5]}
        number |= {"iscrowd": draw(st.sampled_from([0, 1, True])), "mark": mark}
        masks += [number] * draw(st.sampled_from([1, 1, 2]))
    return images, masks, draw(st.sampled_from([1, 6]))


@settings(max_examples=150, deadline=None)
@given(case=planted(), drop=st.booleans())
def test_fix_never_lowers_the_pixel_count_of_any_mask(
    tmp_path_factory: pytest.TempPathFactory,
    case: tuple[list[Raw], list[Raw], int],
    drop: bool,
) -> None:
    images, masks, rotation = case
    folder = tmp_path_factory.mktemp("planted")
    before = make(folder / "before", *masks, images=images)
    exif = PillowImage.Exif()
    exif[0x0112] = rotation
    for number in (1, 2):
        picture = PillowImage.new("L", (40, 30) if rotation == 6 else (30, 40), number)
        picture.save(before / "images" / f"{number}.png", exif=exif)
    fix_folder(before, folder / "after", drop_unusable=drop)
    data = json.loads((folder / "after" / "annotations" / "train.json").read_text())
    found = {raw["mark"]: raw for raw in data["annotations"] if "mark" in raw}
    for raw in masks:
        count = _pixels(raw, (40, 30))
        if count is None or (count == 0 and raw["mark"] not in found):
            continue
        after = _pixels(found[raw["mark"]], (40, 30))
        assert after is not None
        assert after >= count
    drawn_at_another_size = {raw["image_id"] for raw in masks if _all_outside(raw)}
    for raw in masks:  # beside such a mask not even what lies outside is cut
        if raw["image_id"] in drawn_at_another_size and raw["mark"] in found:
            assert _everywhere(found[raw["mark"]]) == _everywhere(raw)
