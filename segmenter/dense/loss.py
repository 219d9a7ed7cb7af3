"""Cross-entropy and Dice over the parts an image may hold, at the network's full resolution."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from segmenter.dense.truth import IGNORED, truth
from segmenter.network_segmenter import Labels

FULL = 2**25  # values; more logits of one image than this are judged at the network's stride
Losses = dict[str, Tensor]


class Rows(Protocol):
    """What the losses ask of a network; see `segmenter.dense.network.DenseNetwork`."""

    stride: int

    def outer(self, allowed: Labels) -> tuple[int, ...]:
        """Labels that share the pixels with the background."""
        ...

    def inside(self, allowed: Labels) -> tuple[int, ...]:
        """Labels that are decided each for itself."""
        ...

    def logits(self, features: Tensor, rows: Sequence[int]) -> Tensor:
        """(rows, h, w) at the network's stride."""
        ...


def losses(
    network: Rows,
    features: Tensor,
    allowed: Sequence[Labels],
    targets: Sequence[dict[str, Tensor]],
) -> Losses:
    """Mean losses of a batch: features (B, width, h, w), and for each image its targets.

    `allowed` says which parts share each image's softmax; None: all.
    """
    each = [
        _of_image(network, *one) for one in zip(features, allowed, targets, strict=True)
        if len(one[2]["labels"])
    ]  # fmt: skip
    if not each:
        nothing = network.logits(features.mean(0), [0]).sum() * 0
        return {"cross_entropy": nothing, "dice": nothing, "inner": nothing}
    return {name: torch.stack([one[name] for one in each]).mean() for name in each[0]}


def _of_image(
    network: Rows, features: Tensor, allowed: Labels, target: dict[str, Tensor]
) -> Losses:
    outer, inner = network.outer(allowed), network.inside(allowed)
    masks, unsure = target["masks"], target["unsure"]
    size, stride = masks.shape[-2:], network.stride
    if (len(outer) + 1) * size.numel() > FULL:  # thousands of parts: the image's object untold
        masks, unsure = (each[..., ::stride, ::stride] for each in (masks, unsure))
        stride = 1
    own = truth(masks, target["labels"] - 1, unsure, outer, inner)
    logits = raised(network.logits(features, [0, *(k + 1 for k in outer)]), stride, own.outer)
    inside = raised(network.logits(features, [k + 1 for k in inner]), stride, own.outer)
    crossed = F.cross_entropy(logits[None], own.outer[None], ignore_index=IGNORED, reduction="sum")
    known = own.outer != IGNORED
    return {
        "cross_entropy": crossed / known.sum().clamp(min=1),
        "dice": dice(
            logits.softmax(0)[1:], _one_hot(own.outer, len(outer)), known
        ),
        "inner": _inner(inside, own.inner, own.sure),
    }  # fmt: skip


def dice(found: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """1 - Dice of probabilities (n, H, W) against (n, H, W) of 0 and 1, where `known` (H, W).

    The mean over parts that are there: one that is not has no overlap to gain, and what is
    wrongly said of it costs cross-entropy.
    """
    there = wanted[:, known].any(1) if len(wanted) else wanted.new_zeros(0, dtype=torch.bool)
    if not there.any():
        return found.sum() * 0
    one, other = found[there][:, known], wanted[there][:, known].float()
    return (1 - (2 * (one * other).sum(1) + 1) / (one.sum(1) + other.sum(1) + 1)).mean()


def _inner(logits: Tensor, wanted: Tensor, sure: Tensor) -> Tensor:
    if not len(logits) or not sure.any():
        return logits.sum() * 0
    crossed = F.binary_cross_entropy_with_logits(logits[:, sure], wanted[:, sure].float())
    return crossed + dice(logits.sigmoid(), wanted, sure)


def _one_hot(places: Tensor, count: int) -> Tensor:
    numbers = torch.arange(1, count + 1, device=places.device)
    return places[None] == numbers[:, None, None]


def raised(logits: Tensor, stride: int, like: Tensor) -> Tensor:
    """(n, h, w) at `stride` brought to (n, H, W) of the picture without its padding."""
    height, width = like.shape
    if stride > 1 and len(logits):
        logits = F.interpolate(logits[None], scale_factor=stride, mode="bilinear")[0]
    elif stride > 1:
        return logits.new_zeros((0, height, width))
    return logits[:, :height, :width]
