"""Masks to boxes and back (H-04, H-05), beside plain loops over pixels."""

from typing import Any

import numpy as np
import pytest

from partlab.errors import ConfigError
from segmenter.boxes import PartBox, boxes_of, boxes_of_map, map_of


def logits(labels: Any, parts: int, sure: float = 4.0) -> Any:
    found = np.zeros((parts + 1, *labels.shape))
    for label in range(parts + 1):
        found[label][labels == label] = sure
    return found


def test_two_regions_of_a_part_are_two_boxes() -> None:
    labels = np.zeros((20, 40), int)
    labels[2:8, 3:13] = 1
    labels[10:18, 30:36] = 1
    labels[10:18, 20:24] = 2
    found = boxes_of(logits(labels, 2))
    sure = np.exp(4) / (np.exp(4) + 2)
    assert {(b.label, b.centre, b.size) for b in found} == {
        (1, (8 / 40, 5 / 20), (10 / 40, 6 / 20)),
        (1, (33 / 40, 14 / 20), (6 / 40, 8 / 20)),
        (2, (22 / 40, 14 / 20), (4 / 40, 8 / 20)),
    }
    assert all(box.score == pytest.approx(sure) for box in found)


def test_the_score_is_the_mean_over_the_region_alone() -> None:
    labels = np.zeros((10, 10), int)
    labels[:5, :5] = 1
    raw = logits(labels, 1)
    raw[1, 0, 0] = 9.0
    (box,) = boxes_of(raw)
    exact = (24 * np.exp(4) / (np.exp(4) + 1) + np.exp(9) / (np.exp(9) + 1)) / 25
    assert box.score == pytest.approx(exact)


def test_regions_under_a_hundredth_are_dropped() -> None:
    labels = np.zeros((20, 20), int)
    labels[0, 0:3] = 1  # 3 of 400 pixels
    labels[10, 0:4] = 1  # 4: a hundredth
    assert [box.size for box in boxes_of(logits(labels, 1))] == [(4 / 20, 1 / 20)]
    assert len(boxes_of(logits(labels, 1), min_share=0)) == 2


def test_corners_join_with_8_neighbours_only() -> None:
    labels = np.zeros((10, 10), int)
    labels[0:4, 0:4] = labels[4:8, 4:8] = 1
    assert len(boxes_of(logits(labels, 1))) == 2
    (one,) = boxes_of(logits(labels, 1), connectivity=8)
    assert one.size == (0.8, 0.8)


def test_background_has_no_box_and_bad_input_is_refused() -> None:
    assert boxes_of(logits(np.zeros((5, 5), int), 3)) == []
    with pytest.raises(ConfigError, match="are none of"):
        boxes_of(np.zeros((5, 5)))
    with pytest.raises(ConfigError, match="4 or 8"):
        boxes_of(np.zeros((2, 5, 5)), connectivity=6)  # type: ignore[arg-type]


def test_each_pixel_takes_the_most_confident_box() -> None:
    draw = np.random.default_rng(0)
    for _ in range(30):
        boxes = [
            PartBox(
                int(draw.integers(1, 5)),
                float(draw.random()),
                (float(draw.random()), float(draw.random())),
                (float(draw.random()), float(draw.random())),
            )
            for _ in range(6)
        ]
        assert np.array_equal(map_of(boxes, (13, 17)), by_pixel(boxes, 13, 17))


def by_pixel(boxes: list[PartBox], height: int, width: int) -> Any:
    flat = np.zeros((height, width), int)
    for row in range(height):
        for column in range(width):
            over = [
                box for box in boxes if box.score >= 0.2 and holds(box, row, column, height, width)
            ]
            if over:
                flat[row, column] = max(over, key=lambda box: box.score).label
    return flat


def holds(box: PartBox, row: int, column: int, height: int, width: int) -> bool:
    x, y = (column + 0.5) / width, (row + 0.5) / height
    within = abs(x - box.centre[0]) < box.size[0] / 2
    return within and abs(y - box.centre[1]) < box.size[1] / 2


def test_ties_do_not_depend_on_the_order() -> None:
    large, small = PartBox(1, 0.5, (0.5, 0.5), (1, 1)), PartBox(2, 0.5, (0.5, 0.5), (0.5, 0.5))
    same = PartBox(3, 0.5, (0.5, 0.5), (0.5, 0.5))
    first = map_of([large, small, same], (8, 8))
    assert np.array_equal(first, map_of([same, small, large], (8, 8)))
    assert first[4, 4] == 2
    assert first[0, 0] == 1


def test_weak_boxes_are_dropped() -> None:
    box = PartBox(1, 0.15, (0.5, 0.5), (1, 1))
    assert not map_of([box], (4, 4)).any()
    assert map_of([box], (4, 4), threshold=0.1).all()


def test_rectangles_survive_there_and_back() -> None:
    labels = np.zeros((37, 53), int)
    labels[3:11, 5:20] = 1
    labels[20:30, 30:50] = 2
    assert np.array_equal(map_of(boxes_of(logits(labels, 2)), (37, 53)), labels)


def test_a_label_map_has_a_box_for_each_piece_and_none_where_it_is_ignored() -> None:
    labels = np.zeros((20, 40), np.int32)
    labels[2:6, 4:12] = 1
    labels[10:18, 4:12] = 1
    labels[10:18, 12:20] = 2  # touches, and is another label
    labels[:, 30:] = 9  # ignored
    found = boxes_of_map(labels, ignored=9)
    assert [box.label for box in found] == [1, 1, 2]
    assert found[0].centre == (8 / 40, 4 / 20)
    assert found[0].size == (8 / 40, 4 / 20)
    assert {box.score for box in found} == {1}
    assert (map_of(found, (20, 40)) == np.where(labels == 9, 0, labels)).all()
