"""The default backend: Mask R-CNN of torchvision's pieces on a timm backbone."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
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
from partlab.training.device import pick_device
from partlab.training.settings import Amp
from segmenter.backbone import load_backbone_weights, normalisation
from segmenter.data import MULTIPLE, fitted, pad_batch, resize
from segmenter.fit import SegmenterConfig, TrainConfig, fit
from segmenter.objects import Objects, allowed_each
from segmenter.part_rcnn import Found, ModelConfig, PartRCNN, Size
from segmenter.protocol import Detections, Pixels, SegmenterBase
from segmenter.runs import read_run

Labels = Sequence[int] | None
Paste = Callable[[Tensor, Tensor, Size], BoolMask]


class MaskRCNN(SegmenterBase):
    """A trained part segmenter (the `Segmenter` protocol).

    `amp` says how exactly it computes: "off" in float32, "bf16" in bfloat16 where that is
    enough, "auto" the latter on a GPU only.
    """

    def __init__(
        self,
        parts: Parts,
        config: ModelConfig,
        device: str | None = None,
        *,
        amp: Amp = "auto",
    ) -> None:
        self.parts = parts
        self.config = config
        self.device = pick_device(device)
        self.amp = amp
        mean, std = self.colours()
        self.mean, self.std = (
            torch.tensor(values, device=self.device)[:, None, None] * 255 for values in (mean, std)
        )
        self.network = self.build().to(self.device).eval()
        self.weights: Path | None = None  # the checkpoint it was loaded from
        self._turn = Lock()  # some backbones keep features in themselves while they compute

    def build(self) -> Any:
        """The network; called once."""
        return PartRCNN(len(self.parts), self.config)

    def colours(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation that the network's pictures have, of RGB in 0…1."""
        return normalisation(self.config.backbone)

    def normalised(self, batch: Tensor) -> Tensor:
        """Device tensor the network wants, from (B, 3, H, W) uint8."""
        return (batch.to(self.device, non_blocking=True).float() - self.mean) / self.std

    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        """Find part masks; see `Segmenter.predict`."""
        allowed = allowed_each(self.parts, objects, len(images))
        return [found for (found,) in self._predict(images, [(a,) for a in allowed], threshold)]

    def predict_both(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects],
        *,
        threshold: float | None = None,
    ) -> tuple[list[Detections], list[Detections]]:
        """Without and with the category filter; backbone and proposals are computed once."""
        allowed = allowed_each(self.parts, objects, len(images))
        both = self._predict(images, [(None, own) for own in allowed], threshold)
        return [without for without, _ in both], [filtered for _, filtered in both]

    @torch.inference_mode()
    def _predict(
        self, images: Sequence[Pixels], ways: Sequence[Sequence[Labels]], threshold: float | None
    ) -> list[list[Detections]]:
        """For each image what is found in it in each of its ways (labels it may have)."""
        if self.network.training:  # between two steps of a training
            self.network.eval()
        floor = self.config.score_threshold if threshold is None else threshold
        sizes = [(int(image.shape[0]), int(image.shape[1])) for image in images]
        shapes = [fitted(size, self.config.image_size) for size in sizes]
        found: dict[int, list[Detections]] = {}
        for group in groups(shapes, alone=self.device.type == "cpu"):
            small = [_resized(images[i], shapes[i]) for i in group]
            filters = zip(*(ways[i] for i in group), strict=True)
            for i, *each in zip(group, *self._find(small, list(filters), floor), strict=True):
                found[i] = [detections(f, shapes[i], sizes[i], self.paste) for f in each]
        return [found[i] for i in range(len(images))]

    def _find(
        self, pictures: Sequence[Tensor], filters: Sequence[Sequence[Labels]], threshold: float
    ) -> list[list[Found]]:
        """Detections of pictures of one padded shape, under one filter after the other."""
        batch, shapes = pad_batch(pictures)
        with self._turn, autocast(self.device, self.amp):
            features, proposals, _ = self.network.propose(self.normalised(batch), shapes)
            return [
                self.network.roi_heads.find(features, proposals, shapes, each, threshold=threshold)
                for each in filters
            ]

    @torch.no_grad()
    def look(self, image: Pixels) -> tuple[dict[str, Tensor], Tensor, Size]:
        """Feature maps of one image, its proposals (P, 4), and the resolution these are of.

        For who asks the heads about places of its own, or trains one of them.
        """
        shape = fitted(image.shape[:2], self.config.image_size)
        batch, shapes = pad_batch([_resized(image, shape)])
        with self._turn, autocast(self.device, self.amp):
            self.network.eval()
            features, (proposals,), _ = self.network.propose(self.normalised(batch), shapes)
        return features, proposals, shape

    @torch.inference_mode()
    def features(self, images: Sequence[Pixels]) -> NDArray[np.float32]:
        """What the backbone sees in each image, (N, D): its coarsest map, averaged; length 1."""
        self.network.eval()
        found = []
        for image in images:
            small = _resized(image, fitted(image.shape[:2], self.config.image_size))
            batch, _ = pad_batch([small])
            with self._turn, autocast(self.device, self.amp):
                coarsest = self.network.pyramid.body(self.normalised(batch))[-1]
            seen = coarsest[
                0, :, : -(-small.shape[1] // MULTIPLE), : -(-small.shape[2] // MULTIPLE)
            ]
            found.append(F.normalize(seen.float().mean((1, 2)), dim=0).cpu().numpy())
        return np.stack(found) if found else np.zeros((0, 0), np.float32)

    def paste(self, mask: Tensor, box: Tensor, size: Size) -> BoolMask:
        """Mask probabilities (m, m) put into their box (4,): (height, width)."""
        return pasted(mask, box, size)


def groups(shapes: Sequence[Size], *, alone: bool) -> list[list[int]]:
    """Which images go through the network together: those of one padded shape.

    So none is padded for another's sake, which would change what is found at its borders. On a
    CPU each goes `alone`: that is as fast there, and libraries add in another order when there
    are more, so that only then scores are the same to the last bit whatever is beside them.
    """
    if alone:
        return [[position] for position in range(len(shapes))]
    found: defaultdict[Size, list[int]] = defaultdict(list)
    for position, (height, width) in enumerate(shapes):
        found[-(-height // MULTIPLE), -(-width // MULTIPLE)].append(position)
    return list(found.values())


def _resized(image: Pixels, shape: Size) -> Tensor:
    return resize(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1), shape)


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


def predicting(amp: Amp) -> Amp:
    """How exactly a run that was trained so predicts: bfloat16 on a GPU, never where it was off.

    On a CPU it may be slower than float32, and a run may have been trained elsewhere.
    """
    return "off" if amp == "off" else "auto"


backend = TorchvisionBackend()
