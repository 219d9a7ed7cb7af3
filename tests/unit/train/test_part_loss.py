"""The part loss against a dense one, written as the released code's is described."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.part_loss import part_loss

PAPER = {"gamma": 2.0, "smoothing": 0.1, "shrink": "centre"}


def dense(
    outputs: Sequence[Tensor],
    labels: Tensor,
    weights: Tensor,
    *,
    gamma: float,
    smoothing: float,
    shrink: str,
) -> Tensor:
    """One-hot at the label map's side, shrunk bilinearly or by area, smoothed; focal soft CE.

    Returns each image's loss, (B,), and the total, joined. Ignored labels are left out of the
    mean of a cell by dividing by the equally shrunk map of what is not ignored.
    """
    channels, kind = outputs[0].shape[1], outputs[0].dtype
    ignored = labels.long() == channels
    known = (~ignored)[:, None].to(kind)
    full = F.one_hot(labels.long().masked_fill(ignored, 0), channels)
    full = full.permute(0, 3, 1, 2).to(kind) * known
    losses = []
    for z in outputs:
        target, share = (_shrunk(each, z.shape[2:], shrink) for each in (full, known))
        valid = share > 1e-9
        target = target / share.where(valid, 1.0) * (1 - smoothing) + smoothing / channels
        ce = -(target * z.log_softmax(1)).sum(1).where(valid[:, 0], 1.0)
        loss = ((1 - torch.exp(-ce)) ** gamma * ce).where(valid[:, 0], 0.0).flatten(1)
        losses.append(loss.sum(1) / valid.flatten(1).sum(1).clamp(min=1))
    per_image = torch.stack(losses).mean(0)
    return torch.cat([per_image, (per_image * weights.to(kind)).sum()[None] / len(labels)])


def _shrunk(full: Tensor, size: Any, shrink: str) -> Tensor:
    if full.shape[2:] == size:
        return full
    if shrink == "area":
        return F.adaptive_avg_pool2d(full, size)
    return F.interpolate(full, size=size, mode="bilinear", align_corners=False, antialias=False)


def both(
    outputs: Sequence[Tensor], labels: Tensor, weights: Tensor, settings: dict[str, Any]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Values and gradients of three times the total: ours, and dense in float64."""
    ours = [z.detach().requires_grad_() for z in outputs]
    found = part_loss(ours, labels, weights, **settings)
    gradients = torch.autograd.grad(3 * found.total, ours)
    exact = [z.detach().double().requires_grad_() for z in outputs]
    values = dense(exact, labels, weights, **settings)
    expected = torch.autograd.grad(3 * values[-1], exact)
    got = torch.cat([found.per_image, found.total.detach()[None]])
    return (got, *gradients), (values.detach(), *expected)


