"""What an annotator drew becomes part masks; what cannot be taken is told, never guessed."""

import base64
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image as PillowImage

from annotate.studio.spelling.codec import encode_brush
from annotate.studio.spelling.labelconfig import label_config
from annotate.studio.spelling.reading import Reading, read_result
from annotate.studio.spelling.shapes import resized
from annotate.studio.spelling.uniting import PartMask, without_specks
from annotate.studio.spelling.writing import regions_of
from annotate.vocabulary.model import ObjectParts, Part
from annotate.work.complaints import KINDS
from partlab.errors import UnknownNameError
from partlab.masks import BoolMask, area, decode, encode, from_segmentation

PAYLOADS = Path(__file__).resolve().parents[5] / "shared" / "data" / "labelstudio-payloads"
needs_payloads = pytest.mark.skipif(
    not PAYLOADS.is_dir(), reason="no ../shared/data/labelstudio-payloads beside the checkout"
)

GOAT = ObjectParts(
    name="goat",
    parts=tuple(Part(id=name, name=name) for name in ("head", "horn", "body", "leg")),
)
RENAMED = ObjectParts(name="goat", parts=(Part(id="foot", name="hoof"), Part(id="p2", name="Ohr")))
SIZE = (60, 40)


def box(left: int, top: int, width: int, height: int, size: tuple[int, int] = SIZE) -> BoolMask:
    mask = np.zeros((size[1], size[0]), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def item(type: str, value: Any, id: str = "a", size: tuple[int, int] = SIZE, **more: Any) -> Any:
    return {
        "id": id,
        "from_name": type.removesuffix("labels") or "part",
        "to_name": "image",
        "type": type,
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": value,
        **more,
    }


def brush(mask: BoolMask, label: str = "head", id: str = "a", **more: Any) -> Any:
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": [label]}
    return item("brushlabels", value, id, (mask.shape[1], mask.shape[0]), **more)


def read(*items: Any, parts: ObjectParts = GOAT, size: Any = SIZE, **more: Any) -> Reading:
    return read_result(list(items), parts, size, SIZE, **more)


def only_mask(reading: Reading) -> BoolMask:
    assert reading.problems == ()
    (mask,) = reading.masks
    return decode(mask.rle)


def only_problem(reading: Reading) -> tuple[str, str]:
    assert reading.masks == ()
    (problem,) = reading.problems
    assert problem["kind"] in KINDS
    return problem["kind"], problem["message"]


# -- captured from a real server ----------------------------------------------------------------


def captured(name: str) -> Any:
    return json.loads((PAYLOADS / name).read_text())


def read_captured(name: str) -> Reading:
    return read_result(captured(name)[0]["result"], GOAT, (500, 375), (500, 375), min_pixels=1)


def told(reading: Reading) -> list[tuple[str, int, str, int]]:
    return [(m.part, area(m.rle), m.origin, m.regions) for m in reading.masks]


@needs_payloads
def test_a_stroke_by_hand_beside_untouched_predictions() -> None:
    reading = read_captured("ui_annotation_brushlabels_manual_stroke.json")
    assert reading.problems == ()
    assert told(reading) == [
        ("head", 18932, "prediction", 1),
        ("horn", 17875 + 1361, "prediction-changed", 2),  # one predicted, one by hand
        ("body", 21781, "prediction", 1),
        ("leg", 17444, "prediction", 1),
    ]
    stroke = captured("ui_annotation_brushlabels_manual_stroke.json")[0]["result"][-1]
    alone = read_result([stroke], GOAT, (500, 375), (500, 375), min_pixels=1)
    assert told(alone) == [("horn", 1361, "manual", 1)]


@needs_payloads
def test_a_prediction_that_was_changed() -> None:
    reading = read_captured("ui_annotation_brushlabels_prediction_changed.json")
    assert told(reading)[0] == ("head", 7087, "prediction-changed", 1)
    assert {origin for _, _, origin, _ in told(reading)[1:]} == {"prediction"}


@needs_payloads
def test_pairs_of_a_shared_palette_are_one_region_each() -> None:
    reading = read_captured("ui_annotation_shared_palette.json")
    assert reading.problems == ()
    assert told(reading) == [("head", 1436, "prediction", 1), ("horn", 1595, "manual", 1)]


@needs_payloads
def test_bitmasks() -> None:
    reading = read_captured("ui_annotation_bitmask.json")
    assert reading.problems == ()
    assert [(m.part, m.origin, m.regions) for m in reading.masks] == [
        ("head", "prediction", 1),
        ("horn", "prediction-changed", 2),
    ]
    url = captured("ui_annotation_bitmask.json")[0]["result"][0]["value"]["imageDataURL"]
    with PillowImage.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        alpha = np.asarray(picture)[..., 3]
    assert np.array_equal(decode(reading.masks[0].rle), alpha >= 128)


@needs_payloads
def test_an_export_and_a_task_list_hold_the_same_kind_of_results() -> None:
    annotation = captured("export_json_1_task.json")[0]["annotations"][0]
    reading = read_result(annotation["result"], GOAT, (500, 375), (500, 375))
    before = read_result(annotation["prediction"]["result"], GOAT, (500, 375), (500, 375))
    assert len(reading.masks) == len(before.masks) == 4
    assert [m.rle for m in reading.masks[1:]] == [m.rle for m in before.masks[1:]]
    assert reading.masks[0].rle != before.masks[0].rle
    for task in captured("tasks_list_fields_all.json")["tasks"]:
        for answer in (*task["annotations"], *task["predictions"]):
            assert read_result(answer["result"], GOAT, (500, 375), (500, 375)).problems == ()


# -- kinds of regions ---------------------------------------------------------------------------


def test_a_brush_mask_is_taken_bit_for_bit() -> None:
    mask = np.random.default_rng(0).random((40, 60)) < 0.3
    assert np.array_equal(only_mask(read(brush(mask), min_pixels=1)), mask)


def test_a_polygon_is_drawn_in_the_size_of_the_data_set() -> None:
    points = [[10, 10], [90, 20], [50, 95]]
    value = {"points": points, "closed": True, "polygonlabels": ["horn"]}
    reading = read(item("polygonlabels", value), size=(120, 80))
    pixels = [c for x, y in points for c in (x * 1.2, y * 0.8)]
    assert reading.masks[0].rle == from_segmentation([pixels], 80, 120)
    assert reading.masks[0].part == "horn"


def test_a_closed_outline_and_a_rectangle_are_polygons_too() -> None:
    corners = [(25, 25), (75, 25), (75, 75), (25, 75)]
    vertices = [
        {"id": str(i), "x": x, "y": y, "isBezier": False} for i, (x, y) in enumerate(corners)
    ]
    vector = {"vertices": vertices, "closed": True, "vectorlabels": ["head"]}
    square = {"x": 25, "y": 25, "width": 50, "height": 50, "rectanglelabels": ["head"]}
    expected = box(15, 10, 30, 20)
    assert np.array_equal(only_mask(read(item("vectorlabels", vector))), expected)
    assert np.array_equal(only_mask(read(item("rectanglelabels", square))), expected)


def test_a_rectangle_turns_about_its_corner_in_pixels() -> None:
    """90 degrees clockwise: 20 x 10 pixels become 10 x 20 to the left of the corner."""
    turned = {"x": 50, "y": 25, "width": 20 / 0.6, "height": 25, "rotation": 90}
    mask = only_mask(read(item("rectanglelabels", {**turned, "rectanglelabels": ["head"]})))
    assert np.array_equal(mask, box(20, 10, 10, 20))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"points": [[1, 1], [9, 1], [9, 9]], "closed": False}, "not closed"),
        ({"points": [[1, 1], [9, 9]]}, "fewer than 3 points"),
        ({"points": [[1, 1], [float("nan"), 9], [9, 9]]}, "not a number"),
        ({"points": [[1, 1], [1e30, 9], [9, 9]]}, "pixels away"),
        ({"points": [[1, 1], 9, [9, 9]]}, "cannot be read"),
        ({"points": None}, "cannot be read"),
        ({"vertices": [{"x": 1, "y": 1, "isBezier": True}]}, "curved"),
        ({"vertices": [{"x": 1}, {"x": 2}, {"x": 3}]}, "cannot be read"),
    ],
)
def test_outlines_that_cannot_be_drawn(value: Any, words: str) -> None:
    region = item("polygonlabels", {**value, "polygonlabels": ["head"]})
    kind, message = only_problem(read(region))
    assert (kind, words in message) == ("broken-mask", True), message


