"""The dense backend's own: targets, losses, the two places of the filter, regions."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from partlab.masks import area, decode
from partlab.parts import Parts
from segmenter.data import _drawn, epoch_batches, rare_first
from segmenter.dense.loss import dice, losses
from segmenter.dense.network import DenseNetwork
from segmenter.dense.regions import Asked, Enlarged, decided_at, detections, regions
from segmenter.dense.segmenter import DenseSegmenter
from segmenter.dense.settings import DenseModelConfig
from segmenter.dense.truth import IGNORED, truth

PARTS = Parts.of(
    ["car:door", "car:wheel", "car:mirror", "dog:head", "dog:leg"], {"car": {"mirror": "door"}}
)
TINY = DenseModelConfig(
    weights="none", channels=16, width=16, image_size=64, score_threshold=0, smallest_region=0
)
CAR, DOG = (0, 1, 2), (3, 4)


def _network(**other: Any) -> DenseNetwork:
    torch.manual_seed(0)
    return DenseNetwork(PARTS, TINY.model_copy(update=other))


def _target(*labels: int, unsure: bool = False) -> dict[str, torch.Tensor]:
    """Masks that lie side by side, with 1-based labels."""
    masks = torch.zeros(len(labels), 64, 64, dtype=torch.uint8)
    for at in range(len(labels)):
        masks[at, 8:40, 4 + 20 * at : 22 + 20 * at] = 1
    region = torch.zeros((64, 64) if unsure else (0, 0), dtype=torch.bool)
    return {"masks": masks, "labels": torch.tensor(labels), "unsure": region}


def test_smaller_masks_lie_on_larger_ones_and_inner_parts_take_no_pixels() -> None:
    masks = torch.zeros(4, 8, 8, dtype=torch.uint8)
    masks[0, 2:4, 2:4] = 1  # wheel, in the door: drawn before it, and smaller
    masks[1, :6, :6] = 1  # door
    masks[2, 1, 1:4] = 1  # mirror, in the door
    masks[3, 7, 5:8] = 1  # another mirror, in nothing
    unsure = torch.zeros(8, 8, dtype=torch.bool)
    unsure[0, 0] = True
    found = truth(masks, torch.tensor([1, 0, 2, 2]), unsure, outer=(0, 1), inner=(2,))
    assert found.outer[3, 3] == 2
    assert (found.outer[1, 1:4] == 1).all()
    assert (found.outer[7, 5:8] == IGNORED).all()
    assert found.outer[0, 0] == IGNORED
    assert found.outer[6, 0] == 0
    assert found.inner[0].sum() == 6
    assert found.inner[0, 1, 1:4].all()
    assert not found.sure[0, 0]


def test_the_losses_reach_every_parameter_and_no_foreign_part() -> None:
    network = _network(untold=0.0).train()
    found = network(torch.randn(2, 3, 64, 64), [(64, 64)] * 2, [_target(1, 3), _target(2)])
    assert set(found) == {"cross_entropy", "dice", "inner"}
    sum(found.values()).backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    touched = network.weight.grad.abs().sum(1) > 0
    assert touched.tolist() == [True, True, True, True, False, False]
    after = _network(untold=0.0, category_filter="after").train()
    loss = after(torch.randn(1, 3, 64, 64), [(64, 64)], [_target(1)])["cross_entropy"]
    loss.backward()
    assert (after.weight.grad.abs().sum(1) > 0)[[0, 1, 2, 4, 5]].all()


def test_the_cross_entropy_is_that_of_the_rows_asked_for() -> None:
    """Gathering rows first is exact: K = 3,310 costs what the image's own parts cost."""
    network, target = _network(), _target(1, 2)
    features = torch.randn(1, 16, 16, 16)
    found = losses(network, features, [CAR], [target])["cross_entropy"]
    every = torch.einsum("chw,kc->khw", features[0], network.weight) + network.bias[:, None, None]
    large = F.interpolate(every[None, [0, 1, 2]], scale_factor=4, mode="bilinear")
    flat = truth(target["masks"], target["labels"] - 1, target["unsure"], (0, 1), (2,)).outer
    assert torch.allclose(found, F.cross_entropy(large, flat[None]), atol=1e-6)


