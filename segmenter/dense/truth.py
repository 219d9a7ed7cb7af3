"""What people drew in one image, as the dense network is to say it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -1


@dataclass(frozen=True, slots=True)
class Truth:
    """One image at network resolution (H, W).

    `outer` holds at each pixel a place in the labels asked for, from 1, 0 for the background,
    and IGNORED where nobody can tell; `inner` (n, H, W) where each part is that lies in others;
    `sure` (H, W) is false where no pixel of any part may be judged.
    """

    outer: Tensor
    inner: Tensor
    sure: Tensor


def truth(
    masks: Tensor, labels: Tensor, unsure: Tensor, outer: Sequence[int], inner: Sequence[int]
) -> Truth:
    """The targets of masks (N, H, W) with 0-based labels (N,).

    Smaller masks lie on larger ones, as people's do in a composite (B3). The part around an
    inner part keeps those pixels; where none is drawn around it, nothing is said of them.
    """
    size = masks.shape[-2:]
    sure = ~unsure if unsure.numel() else torch.ones(size, dtype=torch.bool, device=masks.device)
    place = {label: at for at, label in enumerate(outer, 1)}
    flat = torch.zeros(size, dtype=torch.long, device=masks.device)
    inside = torch.zeros((len(inner), *size), dtype=torch.bool, device=masks.device)
    row = {label: at for at, label in enumerate(inner)}
    for at in masks.flatten(1).sum(1).argsort(descending=True, stable=True).tolist():
        label, mask = int(labels[at]), masks[at].bool()
        if label in place:
            flat[mask] = place[label]
        elif label in row:
            inside[row[label]] |= mask
    flat[inside.any(0) & (flat == 0)] = IGNORED
    flat[~sure] = IGNORED
    return Truth(flat, inside, sure)
