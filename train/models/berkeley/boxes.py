"""Bounding-Box, `wbbox` in names (MD-08): the classifier reads where each part is and how large.

Boxes are soft, of the whole softmax mask of a part, so that the class loss reaches every pixel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.models.base import Body, Design, Outputs
from train.models.berkeley.base import PartModel
from train.models.berkeley.deeplab import DeepLab, Segmented
from train.models.berkeley.pooling import HIDDEN
from train.settings import ReadsConfig

PER_PART = 10
"""Numbers of a part after the convolution of `conv1d`."""
_LEAST = 1e-6


class Boxes(PartModel):
    """Five numbers of each part (four without `score`), a small classifier."""

    def __init__(
        self, network: DeepLab, body: Body, design: Design, reads: ReadsConfig, size: int
    ) -> None:
        super().__init__(network, body, design, reads, size)
        self.norm_img, self.score, self.centroid = reads.norm_img, reads.score, reads.centroid
        self._labels: Tensor | None = None
        numbers = 5 if reads.score else 4
        wide = (design.part_channels - 1) * (PER_PART if reads.conv1d else numbers)
        self.judge = nn.Sequential(
            EachPart(numbers) if reads.conv1d else nn.Identity(),
            nn.Flatten(),
            nn.BatchNorm1d(wide),
            nn.Linear(wide, HIDDEN),
            nn.ReLU(),
            nn.BatchNorm1d(HIDDEN),
            nn.Linear(HIDDEN, len(design.classes)),
        )

    def expect(self, labels: Tensor, known: Tensor) -> None:
        """Label maps (B, S, S) of the pictures that come next; what is not known has no centre."""
        self._labels = torch.where(known[:, None, None], labels, self.part_channels)

    def outputs(self, pixels: Tensor) -> Outputs:
        """As of every part model; with `centroid`, how far the centres are off while it learns."""
        outputs = super().outputs(pixels)
        labels = self._labels
        if not (self.centroid and self.training and labels is not None):
            return outputs
        if len(labels) != len(pixels):
            return outputs
        return outputs._replace(losses={"centroid": centroid_loss(outputs.parts[0], labels)})

    def classified(self, found: Segmented, pixels: Tensor) -> Tensor:
        """Class logits of the soft boxes alone."""
        boxes = soft_boxes(found.masks, norm_img=self.norm_img)
        logits: Tensor = self.judge(boxes if self.score else boxes[:, :, 1:])
        return logits


class EachPart(nn.Module):
    """The same linear map of the numbers of each part: (B, K, numbers) to (B, PER_PART, K)."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(numbers, PER_PART, 1)

    def forward(self, boxes: Tensor) -> Tensor:
        """Mixed numbers."""
        mixed: Tensor = self.mix(boxes.transpose(1, 2))
        return mixed


def soft_boxes(masks: Tensor, *, norm_img: bool) -> Tensor:
    """(B, K, 5) of part logits (B, K + 1, H, W): score, centre x and y, spread x and y.

    Centre and spread are mean and standard deviation of the places of a part's softmax mask, in
    pixels; with `norm_img` in −1…1 and 0…1. The score is the mean of a part's logits over the
    foreground, weighted by the sigmoid of all part logits together less the background's.
    """
    shares = F.softmax(masks, dim=1)[:, 1:]
    return torch.stack([_score(masks), *_places(shares, norm_img)], dim=2)


def centroid_loss(masks: Tensor, labels: Tensor) -> Tensor:
    """How far the centres of soft masks lie from those of the label map, squared (MD-08).

    The mean over all parts that a picture shows, x and y added, in shares of half the picture
    (−1…1). `masks` are part logits (B, K + 1, H, W), `labels` (B, H, W) with K + 1 where ignored.
    The released code compares x with y here, since it turns its target masks about.
    """
    parts = masks.shape[1] - 1
    true = F.one_hot(labels.long(), parts + 2)[..., 1 : parts + 1].permute(0, 3, 1, 2)
    shown = true.flatten(2).any(2)
    found, wanted = (
        torch.stack(_places(each, True)[:2], dim=2)[shown]
        for each in (F.softmax(masks, dim=1)[:, 1:], true.to(masks))
    )
    return (found - wanted).square().sum() / max(len(found), 1)


def _score(masks: Tensor) -> Tensor:
    above = torch.sigmoid(masks[:, 1:].sum(1, keepdim=True) - masks[:, :1])
    above = above / above.sum((2, 3), keepdim=True).clamp_min(_LEAST)
    return (masks[:, 1:] * above).sum((2, 3))


def _places(shares: Tensor, norm_img: bool) -> list[Tensor]:
    """Centre x, y and spread x, y, (B, K) each."""
    centres, spreads = [], []
    for along, side in ((2, shares.shape[3]), (3, shares.shape[2])):
        profile = shares.sum(along)
        profile = profile / (profile.sum(2, keepdim=True) + _LEAST)
        grid = torch.arange(side, device=shares.device, dtype=shares.dtype)
        centre = (profile * grid).sum(2)
        spread = (profile * (grid - centre[:, :, None]) ** 2).sum(2)
        spread = (spread + _LEAST).sqrt()  # at 0 the root has no slope, and the attack no way
        centres.append(centre / side * 2 - 1 if norm_img else centre)
        spreads.append(spread / side * 2 if norm_img else spread)
    return [*centres, *spreads]
