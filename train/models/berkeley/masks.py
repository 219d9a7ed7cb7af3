"""`mask` (N-03): a whole classification network reads the predicted masks, a control.

Whether a small classifier is enough shows beside it.
"""

import timm
import torch
from torch import Tensor

from train.models.backbones import replace_relu
from train.models.base import Body, Design
from train.models.berkeley.base import PartModel
from train.models.berkeley.deeplab import DeepLab, Segmented
from train.models.berkeley.pixel import hardened
from train.models.berkeley.pooling import probabilities
from train.settings import ReadsConfig


class Masks(PartModel):
    """The network of the encoder's name on softmax masks; with `picture`, on the picture too."""

    def __init__(
        self, network: DeepLab, body: Body, design: Design, reads: ReadsConfig, size: int
    ) -> None:
        super().__init__(network, body, design, reads, size)
        self.background, self.picture, self.hard = reads.background, reads.picture, reads.hard
        channels = design.part_channels - (not reads.background) + 3 * reads.picture
        name = body.name.removeprefix("tu-")
        self.judge = timm.create_model(name, num_classes=len(design.classes), in_chans=channels)
        if body.gelu:
            replace_relu(self.judge, name)

    def classified(self, found: Segmented, pixels: Tensor) -> Tensor:
        """Class logits of the masks, and of the picture if it is asked for."""
        whole = probabilities(found.masks, background=True)
        shown = (hardened(whole) if self.hard else whole)[:, int(not self.background) :]
        shown = torch.cat([pixels, shown], dim=1) if self.picture else shown
        logits: Tensor = self.judge(shown)
        return logits