def test_nothing_is_learnt_of_unsure_pixels() -> None:
    network, target = _network(), _target(1, unsure=True)
    target["unsure"][:, 32:] = True
    features = torch.randn(1, 16, 16, 16)
    before = losses(network, features, [CAR], [target])
    target["masks"][0, :, 33:] = 1
    after = losses(network, features, [CAR], [target])
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_no_masks_give_no_loss_and_still_a_gradient() -> None:
    network = _network().train()
    empty = {k: v[:0] for k, v in _target(1).items()}
    found = network(torch.randn(1, 3, 64, 64), [(64, 64)], [empty])
    assert sum(found.values()) == 0
    sum(found.values()).backward()


def test_dice_is_zero_for_what_is_right_and_one_for_what_is_elsewhere() -> None:
    wanted = torch.zeros(2, 4, 4, dtype=torch.bool)
    wanted[0, :2] = True
    known = torch.ones(4, 4, dtype=torch.bool)
    assert dice(wanted.float(), wanted, known) == pytest.approx(0)
    assert dice((~wanted).float(), wanted, known) > 0.9
    assert dice(torch.rand(2, 4, 4), torch.zeros_like(wanted), known) == 0


def _enlarged(logits: torch.Tensor, side: int) -> Enlarged:
    return Enlarged(logits, (1.0, 1.0), (side, side))


def test_before_the_softmax_the_filter_shares_out_after_it_it_zeroes() -> None:
    logits = torch.tensor([0.0, 1.0, 0.5, 2.0])[:, None, None].expand(-1, 4, 4)
    nothing = _enlarged(logits[:0], 4)
    (before,) = regions(
        _enlarged(logits[:3], 4), nothing, Asked((0, 1), (), None, 5), threshold=0, smallest=0
    )
    assert before.probabilities == pytest.approx(
        [*logits[:3, 0, 0].softmax(0)[1:].tolist(), 0, 0, 0]
    )
    asked = Asked((0, 1, 3), (), (0, 1), 5)
    (after,) = regions(_enlarged(logits, 4), nothing, asked, threshold=0, smallest=0)
    assert after.label == 0
    shares = logits[:, 0, 0].softmax(0)
    assert after.probabilities == pytest.approx([float(shares[1]), float(shares[2]), 0, 0, 0])


def test_blocks_of_rows_decide_what_all_rows_at_once_decide(monkeypatch: Any) -> None:
    torch.manual_seed(1)
    logits = torch.randn(9, 6, 5) * 3
    asked = Asked(tuple(range(8)), (), (1, 2, 6), 8)

    def decided() -> list[Any]:
        outer = Enlarged(logits, (0.8, 1.0), (24, 31))
        found = regions(outer, Enlarged(logits[:0], (1, 1), (24, 31)), asked, threshold=0.1,
                        smallest=0)  # fmt: skip
        return [(one.label, one.box, one.mask.tobytes(), one.probabilities) for one in found]

    whole = decided()
    assert len(whole) > 3
    monkeypatch.setattr("segmenter.dense.regions.BLOCK", 24 * 31 * 2)
    for one, other in zip(whole, decided(), strict=True):
        assert one[:3] == other[:3]
        np.testing.assert_allclose(one[3], other[3], atol=1e-6)


def test_a_picture_is_read_where_it_lies_in_its_padding() -> None:
    """A ramp over the padded width keeps its slope: nothing is shifted or stretched."""
    ramp = ((torch.arange(16) + 0.5) * 4).expand(16, -1)[None]
    ((_, found),) = Enlarged(ramp, (1.0, 40 / 64), (64, 80)).blocks()
    expected = (torch.arange(80) + 0.5) * 0.5
    inside = slice(6, 74)  # half a cell at the border has nothing to lean on
    assert torch.allclose(found[0, 30, inside], expected[inside], atol=1e-4)


def test_what_touches_at_a_corner_is_one_region_and_crumbs_are_dropped() -> None:
    logits = torch.full((2, 8, 8), -5.0)
    logits[0] = 0
    for place in ((1, 1), (2, 2), (6, 6)):
        logits[1][place] = 5
    logits[1, 1, 2] = 5
    asked, nothing = Asked((4,), (), None, 5), _enlarged(logits[:0], 8)
    found = regions(_enlarged(logits, 8), nothing, asked, threshold=0, smallest=0)
    assert sorted(int(one.mask.sum()) for one in found) == [1, 3]
    large = regions(_enlarged(logits, 8), nothing, asked, threshold=0, smallest=2 / 64)
    assert [int(one.mask.sum()) for one in large] == [3]
    assert large[0].box == (1, 1, 3, 3)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (4, 5, 5), elements=st.floats(-8, 8, width=32)), st.integers(4, 40))
