"""Two-Headed (MD-09): masks and class of the same features, neither of the other.

`2heads_e` reads the encoder's last features, so that decoder and masks can be left out once it is
trained: what stays is `headed`. `2heads_d` reads the decoder's.
"""

from typing import Self

from torch import Tensor, nn

from partlab.errors import ConfigError
from train.models.base import Body, Design, Outputs, Recognizer
from train.models.berkeley.base import PartModel
from train.models.berkeley.deeplab import DeepLab, Segmented, build_deeplab
from train.models.two_stage import Shrink
from train.settings import ModelConfig, ReadsConfig

POOLED = 4
WIDTH = 64


def head(channels: int, classes: int) -> nn.Sequential:
    """Class logits (B, classes) of features (B, channels, h, w)."""
    return nn.Sequential(
        Shrink(POOLED),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, WIDTH, POOLED),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(WIDTH, classes),
    )


class EncoderHead(PartModel):
    """`2heads_e`: a class head on the encoder's last features."""

    def __init__(
        self, network: DeepLab, body: Body, design: Design, reads: ReadsConfig, size: int
    ) -> None:
        super().__init__(network, body, design, reads, size)
        self.judge = head(body.features.channels[-1], len(design.classes))

    def forward(self, images: Tensor, *, parts: bool = False) -> Tensor | Outputs:
        """As every recognition model; without `parts` no mask is computed."""
        pixels = self.normalise(images)
        if parts:
            return self.outputs(pixels)
        logits: Tensor = self.judge(self.backbone(pixels)[-1])
        return logits

    def classified(self, found: Segmented, pixels: Tensor) -> Tensor:
        """Class logits of the encoder's features."""
        logits: Tensor = self.judge(found.bottleneck)
        return logits

    def plain(self) -> Recognizer:
        """Encoder and class head alone, with the same weights and logits (X-12)."""
        plain = Headed(self.backbone, self.body, Design(self.classes))
        plain.judge, plain.normalise = self.judge, self.normalise
        return plain.train(self.training)


class Headed(Recognizer):
    """`headed`: an encoder and a class head, what `2heads_e` is without its masks."""

    kind = "headed"
    needs_parts = False

    def __init__(self, encoder: nn.Module, body: Body, design: Design) -> None:
        super().__init__(encoder, body, design)
        self.finest_stride = 1
        self.judge = head(body.features.channels[-1], len(design.classes))

    @classmethod
    def from_settings(cls, config: ModelConfig, design: Design, size: int | None) -> Self:
        """A new one, with the weights that the settings name for its encoder.

        Raises:
            BackendUnavailableError, UnknownNameError, ConfigError: as `build_deeplab`.
        """
        network, body = build_deeplab(config, 1, size)
        return cls(network.encoder, body, design)

    def embedded(self, pixels: Tensor) -> Tensor:
        """(B, E): means of the encoder's last features."""
        last: Tensor = self.backbone(pixels)[-1]
        return last.mean((2, 3))

    def outputs(self, pixels: Tensor) -> Outputs:
        """Class logits of normalised pictures; there are no masks."""
        return Outputs(self.judge(self.backbone(pixels)[-1]), ())

    def forward(self, images: Tensor, *, parts: bool = False) -> Tensor | Outputs:
        """As every recognition model."""
        outputs = self.outputs(self.normalise(images))
        return outputs if parts else outputs.logits


class DecoderHead(PartModel):
    """`2heads_d`: a class head on the decoder's features."""

    def __init__(
        self, network: DeepLab, body: Body, design: Design, reads: ReadsConfig, size: int
    ) -> None:
        super().__init__(network, body, design, reads, size)
        side = ((size // 4 - 2) // 2) // 2
        if side < 1:
            raise ConfigError(
                f"pictures of {size} pixels are too small for 2heads_d",
                hint="--set data.size=32 or more",
            )
        width = next(iter(self.segmentation_head.parameters())).shape[1]
        self.judge = nn.Sequential(
            nn.Conv2d(width, 50, 3),
            nn.BatchNorm2d(50),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(50, 10, 1),
            nn.BatchNorm2d(10),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(10 * side * side, 128),
            nn.ReLU(),
            nn.Linear(128, len(design.classes)),
        )

    def classified(self, found: Segmented, pixels: Tensor) -> Tensor:
        """Class logits of the decoder's features."""
        logits: Tensor = self.judge(found.decoded)
        return logits
