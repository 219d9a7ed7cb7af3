"""What a dense teacher makes of pseudo labels: confidence by pixel."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from segmenter.dense.loss import raised
from segmenter.dense.truth import IGNORED, truth

Target = dict[str, Tensor]


def taught(network: Any, pictures: Tensor, targets: Sequence[Target], sure: float) -> list[Target]:
    """Targets (`Sample`'s, boxes left out) in which teacher and store agree or the teacher is sure.

    Where they differ, or the store says nothing, the teacher counts if its probability is at least
    `sure`; else the pixel is ignored. Parts that lie in others stay the store's.
    """
    told = [network.shown(target["labels"] - 1) for target in targets]
    features = network.features(network.seen(pictures), told)
    return [_of_image(network, *one, sure) for one in zip(features, told, targets, strict=True)]


def _of_image(
    network: Any, features: Tensor, allowed: tuple[int, ...], target: Target, sure: float
) -> Target:
    outer, inner = network.outer(allowed), network.inside(allowed)
    if not outer:
        return target
    own = truth(target["masks"], target["labels"] - 1, target["unsure"], outer, inner)
    logits = network.logits(features, [0, *(k + 1 for k in outer)])
    share, said = raised(logits, network.stride, own.outer).softmax(0).max(0)
    agreed = torch.where((said == own.outer) | (share >= sure), said, IGNORED)
    return _target(agreed, target, outer, inner)


def _target(agreed: Tensor, before: Target, outer: Sequence[int], inner: Sequence[int]) -> Target:
    """Masks from places (H, W) in `outer`, and the inner parts' as they were."""
    there = [at for at in torch.unique(agreed).tolist() if at > 0]
    labels = before["labels"]
    stay = torch.tensor([int(label) - 1 in inner for label in labels], dtype=torch.bool)
    masks = [(agreed == at).to(before["masks"].dtype) for at in there]
    new = torch.tensor([outer[at - 1] + 1 for at in there], dtype=labels.dtype)
    return {
        "masks": torch.cat([torch.stack(masks), before["masks"][stay]])
        if masks
        else before["masks"][stay],
        "labels": torch.cat([new.to(labels.device), labels[stay]]),
        "unsure": agreed == IGNORED,
    }