def test_outer_regions_never_overlap(values: Any, side: int) -> None:
    logits = torch.from_numpy(values)
    outer, inner = _enlarged(logits, side), _enlarged(logits[:0], side)
    found = regions(outer, inner, Asked((0, 1, 3), (), None, 5), threshold=0, smallest=0)
    assert sum((one.mask.astype(int) for one in found), np.zeros((side, side))).max(initial=0) <= 1
    for one in found:
        assert one.probabilities[one.label] == pytest.approx(one.probabilities.max(), abs=0.5)
        assert one.probabilities.sum() <= 1 + 1e-5


def test_large_pictures_are_decided_small_and_come_back_large() -> None:
    assert decided_at((3000, 4000)) == (768, 1024)
    assert decided_at((1, 5000)) == (1, 1024)
    assert decided_at((300, 400)) == (300, 400)
    mask = np.zeros((768, 1024), bool)
    mask[:, :512] = True
    logits = torch.zeros(2, 192, 256)
    logits[1, :, :128], logits[1, :, 128:] = 9, -9
    nothing = Enlarged(logits[:0], (1, 1), (768, 1024))
    found = regions(Enlarged(logits, (1, 1), (768, 1024)), nothing, Asked((2,), (), None, 5),
                    threshold=0, smallest=0)  # fmt: skip
    large = detections(found, 5, (768, 1024), (3000, 4000))
    assert decode(large.masks[0]).shape == (3000, 4000)
    assert area(large.masks[0]) == pytest.approx(3000 * 2000, rel=0.01)
    assert large.boxes[0] == pytest.approx([0, 0, 2000, 3000], abs=10)


def test_an_inner_part_leaves_the_part_around_it_whole() -> None:
    """Nothing is flattened before the store: the mirror's pixels are the door's too."""
    segmenter = DenseSegmenter(PARTS, TINY, "cpu")
    with torch.no_grad():
        segmenter.network.weight.zero_()
        segmenter.network.bias[:] = torch.tensor([0.0, 5, 0, 5, 0, 0])
    (found,) = segmenter.predict([np.zeros((40, 60, 3), np.uint8)], ["car"])
    assert {segmenter.names[label] for label in found.labels} == {"car:door", "car:mirror"}
    assert [area(mask) for mask in found.masks] == [2400, 2400]


def test_the_filter_after_the_softmax_keeps_probabilities_exactly() -> None:
    """P-02: what is allowed has the probability it has without the filter, pixel by pixel."""
    torch.manual_seed(2)
    after = DenseSegmenter(
        PARTS, TINY.model_copy(update={"category_filter": "after", "object_input": False}), "cpu"
    )
    with torch.no_grad():
        after.network.weight.zero_()
        after.network.bias[:] = torch.tensor([-1.0, 2, 1, 0, 3, 0])
    picture = [np.zeros((32, 32, 3), np.uint8)]
    (free,), (own,) = after.predict_both(picture, ["car"])
    outer = [0, 1, 3, 4]
    shares = after.network.bias[[0, 1, 2, 4, 5]].softmax(0)[1:].detach().numpy()
    assert free.probabilities[0, outer] == pytest.approx(shares, abs=1e-5)
    doors = own.probabilities[own.labels.tolist().index(0)]
    assert doors[:2] == pytest.approx(shares[:2], abs=1e-5)
    assert doors[[3, 4]].tolist() == [0, 0]


def test_rare_parts_come_more_often_and_every_epoch_is_as_long() -> None:
    images = [[0]] * 90 + [[0, 1]] * 10
    weights = rare_first(images, 0.4)
    assert weights[0] == 1
    assert weights[-1] == pytest.approx(2)
    counts = np.zeros(100)
    for epoch in range(40):
        batches = epoch_batches([1.0] * 100, 4, seed=3, epoch=epoch, rank=0, world=1,
                                weights=weights)  # fmt: skip
        drawn = [at for batch in batches for at in batch]
        assert len(drawn) == len(set(drawn)) == 100
        counts += np.bincount([at % 100 for at in drawn], minlength=100)
    assert counts[90:].mean() / counts[:90].mean() == pytest.approx(2, rel=0.05)
    assert sorted(_drawn(np.ones(7), np.random.default_rng(0)).tolist()) == list(range(7))
