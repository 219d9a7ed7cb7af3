"""A detector of parts beside a timm network: RT-DETRv2 of transformers, for DINO (MD-13 … MD-15).

transformers has no DINO detector. RT-DETRv2 has DINO's two stages and its denoising queries, but
another encoder before the decoder, and learns scores as overlaps (varifocal loss), DINO as classes
alone (focal loss). Its operators are plain torch, so it runs on any device.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from partlab.errors import BackendUnavailableError
from segmenter.boxes import boxes_of_map
from train.settings import DetectorConfig

Targets = list[dict[str, Tensor]]


class Detected(NamedTuple):
    """What queries say: part logits (B, Q, K) and boxes (B, Q, 4), centre and size in 0…1."""

    logits: Tensor
    boxes: Tensor
    loss: Tensor | None  # against the targets given


class Given(nn.Module):
    """Stands where RT-DETRv2 has its backbone, and hands on the features of ours."""

    maps: Sequence[Tensor] = ()

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Features fine to coarse, each with a mask that nothing reads."""
        return [(each, pixel_mask) for each in self.maps]


class Detector(nn.Module):
    """RT-DETRv2 on given features of `channels` channels at three `strides`, for `parts` parts."""

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], parts: int, asked: DetectorConfig
    ) -> None:
        super().__init__()
        library = _transformers()
        unused = library.RTDetrResNetConfig(
            embedding_size=4,
            hidden_sizes=[4, *channels],
            depths=[1, 1, 1, 1],
            out_features=["stage2", "stage3", "stage4"],
        )
        config = library.RTDetrV2Config(
            backbone_config=unused,
            freeze_backbone_batch_norms=False,
            encoder_in_channels=list(channels),
            feat_strides=list(strides),
            num_labels=parts,
            num_queries=asked.queries,
            encoder_layers=asked.layers,
            decoder_layers=asked.layers,
            encoder_hidden_dim=asked.width,
            d_model=asked.width,
            decoder_in_channels=[asked.width] * 3,
            num_denoising=asked.denoising,
            anchor_image_size=None,
        )
        self.queries = asked.queries
        self.network = _network(library.RTDetrV2ForObjectDetection, config)
        self.network.model.backbone = Given()

    def forward(
        self, pixels: Tensor, maps: Sequence[Tensor], targets: Targets | None = None
    ) -> Detected:
        """What the queries say of features (B, C, h, w) of these pictures."""
        self.network.model.backbone.maps = maps
        found: Any = self.network(pixel_values=pixels, labels=targets)
        self.network.model.backbone.maps = ()
        own = slice(-self.queries, None)  # the first are denoising ones, while it learns
        return Detected(found.logits[:, own], found.pred_boxes[:, own], found.loss)


def _network(kind: Any, config: Any) -> Any:
    """With heads of its own for each decoder layer, as published.

    transformers shares their weights, which are then in a file twice, and stumbles over a single
    layer. It finds the loss by the name of the class.
    """
    network = type(kind.__name__, (kind,), {"_tied_weights_keys": {}})(config)
    decoder = network.model.decoder
    decoder.class_embed, decoder.bbox_embed = network.class_embed, network.bbox_embed
    del network.class_embed, network.bbox_embed  # only the decoder reads them
    return network


def targets_of(labels: Tensor, ignore: int) -> Targets:
    """Boxes of the connected pieces in label maps (B, S, S), as the detector learns them."""
    made = []
    for each in labels.cpu().numpy():
        found = boxes_of_map(each, ignored=ignore)
        parts = torch.tensor([box.label - 1 for box in found], dtype=torch.int64)
        boxes = torch.tensor([[*box.centre, *box.size] for box in found]).float().reshape(-1, 4)
        made.append({"class_labels": parts.to(labels.device), "boxes": boxes.to(labels.device)})
    return made


def _transformers() -> Any:
    try:
        return import_module("transformers")
    except ImportError:
        raise BackendUnavailableError(
            "transformers is not installed, which has the detectors",
            hint="pip install 'partlab[part-models]'",
        ) from None
