"""Hingun's detector models: `seq` reads what the detector found, `2heads` stands beside it."""

from typing import Any

import torch
from torch import Tensor, nn

from train.models.base import Body, Design, Outputs, Recognizer
from train.models.berkeley.detector import Detected, Detector, targets_of
from train.models.berkeley.pooling import HIDDEN
from train.models.two_stage import _behead
from train.models.vanilla import Vanilla


class DetectorModel(Recognizer):
    """A timm network whose last three resolutions a detector reads.

    While it learns, it is told the label maps of the next pictures (`expect`), and its outputs
    have the detector's loss, over pictures whose masks are known. Boxes are those of the label
    map's connected pieces (H-04).
    """

    def __init__(self, network: Any, body: Body, design: Design) -> None:
        super().__init__(network, body, design)
        self.finest_stride = 1
        features = body.features
        self.detector = Detector(
            features.channels, features.strides, design.part_channels - 1, design.detector
        )
        self._labels: Tensor | None = None
        self._ignore = design.part_channels

    def expect(self, labels: Tensor, known: Tensor) -> None:
        """Label maps (B, S, S) of the pictures that come next, and which of them are known (B,)."""
        unknown = torch.full_like(labels, self._ignore)
        self._labels = torch.where(known[:, None, None], labels, unknown)

    def detected(self, pixels: Tensor) -> tuple[Tensor, Detected]:
        """Class logits (B, C) of normalised pictures, and what the detector finds in them."""
        last, maps = self.maps(pixels)
        found = self.detector(pixels, maps)
        return self._class_of(last, found), found

    def _class_of(self, last: Tensor, found: Detected) -> Tensor:
        raise NotImplementedError

    def _known(self, count: int) -> tuple[Tensor, Tensor] | None:
        """Label maps of this batch, and the places of the known ones; None if there are none."""
        if not self.training or self._labels is None or len(self._labels) != count:
            return None
        places = (self._labels != self._ignore).flatten(1).any(1).nonzero()[:, 0]
        return (self._labels, places) if len(places) else None

    def _loss(self, pixels: Tensor, maps: list[Tensor]) -> dict[str, Tensor]:
        """The detector's loss on pictures whose masks are known; nothing in evaluation."""
        if (told := self._known(len(pixels))) is None:
            return self._told(None)
        labels, at = told
        targets = targets_of(labels[at], self._ignore)
        return self._told(self.detector(pixels[at], [each[at] for each in maps], targets).loss)

    def _told(self, loss: Tensor | None) -> dict[str, Tensor]:
        """A loss that every weight of the detector is in, as several processes need it."""
        if not self.training:
            return {}
        every = torch.stack([0 * each.sum() for each in self.detector.parameters()]).sum()
        return {"boxes": every if loss is None else every + loss}


class Sequential(DetectorModel):
    """`seq` (MD-13): part shares and boxes of all queries, in their order, are classified.

    `softmax` is over the parts of a query, or over the queries as in the released code.
    """

    def __init__(self, network: Any, body: Body, design: Design) -> None:
        _behead(network, body)
        super().__init__(network, body, design)
        self.axis = 2 if design.detector.softmax == "parts" else 1
        wide = design.detector.queries * (design.part_channels - 1 + 4)
        self.judge = nn.Sequential(
            nn.Flatten(),
            nn.BatchNorm1d(wide),
            nn.Linear(wide, HIDDEN),
            nn.ReLU(),
            nn.BatchNorm1d(HIDDEN),
            nn.Linear(HIDDEN, len(design.classes)),
        )

    def forward(self, images: Tensor, *, parts: bool = False) -> Tensor | Outputs:
        """As every recognition model; the detector is computed either way."""
        outputs = self.outputs(self.normalise(images))
        return outputs if parts else outputs.logits

    def outputs(self, pixels: Tensor) -> Outputs:
        """Class logits of what was detected, and the detector's loss while it learns."""
        _, maps = self.maps(pixels)
        if (told := self._known(len(pixels))) is not None and len(told[1]) == len(pixels):
            found = self.detector(pixels, maps, targets_of(told[0], self._ignore))
            return Outputs(self.classified(found), (), self._told(found.loss))
        return Outputs(self.classified(self.detector(pixels, maps)), (), self._loss(pixels, maps))

    def _class_of(self, last: Tensor, found: Detected) -> Tensor:
        return self.classified(found)

    def classified(self, found: Detected) -> Tensor:
        """Class logits (B, C) of part logits and boxes of all queries."""
        shares = found.logits.softmax(self.axis)
        logits: Tensor = self.judge(torch.cat([shares, found.boxes], dim=2))
        return logits


class TwoHeaded(DetectorModel):
    """`2heads` (MD-14): the network's own class layer, and a detector that can be left out."""

    def outputs(self, pixels: Tensor) -> Outputs:
        """Class logits of the last features, and the detector's loss while it learns."""
        last, maps = self.maps(pixels)
        return Outputs(self.backbone.forward_head(last), (), self._loss(pixels, maps))

    def _class_of(self, last: Tensor, found: Detected) -> Tensor:
        logits: Tensor = self.backbone.forward_head(last)
        return logits

    def plain(self) -> Recognizer:
        """The network alone, with the same weights and logits (X-12)."""
        plain = Vanilla(self.backbone, self.body, Design(self.classes))
        plain.normalise = self.normalise
        return plain.train(self.training)
