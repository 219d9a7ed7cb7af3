"""The parts that a model finds, as a label map and as boxes, whichever of them it gives itself.

A segmenter's masks become boxes (H-04), a detector's boxes a label map (H-05).
"""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from partlab.errors import ConfigError
from segmenter.boxes import PartBox, boxes_of, map_of
from train.models.base import Recognizer
from train.models.berkeley.detector import Detected

TOP = 100
"""Boxes of a picture that count, best first: as many as COCO's AP reads."""


class Found(NamedTuple):
    """Of one picture of S x S pixels. `labels`: 0 background, 1…K."""

    labels: NDArray[np.integer[Any]]  # (S, S)
    boxes: list[PartBox]


def finds_boxes(network: Any) -> bool:
    """Whether it finds boxes itself, and label maps are made of them.

    Raises:
        ConfigError: it says nothing of parts.
    """
    if hasattr(network, "detected"):
        return True
    if not getattr(network, "part_channels", 0):
        kind = getattr(network, "kind", "others'")
        raise ConfigError(
            f"a model of kind {kind!r} says nothing of parts",
            hint="name a run of a part model; an exported one may have left its parts out",
        )
    return False


@torch.no_grad()
def found_parts(network: Recognizer, images: Tensor) -> tuple[Tensor, list[Found]]:
    """Class logits (B, C) of pictures (B, 3, S, S) in 0…1, and what parts are found in each.

    Raises:
        ConfigError: the network says nothing of parts.
    """
    if finds_boxes(network):
        logits, told = network.detected(network.normalise(images))  # type: ignore[operator]
        return logits, of_boxes(told, images.shape[-1])
    outputs: Any = network(images, parts=True)
    side = images.shape[-2:]
    masks = F.interpolate(outputs.parts[0].float(), side, mode="bilinear", align_corners=False)
    return outputs.logits, [of_masks(each) for each in masks.cpu().numpy()]


def of_masks(logits: NDArray[np.floating[Any]]) -> Found:
    """Of part logits (K + 1, S, S)."""
    return Found(logits.argmax(0), boxes_of(logits))


def of_boxes(told: Detected, side: int) -> list[Found]:
    """Of queries: the best `TOP` pairs of box and part, by their scores."""
    scores = told.logits.float().sigmoid()
    values, places = scores.flatten(1).topk(min(TOP, scores[0].numel()), dim=1)
    number = scores.shape[2]
    found = []
    for best, at, boxes in zip(values.tolist(), places.tolist(), told.boxes.tolist(), strict=True):
        own = [_box(place % number + 1, score, boxes[place // number])
               for score, place in zip(best, at, strict=True)]  # fmt: skip
        found.append(Found(map_of(own, (side, side)), own))
    return found


def _box(label: int, score: float, box: list[float]) -> PartBox:
    x, y, wide, high = box
    return PartBox(label, score, (x, y), (wide, high))
