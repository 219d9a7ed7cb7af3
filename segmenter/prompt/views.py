"""Windows of a picture as the prompt head sees them, from clicks, a box and the last mask."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

from segmenter.prompt.bend import FAR
from segmenter.prompt.head import SIDE, Views
from segmenter.prompt.look import Floats, Look, Looker
from segmenter.prompt.prompts import Box, Click

MARGIN = 0.15  # of a box's sides, about it: room for clicks outside and for a mask that grows
_SPOT = 1.5  # standard deviation of a click in a window, in its cells


def windows_about(boxes: Floats) -> Floats:
    """The windows (N, 4) of boxes (N, 4): with a margin, no side thinner than a third."""
    middle, span = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    span = np.maximum(span, span.max(1, keepdims=True) / 3)
    half = np.maximum(span * (0.5 + MARGIN), 3.0)
    found: Floats = np.concatenate([middle - half, middle + half], 1).astype(np.float32)
    return found


def views_of(
    looker: Looker,
    look: Look,
    windows: Floats,
    clicks: Sequence[Sequence[Click]],
    *,
    labels: NDArray[np.int64],
    scores: Floats,
    box: Sequence[Box | None],
    last: Tensor | None = None,
) -> Views:
    """N windows, each with its own clicks; `last` (N, SIDE, SIDE) are logits of its mask so far."""
    with torch.no_grad():
        rois = looker.pooled(look, windows)
    device = rois.device
    crops = cut(look.picture.to(device)[None].float() / 127.5 - 1, look.in_picture(windows))
    spots = np.stack([_spots(each, window) for each, window in zip(clicks, windows, strict=True)])
    held = np.stack([_held(each, window) for each, window in zip(box, windows, strict=True)])
    before = torch.zeros(len(windows), SIDE, SIDE) if last is None else last.detach().sigmoid()
    maps = torch.cat(
        [torch.from_numpy(spots), torch.from_numpy(held)[:, None], before.cpu()[:, None]], 1
    )
    return Views(
        rois,
        crops,
        maps.to(device),
        torch.from_numpy(labels).to(device),
        torch.from_numpy(scores).to(device),
    )


def cut(pictures: Tensor, windows: Floats) -> Tensor:
    """(N, C, SIDE, SIDE) of windows in pixels of a picture (1, C, H, W), or each of its own."""
    of = torch.arange(len(windows)) if len(pictures) > 1 else torch.zeros(len(windows))
    boxes = torch.cat([of[:, None].float(), torch.from_numpy(windows)], 1).to(pictures.device)
    found: Tensor = roi_align(pictures, boxes, SIDE, sampling_ratio=2, aligned=True)
    return found


def moved(logits: Tensor, old: Floats, new: Floats) -> Tensor:
    """Logits (N, SIDE, SIDE) of old windows as seen from new ones; FAR below beyond the old."""
    cells = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    grids = []
    for a, b in zip(old, new, strict=True):
        x = (b[0] + cells * (b[2] - b[0]) - a[0]) / (a[2] - a[0]) * 2 - 1
        y = (b[1] + cells * (b[3] - b[1]) - a[1]) / (a[3] - a[1]) * 2 - 1
        grids.append(np.stack(np.meshgrid(x, y), -1))
    grid = torch.from_numpy(np.stack(grids).astype(np.float32)).to(logits.device)
    lifted = logits.detach().clamp(-FAR, FAR)[:, None] + FAR  # beyond is 0, that is FAR below
    return F.grid_sample(lifted, grid, align_corners=False)[:, 0] - FAR


def _spots(clicks: Sequence[Click], window: Floats) -> Floats:
    """(2, SIDE, SIDE): where the positive clicks are, and the negative ones; 1 at a click."""
    maps = np.zeros((2, SIDE, SIDE), np.float32)
    cells = np.arange(SIDE, dtype=np.float32) + 0.5
    for click in clicks:
        x = (click.x - window[0]) / (window[2] - window[0]) * SIDE
        y = (click.y - window[1]) / (window[3] - window[1]) * SIDE
        far = np.square(cells - x)[None] + np.square(cells - y)[:, None]
        map = maps[0 if click.positive else 1]
        np.maximum(map, np.exp(-far / (2 * _SPOT**2)), out=map)
    return maps


def _held(box: Box | None, window: Floats) -> Floats:
    """(SIDE, SIDE): 1 inside the annotator's box; all 0 without one."""
    if box is None:
        return np.zeros((SIDE, SIDE), np.float32)
    cells = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    x = window[0] + cells * (window[2] - window[0])
    y = window[1] + cells * (window[3] - window[1])
    inside = ((y >= box[1]) & (y < box[3]))[:, None] & ((x >= box[0]) & (x < box[2]))[None]
    return np.asarray(inside, np.float32)