def batch(
    channels: int,
    images: int = 3,
    sides: Sequence[int] = (8, 4, 2),
    full: int = 8,
    ignored: float = 0.2,
    seed: int = 0,
    kind: torch.dtype = torch.float64,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Logits, label maps with a share of ignored labels, and weights of which one is 0."""
    draw = torch.Generator().manual_seed(seed)
    outputs = [torch.randn(images, channels, s, s, generator=draw, dtype=kind) * 2 for s in sides]
    labels = torch.randint(0, channels, (images, full, full), generator=draw)
    labels[torch.rand(labels.shape, generator=draw) < ignored] = channels
    weights = torch.rand(images, generator=draw)
    weights[0] = 0
    return outputs, labels.int(), weights


@settings(max_examples=120, deadline=None)
@given(
    channels=st.integers(2, 9),
    images=st.integers(1, 4),
    sides=st.sampled_from(
        [(28, 14, 7), (16, 8, 4), (8, 4, 2), (4, 2, 1), (8,), (4,), (4, 2), (2,), (1,)]
    ),
    ignored=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5]),
    smoothing=st.sampled_from([0.0, 0.1, 0.6]),
    shrink=st.sampled_from(["centre", "area"]),
    seed=st.integers(0, 10**6),
)
def test_equals_the_dense_loss(
    channels: int,
    images: int,
    sides: tuple[int, ...],
    ignored: float,
    gamma: float,
    smoothing: float,
    shrink: str,
    seed: int,
) -> None:
    full = max(8, *sides)
    given = batch(channels, images, sides, full, ignored, seed)
    asked = {"gamma": gamma, "smoothing": smoothing, "shrink": shrink}
    for found, expected in zip(*both(*given, asked), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [7, 600])
def test_float32_is_as_good_as_it_can_be(channels: int, layout: torch.memory_format) -> None:
    outputs, labels, weights = batch(channels, 2, (28, 14, 7), 28, kind=torch.float32)
    outputs = [z.contiguous(memory_format=layout) for z in outputs]
    for found, exact in zip(*both(outputs, labels, weights, PAPER), strict=True):
        assert found.dtype == torch.float32
        assert float((found - exact).abs().max() / exact.abs().max()) < 1e-6


def test_targets_of_the_released_code() -> None:
    """As described: nearest to 28², one-hot, smoothed, then bilinear to 14² and 7²."""
    channels, labels = 5, torch.randint(0, 5, (2, 28, 28))
    full = F.one_hot(labels, channels).permute(0, 3, 1, 2).double() * 0.9 + 0.1 / channels
    outputs = [torch.randn(2, channels, side, side).double() for side in (28, 14, 7)]
    expected = torch.zeros((), dtype=torch.float64)
    for z in outputs:
        target = F.interpolate(full, size=z.shape[2:], mode="bilinear") if len(z[0]) else full
        ce = -(target * z.log_softmax(1)).sum(1)
        expected += ((1 - torch.exp(-ce)) ** 2 * ce).mean() / 3
    found = part_loss(outputs, labels, torch.ones(2), **PAPER)
    torch.testing.assert_close(found.total, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shrink", ["centre", "area"])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_gradcheck(shrink: str, gamma: float) -> None:
    outputs, labels, weights = batch(4, 2, (4, 2, 1), 8)

    def total(*logits: Tensor) -> Tensor:
        return part_loss(logits, labels, weights, gamma=gamma, smoothing=0.1, shrink=shrink).total

    for z in outputs:
        z.requires_grad_()
    assert torch.autograd.gradcheck(total, outputs)


def test_coarser_cells_of_any_ratio() -> None:
    """Bilinear shrinking takes the middle one of three labels a side, 2 x 2 of eight."""
    for full, side in ((9, 3), (16, 2), (24, 3)):
        given = batch(4, 2, (side,), full)
        for found, expected in zip(*both(*given, PAPER), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_sides_may_differ() -> None:
    outputs = [torch.randn(2, 3, 4, 6).double(), torch.randn(2, 3, 2, 3).double()]
    labels = torch.randint(0, 4, (2, 8, 12))
    for found, expected in zip(*both(outputs, labels, torch.ones(2), PAPER), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_mean_is_over_all_images_of_the_batch() -> None:
    """A few images with masks must not get full weight: the released code divides by B."""
    outputs, labels, _ = batch(4, 4)
    found = part_loss(outputs, labels, torch.tensor([0.0, 1, 0, 0]), **PAPER)
    torch.testing.assert_close(found.total, found.per_image[1] / 4)


def test_images_without_labels() -> None:
    outputs, labels, _ = batch(4, 3)
    labels[1] = 4
    for z in outputs:
        z.requires_grad_()
    found = part_loss(outputs, labels, torch.ones(3), **PAPER)
    found.total.backward()
    assert found.per_image[1] == 0
    assert (found.per_image[[0, 2]] > 0).all()
    assert not found.per_image.requires_grad
    for z in outputs:
        assert z.grad is not None
        assert (z.grad[1] == 0).all()
        assert (z.grad[[0, 2]] != 0).any()


def test_per_image_is_not_weighted() -> None:
    outputs, labels, weights = batch(4, 3)
    one = part_loss(outputs, labels, weights, **PAPER).per_image
    other = part_loss(outputs, labels, torch.zeros(3), **PAPER)
    assert torch.equal(one, other.per_image)
    assert other.total == 0


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_extreme_logits(gamma: float, smoothing: float) -> None:
    """Quite sure and right, quite sure and wrong: finite values and gradients."""
    labels = torch.tensor([[[1, 0], [3, 1]]]).repeat(2, 1, 1)
    z = torch.zeros(2, 3, 2, 2)
    z[0, 1] = 1e4
    z[1, 2] = 88.5
    z.requires_grad_()
    found = part_loss([z], labels, torch.ones(2), gamma=gamma, smoothing=smoothing, shrink="area")
    found.total.backward()
    assert z.grad is not None
    assert torch.isfinite(found.total)
    assert torch.isfinite(z.grad).all()
    sure = torch.full((1, 3, 1, 1), -50.0).index_fill_(1, torch.tensor(1), 50.0).requires_grad_()
    part_loss(
        [sure], torch.ones(1, 2, 2), torch.ones(1), gamma=gamma, smoothing=0.0, shrink="area"
    ).total.backward()
    assert sure.grad is not None
    assert torch.isfinite(sure.grad).all()
