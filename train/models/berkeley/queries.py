"""`sim`, Mask DINO Simple (MD-16, MD-17): queries find parts, a matrix says whose parts they are.

Mask2Former of transformers **stands in for Mask DINO**, which transformers has not: the same
encoder with deformable attention, masks by query, losses and number of queries, but no denoising
queries, no boxes, and queries that are learnt, not picked by the encoder. Its operators are plain
torch, so it runs on any device.
"""

import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmenter.backbone import load_backbone_weights
from train.models.backbones import build_backbone, four_resolutions
from train.models.base import Body, Design, Outputs, Recognizer
from train.models.berkeley.detector import _transformers
from train.models.berkeley.pixel import part_to_class
from train.models.two_stage import _behead
from train.settings import ModelConfig, QueriesConfig

CLASS, MASK, DICE, NO_OBJECT = 4.0, 5.0, 5.0, 0.1
"""Weights of the released configuration's losses, and of queries that have found nothing."""
_LEAST = 1e-6


class Queried(NamedTuple):
    """What queries say of pictures (B, 3, S, S)."""

    parts: Tensor  # (B, Q, P + 1), logits; the last is "nothing"
    masks: Tensor  # (B, Q, S/4, S/4), logits
    loss: Tensor | None  # against the masks given


class Given(nn.Module):
    """Stands where Mask2Former has its backbone, and hands on the features of ours."""

    maps: Sequence[Tensor] = ()

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        """Features fine to coarse."""
        return SimpleNamespace(feature_maps=list(self.maps))


class Simple(Recognizer):
    """Mean over queries of part logits x part-to-class matrix; masks beside it.

    While it learns, it is told the label maps of the next pictures (`expect`), and its outputs
    have the masks' loss, over pictures that show parts. Once it has learnt, it gives part logits at
    every pixel, too: logs of how likely a part is there by all queries, and of what is left.
    """

    kind = "sim"

    def __init__(
        self, network: Any, body: Body, design: Design, asked: QueriesConfig, size: int
    ) -> None:
        _behead(network, body)
        super().__init__(network, body, design)
        self.finest_stride = 1
        self.part_channels, self.part_strides = design.part_channels, (1,)
        features = body.features
        self.queries = _mask2former(features.channels, features.strides, design, asked, size)
        table = part_to_class(design)
        if asked.matrix == "learned":
            self.matrix = nn.Parameter(table)
        else:
            self.register_buffer("matrix", table, persistent=False)
        self._labels: Tensor | None = None

    @classmethod
    def from_settings(cls, config: ModelConfig, design: Design, size: int | None) -> Self:
        """A new one, with the weights that the settings name for its backbone.

        Raises:
            BackendUnavailableError: transformers is not installed.
            UnknownNameError, ConfigError: as `build_backbone`; or a class has no part.
        """
        _transformers()
        classes = len(design.classes)
        network, body = build_backbone(config.backbone, classes, gelu=config.gelu, size=size)
        load_backbone_weights(network, config.backbone, config.weights, classifier=body.classifier)
        body = four_resolutions(network, body, size)
        return cls(network, body, design, config.masked, size or 224)

    def expect(self, labels: Tensor, known: Tensor) -> None:
        """Label maps (B, S, S) of the pictures that come next, and which of them are known (B,)."""
        told = known[:, None, None] & (labels != self.part_channels)
        self._labels = torch.where(told, labels, 0)

    def forward(self, images: Tensor, *, parts: bool = False) -> Tensor | Outputs:
        """As every recognition model; without `parts` no mask is put together."""
        pixels = self.normalise(images)
        if parts:
            return self.outputs(pixels)
        return self.classified(self.queried(pixels).parts)

    def outputs(self, pixels: Tensor) -> Outputs:
        """Class logits, and the masks' loss while it learns, part logits else."""
        if not self.training:
            found = self.queried(pixels)
            return Outputs(self.classified(found.parts), (self.painted(found, pixels),))
        found, loss = self._learning(pixels)
        return Outputs(self.classified(found.parts), (), {"masks": loss})

    def queried(self, pixels: Tensor, targets: "Targets | None" = None) -> Queried:
        """What the queries say of normalised pictures."""
        _, maps = self.maps(pixels)
        return _asked(self.queries, pixels, maps, targets)

    def classified(self, parts: Tensor) -> Tensor:
        """Class logits (B, C) of the queries' part logits (B, Q, P + 1): the mean of Q · M."""
        return class_logits(parts[..., :-1], self.matrix)

    def painted(self, found: Queried, pixels: Tensor) -> Tensor:
        """Part logits (B, P + 1, S, S), background first."""
        shares = torch.einsum("bqp,bqhw->bphw", found.parts.softmax(2)[..., :-1],
                              found.masks.sigmoid())  # fmt: skip
        nothing = (1 - shares.sum(1, keepdim=True)).clamp_min(0)
        logs = (torch.cat([nothing, shares], dim=1) + _LEAST).log()
        return F.interpolate(logs, size=pixels.shape[-2:], mode="bilinear", align_corners=False)

    def _learning(self, pixels: Tensor) -> tuple[Queried, Tensor]:
        """What the queries say, and a loss that every weight is in, as several processes need."""
        _, maps = self.maps(pixels)
        every = torch.stack([0 * each.sum() for each in self.queries.parameters()]).sum()
        labels = self._labels
        if labels is None or len(labels) != len(pixels) or not (labels != 0).any():
            return _asked(self.queries, pixels, maps, None), every
        at = (labels != 0).flatten(1).any(1).nonzero()[:, 0]
        targets = targets_of(labels[at])
        told = _asked(self.queries, pixels[at], [each[at] for each in maps], targets)
        whole = told if len(at) == len(pixels) else _asked(self.queries, pixels, maps, None)
        assert told.loss is not None
        return whole, every + told.loss


