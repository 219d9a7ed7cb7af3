"""Run lengths: exact in both directions, and nothing broken reaches pycocotools."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from partlab.errors import MaskError
from partlab.masks import (
    FAULTS,
    area,
    bbox,
    decode,
    decode_many,
    encode,
    encode_many,
    from_segmentation,
    intersection,
    iou,
    polygon_fault,
    union,
)

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=40)
MASKS = SHAPES.flatmap(lambda shape: arrays(bool, shape))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))
TRIANGLE = [1, 1, 20, 1, 10, 20]


@given(MASKS)
def test_encode_then_decode_is_the_mask(mask: np.ndarray) -> None:
    rle = encode(mask)
    assert (decode(rle) == mask).all()
    assert area(rle) == mask.sum()
    assert from_segmentation(rle, *mask.shape) == rle


@given(MASKS)
def test_uncompressed_run_lengths(mask: np.ndarray) -> None:
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = [0, *changes.tolist(), flat.size]
    counts = [b - a for a, b in pairwise(edges)]
    counts = [0, *counts] if flat[0] else counts
    rle = from_segmentation({"size": list(mask.shape), "counts": counts}, *mask.shape)
    assert rle == encode(mask)


@given(PAIRS)
def test_union_intersection_and_iou(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    rles = [encode(a), encode(b)]
    assert (decode(union(rles)) == (a | b)).all()
    assert (decode(intersection(rles)) == (a & b)).all()
    if (a | b).any():
        assert iou(rles[:1], rles[1:])[0, 0] == pytest.approx((a & b).sum() / (a | b).sum())


@given(MASKS.filter(lambda mask: mask.any()))
def test_the_box_is_tight(mask: np.ndarray) -> None:
    x, y, width, height = (int(side) for side in bbox(encode(mask)))
    rows, columns = np.nonzero(mask)
    assert (x, y) == (columns.min(), rows.min())
    assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())


@given(MASKS, st.data())
@settings(max_examples=300)
def test_no_damaged_run_lengths_pass(mask: np.ndarray, data: st.DataObject) -> None:
    """A changed string either is refused or decodes to exactly the image's pixels."""
    rle = encode(mask)
    counts = rle["counts"]
    at = data.draw(st.integers(0, len(counts) - 1))
    char = data.draw(st.characters(min_codepoint=0, max_codepoint=300))
    damaged = {"size": rle["size"], "counts": counts[:at] + char + counts[at + 1 :]}
    try:
        found = from_segmentation(damaged, *mask.shape)
    except MaskError:
        return
    assert decode(found).shape == mask.shape
    assert encode(decode(found))["size"] == rle["size"]
    # what passes fills the image exactly: putting a pixel more behind it is refused
    with pytest.raises(MaskError):
        from_segmentation({**damaged, "counts": damaged["counts"] + "1"}, *mask.shape)


@given(st.text(max_size=30))
def test_arbitrary_strings_are_refused_or_fill_the_image(counts: str) -> None:
    try:
        rle = from_segmentation({"size": [7, 9], "counts": counts}, 7, 9)
    except MaskError:
        return
    assert decode(rle).shape == (7, 9)


def test_large_masks_with_long_numbers_pass() -> None:
    mask = np.zeros((3000, 4000), bool)
    mask[5:2990, 7:3990] = True
    mask[100, 100] = False
    rle = encode(mask)
    assert from_segmentation(rle, 3000, 4000) == rle


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],
        [[]],
        [[1, 1, 2, 2]],
        [[1, 1, 20, 1, 20]],
        [[1, 1, 20, 1, 20, 20, 1]],
        [[1, 1, float("nan"), 1, 20, 20]],
        [[1, 1, float("inf"), 1, 20, 20]],
        [[1, 1, 1e15, 1, 20, 20]],
        [["a", 1, 2, 2, 3, 3]],
        [[None, 1, 2, 2, 3, 3]],
        ["polygon"],
        "polygon",
        {},
        {"size": [24, 30]},
        {"size": [24, 30], "counts": 5},
        {"size": [24, 30], "counts": "é"},
        {"size": [30, 24], "counts": [720]},
        {"size": None, "counts": [720]},
        {"size": [24, 30], "counts": [719]},
        {"size": [24, 30], "counts": [721, -1]},
        {"size": [24, 30], "counts": [720.5, -0.5]},
        {"size": [24, 30], "counts": "zzzzzzzzzzzzzzzzzz"},
    ],
)
def test_broken_segmentations_are_mask_errors(segmentation: object) -> None:
    with pytest.raises(MaskError):
        from_segmentation(segmentation, 24, 30)


def test_each_polygon_fault_has_a_sentence() -> None:
    polygons = {
        "odd_coordinates": [1, 2, 3],
        "few_points": [1, 2],
        "not_a_number": [1, "2", 3, 4, 5, 6],
        "far_away": [0, 0, 1e9, 0, 1, 1],
    }
    assert {fault: polygon_fault(polygon) for fault, polygon in polygons.items()} == {
        fault: fault for fault in FAULTS
    }
    assert polygon_fault(TRIANGLE) is None


def _edge(mask: np.ndarray) -> np.ndarray:
    around = np.lib.stride_tricks.sliding_window_view(mask, (3, 3))
    return around.any((2, 3)) & ~around.all((2, 3))


@given(
    st.lists(st.tuples(st.integers(-60, 120), st.integers(-60, 120)), min_size=3, max_size=8),
)
@example([(0, -1), (0, -2), (7, 15)])  # a sliver that is an edge everywhere
def test_polygons_outside_are_cut_at_the_border(points: list[tuple[int, int]]) -> None:
    """Inside the image it is the same polygon as on a larger canvas.

    Only pixels on an edge may differ: pycocotools rounds negative coordinates towards zero.
    """
    polygon = [float(v) for point in points for v in point]
    shifted = [v + 100 for v in polygon]
    inside = decode(from_segmentation([polygon], 50, 50))
    canvas = decode(from_segmentation([shifted], 300, 300))[100:150, 100:150]
    edge = _edge(inside) | _edge(canvas)
    assert (edge | (inside == canvas)[1:-1, 1:-1]).all()


def test_decode_says_what_is_wrong() -> None:
    with pytest.raises(MaskError):
        decode_many([{"size": [3, 3], "counts": None}])  # type: ignore[typeddict-item]


def test_no_masks_are_no_masks() -> None:
    assert encode_many(np.zeros((0, 5, 5))) == []
    assert iou([], []).shape == (0, 0)
    assert not decode(encode(np.zeros((4, 5)))).any()
    assert bbox(encode(np.zeros((4, 5)))) == [0, 0, 0, 0]


def test_values_other_than_one_count_as_inside() -> None:
    assert area(encode(np.array([[0, 5], [-1, 0]]))) == 2
