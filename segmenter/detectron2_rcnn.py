"""The detectron2 network for thousands of part categories; import only where it is installed.

Built from detectron2's classes directly: `detectron2.model_zoo` needs pkg_resources, which new
setuptools lack. Nothing here needs detectron2's compiled part.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.layers import ShapeSpec
from detectron2.layers.mask_ops import paste_masks_in_image
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import (
    FastRCNNConvFCHead,
    FastRCNNOutputLayers,
    MaskRCNNConvUpsampleHead,
    StandardROIHeads,
)
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference_single_image
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_inference, mask_rcnn_loss
from detectron2.structures import BitMasks, Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from partlab.errors import ConfigError, NotFoundError
from partlab.masks import BoolMask
from segmenter.category_filter import category_filter
from segmenter.detectron2_settings import Detectron2ModelConfig
from segmenter.network_segmenter import Labels
from segmenter.part_rcnn import Found, Size, Targets
from segmenter.torchvision_backend import MaskRCNN
from segmenter.unsure import is_unsure, learnable

LEVELS = ["p2", "p3", "p4", "p5"]
STRIDES = [4, 8, 16, 32, 64]


class PartOutputLayers(FastRCNNOutputLayers):  # type: ignore[misc]  # detectron2 has no types
    """Box head output with the category filter on the full vectors, before threshold and NMS."""

    label_rule = "argmax"

    def select(
        self,
        predictions: Any,
        proposals: list[Instances],
        allowed: Sequence[Labels],
        *,
        threshold: float,
    ) -> list[tuple[Instances, Tensor]]:
        """Each image's detections under its own filter, and the proposals they come from.

        As detectron2's `inference`, but nothing is kept in the network between two calls, and
        each detection has its whole probability vector (N, K) with it.
        """
        boxes = self.predict_boxes(predictions, proposals)
        vectors = self.predict_probs(predictions, proposals)
        return [
            self._one(box, filtered(vector, own), proposal.image_size, threshold)
            for box, vector, proposal, own in zip(boxes, vectors, proposals, allowed, strict=True)
        ]

    def _one(
        self, boxes: Tensor, vectors: Tensor, size: Size, threshold: float
    ) -> tuple[Instances, Tensor]:
        finite = torch.isfinite(boxes).all(dim=1) & torch.isfinite(vectors).all(dim=1)
        boxes, vectors = boxes[finite].float(), vectors[finite]
        # detectron2 wants scores above the threshold, we from it up; never a score of 0.
        below = max(float(np.nextafter(np.float32(threshold), np.float32(-1))), 0.0)
        instances, rows = fast_rcnn_inference_single_image(
            boxes,
            self._ranked(vectors),
            size,
            below,
            self.test_nms_thresh,
            self.test_topk_per_image,
        )
        instances.probabilities = vectors[rows, :-1]
        return instances, rows

    def _ranked(self, vectors: Tensor) -> Tensor:
        """With `argmax` a row keeps only its best part; all-zero rows go at any threshold."""
        if self.label_rule == "multi":
            return vectors
        best = torch.zeros_like(vectors)
        labels = vectors[:, :-1].argmax(dim=1, keepdim=True)
        return best.scatter_(1, labels, vectors.gather(1, labels))


def filtered(vectors: Tensor, allowed: Labels) -> Tensor:
    """The category filter on vectors (R, K + 1) whose last column, background, stays."""
    parts = category_filter(vectors[:, :-1].float(), allowed)
    return torch.cat([parts, vectors[:, -1:].float()], dim=1)


class PartMaskHead(MaskRCNNConvUpsampleHead):  # type: ignore[misc]
    """Mask logits for each RoI's own label only: exact, and as cheap as a class-agnostic head."""

    def forward(self, x: Tensor, instances: list[Instances]) -> Any:
        """Losses in training; in prediction `instances` with `pred_masks`."""
        for layer in self:
            x = x if layer is self.predictor else layer(x)
        labels = [i.gt_classes if self.training else i.pred_classes for i in instances]
        logits = self._own(x, torch.cat(labels))
        if self.training:
            return {"loss_mask": mask_rcnn_loss(logits, instances) * self.loss_weight}
        mask_rcnn_inference(logits, instances)
        return instances

    def _own(self, features: Tensor, labels: Tensor) -> Tensor:
        """(N, 1, m, m): one channel, which detectron2 takes as class-agnostic."""
        if self.predictor.weight.shape[0] == 1:
            labels = torch.zeros_like(labels)
        weight = self.predictor.weight[labels][:, :, 0, 0]
        logits = torch.einsum("nchw,nc->nhw", features, weight.to(features.dtype))
        own: Tensor = (logits + self.predictor.bias[labels, None, None])[:, None].float()
        return own


