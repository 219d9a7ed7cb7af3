"""`groundtruth` (N-03): a network reads people's masks, a control; nothing is predicted.

How well it does says how much of the class the masks hold: what a part model could reach whose
masks were right. An attack changes the picture and not the masks, so without `picture` it changes
nothing.
"""

from typing import Self

import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from partlab.errors import ConfigError
from train.models.backbones import build_backbone, replace_relu
from train.models.base import Body, Design, Outputs, Recognizer
from train.settings import ModelConfig, ReadsConfig


class GroundTruth(Recognizer):
    """The backbone on true masks, told before each batch (`expect`); with `picture`, on both.

    A pixel of which nothing is known has no mask. `size` is not needed: a network of any size.
    """

    def __init__(self, body: Body, design: Design, reads: ReadsConfig, weights: str) -> None:
        channels = design.part_channels - (not reads.background) + 3 * reads.picture
        network = timm.create_model(body.name, num_classes=len(design.classes), in_chans=channels)
        if body.gelu:
            replace_relu(network, body.name)
        super().__init__(network, body, design)
        if weights != "none":
            raise ConfigError(
                f"weights {weights!r} are of a network that reads pictures, not masks",
                hint="leave them out: --set model.weights=none",
            )
        self.finest_stride = 1
        self.background, self.picture = reads.background, reads.picture
        self._channels = design.part_channels
        self._labels: Tensor | None = None

    @classmethod
    def from_settings(cls, config: ModelConfig, design: Design, size: int | None) -> Self:
        """A new one.

        Raises:
            UnknownNameError, ConfigError: as `build_backbone`; or pretrained weights are asked.
        """
        _, body = build_backbone(config.backbone, len(design.classes), gelu=config.gelu, size=size)
        return cls(body, design, config.reads, config.weights)

    def expect(self, labels: Tensor, known: Tensor) -> None:
        """Label maps (B, S, S) of the pictures that come next; what is not known has no mask."""
        self._labels = torch.where(known[:, None, None], labels, self._channels)

    def forward(self, images: Tensor, *, parts: bool = False) -> Tensor | Outputs:
        """As every recognition model, of the masks that were told."""
        outputs = self.outputs(self.normalise(images))
        return outputs if parts else outputs.logits

    def outputs(self, pixels: Tensor) -> Outputs:
        """Class logits of the masks; there are no part logits.

        Raises:
            ConfigError: no masks were told, or of another number of pictures.
        """
        return Outputs(self.backbone(self._read(pixels)), ())

    def embedded(self, pixels: Tensor) -> Tensor:
        """(B, D): pooled features of the masks."""
        features = self.backbone.forward_features(self._read(pixels))
        found: Tensor = self.backbone.forward_head(features, pre_logits=True)
        return found.flatten(1)

    def _read(self, pixels: Tensor) -> Tensor:
        if self._labels is None or len(self._labels) < len(pixels):
            raise ConfigError(
                "a model of kind 'groundtruth' reads people's masks, and none came with the "
                "pictures",
                hint="it is a control, and other commands show pictures alone: its accuracy, clean "
                "and under PGD, is that of its validation (partlab train show RUN)",
            )
        told = self._labels[: len(pixels)]  # an attack tries the first picture alone
        masks = F.one_hot(told.long(), self._channels + 1)[..., : self._channels]
        shown = masks.permute(0, 3, 1, 2)[:, int(not self.background) :].to(pixels)
        if self.picture:
            return torch.cat([pixels, shown], dim=1)
        return shown + 0 * pixels[:, :1]  # a slope of 0, which attacks find for themselves
