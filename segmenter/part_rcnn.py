"""Mask R-CNN for thousands of part categories (P-03), from torchvision's pieces.

Two departures from torchvision's own class keep 3,310 categories as cheap as one:
the mask head gathers the one filter it needs (`specific`; exact, see PartMaskHead), and box
regression is shared by all categories. The category filter acts inside the box head, on the
full probability vector, before thresholding and NMS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.roi_heads import RoIHeads, project_masks_on_boxes
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign, batched_nms, clip_boxes_to_image
from torchvision.ops.poolers import initLevelMapper

from partlab.config import Config
from segmenter.backbone import Pyramid
from segmenter.category_filter import LabelRule, candidates, category_filter
from segmenter.unsure import PartRPN, without_unsure

Size = tuple[int, int]
Targets = list[dict[str, Tensor]]


class ModelConfig(Config):
    """Shape of the network and what it keeps when it predicts."""

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "package"
    first_stride: Literal[4, 8] = 4
    channels: int = Field(96, ge=16)
    image_size: int = Field(288, ge=64)  # long side in pixels, aspect ratio kept
    box_features: int = Field(512, ge=16)
    mask_head: Literal["specific", "agnostic"] = "specific"
    mask_channels: int = Field(96, ge=8)
    mask_layers: int = Field(2, ge=1)
    rois: int = Field(64, ge=8)  # per image, in training
    proposals: int = Field(200, ge=10)  # per image, in prediction
    label_rule: LabelRule = "argmax"
    score_threshold: float = Field(0.05, ge=0, le=1)
    nms_threshold: float = Field(0.5, gt=0, le=1)
    detections: int = Field(100, ge=1)
    freeze_norm: bool = True
    frozen_stride: Literal[0, 2, 4, 8] = 4  # pretrained layers up to this stride stay as they are


@dataclass(frozen=True, slots=True)
class Found:
    """Detections of one image at network resolution; `masks` are (N, m, m) probabilities."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    probabilities: Tensor
    masks: Tensor


class PartMaskHead(nn.Module):
    """Mask logits (N, m, m) for N RoIs, each for its own label only.

    A dense head computes K maps per RoI and throws K - 1 away: at K = 3,310 that costs 2.8 GB
    an image. Gathering the filter of the wanted label first gives the same numbers.
    """

    def __init__(self, channels: int, width: int, layers: int, filters: int) -> None:
        super().__init__()
        self.convs = MaskRCNNHeads(channels, [width] * layers, 1)
        self.up = nn.ConvTranspose2d(width, width, 2, 2)
        self.weight = nn.Parameter(torch.empty(filters, width).normal_(std=0.001))
        self.bias = nn.Parameter(torch.zeros(filters))
        nn.init.kaiming_normal_(self.up.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, rois: Tensor, labels: Tensor) -> Tensor:
        """`rois` (N, C, s, s), 0-based `labels` (N,)."""
        chosen = labels if len(self.weight) > 1 else torch.zeros_like(labels)
        features = F.relu(self.up(self.convs(rois)))
        logits = torch.einsum("nchw,nc->nhw", features, self.weight[chosen])
        return logits + self.bias[chosen, None, None]


def roi_pool(strides: Sequence[int], side: int) -> MultiScaleRoIAlign:
    """Pools regions from maps "0", "1", … of these strides to (side, side).

    Left alone, torchvision guesses the scales from the first batch it sees, from sizes without
    padding against maps with it, and keeps the guess for every later batch.
    """
    pool = MultiScaleRoIAlign([str(level) for level in range(len(strides))], side, 2)
    pool.scales = [1 / stride for stride in strides]
    pool.map_levels = initLevelMapper(int(log2(strides[0])), int(log2(strides[-1])))
    return pool