class PartRPN(RPN):  # type: ignore[misc]
    """detectron2's, but anchors in unsure regions (`segmenter.unsure`) are no negatives."""

    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Labels of each image's sampled anchors (1 part, 0 background, -1 neither)."""
        labels, boxes = super().label_and_sample_anchors(anchors, gt_instances)
        places = Boxes.cat(anchors).tensor
        for own, instances in zip(labels, gt_instances, strict=True):
            own[(own == 0) & is_unsure(places, instances._unsure)] = -1
        return labels, boxes


class PartROIHeads(StandardROIHeads):  # type: ignore[misc]
    """detectron2's heads, asked for one image's detections under its own filter."""

    def find(
        self,
        features: dict[str, Tensor],
        proposals: list[Instances],
        sizes: list[Size],
        allowed: Sequence[Labels],
        *,
        threshold: float,
    ) -> list[Found]:
        """Detections of each image under its own category filter, from `threshold` up."""
        maps = [features[name] for name in self.box_in_features]
        vectors = self.box_head(self.box_pooler(maps, [each.proposal_boxes for each in proposals]))
        kept = self.box_predictor.select(
            self.box_predictor(vectors), proposals, allowed, threshold=threshold
        )
        found = self.forward_with_given_boxes(features, [instances for instances, _ in kept])
        return [
            Found(
                each.pred_boxes.tensor,
                each.pred_classes,
                each.scores,
                each.probabilities,
                each.pred_masks[:, 0],
            )
            for each in found
        ]


class Detectron2RCNN(nn.Module):
    """Backbone, proposals and heads; images come normalised and padded to one shape."""

    def __init__(self, parts: int, config: Detectron2ModelConfig) -> None:
        super().__init__()
        self.backbone = _backbone(config)
        self.rpn = _proposals(config)
        self.roi_heads = _heads(parts, config)

    def propose(
        self, images: Tensor, sizes: list[Size], targets: Targets | None = None
    ) -> tuple[dict[str, Tensor], list[Instances], dict[str, Tensor]]:
        """Features, proposals per image, and (in training) the proposal losses."""
        features = {name: level.float() for name, level in self.backbone(images).items()}
        truth = _instances(targets, sizes) if targets is not None else None
        proposals, losses = self.rpn(ImageList(images, sizes), features, truth)
        return features, proposals, losses

    def forward(self, images: Tensor, sizes: list[Size], targets: Targets) -> dict[str, Tensor]:
        """Training losses of one batch (B, 3, H, W); `sizes` are (height, width) unpadded."""
        with EventStorage():  # detectron2 counts accuracies there; nobody reads them
            features, proposals, losses = self.propose(images, sizes, targets)
            proposals = [
                each[learnable(each.proposal_boxes.tensor, target)]
                for each, target in zip(proposals, targets, strict=True)
            ]
            _, found = self.roi_heads(None, features, proposals, _instances(targets, sizes))
        return {
            "objectness": losses["loss_rpn_cls"],
            "proposal_box": losses["loss_rpn_loc"],
            "classifier": found["loss_cls"],
            "box": found["loss_box_reg"],
            "mask": found["loss_mask"],
        }


class Detectron2MaskRCNN(MaskRCNN):
    """A trained part segmenter; resizing, batching and both-ways prediction are shared."""

    config: Any

    def build(self) -> Detectron2RCNN:
        """The network; called once."""
        return Detectron2RCNN(len(self.parts), self.config)

    def colours(self) -> tuple[Sequence[float], Sequence[float]]:
        """detectron2's mean and standard deviation, for RGB in 0…1."""
        mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
        return [value / 255 for value in mean], [value / 255 for value in std]

    def paste(self, mask: Tensor, box: Tensor, size: Size) -> BoolMask:
        """Mask probabilities (m, m) put into their box (4,): (height, width)."""
        whole: BoolMask = paste_masks_in_image(mask[None], box[None], size, threshold=0.5)[
            0
        ].numpy()
        return whole


