"""What part models find, both ways: scores by hand, detectors and segmenters alike."""

import numpy as np
import pytest
import torch

from partlab.errors import ConfigError
from segmenter.boxes import PartBox, boxes_of_map, map_of
from train.models.berkeley.detector import Detected
from train.models.build import create_model
from train.part_scores.found import Found, found_parts, of_boxes
from train.part_scores.scores import ScoreMeter

NAMES = ["cat:head", "cat:tail"]


def truth() -> np.ndarray:
    labels = np.zeros((10, 10), np.int32)
    labels[0:5, 0:4], labels[6:10, 5:10] = 1, 2
    labels[0, 9] = 3  # ignored
    return labels


def test_what_is_right_scores_one() -> None:
    meter = ScoreMeter(NAMES, ignored=3)
    labels = truth()
    meter.update(labels, Found(np.where(labels == 3, 0, labels), boxes_of_map(labels, ignored=3)),
                 True)  # fmt: skip
    found = meter.result()
    assert (found.accuracy, found.pixel, found.foreground, found.miou) == (1, 1, 1, 1)
    assert (found.ap50, found.ap) == (pytest.approx(1), pytest.approx(1))


def test_scores_by_hand() -> None:
    """The tail is missed, and the head is a pixel wider than it is."""
    meter = ScoreMeter(NAMES, ignored=3)
    labels = np.zeros((10, 10), np.int32)
    labels[0:5, 0:5] = 1
    meter.update(truth(), Found(labels, boxes_of_map(labels)), False)
    found = meter.result()
    assert found.accuracy == 0
    assert found.pixel == pytest.approx((99 - 20 - 5) / 99)
    assert found.foreground == pytest.approx(20 / 40)
    background = (99 - 40 - 5) / (99 - 40 + 20)
    assert found.miou == pytest.approx((background + 20 / 25 + 0) / 3)
    assert found.ap50 == pytest.approx(1 / 2)  # head found, tail not
    assert found.ap == pytest.approx(7 / 10 / 2)  # IoU 0.8: thresholds .50 … .80


def test_pictures_whose_masks_are_not_known_count_for_the_class_alone() -> None:
    meter = ScoreMeter(NAMES, ignored=3)
    meter.update(np.full((4, 4), 3), Found(np.zeros((4, 4), int), []), True)
    found = meter.result()
    assert found.accuracy == 1
    assert (found.pixel, found.miou, found.ap50) == (None, None, None)


def test_queries_become_boxes_best_first_and_a_label_map() -> None:
    """H-05: the threshold is 0.2, and the most confident box has the pixel."""
    logits = torch.tensor([[[4.0, -9.0], [-9.0, 2.0], [-3.0, -9.0]]])
    boxes = torch.tensor([[[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.1, 0.1, 0.2, 0.2]]])
    (found,) = of_boxes(Detected(logits, boxes, None), 8)
    assert [box.label for box in found.boxes[:3]] == [1, 2, 1]
    assert found.boxes[0].score == pytest.approx(torch.sigmoid(torch.tensor(4.0)).item())
    assert (found.labels[2:6, 2:6] == 1).all()
    assert (found.labels[0] == 2).all()  # the small one scores 0.05


def test_boxes_of_equal_pictures_go_the_way_back() -> None:
    labels = np.where(truth() == 3, 0, truth())
    assert np.array_equal(map_of(boxes_of_map(labels), (10, 10)), labels)
    assert map_of([PartBox(1, 0.1, (0.5, 0.5), (1, 1))], (4, 4)).sum() == 0


@pytest.mark.parametrize("kind", ["mpm", "pooling", "sim", "seq", "2heads"])
def test_every_part_model_gives_both(kind) -> None:
    library = "transformers" if kind in ("sim", "seq", "2heads") else "segmentation_models_pytorch"
    pytest.importorskip(library)
    torch.manual_seed(0)
    given = {"detector": {"queries": 6, "layers": 1, "width": 16}, "decoder": 16, "size": 64,
             "masked": {"queries": 5, "layers": 1, "encoder": 1, "width": 32}}  # fmt: skip
    model = create_model(
        f"{kind}_small_resnet8", classes=("cat", "dog"), parts=(*NAMES, "dog:head"), **given
    ).eval()
    images = torch.rand(2, 3, 64, 64)
    logits, found = found_parts(model, images)
    with torch.no_grad():
        assert torch.allclose(logits, model(images), atol=1e-5)
    assert [each.labels.shape for each in found] == [(64, 64)] * 2
    assert all(0 < box.label <= 3 for each in found for box in each.boxes)


def test_a_model_without_parts_is_told() -> None:
    model = create_model("vanilla_small_resnet8", classes=2).eval()
    with pytest.raises(ConfigError, match="'vanilla' says nothing of parts"):
        found_parts(model, torch.rand(1, 3, 64, 64))
