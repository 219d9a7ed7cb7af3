"""What every recognition model is: pictures in, class logits out, part logits if asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from partlab.errors import ConfigError
from train.settings import DetectorConfig


class Outputs(NamedTuple):
    """Class logits (B, C), and part logits (B, channels, h, w) each, fine to coarse.

    `losses`: what a model that is told its label maps says of its parts itself, by name.
    """

    logits: Tensor
    parts: tuple[Tensor, ...]
    losses: Mapping[str, Tensor] = {}


@dataclass(frozen=True, slots=True)
class Features:
    """The last three resolutions of a backbone, fine to coarse.

    `indices` are their places among timm's intermediates; strides are in pixels of the picture.
    """

    indices: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Body:
    """What is known of a timm classification network.

    `mean` and `std` are those of its pictures, of RGB in 0…1; `classifier` names the layers
    that give the logits, one in nearly every network. `gelu`: asked for in place of ReLU.
    """

    name: str
    features: Features
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classifier: tuple[str, ...]
    gelu: bool = False


@dataclass(frozen=True, slots=True)
class Design:
    """What a kind needs besides its backbone.

    `part_channels` counts background too: K + 1 parts, C + 1 objects, or 2 (foreground).
    `levels`, `top_down` and `detector` are the settings of `ModelConfig`.
    """

    classes: tuple[str, ...]
    parts: tuple[str, ...] = ()
    part_channels: int = 0
    levels: int = 3
    top_down: bool = True
    detector: DetectorConfig = field(default_factory=DetectorConfig)


class Normalise(nn.Module):
    """Pictures (B, 3, H, W) in 0…1 as the backbone knows them.

    Kept with the weights: what a checkpoint computes does not depend on timm's version.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Zero mean and unit deviation over the pictures the backbone was made for."""
        if not images.is_floating_point():
            raise ConfigError(
                f"pictures of {images.dtype} were given to a recognition model",
                hint="give colours as floats between 0 and 1: images.float() / 255",
            )
        return (images - self.mean) / self.std


class Recognizer(nn.Module):
    """Says which object a picture shows; some kinds also say where its parts are.

    classes: object categories, by output.
    parts: `object:part`, by part channel less one; () if the part outputs are not of parts.
    part_channels: of the part outputs, background included; 0 without part outputs.
    part_strides: of the part outputs, fine to coarse, in pixels of the picture.
    finest_stride: of the finest of the backbone's last three resolutions; label maps have side
        size // finest_stride, whatever the model puts out.
    smallest_batch: pictures at once that it can learn from.
    """

    kind: str = "vanilla"
    smallest_batch: int = 1
    part_strides: tuple[int, ...] = ()

    part_channels: int = 0

    def __init__(self, network: Any, body: Body, design: Design) -> None:
        super().__init__()
        self.body = body
        self.classes = design.classes
        self.parts = design.parts
        self.finest_stride = body.features.strides[0]
        self.normalise = Normalise(body.mean, body.std)
        self.backbone = network

    def forward(self, images: Tensor, *, parts: bool = False) -> Tensor | Outputs:
        """Logits (B, C) of pictures (B, 3, H, W) in 0…1 (RK-03); `Outputs` if `parts`.

        Without `parts` no auxiliary layer is computed (MD-03).
        """
        pixels = self.normalise(images)
        if parts:
            return self.outputs(pixels)
        logits: Tensor = self.backbone(pixels)
        return logits

    def outputs(self, pixels: Tensor) -> Outputs:
        """Everything the model says of normalised pictures."""
        return Outputs(self.backbone(pixels), ())

    def maps(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the classifier reads, and the features at the last three resolutions."""
        last, maps = self.backbone.forward_intermediates(
            pixels, indices=list(self.body.features.indices), output_fmt="NCHW"
        )
        return last, maps

    def embedded(self, pixels: Tensor) -> Tensor:
        """(B, D): pooled features of normalised pictures, what the class is made of at last."""
        features = self.backbone.forward_features(pixels)
        found: Tensor = self.backbone.forward_head(features, pre_logits=True)
        return found.flatten(1)

    def expect(self, labels: Tensor, known: Tensor) -> None:
        """Told before a step: label maps (B, S, S) of what parts are asked, and whose are known.

        Kinds whose outputs have `losses` need it, and one that reads masks; others need not know.
        """

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """Those that no pretrained backbone has: the classifier's and the auxiliary layers'."""
        ours = tuple(f"backbone.{name}." for name in self.body.classifier)
        for name, parameter in self.named_parameters():
            if not name.startswith("backbone.") or name.startswith(ours):
                yield parameter

    def plain(self) -> "Recognizer":
        """The network for inference: no auxiliary layers, bit-equal logits (MD-03).

        It shares its weights with this one.
        """
        return self