def load_pretrained(network: nn.Module, weights: str) -> None:
    """Fill `network` from a file in detectron2's format, as far as names and shapes fit.

    Raises:
        NotFoundError: no such file.
        ConfigError: it is not a checkpoint, or nothing in it fits.
    """
    if weights == "none":
        return
    if not Path(weights).is_file():
        raise NotFoundError(f"no weights file {weights}", hint="or use model.weights=none")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        DetectionCheckpointer(network).load(weights)
    except Exception as error:  # pickle and detectron2 raise many kinds for a broken file
        raise ConfigError(f"{weights} is not a detectron2 checkpoint: {error}") from error
    after = network.state_dict()
    if all(torch.equal(value, after[name]) for name, value in before.items()):
        raise ConfigError(f"nothing in {weights} fits this network")


def _instances(targets: Targets, sizes: list[Size]) -> list[Instances]:
    """Our targets as detectron2's; labels become 0-based."""
    found = []
    for target, size in zip(targets, sizes, strict=True):
        instances = Instances(size)
        instances.gt_boxes = Boxes(target["boxes"])
        instances.gt_classes = target["labels"] - 1
        instances.gt_masks = BitMasks(target["masks"].bool())
        instances._unsure = target.get("unsure")  # no field: it has no row for each part
        found.append(instances)
    return found


def _backbone(config: Detectron2ModelConfig) -> nn.Module:
    norm = config.norm
    if norm == "auto":
        norm = "GN" if config.weights == "none" else "FrozenBN"
    shape = {} if config.depth < 50 else {"stride_in_1x1": False}
    body = ResNet(
        stem=BasicStem(in_channels=3, out_channels=64, norm=norm),
        stages=ResNet.make_default_stages(config.depth, norm=norm, **shape),
        out_features=["res2", "res3", "res4", "res5"],
        freeze_at=config.freeze_at,
    )
    pyramid: nn.Module = FPN(
        bottom_up=body,
        in_features=["res2", "res3", "res4", "res5"],
        out_channels=config.channels,
        norm="GN" if norm == "GN" else "",
        top_block=LastLevelMaxPool(),
    )
    return pyramid


def _proposals(config: Detectron2ModelConfig) -> nn.Module:
    network: nn.Module = PartRPN(
        in_features=[*LEVELS, "p6"],
        head=StandardRPNHead(in_channels=config.channels, num_anchors=3),
        anchor_generator=DefaultAnchorGenerator(
            sizes=[[4 * stride] for stride in STRIDES],  # parts are half as large as objects
            aspect_ratios=[0.5, 1.0, 2.0],
            strides=STRIDES,
            offset=0.0,
        ),
        anchor_matcher=Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        batch_size_per_image=128,
        positive_fraction=0.5,
        pre_nms_topk=(600, 600),
        post_nms_topk=(300, config.proposals),
        nms_thresh=0.7,
    )
    return network


def _heads(parts: int, config: Detectron2ModelConfig) -> PartROIHeads:
    box = ShapeSpec(channels=config.channels, height=7, width=7)
    predictor = PartOutputLayers(
        input_shape=ShapeSpec(channels=config.box_features),
        box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
        num_classes=parts,
        test_score_thresh=config.score_threshold,
        test_nms_thresh=config.nms_threshold,
        test_topk_per_image=config.detections,
        cls_agnostic_bbox_reg=config.box_regression == "agnostic",
        use_sigmoid_ce=config.loss == "sigmoid",
    )
    predictor.label_rule = config.label_rule
    return PartROIHeads(
        num_classes=parts,
        batch_size_per_image=config.rois,
        positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        box_in_features=LEVELS,
        box_pooler=_pooler(7),
        box_head=FastRCNNConvFCHead(
            input_shape=box, conv_dims=[], fc_dims=[config.box_features] * 2
        ),
        box_predictor=predictor,
        mask_in_features=LEVELS,
        mask_pooler=_pooler(14),
        mask_head=PartMaskHead(
            input_shape=ShapeSpec(channels=config.channels, width=14, height=14),
            num_classes=parts if config.mask_head == "specific" else 1,
            conv_dims=[config.mask_channels] * (config.mask_layers + 1),
        ),
    )


def _pooler(side: int) -> ROIPooler:
    return ROIPooler(
        output_size=side,
        scales=[1 / stride for stride in STRIDES[:4]],
        sampling_ratio=0,
        pooler_type="ROIAlignV2",
    )