def png(mode: str, size: tuple[int, int] = SIZE) -> str:
    data = io.BytesIO()
    PillowImage.new(mode, size).save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (png("RGB"), "no transparency"),
        (png("RGBA", (9, 9)), "size (9, 9)"),
        ("data:image/png;base64,AAAA", "not a readable PNG"),
        ("data:image/png;base64,!", "not a readable PNG"),
        (png("RGBA")[:60], "not a readable PNG"),
        ("http://127.0.0.1/x.png", "not a PNG data URL"),
        (7, "cannot be read"),
    ],
)
def test_bitmasks_that_cannot_be_read(url: Any, words: str) -> None:
    region = item("bitmasklabels", {"imageDataURL": url, "bitmasklabels": ["head"]})
    kind, message = only_problem(read(region))
    assert (kind, words in message) == ("broken-mask", True), message


def test_the_number_tells_the_object_instance() -> None:
    """M-06: several objects in one image, all of them labelled."""
    result = [
        brush(box(0, 0, 9, 9), id="a"),
        brush(box(20, 0, 9, 9), id="b"),
        item("number", {"number": 2}, "b", from_name="object"),
    ]
    reading = read(*result)
    assert [(m.part, m.object, area(m.rle)) for m in reading.masks] == [
        ("head", 1, 81),
        ("head", 2, 81),
    ]


