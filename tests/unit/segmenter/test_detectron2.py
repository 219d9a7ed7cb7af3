"""The detectron2 network's own parts; run where detectron2 can be imported (not model_zoo)."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from partlab.errors import ConfigError, NotFoundError
from partlab.parts import Parts
from segmenter.detectron2_settings import Detectron2ModelConfig

pytest.importorskip("detectron2", reason="detectron2 is not installed (partlab doctor)")

from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import MaskRCNNConvUpsampleHead
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from segmenter.detectron2_rcnn import (
    Detectron2MaskRCNN,
    Detectron2RCNN,
    PartMaskHead,
    filtered,
    load_pretrained,
)

PARTS = 37
SIZE = (60, 80)
TINY = Detectron2ModelConfig(
    depth=18, channels=32, image_size=64, box_features=32, mask_channels=16, mask_layers=1,
    rois=16, proposals=30, score_threshold=0.0,
)  # fmt: skip


def _heads() -> tuple[Any, Any]:
    """The dense head and ours with the same weights."""
    torch.manual_seed(0)
    shape = ShapeSpec(channels=8, width=14, height=14)
    dense = MaskRCNNConvUpsampleHead(shape, num_classes=PARTS, conv_dims=[8, 8])
    torch.nn.init.normal_(dense.predictor.weight)
    ours = PartMaskHead(shape, num_classes=PARTS, conv_dims=[8, 8])
    ours.load_state_dict(dense.state_dict())
    return dense, ours


def _instances(count: int, *, predicted: bool) -> Instances:
    rng = np.random.default_rng(count)
    corners = torch.tensor(rng.uniform(0, 30, (count, 2)), dtype=torch.float32)
    boxes = Boxes(torch.cat([corners, corners + 25], dim=1))
    labels = torch.tensor(rng.integers(0, PARTS, count))
    found = Instances(SIZE)
    if predicted:
        found.pred_boxes, found.pred_classes = boxes, labels
        return found
    found.proposal_boxes, found.gt_boxes, found.gt_classes = boxes, boxes, labels
    found.gt_masks = BitMasks(torch.tensor(rng.random((count, *SIZE)) > 0.5))
    return found


def test_gathered_masks_are_the_dense_heads() -> None:
    """segmenter.md B2: same loss, gradients and masks, at the cost of one category."""
    dense, ours = _heads()
    rois = torch.randn(9, 8, 14, 14)
    gradients = []
    for head in (dense, ours):
        with EventStorage():
            loss = head(rois, [_instances(4, predicted=False), _instances(5, predicted=False)])
        loss["loss_mask"].backward()
        gradients.append((float(loss["loss_mask"]), head.predictor.weight.grad.clone()))
    assert gradients[0][0] == pytest.approx(gradients[1][0], abs=1e-6)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-7)
    found = []
    for head in (dense.eval(), ours.eval()):
        with torch.no_grad():
            (instances,) = head(rois[:6], [_instances(6, predicted=True)])
        found.append(instances.pred_masks)
    assert found[0].shape == found[1].shape == (6, 1, 28, 28)
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_an_agnostic_head_has_one_filter() -> None:
    network = Detectron2RCNN(PARTS, TINY.model_copy(update={"mask_head": "agnostic"}))
    assert network.roi_heads.mask_head.predictor.weight.shape[0] == 1


def _layers(**changes: Any) -> tuple[Any, Any, list[Instances]]:
    torch.manual_seed(1)
    heads = Detectron2RCNN(PARTS, TINY.model_copy(update=changes)).roi_heads.eval()
    layers = heads.box_predictor
    torch.nn.init.normal_(layers.cls_score.weight)
    proposals = [_proposals(12), _proposals(7)]
    return layers, layers(torch.randn(19, 32)), proposals


def _proposals(count: int) -> Instances:
    found = Instances(SIZE)
    corners = torch.rand(count, 2) * 30
    found.proposal_boxes = Boxes(torch.cat([corners, corners + 20], dim=1))
    return found


def _select(layers: Any, predictions: Any, proposals: Any, allowed: Any = (None, None)) -> Any:
    """Detections of both images, and their rows."""
    return zip(*layers.select(predictions, proposals, allowed, threshold=0.0), strict=True)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("rule", ["argmax", "multi"])
def test_the_filter_zeroes_foreign_columns_only(loss: str, rule: str) -> None:
    """P-02 on the full vectors; allowed columns and background stay exactly as they were."""
    layers, predictions, proposals = _layers(loss=loss, label_rule=rule)
    free = layers.predict_probs(predictions, proposals)
    allowed = [[3, 30], None]
    kept = [filtered(vectors, own) for vectors, own in zip(free, allowed, strict=True)]
    own = torch.tensor([3, 30, PARTS])
    assert torch.equal(kept[0][:, own], free[0][:, own])
    foreign = [label for label in range(PARTS) if label not in (3, 30)]
    assert kept[0][:, foreign].abs().max() == 0
    assert torch.equal(kept[1], free[1])
    found, rows = _select(layers, predictions, proposals, allowed)
    assert set(found[0].pred_classes.tolist()) == {3, 30}
    assert torch.equal(found[0].probabilities, kept[0][rows[0], :-1])
    picked = found[0].probabilities.gather(1, found[0].pred_classes[:, None])[:, 0]
    assert torch.equal(found[0].scores, picked)


def test_argmax_gives_a_row_one_label_and_multi_several() -> None:
    layers, predictions, proposals = _layers(label_rule="argmax")
    _, rows = _select(layers, predictions, proposals)
    assert len(set(rows[0].tolist())) == len(rows[0])
    layers, predictions, proposals = _layers(label_rule="multi")
    _, rows = _select(layers, predictions, proposals)
    assert len(set(rows[0].tolist())) < len(rows[0])


def test_rows_without_an_own_part_are_dropped() -> None:
    layers, predictions, proposals = _layers()
    found, _ = _select(layers, predictions, proposals, [[], [5]])
    assert len(found[0]) == 0
    assert set(found[1].pred_classes.tolist()) == {5}


def test_rows_that_are_not_finite_do_not_shift_the_vectors() -> None:
    layers, (scores, deltas), proposals = _layers()
    scores[0] = float("nan")
    found, _ = _select(layers, (scores, deltas), proposals)
    picked = found[0].probabilities.gather(1, found[0].pred_classes[:, None])[:, 0]
    assert torch.equal(found[0].scores, picked)


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": 50, "norm": "FrozenBN", "freeze_at": 2},
        {"loss": "sigmoid", "box_regression": "specific"},
        {"mask_head": "agnostic", "label_rule": "multi", "norm": "BN"},
    ],
)
def test_every_setting_trains_and_predicts(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    segmenter = Detectron2MaskRCNN(
        Parts.of(["cat:head", "cat:tail"]), TINY.model_copy(update=changes), "cpu"
    )
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
    masks[0, 5:30, 5:30], masks[1, 30:60, 20:60] = 1, 1
    boxes = torch.tensor([[5.0, 5, 30, 30], [20, 30, 60, 60]])
    target = {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks}
    empty = {"boxes": boxes[:0], "labels": torch.tensor([], dtype=torch.int64), "masks": masks[:0]}
    segmenter.network.train()
    losses = segmenter.network(torch.randn(2, 3, 64, 64), [(64, 64), (64, 60)], [target, empty])
    assert set(losses) == {"objectness", "proposal_box", "classifier", "box", "mask"}
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    weights = segmenter.network.roi_heads.mask_head.predictor.weight
    assert weights.grad is not None
    assert weights.grad.abs().sum() > 0
    found = segmenter.predict([np.zeros((50, 70, 3), np.uint8)])[0]
    assert len(found.masks) == len(found) > 0


def test_a_batch_without_any_mask_still_trains() -> None:
    network = Detectron2RCNN(2, TINY).train()
    empty = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 64, 64, dtype=torch.uint8),
    }
    losses = network(torch.randn(1, 3, 64, 64), [(64, 64)], [empty])
    sum(losses.values()).backward()
    assert float(losses["mask"]) == 0.0


def test_pretrained_weights_come_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target = Detectron2RCNN(3, TINY), Detectron2RCNN(5, TINY)
    torch.save({"model": source.state_dict()}, tmp_path / "other parts.pth")
    load_pretrained(target, str(tmp_path / "other parts.pth"))
    name = "backbone.bottom_up.stem.conv1.weight"
    assert torch.equal(target.state_dict()[name], source.state_dict()[name])
    assert target.roi_heads.box_predictor.cls_score.weight.shape[0] == 6  # as it was
    with pytest.raises(NotFoundError, match="no weights file"):
        load_pretrained(target, str(tmp_path / "none.pth"))
    (tmp_path / "broken.pth").write_bytes(b"no checkpoint")
    with pytest.raises(ConfigError, match="not a detectron2 checkpoint"):
        load_pretrained(target, str(tmp_path / "broken.pth"))
    torch.save({"model": {"something": torch.zeros(3)}}, tmp_path / "foreign.pth")
    with pytest.raises(ConfigError, match=r"nothing in .* fits"):
        load_pretrained(target, str(tmp_path / "foreign.pth"))


def test_model_zoo_is_never_imported() -> None:
    """It needs pkg_resources, which new setuptools lack."""
    assert "detectron2.model_zoo" not in sys.modules


def test_nothing_in_a_crowd_is_learnt_as_background() -> None:
    torch.manual_seed(0)
    network = Detectron2RCNN(3, TINY).train()
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 64, 64, dtype=torch.uint8),
    }
    pictures = torch.randn(1, 3, 64, 64)
    plain = network(pictures, [(64, 64)], [nothing])
    assert float(plain["objectness"].detach()) > 0
    everywhere = {**nothing, "unsure": torch.ones(64, 64, dtype=torch.bool)}
    losses = network(pictures, [(64, 64)], [everywhere])
    assert all(float(loss.detach()) == 0 for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    around = torch.ones(64, 64, dtype=torch.bool)
    around[8:40, 8:40] = False
    part = {
        "boxes": torch.tensor([[8.0, 8, 40, 40]]),
        "labels": torch.tensor([2]),
        "masks": ~around[None],
        "unsure": around,
    }
    found = network(pictures, [(64, 64)], [part])
    assert float(found["mask"].detach()) > 0  # the part itself is learnt as ever
