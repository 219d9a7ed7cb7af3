"""The prompt head: a run's mask head that also sees clicks, the box and the last mask.

It begins as the mask head it was made of: every new channel is zero at first. Beside the mask it
says how well it thinks the mask fits (as SAM does, Kirillov et al. 2023), which chooses among the
places a click may mean.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads

from segmenter.part_rcnn import PartMaskHead

MAPS = 4  # positive clicks, negative clicks, the annotator's box, the last mask
SIDE = 56  # of the masks it makes
_FINE = 16


@dataclass(frozen=True, slots=True)
class Views:
    """N windows of pictures as the head sees them.

    Windows (N, 4) are in the picture's pixels. `rois` (N, C, 14, 14) are features pooled from
    them, `crops` (N, 3, SIDE, SIDE) their colours in -1…1, `maps` (N, MAPS, SIDE, SIDE) the
    prompts, `labels` (N,) the part, or -1 where it has no name, `scores` (N, 2) how likely the
    box head finds that part there, and any part.
    """

    rois: Tensor
    crops: Tensor
    maps: Tensor
    labels: Tensor
    scores: Tensor


class PromptHead(nn.Module):
    """Mask logits (N, SIDE, SIDE) and estimates of their IoU (N,), as logits."""

    def __init__(self, channels: int, width: int, layers: int, filters: int) -> None:
        super().__init__()
        self.convs = MaskRCNNHeads(channels + MAPS, [width] * layers, 1)
        self.up = nn.ConvTranspose2d(width, width, 2, 2)
        self.weight = nn.Parameter(torch.zeros(filters + 1, width))  # the last: no name
        self.bias = nn.Parameter(torch.zeros(filters + 1))
        self.narrow = nn.Conv2d(width, _FINE, 1)
        last, judgement = nn.Conv2d(_FINE, 1, 3, padding=1), nn.Linear(64, 1)
        self.fine = nn.Sequential(
            nn.Conv2d(_FINE + 3 + MAPS, _FINE, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_FINE, _FINE, 3, padding=2, dilation=2),
            nn.ReLU(),
            last,
        )
        self.judge = nn.Sequential(nn.Linear(2 * width + 6, 64), nn.ReLU(), judgement)
        for layer in (last, judgement):
            layer.load_state_dict({k: torch.zeros_like(v) for k, v in layer.state_dict().items()})

    @classmethod
    def of(cls, head: PartMaskHead) -> "PromptHead":
        """A prompt head that makes the masks of a run's mask head, whatever is clicked."""
        convs = [layer for layer in head.convs.modules() if isinstance(layer, nn.Conv2d)]
        made = cls(convs[0].in_channels, convs[0].out_channels, len(convs), len(head.weight))
        ours = [layer for layer in made.convs.modules() if isinstance(layer, nn.Conv2d)]
        with torch.no_grad():
            for mine, theirs in zip(ours, convs, strict=True):
                mine.weight.zero_()
                mine.weight[:, : theirs.in_channels] = theirs.weight
                mine.load_state_dict({"weight": mine.weight, "bias": theirs.state_dict()["bias"]})
            made.up.load_state_dict(head.up.state_dict())
            made.weight.copy_(torch.cat([head.weight, head.weight.mean(0, keepdim=True)]))
            made.bias.copy_(torch.cat([head.bias, head.bias.mean(0, keepdim=True)]))
        return made

    def forward(self, views: Views) -> tuple[Tensor, Tensor]:
        """See the class."""
        last = len(self.weight) - 1
        labels = views.labels if last > 1 else views.labels.clamp(max=0)  # agnostic: one filter
        labels = torch.where(labels < 0, last, labels)
        coarse = F.avg_pool2d(views.maps, SIDE // views.rois.shape[-1])
        trunk = self.convs(torch.cat([views.rois, coarse], 1))
        features = F.relu(self.up(trunk))
        rough = torch.einsum("nchw,nc->nhw", features, self.weight[labels])
        rough = _grown(rough[:, None] + self.bias[labels, None, None, None])
        detail = torch.cat([_grown(self.narrow(features)), views.crops, views.maps], 1)
        logits = (rough + self.fine(detail))[:, 0]
        return logits, self._judged(features, logits, views)

    def _judged(self, features: Tensor, logits: Tensor, views: Views) -> Tensor:
        """The IoU that the mask is thought to have, from what lies inside and outside it."""
        inside = F.avg_pool2d(logits.detach().sigmoid()[:, None], SIDE // features.shape[-1])
        means = [
            (features * part).sum((2, 3)) / part.sum((2, 3)).clamp(min=1)
            for part in (inside, 1 - inside)
        ]
        sure = (logits.detach().abs().clamp(max=6) / 6).mean((1, 2))
        border = torch.cat([inside[:, :, 0], inside[:, :, -1]], 2).mean((1, 2))
        border = border + torch.cat([inside[..., 0], inside[..., -1]], 2).mean((1, 2))
        clicks = views.maps[:, :2].amax((2, 3)).sum(1)
        facts = torch.stack([inside.mean((1, 2, 3)), sure, border, clicks], 1)
        found: Tensor = self.judge(torch.cat([*means, facts, views.scores], 1))[:, 0]
        return found


def _grown(maps: Tensor) -> Tensor:
    return F.interpolate(maps, (SIDE, SIDE), mode="bilinear", align_corners=False)