def class_logits(parts: Tensor, matrix: Tensor) -> Tensor:
    """(B, C): the mean over queries of B = Q · M, of Q (B, N, P) and M (P, C) (MD-16)."""
    return (parts @ matrix).mean(1)


class Targets(NamedTuple):
    """Of each picture: which parts it shows (n,), and where, (n, S, S) floats."""

    parts: list[Tensor]
    masks: list[Tensor]


def targets_of(labels: Tensor) -> Targets:
    """One mask for each part in label maps (B, S, S), 0 where there is none."""
    parts, masks = [], []
    for each in labels:
        found = each.unique()
        found = found[found != 0]
        parts.append(found.long() - 1)
        masks.append((each[None] == found[:, None, None]).float())
    return Targets(parts, masks)


def _asked(network: Any, pixels: Tensor, maps: Sequence[Tensor], targets: Any) -> Queried:
    """Mask2Former's answer on features of ours."""
    encoder = network.model.pixel_level_module.encoder
    encoder.maps = maps
    given = {} if targets is None else {"mask_labels": targets.masks, "class_labels": targets.parts}
    found = network(pixel_values=pixels, **given)
    encoder.maps = ()
    return Queried(found.class_queries_logits, found.masks_queries_logits, found.loss)


def _mask2former(
    channels: Sequence[int],
    strides: Sequence[int],
    design: Design,
    asked: QueriesConfig,
    size: int,
) -> Any:
    library = _transformers()
    unused = library.ResNetConfig(
        embedding_size=4,
        hidden_sizes=list(channels),
        depths=[1, 1, 1, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    quiet = logging.getLogger("transformers.models.mask2former.configuration_mask2former")
    quiet.setLevel(logging.ERROR)  # it warns of backbones that are not Swin
    config = library.Mask2FormerConfig(
        backbone_config=unused,
        num_labels=design.part_channels - 1,
        num_queries=asked.queries,
        decoder_layers=asked.layers + 1,  # it counts the queries before the first layer
        encoder_layers=asked.encoder,
        feature_size=asked.width,
        mask_feature_size=asked.width,
        hidden_dim=asked.width,
        encoder_feedforward_dim=4 * asked.width,
        dim_feedforward=8 * asked.width,
        feature_strides=list(strides),
        common_stride=strides[0],
        class_weight=CLASS,
        mask_weight=MASK,
        dice_weight=DICE,
        no_object_weight=NO_OBJECT,
        train_num_points=max((size // 2) ** 2, 16),  # 12,544 of 224 pixels, as published
    )
    network = library.Mask2FormerForUniversalSegmentation(config)
    network.model.pixel_level_module.encoder = Given()
    return network