def proposal_network(
    pyramid: Pyramid,
    *,
    anchor: float,
    samples: int,
    training: tuple[int, int],
    testing: tuple[int, int],
) -> PartRPN:
    """Proposals on every level of a pyramid, from anchors of a side of `anchor` strides.

    `training` and `testing` say how many an image has before and after suppression; of
    `samples` anchors an image its loss is calculated.
    """
    anchors = AnchorGenerator(
        tuple((round(anchor * stride),) for stride in pyramid.strides),
        ((0.5, 1.0, 2.0),) * len(pyramid.strides),
    )
    return PartRPN(
        anchors,
        RPNHead(pyramid.channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=samples,
        positive_fraction=0.5,
        pre_nms_top_n={"training": training[0], "testing": testing[0]},
        post_nms_top_n={"training": training[1], "testing": testing[1]},
        nms_thresh=0.7,
    )


class PartRoIHeads(RoIHeads):  # type: ignore[misc]  # torchvision has no types
    """Box and mask heads; sampling and matching are torchvision's."""

    def __init__(self, pyramid: Pyramid, parts: int, config: ModelConfig) -> None:
        super().__init__(
            box_roi_pool=roi_pool(pyramid.strides[:-1], 7),
            box_head=TwoMLPHead(pyramid.channels * 49, config.box_features),
            box_predictor=None,
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=config.rois,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=config.score_threshold,
            nms_thresh=config.nms_threshold,
            detections_per_img=config.detections,
            mask_roi_pool=roi_pool(pyramid.strides[:-1], 14),
        )
        self.classify = nn.Linear(config.box_features, parts + 1)  # column 0: background
        self.regress = nn.Linear(config.box_features, 4)
        filters = parts if config.mask_head == "specific" else 1
        self.part_masks = PartMaskHead(
            pyramid.channels, config.mask_channels, config.mask_layers, filters
        )
        self.label_rule: LabelRule = config.label_rule

    def has_mask(self) -> bool:
        """Targets must carry masks."""
        return True

    def losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[Size],
        targets: Targets,
    ) -> dict[str, Tensor]:
        """Classification, box and mask loss of one batch; target labels are 1-based."""
        proposals = without_unsure(proposals, targets)
        proposals, matched, labels, deltas = self.select_training_samples(proposals, targets)
        vectors = self.box_head(self.box_roi_pool(features, proposals, sizes))
        flat_labels = torch.cat(labels)
        inside = flat_labels > 0
        box = F.smooth_l1_loss(
            self.regress(vectors)[inside].float(),
            torch.cat(deltas)[inside],
            beta=1 / 9,
            reduction="sum",
        )
        logits, count = self.classify(vectors).float(), max(flat_labels.numel(), 1)
        return {
            "classifier": F.cross_entropy(logits, flat_labels, reduction="sum") / count,
            "box": box / count,
            "mask": self._mask_loss(features, proposals, sizes, matched, labels, targets),
        }

    def _mask_loss(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[Size],
        matched: list[Tensor],
        labels: list[Tensor],
        targets: Targets,
    ) -> Tensor:
        inside = [label > 0 for label in labels]
        boxes = [box[keep] for box, keep in zip(proposals, inside, strict=True)]
        wanted = torch.cat([lab[keep] for lab, keep in zip(labels, inside, strict=True)]) - 1
        logits = self.part_masks(self.mask_roi_pool(features, boxes, sizes), wanted).float()
        if len(logits) == 0:
            return torch.sum(logits)
        truth = [
            project_masks_on_boxes(target["masks"], box, index[keep], logits.shape[-1])
            for target, box, index, keep in zip(targets, boxes, matched, inside, strict=True)
            if len(box)
        ]
        loss: Tensor = F.binary_cross_entropy_with_logits(logits, torch.cat(truth))
        return loss

    def find(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[Size],
        allowed: Sequence[Sequence[int] | None],
        *,
        threshold: float,
    ) -> list[Found]:
        """Detections of each image under its own category filter, from `threshold` up."""
        counts = [len(boxes) for boxes in proposals]
        vectors = self.box_head(self.box_roi_pool(features, proposals, sizes))
        probabilities = self.classify(vectors).float().softmax(-1)[:, 1:].split(counts)
        boxes = self.box_coder.decode(self.regress(vectors).float(), proposals)
        boxes = boxes.reshape(-1, 4).split(counts)  # of no proposals torchvision makes shape (0,)
        kept = [
            self._select(*each, threshold=threshold)
            for each in zip(boxes, probabilities, sizes, allowed, strict=True)
        ]
        masks = self._masks(features, [k[0] for k in kept], [k[1] for k in kept], sizes)
        return [Found(*k, mask) for k, mask in zip(kept, masks, strict=True)]

    def _select(
        self,
        boxes: Tensor,
        probabilities: Tensor,
        size: Size,
        allowed: Sequence[int] | None,
        *,
        threshold: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        filtered = category_filter(probabilities, allowed)
        rows, labels, scores = candidates(filtered, rule=self.label_rule, threshold=threshold)
        boxes = clip_boxes_to_image(boxes[rows], size)
        wide = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(dim=1)
        rows, labels, scores, boxes = rows[wide], labels[wide], scores[wide], boxes[wide]
        keep = batched_nms(boxes, scores, labels, self.nms_thresh)[: self.detections_per_img]
        return boxes[keep], labels[keep], scores[keep], filtered[rows[keep]]

    def _masks(
        self,
        features: dict[str, Tensor],
        boxes: list[Tensor],
        labels: list[Tensor],
        sizes: list[Size],
    ) -> tuple[Tensor, ...]:
        rois = self.mask_roi_pool(features, boxes, sizes)
        masks: Tensor = self.part_masks(rois, torch.cat(labels)).float().sigmoid()
        return torch.split(masks, [len(box) for box in boxes])


class PartRCNN(nn.Module):
    """Backbone, proposals and heads; images come normalised and padded to one shape."""

    part_rows: ClassVar = {
        "roi_heads.classify.weight": 1,
        "roi_heads.classify.bias": 1,
        "roi_heads.part_masks.weight": 0,
        "roi_heads.part_masks.bias": 0,
    }
    """Tensors with a row for each part, and the rows before those (see `segmenter.carry`)."""

    def __init__(self, parts: int, config: ModelConfig) -> None:
        super().__init__()
        self.pyramid = Pyramid.of(
            config.backbone,
            first_stride=config.first_stride,
            channels=config.channels,
            freeze_norm=config.freeze_norm,
            frozen_stride=config.frozen_stride if config.weights != "none" else 0,
        )
        self.rpn = proposal_network(
            self.pyramid,
            anchor=4,
            samples=128,
            training=(600, 300),
            testing=(600, config.proposals),
        )
        self.roi_heads = PartRoIHeads(self.pyramid, parts, config)

    def propose(
        self, images: Tensor, sizes: list[Size], targets: Targets | None = None
    ) -> tuple[dict[str, Tensor], list[Tensor], dict[str, Tensor]]:
        """Features, proposals per image, and (in training) the proposal losses."""
        features = {name: map.float() for name, map in self.pyramid(images).items()}
        proposals, losses = self.rpn(ImageList(images, sizes), features, targets)
        return features, proposals, losses

    def forward(self, images: Tensor, sizes: list[Size], targets: Targets) -> dict[str, Tensor]:
        """Training losses of one batch (B, 3, H, W); `sizes` are (height, width) unpadded."""
        features, proposals, losses = self.propose(images, sizes, targets)
        found = self.roi_heads.losses(features, proposals, sizes, targets)
        return {
            "objectness": losses["loss_objectness"],
            "proposal_box": losses["loss_rpn_box_reg"],
            **found,
        }
