"""What a network makes of a picture once, and what its heads say about places in it."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from segmenter.part_rcnn import PartRCNN, Size
from segmenter.prompt.bend import FAR, Logits
from segmenter.protocol import Pixels
from segmenter.torchvision_backend import MaskRCNN

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Places:
    """Boxes (N, 4) in pixels of the picture, and how likely each part is in them (N, K)."""

    boxes: Floats
    probabilities: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    def of(self, chosen: NDArray[np.int64] | list[int]) -> "Places":
        """Some of them."""
        return Places(self.boxes[chosen], self.probabilities[chosen])

    def beside(self, other: "Places") -> "Places":
        """These and then the others."""
        return Places(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.probabilities, other.probabilities]),
        )


@dataclass(frozen=True, slots=True)
class Look:
    """Feature maps of a picture at the network's resolution `shape`, and what it proposes."""

    features: dict[str, Tensor]
    shape: Size
    size: Size  # (height, width) of the picture itself
    places: Places

    @property
    def nbytes(self) -> int:
        """Bytes of the maps and arrays."""
        maps = sum(map.numel() * map.element_size() for map in self.features.values())
        return maps + self.places.boxes.nbytes + self.places.probabilities.nbytes

    def scaled(self, boxes: Floats) -> Tensor:
        """Boxes of the picture at the network's resolution."""
        return torch.from_numpy(boxes / self._scale).float()

    @property
    def _scale(self) -> Floats:
        across, down = self.size[1] / self.shape[1], self.size[0] / self.shape[0]
        return np.array([across, down, across, down], np.float32)

    def unscaled(self, boxes: Tensor) -> Floats:
        """The reverse."""
        found: Floats = boxes.float().cpu().numpy() * self._scale
        return found


class Looker:
    """A trained Mask R-CNN, asked at places of one's own choice."""

    def __init__(self, segmenter: MaskRCNN) -> None:
        self.segmenter = segmenter
        network: PartRCNN = segmenter.network
        self.heads = network.roi_heads

    @torch.no_grad()
    def look(self, pixels: Pixels) -> Look:
        """The picture's feature maps, with the network's proposals as places."""
        features, proposals, shape = self.segmenter.look(pixels)
        empty = Places(np.zeros((0, 4), np.float32), np.zeros((0, 0), np.float32))
        bare = Look(features, shape, (int(pixels.shape[0]), int(pixels.shape[1])), empty)
        return Look(features, shape, bare.size, self.places(bare, proposals))

    @torch.no_grad()
    def places(self, look: Look, boxes: Tensor, *, refine: bool = True) -> Places:
        """What the box head says of boxes at the network's resolution, moved as it wants."""
        heads, boxes = self.heads, boxes.to(self.segmenter.device)
        vectors = heads.box_head(heads.box_roi_pool(look.features, [boxes], [look.shape]))
        probabilities = heads.classify(vectors).float().softmax(-1)[:, 1:]
        if refine:
            boxes = heads.box_coder.decode(heads.regress(vectors).float(), [boxes]).reshape(-1, 4)
        boxes = clip_boxes_to_image(boxes, look.shape)
        wide = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(dim=1)
        return Places(look.unscaled(boxes[wide]), probabilities[wide].cpu().numpy())

    @torch.no_grad()
    def masks(self, look: Look, boxes: Floats, labels: NDArray[np.int64]) -> Floats:
        """Mask logits (N, m, m) of boxes of the picture, each for its label."""
        rois = [look.scaled(boxes).to(self.segmenter.device)]
        pooled = self.heads.mask_roi_pool(look.features, rois, [look.shape])
        wanted = torch.from_numpy(labels).to(self.segmenter.device)
        found: Floats = self.heads.part_masks(pooled, wanted).float().cpu().numpy()
        return found


def spread(logits: Floats, box: Floats, size: Size) -> Logits:
    """Logits (m, m) of a box, put where it lies in a picture (height, width); FAR below outside."""
    whole = np.full(size, -FAR, np.float32)
    left, top = (max(int(np.floor(side)), 0) for side in box[:2])
    right, bottom = (int(np.ceil(side)) for side in box[2:])
    right, bottom = min(max(right, left + 1), size[1]), min(max(bottom, top + 1), size[0])
    x = (np.arange(left, right, dtype=np.float32) + 0.5 - box[0]) / (box[2] - box[0])
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - box[1]) / (box[3] - box[1])
    grid = torch.from_numpy(np.stack(np.meshgrid(2 * x - 1, 2 * y - 1), -1).astype(np.float32))
    inside = F.grid_sample(
        torch.from_numpy(logits)[None, None].clamp(-FAR, FAR),
        grid[None],
        padding_mode="border",
        align_corners=False,
    )
    whole[top:bottom, left:right] = inside[0, 0].numpy()
    return whole


def at_points(logits: Floats, boxes: Floats, points: Floats) -> Floats:
    """Logits (N, m, m) of N boxes at C points (C, 2) x, y: (N, C); FAR below outside a box."""
    side = logits.shape[-1]
    span = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    relative = (points[None] - boxes[:, None, :2]) / span[:, None]
    cells = np.clip((relative * side).astype(np.int64), 0, side - 1)
    values = logits[np.arange(len(boxes))[:, None], cells[..., 1], cells[..., 0]]
    inside = ((relative >= 0) & (relative < 1)).all(-1)
    found: Floats = np.where(inside, values, -FAR)
    return found
