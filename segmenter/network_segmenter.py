"""What segmenters that run a network of their own share: from pictures to the network and back."""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from partlab.parts import Parts
from partlab.training.amp import autocast
from partlab.training.device import pick_device
from partlab.training.settings import Amp
from segmenter.backbone import normalisation
from segmenter.data import MULTIPLE, Size, fitted, pad_batch, resize
from segmenter.objects import Objects, allowed_each
from segmenter.protocol import Detections, Pixels, SegmenterBase

Labels = Sequence[int] | None
"""What an image may hold; None: anything."""


class NetworkSegmenter(SegmenterBase):
    """A segmenter with a network and its settings (the `Segmenter` protocol).

    `amp` says how exactly it computes: "off" in float32, "bf16" in bfloat16 where that is
    enough, "auto" the latter on a GPU only. Its settings have a `backbone`, an `image_size` (long
    side in pixels) and a `score_threshold`; its network a `pyramid.body`.
    """

    def __init__(
        self, parts: Parts, config: Any, device: str | None = None, *, amp: Amp = "auto"
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

    @abstractmethod
    def build(self) -> Any:
        """The network; called once."""

    @abstractmethod
    def find(
        self,
        pictures: Sequence[Tensor],
        sizes: Sequence[Size],
        ways: Sequence[Sequence[Labels]],
        threshold: float,
    ) -> list[list[Detections]]:
        """For each way (one filter for each picture) what is found in each picture.

        `pictures` (3, h, w) uint8 have one padded shape; `sizes` are those of the images that they
        were made of, which the detections are to have.
        """

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
        """Without and with the category filter; what both have in common is computed once."""
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
            small = [resized(images[i], shapes[i]) for i in group]
            filters = list(zip(*(ways[i] for i in group), strict=True))
            each = self.find(small, [sizes[i] for i in group], filters, floor)
            found.update(zip(group, map(list, zip(*each, strict=True)), strict=True))
        return [found[i] for i in range(len(images))]

    @torch.inference_mode()
    def features(self, images: Sequence[Pixels]) -> NDArray[np.float32]:
        """What the backbone sees in each image, (N, D): its coarsest map, averaged; length 1."""
        self.network.eval()
        found = []
        for image in images:
            small = resized(image, fitted(image.shape[:2], self.config.image_size))
            batch, _ = pad_batch([small])
            with self._turn, autocast(self.device, self.amp):
                coarsest = self.network.pyramid.body(self.normalised(batch))[-1]
            seen = coarsest[
                0, :, : -(-small.shape[1] // MULTIPLE), : -(-small.shape[2] // MULTIPLE)
            ]
            found.append(F.normalize(seen.float().mean((1, 2)), dim=0).cpu().numpy())
        return np.stack(found) if found else np.zeros((0, 0), np.float32)


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


def resized(image: Pixels, shape: Size) -> Tensor:
    """(3, *shape) uint8 of an image (height, width, 3)."""
    return resize(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1), shape)


def predicting(amp: Amp) -> Amp:
    """How exactly a run that was trained so predicts: bfloat16 on a GPU, never where it was off.

    On a CPU it may be slower than float32, and a run may have been trained elsewhere.
    """
    return "off" if amp == "off" else "auto"
