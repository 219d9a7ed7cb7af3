"""From logits at the network's stride to part masks: pixels are decided, then hang together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from partlab.masks import BoolMask, encode
from segmenter.data import Size
from segmenter.protocol import Detections

LARGEST = 1024  # long side in pixels at which pixels are decided; larger pictures are enlarged
BLOCK = 2**24  # logits at a time: 64 MB, however many parts there are
Box = tuple[int, int, int, int]
TRACE = 0.01  # parts that reach this nowhere are not averaged, and count as 0


@dataclass(frozen=True, slots=True)
class Asked:
    """Which parts are asked for: label of each row of logits.

    `outer` come after the background and share a softmax with it; of those only `allowed`
    positions may win a pixel (None: all). `inner` are decided each for itself.
    """

    outer: Sequence[int]
    inner: Sequence[int]
    allowed: Sequence[int] | None
    parts: int


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels that hang together: label, box x1, y1, x2, y2, mask, mean probabilities (K,)."""

    label: int
    box: Box
    mask: BoolMask
    probabilities: NDArray[np.float32]


def decided_at(size: Size) -> Size:
    """The size (height, width) at which a picture's pixels are decided."""
    scale = min(LARGEST / max(size), 1.0)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


@dataclass(frozen=True, slots=True)
class Enlarged:
    """Logits (n, h, w) of a padded picture, to be read at `size` in blocks of rows.

    `reach` is which share of the padded (height, width) the picture takes.
    """

    logits: Tensor
    reach: tuple[float, float]
    size: Size

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """(first row, (rows, *size)), bilinear, so many rows that memory stays bounded."""
        rows = max(BLOCK // (self.size[0] * self.size[1]), 1)
        for first in range(0, len(self.logits), rows):
            yield first, self._at(self.logits[first : first + rows])

    def _at(self, logits: Tensor) -> Tensor:
        y, x = (
            (torch.arange(side, device=logits.device) + 0.5) / side * share * 2 - 1
            for side, share in zip(self.size, self.reach, strict=True)
        )
        grid = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], -1)
        return F.grid_sample(
            logits[None], grid[None], padding_mode="border", align_corners=False
        )[0]  # fmt: skip


def regions(
    outer: Enlarged, inner: Enlarged, asked: Asked, *, threshold: float, smallest: float
) -> list[Region]:
    """All regions with a score of at least `threshold`, best first.

    `outer` has the background as row 0. Regions of a smaller share of the picture than `smallest`
    are dropped.
    """
    area = max(round(smallest * outer.size[0] * outer.size[1]), 1)
    found = [*_outer(outer, asked, area), *_inner(inner, asked, area)]
    kept = [one for one in found if one.probabilities[one.label] >= np.float32(threshold)]
    return sorted(kept, key=lambda one: -one.probabilities[one.label])


def detections(found: Sequence[Region], parts: int, at: Size, size: Size) -> Detections:
    """Regions decided at size `at`, as detections in an image of `size`."""
    scale = np.array([size[1] / at[1], size[0] / at[0]] * 2, np.float32)
    return Detections(
        np.array([one.box for one in found], np.float32).reshape(-1, 4) * scale,
        np.array([one.label for one in found], np.int64),
        np.array([one.probabilities[one.label] for one in found], np.float32),
        np.array([one.probabilities for one in found], np.float32).reshape(-1, parts),
        [encode(_grown(one.mask, size)) for one in found],
    )


def _grown(mask: BoolMask, size: Size) -> BoolMask:
    if mask.shape == size:
        return mask
    enlarged = cv2.resize(mask.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    return enlarged.astype(bool)


def _outer(logits: Enlarged, asked: Asked, area: int) -> list[Region]:
    """Regions of the parts that share a softmax; a vector holds what each part had there."""
    rows = range(len(asked.outer)) if asked.allowed is None else asked.allowed
    label = {at + 1: asked.outer[at] for at in rows}
    winner, total = _decided(logits, label)
    found = [
        (label[row], *piece)
        for row in np.unique(winner).tolist()
        if row > 0
        for piece in _pieces(winner == row, area)
    ]
    means = _means(logits, total, [mask for _, _, mask in found], label, asked.parts)
    return [Region(*one, mean) for one, mean in zip(found, means, strict=True)]


def _decided(logits: Enlarged, label: Mapping[int, int]) -> tuple[NDArray[np.int32], Tensor]:
    """(H, W) the winning row at each pixel, of the background and those with a label; and
    (H, W) the logarithm of what all rows together have there."""
    best = total = winner = None
    for first, block in logits.blocks():
        sum_ = block.logsumexp(0)
        total = sum_ if total is None else torch.logaddexp(total, sum_)
        rows = [at for at in range(len(block)) if first + at == 0 or first + at in label]
        if not rows:
            continue
        most, where = block[rows].max(0)
        row = torch.tensor(rows, device=block.device)[where] + first
        if best is None or winner is None:
            best, winner = most, row
        else:
            winner, best = torch.where(most > best, row, winner), torch.maximum(most, best)
    assert winner is not None
    assert total is not None
    return winner.int().cpu().numpy(), total


def _means(
    logits: Enlarged,
    total: Tensor,
    masks: Sequence[BoolMask],
    label: Mapping[int, int],
    parts: int,
) -> NDArray[np.float32]:
    """(masks, K) the mean probability of each labelled row in each mask; none overlap."""
    found = np.zeros((len(masks), parts), np.float32)
    number = np.zeros(logits.size, np.intp)
    for at, mask in enumerate(masks, 1):
        number[mask] = at
    pixels = np.bincount(number.ravel(), minlength=len(masks) + 1)[1:]
    for first, block in logits.blocks() if masks else ():
        shares = (block - total).exp()
        for at in (shares.flatten(1).amax(1) >= TRACE).nonzero()[:, 0].tolist():
            if first + at in label:
                share = shares[at].cpu().numpy().ravel()
                sums = np.bincount(number.ravel(), share, len(masks) + 1)[1:]
                found[:, label[first + at]] = sums / pixels
    return found


def _inner(logits: Enlarged, asked: Asked, area: int) -> list[Region]:
    """Regions of the parts that are decided each for itself; a vector holds its own part's."""
    found = []
    for first, block in logits.blocks():
        for at, share in enumerate(block.sigmoid().cpu().numpy()):
            for box, mask in _pieces(share > 0.5, area):
                mean = np.zeros(asked.parts, np.float32)
                label = asked.inner[first + at]
                mean[label] = share[mask].mean()
                found.append(Region(label, box, mask, mean))
    return found


def _pieces(mask: BoolMask, area: int) -> Iterator[tuple[Box, BoolMask]]:
    """What hangs together in a mask, corners included, of at least `area` pixels, and its box."""
    count, numbers, facts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    for at in range(1, count):
        left, top, width, height, pixels = facts[at].tolist()
        if pixels >= area:
            yield (left, top, left + width, top + height), numbers == at
