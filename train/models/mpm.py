"""The Multi-scale Part-supervised Model (MD-03, MD-04).

A bypass hangs on the last resolutions of a backbone. It predicts part maps during training and
is dropped afterwards, so that inference costs what the plain backbone costs.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from train.models.base import Body, Design, Outputs, Recognizer
from train.models.vanilla import Vanilla

REDUCTION = 4
"""How many backbone channels become one in the bypass."""
MIN_WIDTH = 32
"""Channels of the bypass at the least: the released code has 128 at the least, but a small
backbone would squeeze all parts through 8."""


def width_of(channels: int) -> int:
    """Into how many channels those of a backbone are brought."""
    return max(channels // REDUCTION, min(channels, MIN_WIDTH))


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """GELU, depthwise 3x3, pointwise; no bias (MD-04)."""
    return nn.Sequential(
        nn.GELU(),
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
    )


class Bypass(nn.Module):
    """Part logits at several resolutions, from backbone features fine to coarse.

    `channels` are those of the features given, finest first. With `top_down` each resolution
    also sees what the coarser ones say.
    """

    def __init__(self, channels: Sequence[int], outputs: int, *, top_down: bool) -> None:
        super().__init__()
        widths = [width_of(count) for count in channels]
        self.compact = nn.ModuleList(
            nn.Sequential(nn.Conv2d(count, width, 1, bias=False), nn.BatchNorm2d(width))
            for count, width in zip(channels, widths, strict=True)
        )
        self.heads = nn.ModuleList(separable(width, outputs) for width in widths)
        pairs = zip(widths[1:], widths, strict=False) if top_down else ()
        self.ups = nn.ModuleList(separable(coarse, fine) for coarse, fine in pairs)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """(B, outputs, h, w) for each of the features (B, C, h, w)."""
        maps = [compact(each) for compact, each in zip(self.compact, features, strict=True)]
        for level in reversed(range(len(self.ups))):
            up = self.ups[level](maps[level + 1])
            size = maps[level].shape[-2:]
            maps[level] = maps[level] + F.interpolate(up, size=size, mode="bilinear")
        return tuple(head(each) for head, each in zip(self.heads, maps, strict=True))


class MPM(Recognizer):
    """A backbone with part supervision at its last `levels` resolutions.

    Levels count from the coarsest, and only their layers are built: no parameter is without
    gradient.
    """

    def __init__(self, network: Any, body: Body, design: Design) -> None:
        super().__init__(network, body, design)
        self.part_channels = design.part_channels
        self.levels = design.levels
        channels = body.features.channels[-design.levels :]
        self.part_strides = body.features.strides[-design.levels :]
        self.bypass = Bypass(channels, design.part_channels, top_down=design.top_down)

    def outputs(self, pixels: Tensor) -> Outputs:
        """Class and part logits; the backbone is computed once for both."""
        last, maps = self.maps(pixels)
        return Outputs(self.backbone.forward_head(last), self.bypass(maps[-self.levels :]))

    def plain(self) -> Recognizer:
        """The backbone alone, with the same weights."""
        plain = Vanilla(self.backbone, self.body, Design(self.classes))
        plain.normalise = self.normalise
        return plain.train(self.training)
