"""Downsampled, `pooling` in names (MD-07): the classifier reads shrunk masks, never the picture."""

import torch.nn.functional as F
from torch import Tensor, nn

from partlab.errors import ConfigError
from train.models.base import Body, Design
from train.models.berkeley.base import PartModel
from train.models.berkeley.deeplab import DeepLab, Segmented
from train.models.two_stage import Shrink
from train.settings import ReadsConfig

HIDDEN = 50
PER_MASK = 5
"""How many maps the first convolution makes of each mask."""


class Pooling(PartModel):
    """Softmax of the part logits, means over `pool` x `pool` cells, a small classifier."""

    def __init__(
        self, network: DeepLab, body: Body, design: Design, reads: ReadsConfig, size: int
    ) -> None:
        super().__init__(network, body, design, reads, size)
        if reads.pool > size:
            raise ConfigError(
                f"masks of {size} pixels cannot be shrunk to {reads.pool}",
                hint="--set model.reads.pool=4",
            )
        self.background = reads.background
        channels = design.part_channels - (not reads.background)
        self.judge = judge(channels, len(design.classes), reads)

    def classified(self, found: Segmented, pixels: Tensor) -> Tensor:
        """Class logits of nothing but the masks."""
        logits: Tensor = self.judge(probabilities(found.masks, background=self.background))
        return logits


def probabilities(masks: Tensor, *, background: bool) -> Tensor:
    """Softmax over part logits (B, channels, H, W), without its first channel if not asked.

    The share of the background is taken off after the softmax (N-04): what is left adds up to
    less than 1 where a pixel shows no part.
    """
    shares = F.softmax(masks, dim=1)
    return shares if background else shares[:, 1:]


def judge(channels: int, classes: int, reads: ReadsConfig) -> nn.Sequential:
    """Class logits (B, classes) of part probabilities (B, channels, H, W)."""
    wide = channels * PER_MASK
    normed = (nn.BatchNorm2d(channels), nn.ReLU()) if reads.norm else ()
    return nn.Sequential(
        Shrink(reads.pool),
        *normed,
        nn.Conv2d(channels, wide, reads.pool),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(wide, HIDDEN),
        nn.BatchNorm1d(HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, classes),
    )
