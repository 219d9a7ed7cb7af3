"""Regions that are neither part nor background: crowds, and masks over an image's limit.

A target may carry `unsure` (H, W), as `segmenter.data` makes it. An anchor or proposal that
lies mostly in such a region and matches no part must not be learnt as background.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

INSIDE = 0.5  # share of a box, as COCO counts a detection in a crowd


def covered(boxes: Tensor, region: Tensor) -> Tensor:
    """Share (N,) of each box x1, y1, x2, y2 that lies in the region (H, W).

    What of a box is outside the picture does not count; a box all outside has share 0.
    """
    height, width = region.shape
    sums = F.pad(region.float().cumsum(0).cumsum(1), (1, 0, 1, 0))
    x1, x2 = (boxes[:, at].round().long().clamp(0, width) for at in (0, 2))
    y1, y2 = (boxes[:, at].round().long().clamp(0, height) for at in (1, 3))
    inside = sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1]
    share: Tensor = inside / ((x2 - x1) * (y2 - y1)).clamp(min=1)
    return share


def is_unsure(boxes: Tensor, region: Tensor | None) -> Tensor:
    """Which boxes (N,) lie mostly in a target's region, if it has one."""
    if region is None or not region.numel():
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    return covered(boxes, region) > INSIDE


def learnable(boxes: Tensor, target: Mapping[str, Tensor]) -> Tensor:
    """Which boxes (N,) may be sampled: those not in the unsure region, and those of parts."""
    return ~is_unsure(boxes, target.get("unsure")) | _matches(boxes, target["boxes"])


def without_unsure(
    proposals: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]
) -> list[Tensor]:
    """Proposals of each image less those in its unsure region that match no part."""
    return [
        boxes[learnable(boxes, target)] for boxes, target in zip(proposals, targets, strict=True)
    ]


def _matches(boxes: Tensor, parts: Tensor) -> Tensor:
    if not len(parts):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    matched: Tensor = box_iou(boxes, parts.to(boxes.dtype)).amax(1) >= 0.5
    return matched


class PartRPN(RegionProposalNetwork):  # type: ignore[misc]  # torchvision has no types
    """torchvision's, but anchors in unsure regions are no negatives."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Labels of each image's anchors (1 part, 0 background, -1 neither) and their boxes."""
        found: tuple[list[Any], list[Tensor]] = super().assign_targets_to_anchors(anchors, targets)
        for labels, boxes, target in zip(found[0], anchors, targets, strict=True):
            labels[(labels == 0) & is_unsure(boxes, target.get("unsure"))] = -1
        return found

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """torchvision's, and 0 instead of NaN where no anchor is either part or background."""
        if not torch.cat(labels).ge(0).any():
            return objectness.sum() * 0, pred_bbox_deltas.sum() * 0
        losses: tuple[Tensor, Tensor] = super().compute_loss(
            objectness, pred_bbox_deltas, labels, regression_targets
        )
        return losses
