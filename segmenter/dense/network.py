"""A feature pyramid, decoded to one map at its finest stride, and a logit for each wanted part."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from partlab.parts import Parts
from segmenter.backbone import Pyramid
from segmenter.data import Size
from segmenter.dense.loss import losses
from segmenter.dense.settings import DenseModelConfig
from segmenter.network_segmenter import Labels


class Decoder(nn.Module):
    """Every level brought to the finest stride and added up (the semantic half of Panoptic FPN).

    Args:
        strides: of the levels, fine to coarse.
        channels: of each level.
        width: of the map that comes out, (B, width, H, W) at the finest stride.
    """

    def __init__(self, strides: Sequence[int], channels: int, width: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            nn.ModuleList(
                _block(channels if at == 0 else width, width)
                for at in range(max((stride // strides[0]).bit_length() - 1, 1))
            )
            for stride in strides
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Levels (B, channels, h, w), fine to coarse."""
        found = [self._raised(*pair) for pair in zip(levels, self.steps, strict=True)]
        size = found[0].shape[-2:]
        return torch.stack([_enlarged(each, size) for each in found]).sum(0)

    def _raised(self, level: Tensor, steps: nn.Module) -> Tensor:
        assert isinstance(steps, nn.ModuleList)
        for at, step in enumerate(steps):
            level = step(level if at == 0 else _doubled(level))
        return level


class DenseNetwork(nn.Module):
    """Pixels to a map of features, and features to logits of the parts that are asked for.

    Row 0 of `weight` is the background, row k + 1 the part of label k. Parts that lie in others
    (`inner`) are decided each for itself, so that the part around keeps its pixels; all others
    share the pixels with the background. With thousands of parts only the rows asked for are
    computed, so K = 3,310 costs what the image's own parts cost.
    """

    part_rows: ClassVar = {"weight": 1, "bias": 1, "hints": 0}
    """Tensors with a row for each part, and the rows before those (see `segmenter.carry`)."""

    def __init__(self, parts: Parts, config: DenseModelConfig) -> None:
        super().__init__()
        self.pyramid = Pyramid.of(
            config.backbone,
            first_stride=config.first_stride,
            channels=config.channels,
            freeze_norm=config.freeze_norm,
            frozen_stride=config.frozen_stride if config.weights != "none" else 0,
        )
        width = config.width
        self.stride = self.pyramid.strides[0]
        self.decoder = Decoder(self.pyramid.strides[:-1], config.channels, width)
        self.hints = nn.Parameter(torch.randn(len(parts) if config.object_input else 0, width))
        self.told = nn.Linear(width, 2 * width)
        self.last, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), _norm(width)
        self.weight = nn.Parameter(torch.randn(len(parts) + 1, width) * 0.01)
        self.bias = nn.Parameter(torch.zeros(len(parts) + 1))
        self.parts, self.config = parts, config
        self.inner = frozenset(parts.parents)
        self.own = {label: own for own in parts.by_object.values() for label in own}
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(
        self, images: Tensor, _sizes: Sequence[Size], targets: Sequence[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Training losses of one batch of normalised images (B, 3, H, W); labels are 1-based.

        Of a share of images (`untold`) it is not told what they show, so that it can also do
        without: then all parts share the softmax.
        """
        untold = (torch.rand(len(targets)) < self.config.untold).tolist()
        told = [
            None if without else self.shown(target["labels"] - 1)
            for target, without in zip(targets, untold, strict=True)
        ]
        filtered = told if self.config.category_filter == "before" else [None] * len(told)
        found = losses(self, self.features(self.seen(images), told), filtered, targets)
        return {**found, "dice": self.config.dice * found["dice"]}

    def shown(self, labels: Tensor) -> Labels:
        """All parts of the objects that some of these parts belong to."""
        return tuple(sorted({own for label in set(labels.tolist()) for own in self.own[label]}))

    def seen(self, images: Tensor) -> Tensor:
        """What the decoder makes of normalised images (B, 3, H, W), whatever they may show."""
        levels = self.pyramid(images)
        seen: Tensor = self.decoder([levels[str(at)] for at in range(len(levels) - 1)])
        return seen

    def features(self, seen: Tensor, allowed: Sequence[Labels]) -> Tensor:
        """(B, width, h, w) at `stride`, knowing which parts each image may hold.

        The object category comes in as the mean of its parts' hints: several categories are
        more parts, and a new part or another name changes nothing else.
        """
        scale, shift = self.told(self._hint(seen, allowed)).chunk(2, dim=1)
        told = self.norm(self.last(seen)) * (1 + scale[..., None, None]) + shift[..., None, None]
        return F.relu(told)

    def logits(self, features: Tensor, rows: Sequence[int]) -> Tensor:
        """(len(rows), h, w) of one image's features (width, h, w), in float32."""
        chosen = torch.tensor(list(rows), dtype=torch.long, device=features.device)
        found = torch.einsum("chw,kc->khw", features.float(), self.weight[chosen])
        return found + self.bias[chosen, None, None]

    def outer(self, allowed: Labels) -> tuple[int, ...]:
        """The labels among those allowed that share the pixels with the background."""
        return tuple(k for k in self._of(allowed) if k not in self.inner)

    def inside(self, allowed: Labels) -> tuple[int, ...]:
        """The labels among those allowed that are decided each for itself."""
        return tuple(k for k in self._of(allowed) if k in self.inner)

    def _of(self, allowed: Labels) -> Sequence[int]:
        return range(len(self.parts)) if allowed is None else allowed

    def _hint(self, seen: Tensor, allowed: Sequence[Labels]) -> Tensor:
        nothing = self.weight.new_zeros(self.weight.shape[1])
        means = [
            self.hints[list(own)].mean(0) if own and len(self.hints) else nothing for own in allowed
        ]
        unused = self.hints.sum() * 0  # several processes must each have a gradient of it
        return (torch.stack(means) + unused).to(seen.dtype)


def _block(channels: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False), _norm(width), nn.ReLU(inplace=True)
    )


def _norm(width: int) -> nn.Module:
    return nn.GroupNorm(16, width)


def _doubled(level: Tensor) -> Tensor:
    return F.interpolate(level, scale_factor=2, mode="bilinear", align_corners=False)


def _enlarged(level: Tensor, size: torch.Size) -> Tensor:
    if level.shape[-2:] == size:
        return level
    return F.interpolate(level, size=tuple(size), mode="bilinear", align_corners=False)
