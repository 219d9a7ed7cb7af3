"""The default backend: Mask R-CNN of torchvision's pieces on a timm backbone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from partlab.config import validate
from partlab.masks import Rle, encode_many
from partlab.schema import Dataset
from partlab.training.checkpoints import load_weights
from partlab.training.device import pick_device
from segmenter.backbone import load_backbone_weights, normalisation
from segmenter.data import fitted, pad_batch, resize
from segmenter.fit import SegmenterConfig, TrainConfig, fit
from segmenter.part_rcnn import Found, ModelConfig, PartRCNN, Size
from segmenter.protocol import Detections, Pixels
from segmenter.runs import read_run

PASTE_PIXELS = 1 << 26  # masks of huge images are pasted a few at a time
Paste = Callable[[Tensor, Tensor, Size], Tensor]


class MaskRCNN:
    """A trained part segmenter (the `Segmenter` protocol)."""

    def __init__(
        self, names: Sequence[str], config: ModelConfig, device: str | None = None
    ) -> None:
        self.names = tuple(names)
        self.config = config
        self.device = pick_device(device)
        mean, std = normalisation(config.backbone)
        self.mean, self.std = (
            torch.tensor(values, device=self.device)[:, None, None] * 255 for values in (mean, std)
        )
        self.network = PartRCNN(len(self.names), config).to(self.device)

    def normalised(self, batch: Tensor) -> Tensor:
        """Device tensor the network wants, from (B, 3, H, W) uint8."""
        return (batch.to(self.device, non_blocking=True).float() - self.mean) / self.std

    @property
    def score_threshold(self) -> float:
        """Weaker detections are not reported; may be set, as evaluation does."""
        return float(self.network.roi_heads.score_thresh)

    @score_threshold.setter
    def score_threshold(self, threshold: float) -> None:
        self.network.roi_heads.score_thresh = threshold

    def predict(
        self, images: Sequence[Pixels], allowed: Sequence[Sequence[int] | None] | None = None
    ) -> list[Detections]:
        """Find part masks; see `Segmenter.predict`."""
        return self._predict(images, [allowed or [None] * len(images)])[0]

    def predict_both(
        self, images: Sequence[Pixels], allowed: Sequence[Sequence[int] | None]
    ) -> tuple[list[Detections], list[Detections]]:
        """Without and with the category filter; backbone and proposals are computed once."""
        without, filtered = self._predict(images, [[None] * len(images), allowed])
        return without, filtered

    @torch.inference_mode()
    def _predict(
        self, images: Sequence[Pixels], filters: Sequence[Sequence[Sequence[int] | None]]
    ) -> list[list[Detections]]:
        if not images:
            return [[] for _ in filters]
        self.network.eval()
        sizes = [(int(image.shape[0]), int(image.shape[1])) for image in images]
        small = [
            resize(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1), self._fit(size))
            for image, size in zip(images, sizes, strict=True)
        ]
        batch, shapes = pad_batch(small)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            features, proposals, _ = self.network.propose(self.normalised(batch), shapes)
            found = [
                self.network.roi_heads.find(features, proposals, shapes, each) for each in filters
            ]
        return [
            [
                detections(f, shape, size, self.paste)
                for f, shape, size in zip(one, shapes, sizes, strict=True)
            ]
            for one in found
        ]

    def paste(self, masks: Tensor, boxes: Tensor, size: Size) -> Tensor:
        """Mask probabilities (N, m, m) put into their boxes: bool (N, height, width)."""
        pasted: Tensor = paste_masks_in_image(masks[:, None], boxes, size)
        return pasted[:, 0] > 0.5

    def _fit(self, size: Size) -> Size:
        return fitted(size, self.config.image_size)


def detections(found: Found, shape: Size, size: Size, paste: Paste) -> Detections:
    """Bring detections from network resolution `shape` to the image's own `size`."""
    scale = torch.tensor([size[1] / shape[1], size[0] / shape[0]] * 2)
    boxes = found.boxes.float().cpu() * scale
    return Detections(
        boxes.numpy(),
        found.labels.cpu().numpy(),
        found.scores.cpu().numpy(),
        found.probabilities.cpu().numpy(),
        _pasted(found.masks.cpu(), boxes, size, paste),
    )


def _pasted(masks: Tensor, boxes: Tensor, size: Size, paste: Paste) -> list[Rle]:
    step = max(PASTE_PIXELS // (size[0] * size[1]), 1)
    rles: list[Rle] = []
    for start in range(0, len(masks), step):
        part = slice(start, start + step)
        rles += encode_many(paste(masks[part], boxes[part], size).numpy())
    return rles


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

    def fit(
        self,
        train: Dataset,
        val: Dataset | None,
        run: Path,
        config: Any,
    ) -> None:
        """Train into `run`, or go on with an unfinished run of the same settings."""

        def create(device: str) -> MaskRCNN:
            segmenter = MaskRCNN(train.names, config.model, device)
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
        segmenter = MaskRCNN(description["names"], config.model, device)
        load_weights(segmenter.network, run, checkpoint)
        return segmenter


backend = TorchvisionBackend()
