"""Pixel (MD-10): part logits added up by object, and that over the pixels; no weight of its own."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from partlab.counts import few
from partlab.errors import ConfigError
from train.models.base import Body, Design
from train.models.berkeley.base import PartModel
from train.models.berkeley.deeplab import DeepLab, Segmented
from train.settings import ReadsConfig

_LEAST = 1e-6


class Pixel(PartModel):
    """The mean over pixels of each object's part logits; `pixels` says which pixels count."""

    part_to_class: Tensor

    def __init__(
        self, network: DeepLab, body: Body, design: Design, reads: ReadsConfig, size: int
    ) -> None:
        super().__init__(network, body, design, reads, size)
        self.pixels, self.hard = reads.pixels, reads.hard
        table = part_to_class(design)
        self.register_buffer("part_to_class", table, persistent=False)

    def classified(self, found: Segmented, pixels: Tensor) -> Tensor:
        """Class logits (B, C)."""
        if self.hard:
            return counted_pixels(found.masks, self.part_to_class)
        votes = torch.einsum("bphw,pc->bchw", found.masks[:, 1:], self.part_to_class)
        if self.pixels == "mean":
            return votes.mean((2, 3))
        shown = F.softmax(votes, dim=1) if self.pixels == "softmax_mask" else votes
        above = torch.sigmoid(found.masks[:, 1:].sum(1, keepdim=True) - found.masks[:, :1])
        above = above / above.sum((2, 3), keepdim=True).clamp_min(_LEAST)
        return (shown * above).sum((2, 3))


def counted_pixels(masks: Tensor, part_to_class: Tensor) -> Tensor:
    """Class logits (B, C) of part logits (B, P + 1, H, W): log of the pixels that each object has.

    A pixel is its likeliest part's, and one pixel more is given to each object. The softmax of
    these logits is each object's share.
    """
    pixels = hardened(F.softmax(masks, dim=1))[:, 1:].sum((2, 3))
    return (pixels @ part_to_class + 1).log()


def hardened(shares: Tensor) -> Tensor:
    """1 at the largest of the shares (B, channels, …), 0 elsewhere; its gradient is the shares'.

    Of hard labels nothing can be learnt and no attack made: a step is made as if they were soft
    (straight-through, BPDA), so a robust figure needs an attack without gradients, too (MD-06).
    """
    hard = F.one_hot(shares.argmax(1), shares.shape[1]).movedim(-1, 1).to(shares)
    return hard + (shares - shares.detach())


def part_to_class(design: Design) -> Tensor:
    """M (MD-16): (P, C), 1 where a part is one of that object's; background left out of both.

    Raises:
        ConfigError: the masks say nothing of the class, or a class has no part.
    """
    number = design.part_channels - 1
    if not design.parts and number != len(design.classes):
        raise ConfigError(
            "masks of the foreground alone do not say what object they show, which this kind asks",
            hint="use part or object masks: --set part.targets=parts",
        )
    objects = [name.partition(":")[0] for name in design.parts] or list(design.classes)
    _all_have_parts(design.classes, objects)
    table = torch.zeros(number, len(design.classes))
    for part, owner in enumerate(objects):
        if owner in design.classes:
            table[part, design.classes.index(owner)] = 1
    return table


def _all_have_parts(classes: Sequence[str], objects: Sequence[str]) -> None:
    bare = [name for name in classes if name not in objects]
    if bare:
        raise ConfigError(
            f"{len(bare)} classes have no part, and this kind knows a class by its parts: "
            f"{few(bare)}",
            hint="use another kind, such as pooling, or leave these classes out",
        )
