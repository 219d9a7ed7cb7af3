"""A training that goes on from another run's weights, though the parts have changed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from partlab.errors import ConfigError, NotFoundError
from partlab.parts import Parts
from partlab.training.checkpoints import save_weights
from segmenter.carry import carry_over
from segmenter.part_rcnn import ModelConfig
from segmenter.runs import write_run
from segmenter.torchvision_backend import MaskRCNN

TINY = ModelConfig(
    backbone="test_efficientnet", weights="none", first_stride=8, channels=16, image_size=64,
    box_features=16, mask_channels=8, mask_layers=1, rois=8, proposals=20,
)  # fmt: skip
OLD = ("cat:head", "cat:leg", "dog:head")
NEW = ("dog:skull", "cat:head", "cat:tail", "cat:foreleg", "cat:hind leg")
BEFORE = {"dog:skull": "dog:head", "cat:foreleg": "cat:leg", "cat:hind leg": "cat:leg"}


def made(names: tuple[str, ...], seed: int, **changes: object) -> MaskRCNN:
    torch.manual_seed(seed)
    return MaskRCNN(Parts.of(names), TINY.model_copy(update=changes), "cpu")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    segmenter = made(OLD, 1)
    config = {"model": TINY.model_dump(), "train": {}}
    write_run(tmp_path / "run", {"backend": "torchvision", "config": config, "names": OLD})
    save_weights(tmp_path / "run", "best", segmenter.network.state_dict())
    return tmp_path / "run"


def test_known_parts_keep_what_was_learnt_and_new_ones_begin_anew(run: Path) -> None:
    old, new, fresh = made(OLD, 1).network, made(NEW, 2).network, made(NEW, 2).network
    assert carry_over(new, NEW, run, BEFORE, "best") == 4
    before, after = old.roi_heads.classify.weight, new.roi_heads.classify.weight
    pairs = {0: 2, 1: 0, 3: 1, 4: 1}
    for label, was in pairs.items():
        assert torch.equal(after[label + 1], before[was + 1])
        masks = new.roi_heads.part_masks, old.roi_heads.part_masks
        assert torch.equal(masks[0].weight[label], masks[1].weight[was])
        assert torch.equal(masks[0].bias[label], masks[1].bias[was])
    assert torch.equal(after[0], before[0]), "background"
    assert torch.equal(after[3], fresh.roi_heads.classify.weight[3]), "cat:tail is new"
    assert torch.equal(new.pyramid.fpn.inner_blocks[0][0].weight,
                       old.pyramid.fpn.inner_blocks[0][0].weight)  # fmt: skip


def test_a_part_that_only_has_the_same_name_is_not_taken_for_it(run: Path) -> None:
    new, fresh = made(OLD, 2).network, made(OLD, 2).network
    assert carry_over(new, OLD, run, {"cat:leg": ""}, "best") == 2
    assert torch.equal(new.roi_heads.classify.weight[2], fresh.roi_heads.classify.weight[2])


def test_one_mask_for_all_parts_is_carried_whole(tmp_path: Path, run: Path) -> None:
    old, new = (made(names, 3, mask_head="agnostic") for names in (OLD, NEW))
    save_weights(run, "best", old.network.state_dict())
    torch.nn.init.zeros_(new.network.roi_heads.part_masks.weight)
    carry_over(new.network, NEW, run, {}, "best")
    assert torch.equal(
        new.network.roi_heads.part_masks.weight, old.network.roi_heads.part_masks.weight
    )


def test_what_does_not_fit_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has another shape"):
        carry_over(made(NEW, 2, channels=32).network, NEW, run, {}, "best")
    with pytest.raises(ConfigError, match="cannot go on from another run"):
        carry_over(torch.nn.Linear(2, 2), NEW, run, {}, "best")
    with pytest.raises(NotFoundError):
        carry_over(made(NEW, 2).network, NEW, tmp_path / "none", {}, "best")


def test_features_are_of_length_one_and_of_the_picture_alone(tmp_path: Path) -> None:
    segmenter = made(OLD, 1)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((40, 60), (64, 30), (9, 9))]
    together = segmenter.features(pictures)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(together, np.concatenate([segmenter.features([p]) for p in pictures]))
    assert segmenter.features([]).shape == (0, 0)
