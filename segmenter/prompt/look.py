"""What a network makes of a picture once, and what its heads say about places in it."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from segmenter.data import fitted, resize
from segmenter.part_rcnn import PartRCNN, Size
from segmenter.prompt.bend import FAR, Logits
from segmenter.protocol import Pixels
from segmenter.torchvision_backend import MaskRCNN

Floats = NDArray[np.float32]
_LONGEST = 1024  # pixels of a picture that is kept


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
    picture: Tensor  # (3, height, width) uint8, of the picture's size or smaller
    places: Places

    @property
    def nbytes(self) -> int:
        """Bytes of the maps and arrays."""
        maps = sum(map.numel() * map.element_size() for map in self.features.values())
        maps += self.picture.numel()
        return maps + self.places.boxes.nbytes + self.places.probabilities.nbytes

    def scaled(self, boxes: Floats) -> Tensor:
        """Boxes of the picture at the network's resolution."""
        return torch.from_numpy(boxes / self._scale).float()

    @property
    def _scale(self) -> Floats:
        across, down = self.size[1] / self.shape[1], self.size[0] / self.shape[0]
        return np.array([across, down, across, down], np.float32)

    def in_picture(self, boxes: Floats) -> Floats:
        """Boxes in pixels of `picture`."""
        found: Floats = boxes * (self.picture.shape[2] / self.size[1])
        return found

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
        size = (int(pixels.shape[0]), int(pixels.shape[1]))
        bare = Look(features, shape, size, _bounded(pixels), empty)
        return replace(bare, places=self.places(bare, proposals))

    @torch.no_grad()
    def places(self, look: Look, boxes: Tensor) -> Places:
        """What the box head says of boxes at the network's resolution, moved as it wants."""
        vectors, boxes = self._vectors(look, boxes)
        boxes = self.heads.box_coder.decode(self.heads.regress(vectors).float(), [boxes])
        boxes = clip_boxes_to_image(boxes.reshape(-1, 4), look.shape)
        wide = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(dim=1)
        return Places(look.unscaled(boxes[wide]), self._likely(vectors[wide]))

    @torch.no_grad()
    def likely(self, look: Look, boxes: Floats) -> Places:
        """What the box head says of boxes of the picture, which stay where they are."""
        vectors, _ = self._vectors(look, look.scaled(boxes))
        return Places(boxes, self._likely(vectors))

    def _vectors(self, look: Look, boxes: Tensor) -> tuple[Tensor, Tensor]:
        boxes = boxes.to(self.segmenter.device)
        pooled = self.heads.box_roi_pool(look.features, [boxes], [look.shape])
        return self.heads.box_head(pooled), boxes

    def _likely(self, vectors: Tensor) -> Floats:
        found: Floats = self.heads.classify(vectors).float().softmax(-1)[:, 1:].cpu().numpy()
        return found

    @torch.no_grad()
    def masks(self, look: Look, boxes: Floats, labels: NDArray[np.int64]) -> Floats:
        """Mask logits (N, m, m) of boxes of the picture, each for its label."""
        wanted = torch.from_numpy(labels).to(self.segmenter.device)
        masks = self.heads.part_masks(self.pooled(look, boxes), wanted)
        found: Floats = masks.float().cpu().numpy()
        return found

    def pooled(self, look: Look, boxes: Floats) -> Tensor:
        """What the mask head sees of boxes of the picture: (N, C, 14, 14)."""
        rois = [look.scaled(boxes).to(self.segmenter.device)]
        found: Tensor = self.heads.mask_roi_pool(look.features, rois, [look.shape])
        return found


def _bounded(pixels: Pixels) -> Tensor:
    """The picture as a tensor, its long side at most _LONGEST."""
    picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    longest = max(pixels.shape[:2])
    return picture if longest <= _LONGEST else resize(picture, fitted(pixels.shape[:2], _LONGEST))


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
