"""Label maps and boxes (H-04, H-05), against examples made by hand."""

import numpy as np
import pytest

from partlab.errors import ConfigError
from train.masks_and_boxes import Boxes, boxes_of_labels, labels_of_boxes


def test_a_box_for_each_piece_of_a_label() -> None:
    labels = np.zeros((20, 40), np.int32)
    labels[2:6, 4:12] = 1
    labels[10:18, 4:12] = 1
    labels[10:18, 12:20] = 2  # touches, and is another label
    labels[:, 30:] = 9  # ignored
    found = boxes_of_labels(labels, ignore=9)
    assert found.parts.tolist() == [1, 1, 2]
    assert found.boxes[0].tolist() == [8 / 40, 4 / 20, 8 / 40, 4 / 20]
    assert found.scores.tolist() == [1, 1, 1]


def test_small_pieces_are_left_out_and_corners_join_if_asked() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[0, 0:3] = 1  # 3 of 400 pixels: below 1 percent
    labels[4:6, 4:6] = labels[6:8, 6:8] = 2
    assert boxes_of_labels(labels, ignore=9).parts.tolist() == [2, 2]
    assert boxes_of_labels(labels, ignore=9, connectivity=8).parts.tolist() == [2]
    assert boxes_of_labels(labels, ignore=9, least=0).parts.tolist() == [1, 2, 2]
    with pytest.raises(ConfigError, match="connectivity 6"):
        boxes_of_labels(labels, ignore=9, connectivity=6)


def test_the_score_is_the_mean_share_over_the_piece() -> None:
    labels = np.zeros((10, 10), np.int32)
    labels[:, :5] = 1
    shares = np.zeros((2, 10, 10))
    shares[1, :5, :5], shares[1, 5:, :5] = 0.6, 1.0
    assert boxes_of_labels(labels, 9, shares=shares).scores.tolist() == pytest.approx([0.8])


def test_each_pixel_shows_the_surest_box_over_it() -> None:
    boxes = np.array([[0.3, 0.5, 0.6, 1.0], [0.7, 0.5, 0.6, 1.0], [0.5, 0.5, 1.0, 1.0]])
    found = Boxes(np.array([1, 2, 3]), boxes, np.array([0.5, 0.9, 0.1]))
    assert labels_of_boxes(found, (1, 10)).tolist() == [[1, 1, 1, 1, 2, 2, 2, 2, 2, 2]]
    every = labels_of_boxes(found, (1, 10), sure=0.95)
    assert every.tolist() == [[0] * 10]


def test_of_equally_sure_boxes_the_earlier_wins() -> None:
    boxes = np.array([[0.5, 0.5, 1.0, 1.0]] * 2)
    found = Boxes(np.array([1, 2]), boxes, np.array([0.5, 0.5]))
    assert labels_of_boxes(found, (1, 2)).tolist() == [[1, 1]]


def test_there_and_back() -> None:
    labels = np.zeros((32, 32), np.int32)
    labels[4:12, 6:20], labels[16:30, 2:10] = 1, 2
    assert (labels_of_boxes(boxes_of_labels(labels, 9), (32, 32)) == labels).all()


def test_an_empty_map_has_no_boxes() -> None:
    found = boxes_of_labels(np.zeros((4, 4), np.int32), ignore=9)
    assert found.boxes.shape == (0, 4)
    assert labels_of_boxes(found, (4, 4)).sum() == 0
