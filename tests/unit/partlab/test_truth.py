"""Masks, crowd regions and what holds no pixels: the one reader of truth."""

from typing import Any

import numpy as np
import pytest

from partlab.errors import DatasetError
from partlab.masks import area, decode, encode
from partlab.schema import OURS, Annotation, Category, Dataset, Image
from partlab.truth import (
    count_masks,
    drawn_masks,
    hint_for,
    holds_no_pixels,
    layers,
    need_masks,
    usable,
)

SQUARE = [[2, 2, 12, 2, 12, 12, 2, 12]]
EMPTY = dict(encode(np.zeros((30, 40), bool)))
NOTHING: list[Any] = [[], None, "x", [[1, 2, 3]], [[5, 5, 5, 5, 5, 5]], EMPTY, {"counts": "x"}]
NOTHING += [{"size": [30, 40], "counts": [3]}, {"size": [-1, 40], "counts": [0]}]


def data(*segmentations: Any, crowd: tuple[int, ...] = (), **top: Any) -> Dataset:
    masks = [
        Annotation.new(n, 1, 1, seg).changed(iscrowd=int(n in crowd))
        for n, seg in enumerate(segmentations, 1)
    ]
    return Dataset(
        [Image.new(1, "a.png", (40, 30))], masks, [Category.new(1, "cat", "head")], top=top
    )


def test_each_annotation_is_in_one_of_three_lists() -> None:
    found = data(SQUARE, [], SQUARE, EMPTY, crowd=(3,))
    drawn = drawn_masks(found, found.images[0])
    assert [a.id for a, _ in drawn.masks] == [1]
    assert [a.id for a, _ in drawn.crowd] == [3]
    assert [(one.annotation.id, one.empty) for one in drawn.left_out] == [(2, False), (4, True)]
    assert "annotation 2 of image a.png: the segmentation is empty" in str(drawn.left_out[0])
    assert drawn.crowd_region == drawn.masks[0][1]


@pytest.mark.parametrize("nothing", NOTHING, ids=str)
def test_what_holds_no_pixels_is_left_out_counted_and_named(nothing: Any) -> None:
    kept, count = usable(data(SQUARE, nothing))
    assert [a.id for a in kept.annotations] == [1]
    assert (count.masks, count.crowd, len(count.left_out)) == (1, 0, 1)
    sentence = count.sentence() or ""
    assert "1 of 2 masks has no usable pixels and is left out" in sentence
    assert "annotation 2 of image a.png" in sentence
    assert holds_no_pixels(nothing)
    assert "--drop-unusable" in hint_for(nothing)


ELSEWHERE: list[Any] = [SQUARE, [[900, 900, 950, 900, 950, 950]], [[-90, 0, -50, 0, -50, 20]]]
ELSEWHERE += [[[0, 0, 9e9, 0, 0, 5]], dict(encode(np.ones((4, 4), bool)))]


@pytest.mark.parametrize("mask", ELSEWHERE, ids=str)
def test_what_holds_pixels_elsewhere_is_not_to_be_dropped(mask: Any) -> None:
    """Another size, or all outside: the image's record may be what is wrong."""
    assert not holds_no_pixels(mask)
    assert "--drop-unusable" not in hint_for(mask)


def test_where_a_mask_is_missing_what_is_not_drawn_is_unknown() -> None:
    whole = data(SQUARE)
    assert drawn_masks(whole, whole.images[0]).unknown_region() is None
    taken = data(SQUARE, **{OURS: {"dropped": [{"record": {"image_id": 1}}]}})
    for found in (data(SQUARE, []), taken):
        drawn = drawn_masks(found, found.images[0])
        unknown = drawn.unknown_region()
        assert unknown is not None
        assert (decode(unknown) == ~decode(drawn.masks[0][1])).all()


def test_crowd_pixels_are_unknown() -> None:
    found = data(SQUARE, [[20, 2, 30, 2, 30, 12, 20, 12]], crowd=(2,))
    unknown = drawn_masks(found, found.images[0]).unknown_region()
    assert unknown is not None
    assert area(unknown) == 100


def test_people_are_certain_and_networks_are_not() -> None:
    found = data(SQUARE, SQUARE)
    said = [found.annotations[0].changed(score=0.3), found.annotations[1].changed(score=0.4)]
    said[1] = said[1].changed(provenance="pseudo:a")
    pairs = [(a, encode(np.ones((30, 40), bool))) for a in said]
    assert [layer.score for layer in layers(found, pairs)] == [1.0, 0.4]
    assert [layer.score for layer in layers(found, pairs, people_certain=False)] == [0.3, 0.4]


def test_all_crowd_or_nothing_usable_is_one_sentence() -> None:
    crowd, boxes = data(SQUARE, SQUARE, crowd=(1, 2)), data([], None)
    with pytest.raises(DatasetError, match=r"all 2 usable masks .* are crowd regions"):
        need_masks(crowd, count_masks(crowd))
    with pytest.raises(DatasetError, match=r"none of the 2 masks .* annotation 1 of image a\.png"):
        need_masks(boxes, count_masks(boxes))
    with pytest.raises(DatasetError, match="has no masks to measure against"):
        need_masks(data(), count_masks(data()))
    need_masks(data(SQUARE), count_masks(data(SQUARE)))
