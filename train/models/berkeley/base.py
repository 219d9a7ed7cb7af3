"""What part models on DeepLabV3+ share: masks first, then a class."""

from typing import Self

from torch import Tensor

from train.models.base import Body, Design, Outputs, Recognizer
from train.models.berkeley.deeplab import DeepLab, Segmented, build_deeplab
from train.settings import ModelConfig, ReadsConfig


class PartModel(Recognizer):
    """Part logits at every pixel, and class logits made of what the segmenter says.

    Nothing is dropped for inference. `size` is the side of the pictures in pixels.
    """

    smallest_batch = 2  # atrous pooling has one cell a picture, over which BatchNorm has no spread

    def __init__(
        self, network: DeepLab, body: Body, design: Design, reads: ReadsConfig, size: int
    ) -> None:
        super().__init__(network.encoder, body, design)
        self.decoder, self.segmentation_head = network.decoder, network.segmentation_head
        self.part_channels = design.part_channels
        self.part_strides = (1,)
        self.finest_stride = 1

    @classmethod
    def from_settings(cls, config: ModelConfig, design: Design, size: int | None) -> Self:
        """A new one, with the weights that the settings name for its encoder.

        Raises:
            BackendUnavailableError, UnknownNameError, ConfigError: as `build_deeplab`.
        """
        network, body = build_deeplab(config, design.part_channels, size)
        return cls(network, body, design, config.reads, size or 224)

    def forward(self, images: Tensor, *, parts: bool = False) -> Tensor | Outputs:
        """As every recognition model; the part logits are computed either way."""
        outputs = self.outputs(self.normalise(images))
        return outputs if parts else outputs.logits

    def outputs(self, pixels: Tensor) -> Outputs:
        """Class logits (B, C) and part logits (B, channels, H, W) of normalised pictures."""
        found = self.segmented(pixels)
        return Outputs(self.classified(found, pixels), (found.masks,))

    def segmented(self, pixels: Tensor) -> Segmented:
        """What the segmenter says, at each of its stages."""
        features = self.backbone(pixels)
        decoded = self.decoder(features)
        return Segmented(features[-1], decoded, self.segmentation_head(decoded))

    def embedded(self, pixels: Tensor) -> Tensor:
        """(B, E): means of the encoder's last features."""
        last: Tensor = self.backbone(pixels)[-1]
        return last.mean((2, 3))

    def classified(self, found: Segmented, pixels: Tensor) -> Tensor:
        """Class logits (B, C)."""
        raise NotImplementedError