@pytest.mark.parametrize("number", [0, -1, 2.5, "2", 10**9, float("nan"), []])
def test_a_strange_object_number_is_a_problem(number: Any) -> None:
    value = {"number": number}
    reading = read(brush(box(0, 0, 9, 9)), item("number", value, from_name="object"))
    assert only_problem(reading)[0] == "wrong-object"


def test_regions_of_one_part_are_united_and_the_origin_is_theirs() -> None:
    """Masks come in the vocabulary's order, whatever was drawn first."""
    reading = read(
        brush(box(30, 0, 9, 9), "horn", "c", origin="manual"),
        brush(box(0, 0, 9, 9), "head", "a", origin="prediction"),
        brush(box(5, 0, 9, 9), "head", "b", origin="manual"),
    )
    assert [(m.part, m.origin, m.regions) for m in reading.masks] == [
        ("head", "prediction-changed", 2),
        ("horn", "manual", 1),
    ]
    assert np.array_equal(decode(reading.masks[0].rle), box(0, 0, 14, 9))


def test_holes_stay_holes() -> None:
    ring = box(5, 5, 20, 20) & ~box(10, 10, 5, 5)
    assert np.array_equal(only_mask(read(brush(ring))), ring)


def test_a_discard_and_a_relation() -> None:
    """M-07: the reason comes as a choice. A relation is only noted: it is never a mask."""
    choice = item("choices", {"choices": ["blurred"]}, "d", from_name="discard")
    relation = {"type": "relation", "from_id": "b", "to_id": "a", "labels": ["included_in"]}
    reading = read(brush(box(0, 0, 20, 20)), brush(box(2, 2, 5, 5), "horn", "b"), choice, relation)
    assert (reading.discard, reading.problems) == ("blurred", ())
    assert reading.notes == ("relation: horn included_in head",)
    assert read(item("choices", {"choices": []}, from_name="discard")).discard is None


def test_specks_are_dropped_and_told() -> None:
    mask = box(5, 5, 20, 20)
    mask[35, 50] = mask[36, 51] = mask[36, 50] = True  # a slip of the mouse, touching by corners
    reading = read(brush(mask))
    assert np.array_equal(only_mask(reading), box(5, 5, 20, 20))
    assert reading.specks == ("head: 1 speck of 3 pixels dropped",)
    assert np.array_equal(only_mask(read(brush(mask), min_pixels=3)), mask)


def test_specks_are_counted_in_pixels_of_the_shown_picture() -> None:
    mask = box(5, 5, 20, 20)
    mask[35, 50] = True  # 9 pixels once enlarged
    reading = read(brush(mask), size=(180, 120))
    assert area(reading.masks[0].rle) == 9 * 400
    assert "9 pixels" in reading.specks[0]


def test_a_speck_that_belongs_to_another_region_of_the_part_stays() -> None:
    reading = read(brush(box(5, 5, 20, 20)), brush(box(25, 5, 1, 1), id="b"))
    assert (area(reading.masks[0].rle), reading.specks) == (401, ())


