"""The category filter (CF, P-02): only parts of the image's known object class may be found."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

LabelRule = Literal["argmax", "multi"]


def category_filter(probabilities: Tensor, allowed: Sequence[int] | None) -> Tensor:
    """Set the probability of every part that is not in `allowed` to zero.

    This is the paper's equation on the full part-probability vectors, shape (N, K), without
    background: nothing is renormalised, so an allowed part keeps its probability exactly.
    `allowed=None` switches the filter off.
    """
    if allowed is None:
        return probabilities
    keep = torch.zeros(probabilities.shape[-1], dtype=torch.bool, device=probabilities.device)
    keep[list(allowed)] = True
    return torch.where(keep, probabilities, 0.0)


def candidates(
    probabilities: Tensor, *, rule: LabelRule, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn filtered vectors (N, K) into labelled detections: row index, label, score.

    `argmax` gives a row its best part (the paper); `multi` gives it every part at or above the
    threshold (the usual detector). A row that the filter left all zero is dropped either way.
    """
    if rule == "argmax":
        scores, labels = probabilities.max(dim=1)
        rows = torch.arange(len(scores), device=scores.device)
    else:
        rows, labels = torch.nonzero(probabilities >= max(threshold, 1e-12), as_tuple=True)
        scores = probabilities[rows, labels]
    keep = (scores >= threshold) & (scores > 0)
    return rows[keep], labels[keep], scores[keep]
