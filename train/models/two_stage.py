"""The two-stage part model (MD-02): parts first, then the object from the parts alone.

The classifier never sees the picture, so nothing can be dropped for inference: with
thousands of parts it costs more than the backbone.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.models.base import Body, Design, Outputs, Recognizer
from train.models.mpm import separable, width_of

POOLED = 4
"""Side of the part map that the classifier reads (MD-07)."""


class TwoStage(Recognizer):
    """Part logits at the coarsest resolution; their softmax, shrunk to 4x4, is classified."""

    def __init__(self, network: Any, body: Body, design: Design) -> None:
        _behead(network, body)
        super().__init__(network, body, design)
        self.part_channels = design.part_channels
        self.part_strides = body.features.strides[-1:]
        wide = body.features.channels[-1]
        self.head = part_head(wide, design.part_channels)
        self.judge = judge(design.part_channels, wide, len(design.classes))

    def forward(self, images: Tensor, *, parts: bool = False) -> Tensor | Outputs:
        """As every recognition model; the part logits are computed either way."""
        outputs = self.outputs(self.normalise(images))
        return outputs if parts else outputs.logits

    def outputs(self, pixels: Tensor) -> Outputs:
        """Part logits, and class logits made of nothing else."""
        _, maps = self.maps(pixels)
        parts = self.head(maps[-1])
        return Outputs(self.judge(F.softmax(parts, dim=1)), (parts,))


def _behead(network: Any, body: Body) -> None:
    """Take off what comes after the last features: it would have no gradient."""
    network.prune_intermediate_layers(list(body.features.indices), prune_norm=True)
    for name in body.classifier:  # older timm left a normalisation in some heads
        setattr(network, name.split(".")[0], nn.Identity())


def part_head(channels: int, outputs: int) -> nn.Sequential:
    """Part logits of features: as in the bypass, with normalisation after the GELU."""
    activation, *convolutions = separable(channels, outputs)
    return nn.Sequential(activation, nn.BatchNorm2d(channels), *convolutions)


def judge(parts: int, wide: int, classes: int) -> nn.Sequential:
    """Class logits (B, classes) of part probabilities (B, parts, h, w)."""
    narrow = width_of(wide)
    return nn.Sequential(
        Shrink(),
        nn.Conv2d(parts, narrow, POOLED),
        nn.BatchNorm2d(narrow),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(narrow, wide),
        nn.BatchNorm1d(wide),
        nn.GELU(),
        nn.Linear(wide, classes),
    )


class Shrink(nn.Module):
    """Means over `number` x `number` cells of a map, as adaptive average pooling cuts them."""

    def __init__(self, number: int = POOLED) -> None:
        super().__init__()
        self.number = number

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C, number, number)."""
        if not torch.onnx.is_in_onnx_export():
            return F.adaptive_avg_pool2d(maps, self.number)
        rows, columns = (cells(int(side), self.number).to(maps) for side in maps.shape[-2:])
        return rows @ maps @ columns.T  # ONNX has no cells of different sizes


def cells(side: int, number: int = POOLED) -> Tensor:
    """(number, side) shares of each cell, whose rows add up to 1."""
    shares = torch.zeros(number, side)
    for cell in range(number):
        begin, end = cell * side // number, -(-(cell + 1) * side // number)
        shares[cell, begin:end] = 1 / (end - begin)
    return shares
