"""Faster R-CNN with a feature pyramid, from torchvision's pieces, of pictures in 0…1 (G-05)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads

from segmenter.backbone import Pyramid, freeze
from segmenter.part_rcnn import Size, Targets, proposal_network, roi_pool
from segmenter.unsure import without_unsure
from train.attacks.modes import as_evaluated
from train.detection.body import Body, Start
from train.detection.settings import DetectorModel
from train.models.base import Normalise

Losses = dict[str, Tensor]


class BoxHeads(RoIHeads):  # type: ignore[misc]  # torchvision has no types
    """torchvision's box heads; crowd regions are no background, and losses are soft-clipped."""

    def __init__(self, pyramid: Pyramid, classes: int, config: DetectorModel) -> None:
        super().__init__(
            box_roi_pool=roi_pool(pyramid.strides[:-1], 7),
            box_head=TwoMLPHead(pyramid.channels * 49, config.box_features),
            box_predictor=FastRCNNPredictor(config.box_features, classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=config.rois,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=config.score_threshold,
            nms_thresh=config.nms_threshold,
            detections_per_img=config.detections,
        )
        self.clip = config.clip

    def losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[Size],
        targets: Targets,
    ) -> Losses:
        """torchvision's `fastrcnn_loss` of one batch, of losses that were clipped each."""
        proposals = without_unsure(proposals, targets)
        proposals, _, labels, deltas = self.select_training_samples(proposals, targets)
        vectors = self.box_head(self.box_roi_pool(features, proposals, sizes))
        logits, moves = (each.float() for each in self.box_predictor(vectors))
        wanted = torch.cat(labels)
        inside = wanted > 0
        own = moves.reshape(len(wanted), -1, 4)[inside, wanted[inside]]
        classes = F.cross_entropy(logits, wanted, reduction="none")
        boxes = F.smooth_l1_loss(own, torch.cat(deltas)[inside], beta=1 / 9, reduction="none")
        count = max(len(wanted), 1)
        return {
            "classifier": soft_clipped(classes, self.clip).sum() / count,
            "box": soft_clipped(boxes, self.clip).sum() / count,
        }


def soft_clipped(losses: Tensor, most: float | None) -> Tensor:
    """Losses above `most` become it and keep their direction: gradients shrink, none is 0.

    Li et al.'s released code: free adversarial training meets regions that are hopeless.
    """
    if most is None:
        return losses
    return losses * (most / losses.detach().clamp(min=most))


class Detector(nn.Module):
    """Finds objects of `classes`, whose labels are 1, 2, …; 0 is background.

    Pictures are (B, 3, H, W) in 0…1, padded right and below to multiples of 32 pixels; `sizes`
    are (height, width) without padding. Normalisation is a part of the network, so that an
    attack's ε is one of pictures (RK-03); padding is the mean colour whatever its pixels say, so
    that an attack cannot use it.
    """

    def __init__(
        self, network: nn.Module, start: Start, classes: Sequence[str], config: DetectorModel
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.normalise = Normalise(start.mean, start.std)
        body = Body(network, start.name, config.first_stride)
        freeze(body.network, config.frozen_stride if start.pretrained else 0)
        self.pyramid = Pyramid(
            body,
            body.strides,
            body.widths,
            channels=config.channels,
            freeze_norm=config.freeze_norm and start.pretrained,
        )
        many = (2 * config.proposals, config.proposals)
        self.rpn = proposal_network(
            self.pyramid, anchor=config.anchor, samples=256, training=many, testing=many
        )
        self.roi_heads = BoxHeads(self.pyramid, len(self.classes), config)

    def forward(self, images: Tensor, sizes: list[Size], targets: Targets) -> Losses:
        """Losses of a batch: objectness, proposal_box, classifier, box.

        They are those of training in any mode: anchors and regions are sampled with torch's
        generator, and only norms do as the mode says.
        """
        features, batch = self._features(images, sizes)
        with _in_training(self.rpn):
            proposals, found = self.rpn(batch, features, targets)
        return {
            "objectness": found["loss_objectness"],
            "proposal_box": found["loss_rpn_box_reg"],
            **self.roi_heads.losses(features, proposals, sizes, targets),
        }

    @torch.inference_mode()
    def find(self, images: Tensor, sizes: list[Size]) -> Targets:
        """Of each picture boxes (N, 4) as x1, y1, x2, y2 in its pixels, labels, scores."""
        with as_evaluated(self):
            features, batch = self._features(images, sizes)
            proposals, _ = self.rpn(batch, features)
            found: Targets = self.roi_heads(features, proposals, sizes)[0]
        return found

    def _features(self, images: Tensor, sizes: list[Size]) -> tuple[dict[str, Tensor], ImageList]:
        pixels = self.normalise(images) * _inside(images, sizes)
        features = {name: map.float() for name, map in self.pyramid(pixels).items()}
        return features, ImageList(pixels, sizes)


def _inside(images: Tensor, sizes: Sequence[Size]) -> Tensor:
    """1 in the pictures, 0 in the padding: (B, 1, H, W)."""
    inside = torch.zeros_like(images[:, :1])
    for each, (height, width) in zip(inside, sizes, strict=True):
        each[:, :height, :width] = 1
    return inside


@contextmanager
def _in_training(module: nn.Module) -> Iterator[None]:
    """The module itself in training mode, whatever the modules in it are in."""
    before = module.training
    module.training = True
    try:
        yield
    finally:
        module.training = before
