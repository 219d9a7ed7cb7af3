"""The default backend: Mask R-CNN of torchvision's pieces on a timm backbone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import (
    expand_boxes,
    expand_masks,
    paste_mask_in_image,
)

from partlab.config import validate
from partlab.masks import BoolMask, encode
from partlab.parts import Parts
from partlab.schema import Dataset
from partlab.training.amp import autocast
from partlab.training.checkpoints import load_weights
from segmenter.backbone import load_backbone_weights
from segmenter.data import fitted, pad_batch
from segmenter.fit import SegmenterConfig, TrainConfig, fit
from segmenter.network_segmenter import Labels, NetworkSegmenter, predicting, resized
from segmenter.part_rcnn import Found, ModelConfig, PartRCNN, Size
from segmenter.protocol import Detections, Pixels
from segmenter.runs import read_run

Paste = Callable[[Tensor, Tensor, Size], BoolMask]


class MaskRCNN(NetworkSegmenter):
    """A trained Mask R-CNN for parts (the `Segmenter` protocol)."""

    def build(self) -> Any:
        """The network; called once."""
        return PartRCNN(len(self.parts), self.config)

    def find(
        self,
        pictures: Sequence[Tensor],
        sizes: Sequence[Size],
        ways: Sequence[Sequence[Labels]],
        threshold: float,
    ) -> list[list[Detections]]:
        """See `NetworkSegmenter.find`; backbone and proposals are computed once."""
        batch, shapes = pad_batch(pictures)
        with self._turn, autocast(self.device, self.amp):
            features, proposals, _ = self.network.propose(self.normalised(batch), shapes)
            found = [
                self.network.roi_heads.find(features, proposals, shapes, each, threshold=threshold)
                for each in ways
            ]
        return [
            [detections(*own, self.paste) for own in zip(each, shapes, sizes, strict=True)]
            for each in found
        ]

    @torch.no_grad()
    def look(self, image: Pixels) -> tuple[dict[str, Tensor], Tensor, Size]:
        """Feature maps of one image, its proposals (P, 4), and the resolution these are of.

        For who asks the heads about places of its own, or trains one of them.
        """
        shape = fitted(image.shape[:2], self.config.image_size)
        batch, shapes = pad_batch([resized(image, shape)])
        with self._turn, autocast(self.device, self.amp):
            self.network.eval()
            features, (proposals,), _ = self.network.propose(self.normalised(batch), shapes)
        return features, proposals, shape

    def paste(self, mask: Tensor, box: Tensor, size: Size) -> BoolMask:
        """Mask probabilities (m, m) put into their box (4,): (height, width)."""
        return pasted(mask, box, size)


def detections(found: Found, shape: Size, size: Size, paste: Paste) -> Detections:
    """Bring detections from network resolution `shape` to the image's own `size`.

    One mask at a time is spread over the image: 60 masks of 12 megapixels are 720 MB.
    """
    scale = torch.tensor([size[1] / shape[1], size[0] / shape[0]] * 2)
    boxes, masks = found.boxes.float().cpu() * scale, found.masks.cpu()
    return Detections(
        boxes.numpy(),
        found.labels.cpu().numpy(),
        found.scores.cpu().numpy(),
        found.probabilities.cpu().numpy(),
        [encode(paste(mask, box, size)) for mask, box in zip(masks, boxes, strict=True)],
    )


def pasted(mask: Tensor, box: Tensor, size: Size) -> BoolMask:
    """torchvision's `paste_masks_in_image` for one mask, taking memory for its box alone."""
    padded, scale = expand_masks(mask[None, None], padding=1)
    (whole,) = expand_boxes(box[None], scale).to(torch.int64)
    left, top, right, bottom = whole.tolist()
    x, y = min(max(left, 0), size[1]), min(max(top, 0), size[0])
    width, height = max(min(right + 1, size[1]) - x, 0), max(min(bottom + 1, size[0]) - y, 0)
    shifted = whole - torch.tensor([x, y, x, y])
    inside = paste_mask_in_image(padded[0, 0], shifted, height, width) > 0.5
    placed = np.zeros(size, bool)
    placed[y : y + height, x : x + width] = inside.numpy()
    return placed


def light() -> SegmenterConfig:
    """The default: EfficientNet-Lite0 with packaged ImageNet weights, 288 pixels; fits a CPU."""
    return SegmenterConfig()


def small() -> SegmenterConfig:
    """Minutes on two cores: 128 pixels and narrow heads, for generated worlds and tests."""
    model = ModelConfig(
        image_size=128, channels=64, box_features=256, mask_channels=48, rois=48, proposals=100
    )
    return SegmenterConfig(
        model=model, train=TrainConfig(epochs=8, batch_size=4, lr=1e-3, workers=0, val_images=40)
    )


def resnet50() -> SegmenterConfig:
    """ResNet-50 at the authors' size (long side 500, App. B1) for one or more GPUs."""
    model = ModelConfig(
        backbone="resnet50",
        weights="timm",
        channels=256,
        image_size=500,
        box_features=1024,
        mask_channels=256,
        mask_layers=4,
        rois=128,
    )
    return SegmenterConfig(
        model=model, train=TrainConfig(epochs=24, batch_size=16, lr=4e-4, workers=8)
    )


class TorchvisionBackend:
    """Trains and loads `MaskRCNN` (the `Backend` protocol)."""

    settings = SegmenterConfig
    recipes: ClassVar = {"light": light, "small": small, "resnet50": resnet50}
    goes_on = True
    """`train.start` is obeyed; other backends begin anew."""

    def fit(
        self,
        train: Dataset,
        val: Dataset | None,
        run: Path,
        config: Any,
    ) -> None:
        """Train into `run`, or go on with an unfinished run of the same settings."""

        def create(device: str) -> MaskRCNN:
            segmenter = MaskRCNN(train.parts, config.model, device, amp=config.train.amp)
            body = segmenter.network.pyramid.body
            load_backbone_weights(body, config.model.backbone, config.model.weights)
            return segmenter

        fit(create, train, val, run, config, backend="torchvision")

    def load(self, run: Path, *, checkpoint: str = "best", device: str | None = None) -> MaskRCNN:
        """The segmenter of a run folder.

        Raises:
            NotFoundError: the run has no such checkpoint (yet).
            DatasetError: the checkpoint is damaged, or belongs to another run.
        """
        description = read_run(run)
        where = str(run / "config.json")
        config = validate(SegmenterConfig, description["config"], where)
        parts = Parts.of(description["names"], description.get("inclusions"))
        segmenter = MaskRCNN(parts, config.model, device, amp=predicting(config.train.amp))
        load_weights(segmenter.network, run, checkpoint)
        segmenter.weights = run / f"{checkpoint}.safetensors"
        return segmenter


backend = TorchvisionBackend()