@given(arrays(bool, (12, 15)), st.integers(2, 9))
@settings(deadline=None)
def test_specks_against_a_slow_search(mask: BoolMask, limit: int) -> None:
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    expected, dropped = np.zeros_like(mask), 0
    while left:
        blob, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            blob.add((y, x))
            near = {(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
            left -= near
            edge += near
        if len(blob) >= limit:
            expected[tuple(zip(*blob, strict=True))] = True
        else:
            dropped += 1
    kept, specks = without_specks(mask, limit)
    assert np.array_equal(kept, expected)
    assert specks == dropped


# -- sizes --------------------------------------------------------------------------------------


def test_a_smaller_picture_is_enlarged_by_the_nearest_pixel_centre() -> None:
    mask = box(1, 1, 1, 1, (3, 2))
    grown = resized(mask, (6, 4))
    assert np.array_equal(grown, box(2, 2, 2, 2, (6, 4)))
    assert np.array_equal(resized(grown, (3, 2)), mask)
    third = resized(np.array([[True, False, True]]), (7, 1))
    assert third.tolist() == [[True, True, False, False, False, True, True]]
    assert np.array_equal(resized(np.array([[True], [False], [True]]), (1, 7)), third.T)


@given(arrays(bool, (7, 11)), st.integers(1, 5), st.integers(1, 5))
@settings(deadline=None)
def test_enlarging_then_reducing_gives_the_mask_again(mask: BoolMask, x: int, y: int) -> None:
    grown = resized(mask, (11 * x, 7 * y))
    assert np.array_equal(grown, np.kron(mask, np.ones((y, x), bool)))
    assert np.array_equal(resized(grown, (11, 7)), mask)


@given(st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None)
def test_any_size_comes_back_exactly_filled(width: int, height: int) -> None:
    assert resized(np.ones((7, 11), bool), (width, height)).shape == (height, width)
    assert resized(np.ones((7, 11), bool), (width, height)).all()


# -- problems -----------------------------------------------------------------------------------


def test_large_photos_are_read_one_mask_at_a_time() -> None:
    """Thirty masks of six megapixels would be 180 MB."""
    size, shown = (3000, 2000), (150, 100)
    small = encode(np.eye(100, 150, dtype=bool))
    drawn = [PartMask(GOAT.ids[i % 3], 1 + i // 3, small) for i in range(30)]
    result = regions_of(drawn, GOAT, shown)
    tracemalloc.start()
    reading = read_result(result, GOAT, size, shown)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(reading.masks) == 30
    assert peak < 100e6


def test_a_region_of_another_picture_is_a_problem() -> None:
    kind, message = only_problem(read(brush(box(0, 0, 9, 9, (30, 20)))))
    assert kind == "wrong-size"
    assert "30x20" in message
    assert "60x40" in message


def test_a_brush_mask_whose_bytes_are_of_another_size_is_a_problem() -> None:
    region = brush(box(0, 0, 9, 9)) | {"value": brush(box(0, 0, 9, 9, (30, 20)))["value"]}
    kind, message = only_problem(read(region))
    assert kind == "broken-mask"
    assert "600 pixels" in message


def test_a_turned_picture_is_a_problem() -> None:
    assert only_problem(read(brush(box(0, 0, 9, 9), image_rotation=90)))[0] == "rotated"


def test_an_unknown_label_is_a_problem_with_near_names() -> None:
    kind, message = only_problem(read(brush(box(0, 0, 9, 9), "hed")))
    assert kind == "unknown-label"
    assert "goat has no part 'hed'; did you mean head" in message


@pytest.mark.parametrize("named", [True, False])
def test_a_label_is_the_id_of_a_part_and_a_name_counts_too(named: bool) -> None:
    for label in ("hoof", "foot"):
        region = brush(box(0, 0, 9, 9), label)
        assert read(region, parts=RENAMED, named=named).masks[0].part == "foot"


def test_a_name_that_is_the_id_of_another_part_goes_by_the_interface() -> None:
    swapped = (Part(id="head", name="tail"), Part(id="tail", name="head"))
    goat, region = ObjectParts(name="goat", parts=swapped), brush(box(0, 0, 9, 9), "head")
    assert read(region, parts=goat).masks[0].part == "head"
    assert read(region, parts=goat, named=True).masks[0].part == "tail"


@pytest.mark.parametrize(
    ("labels", "kind"), [([], "no-label"), (None, "no-label"), (["head", "leg"], "several-labels")]
)
def test_a_region_has_exactly_one_part(labels: Any, kind: str) -> None:
    region = brush(box(0, 0, 9, 9))
    region["value"]["brushlabels"] = labels
    assert only_problem(read(region))[0] == kind


def test_an_erased_region_is_a_problem() -> None:
    assert only_problem(read(brush(box(0, 0, 0, 0))))[0] == "empty-mask"


def test_one_bad_region_takes_nothing_from_the_others() -> None:
    reading = read(brush(box(0, 0, 9, 9)), brush(box(0, 0, 9, 9), "tail", "b"))
    assert [m.part for m in reading.masks] == ["head"]
    (problem,) = reading.problems
    assert problem["kind"] == "unknown-label"
    assert problem["message"].startswith("region b: ")


@pytest.mark.parametrize("type", ["keypointlabels", "ellipselabels", "textarea", "taxonomy", None])
def test_unknown_kinds_are_told(type: Any) -> None:
    region = {"id": "k", "type": type, "value": {"x": 1, "y": 2, "width": 3}}
    kind, message = only_problem(read(region))
    assert kind == "unknown-region"
    assert "region k" in message


KEYS = ("id", "type", "value", "from_name", "rle", "format", "points", "vertices", "x", "y")
KEYS += ("width", "height", "closed", "labels", "imageDataURL", "number", "choices", "rotation")
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(anything)
@settings(deadline=None, max_examples=200)
def test_anything_at_all_is_read_without_a_crash(result: Any) -> None:
    reading = read_result(result, GOAT, SIZE, SIZE)
    assert all(p["kind"] in KINDS and p["message"] for p in reading.problems)


@given(st.sampled_from(["brushlabels", "bitmasklabels", "polygonlabels", "vectorlabels"]), anything)
@settings(deadline=None, max_examples=200)
def test_any_value_under_a_sound_head_is_a_mask_or_a_problem(type: str, value: Any) -> None:
    sound = {**value, type: ["head"]} if isinstance(value, dict) else value
    reading = read(item(type, sound))
    assert len(reading.masks) + len(reading.problems) + len(reading.notes) >= 1


# -- back ---------------------------------------------------------------------------------------


@st.composite
def part_masks(draw: st.DrawFn) -> list[PartMask]:
    """One mask each of some (part, instance), as `read_result` gives them."""
    keys = draw(st.sets(st.tuples(st.sampled_from(GOAT.ids), st.integers(1, 3)), max_size=5))
    masks = []
    for part, object in sorted(keys, key=lambda key: (GOAT.ids.index(key[0]), key[1])):
        pixels = draw(arrays(bool, (40, 60), fill=st.booleans()).filter(lambda m: bool(m.any())))
        masks.append(PartMask(part, object, encode(pixels)))
    return masks


SWAPPED = ObjectParts(
    name="goat",
    parts=tuple(Part(id=id, name=name) for id, name in zip(GOAT.ids, GOAT.ids[::-1], strict=True)),
)


@given(part_masks(), st.sampled_from([GOAT, SWAPPED]), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=100)
def test_regions_are_read_back_as_the_same_masks(
    masks: list[PartMask], goat: ObjectParts, named: bool, two: bool
) -> None:
    regions = regions_of(masks, goat, SIZE, named=named, two_lists=two)
    regions = json.loads(json.dumps(regions))
    reading = read_result(regions, goat, SIZE, SIZE, min_pixels=1, named=named)
    assert reading == Reading(tuple(masks))


@pytest.mark.parametrize("two", [False, True])
def test_the_server_s_own_check_accepts_our_regions(two: bool) -> None:
    masks = [
        PartMask("head", 1, encode(box(0, 0, 9, 9))),
        PartMask("leg", 2, encode(box(3, 3, 9, 9))),
    ]
    result = regions_of(masks, GOAT, SIZE, two_lists=two)
    prediction = {"result": result, "score": 0.5, "model_version": "m"}
    interface = LabelInterface(label_config(GOAT, two_lists=two))
    assert interface.validate_prediction(prediction, return_errors=True) == []


def test_regions_for_a_smaller_picture_are_reduced() -> None:
    large = PartMask("head", 1, encode(box(30, 30, 60, 30, (180, 120))))
    region = regions_of([large], GOAT, SIZE)
    sizes = {(item["original_width"], item["original_height"]) for item in region}
    assert (len(region), sizes) == (2, {SIZE})  # the shape, and the shape with its label
    assert np.array_equal(only_mask(read(*region)), box(10, 10, 20, 10))
    again = read(*region, size=(180, 120))
    assert again.masks[0].rle == large.rle


def test_masks_without_a_pixel_are_left_out_and_unknown_parts_refused() -> None:
    assert regions_of([PartMask("head", 1, encode(box(0, 0, 0, 0)))], GOAT, SIZE) == []
    with pytest.raises(UnknownNameError, match="tail"):
        regions_of([PartMask("tail", 1, encode(box(0, 0, 9, 9)))], GOAT, SIZE)


@pytest.mark.parametrize(("named", "label"), [(False, "foot"), (True, "hoof")])
def test_regions_carry_ids_and_names_only_in_projects_of_earlier_versions(
    named: bool, label: str
) -> None:
    foot = PartMask("foot", 1, encode(box(0, 0, 9, 9)))
    shape, labelled = regions_of([foot], RENAMED, SIZE, named=named)
    assert (shape["type"], labelled["type"], shape["id"]) == ("brush", "labels", labelled["id"])
    assert labelled["value"]["labels"] == [label]
    (region,) = regions_of([foot], RENAMED, SIZE, named=named, two_lists=True)
    assert region["value"]["brushlabels"] == [label]
