"""The network's own departures from torchvision: gathered masks, the filter inside the head."""

import pytest
import torch
import torch.nn.functional as F

from partlab.errors import ConfigError, DatasetError, NotFoundError
from segmenter.backbone import Pyramid, load_backbone_weights
from segmenter.part_rcnn import ModelConfig, PartMaskHead, PartRCNN

TINY = ModelConfig(
    weights="none",
    channels=16,
    image_size=64,
    box_features=16,
    mask_channels=8,
    mask_layers=1,
    rois=8,
    proposals=20,
    score_threshold=0.0,
)


def test_gathered_masks_equal_the_dense_class_specific_head() -> None:
    head = PartMaskHead(channels=4, width=6, layers=1, filters=50)
    rois, labels = torch.randn(7, 4, 5, 5), torch.randint(0, 50, (7,))
    dense = F.conv2d(F.relu(head.up(head.convs(rois))), head.weight[:, :, None, None], head.bias)
    assert torch.allclose(head(rois, labels), dense[torch.arange(7), labels], atol=1e-6)


def test_agnostic_mask_head_ignores_the_label() -> None:
    head = PartMaskHead(channels=4, width=6, layers=1, filters=1)
    rois = torch.randn(2, 4, 5, 5)
    assert torch.equal(head(rois, torch.tensor([3, 9])), head(rois, torch.tensor([0, 0])))


@pytest.fixture
def scene() -> tuple[torch.Tensor, list[tuple[int, int]], list[dict[str, torch.Tensor]]]:
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[0, 10:40, 12:50] = 1
    target = {
        "boxes": torch.tensor([[12.0, 10.0, 50.0, 40.0]]),
        "labels": torch.tensor([2]),
        "masks": mask,
    }
    empty = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 64, 64, dtype=torch.uint8),
    }
    return torch.randn(2, 3, 64, 64), [(64, 64), (64, 40)], [target, empty]


def test_losses_are_finite_and_reach_every_parameter(scene) -> None:
    torch.manual_seed(0)
    network = PartRCNN(3, TINY).train()
    losses = network(*scene)
    assert set(losses) == {"objectness", "proposal_box", "classifier", "box", "mask"}
    sum(losses.values()).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert without == []


def test_a_batch_without_any_part_still_trains(scene) -> None:
    images, sizes, targets = scene
    losses = PartRCNN(3, TINY).train()(images, sizes, [targets[1], targets[1]])
    assert torch.isfinite(torch.stack(list(losses.values()))).all()
    assert float(losses["mask"].detach()) == 0


@pytest.mark.parametrize("rule", ["argmax", "multi"])
def test_the_filter_acts_inside_the_head(scene, rule) -> None:
    torch.manual_seed(0)
    network = PartRCNN(6, TINY.model_copy(update={"label_rule": rule})).eval()
    images, sizes, _ = scene
    with torch.inference_mode():
        features, proposals, _ = network.propose(images, sizes)
        free = network.roi_heads.find(features, proposals, sizes, [None, None], threshold=0.0)
        kept = network.roi_heads.find(features, proposals, sizes, [[1, 4], [5]], threshold=0.0)
    assert set(kept[0].labels.tolist()) <= {1, 4}
    assert set(kept[1].labels.tolist()) == {5}
    assert torch.equal(kept[1].scores, kept[1].probabilities[:, 5])
    assert (kept[0].probabilities[:, [0, 2, 3, 5]] == 0).all()
    # Inside the head, not after it: foreign winners do not take the allowed part's place.
    if rule == "argmax":
        assert len(kept[1].labels) > (free[1].labels == 5).sum()


def test_strides_and_unknown_backbones() -> None:
    assert Pyramid.of(
        "resnet18", first_stride=8, channels=16, freeze_norm=True, frozen_stride=0
    ).strides == [
        8,
        16,
        32,
        64,
    ]
    with pytest.raises(ConfigError, match="no feature backbone 'resnet5000'"):
        Pyramid.of("resnet5000", first_stride=4, channels=16, freeze_norm=True, frozen_stride=0)


def test_batch_norm_statistics_stay_fixed_in_training() -> None:
    pyramid = Pyramid.of(
        "resnet18", first_stride=8, channels=16, freeze_norm=True, frozen_stride=0
    ).train()
    before = pyramid.body.bn1.running_mean.clone()
    pyramid(torch.randn(2, 3, 64, 64))
    assert torch.equal(pyramid.body.bn1.running_mean, before)


def test_packaged_weights_recognise_nothing_else_and_fit(tmp_path) -> None:
    body = Pyramid.of(
        "tf_efficientnet_lite0", first_stride=4, channels=16, freeze_norm=True, frozen_stride=0
    ).body
    before = body.conv_stem.weight.clone()
    load_backbone_weights(body, "tf_efficientnet_lite0", "package")
    assert not torch.equal(body.conv_stem.weight, before)
    with pytest.raises(ConfigError, match="no packaged weights for backbone 'resnet18'"):
        load_backbone_weights(body, "resnet18", "package")
    with pytest.raises(NotFoundError, match="no weights file"):
        load_backbone_weights(body, "resnet18", str(tmp_path / "none.pth"))


def test_weights_from_a_file(tmp_path) -> None:
    import timm

    other = timm.create_model("resnet18", pretrained=False)
    torch.save({"state_dict": other.state_dict()}, tmp_path / "weights.pth")
    body = Pyramid.of(
        "resnet18", first_stride=4, channels=16, freeze_norm=True, frozen_stride=0
    ).body
    load_backbone_weights(body, "resnet18", str(tmp_path / "weights.pth"))
    assert torch.equal(body.conv1.weight, other.conv1.weight)
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    with pytest.raises(DatasetError, match=r"broken\.pth is damaged"):
        load_backbone_weights(body, "resnet18", str(tmp_path / "broken.pth"))
    wrong = timm.create_model("resnet34", pretrained=False).state_dict()
    del wrong["conv1.weight"]
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(ConfigError, match="1 tensor missing"):
        load_backbone_weights(body, "resnet18", str(tmp_path / "wrong.pth"))


def test_frozen_stride_fixes_the_first_layers_only() -> None:
    for name, fixed, free in [
        ("resnet18", "layer1.0.conv1.weight", "layer2.0.conv1.weight"),
        ("tf_efficientnet_lite0", "blocks.1.0.conv_pw.weight", "blocks.2.0.conv_pw.weight"),
        ("convnext_atto", "stages_0.blocks.0.conv_dw.weight", "stages_1.blocks.0.conv_dw.weight"),
    ]:
        body = Pyramid.of(name, first_stride=4, channels=16, freeze_norm=True, frozen_stride=4).body
        learns = {key: value.requires_grad for key, value in body.named_parameters()}
        assert not learns[fixed]
        assert learns[free]


def test_an_image_without_proposals_has_no_detections(scene) -> None:
    network = PartRCNN(3, TINY).eval()
    images, sizes, _ = scene
    with torch.inference_mode():
        features, _, _ = network.propose(images, sizes)
        nothing = [torch.zeros(0, 4)] * 2
        found = network.roi_heads.find(features, nothing, sizes, [None, [1]], threshold=0.0)
    assert [len(each.labels) for each in found] == [0, 0]
    assert found[0].masks.shape[0] == 0
