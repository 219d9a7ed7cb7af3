"""Masks of several segmenters together: the surer mask of two that are alike stays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from partlab.config import Config
from partlab.masks import Rle, iou
from segmenter.objects import Objects
from segmenter.protocol import Detections, Pixels, Segmenter, SegmenterBase


class FusedConfig(Config):
    """The rule. Two masks of one part with an IoU over `overlap` are one, as in NMS."""

    overlap: float = Field(0.5, ge=0, le=1)
    score_threshold: float = Field(0.05, ge=0, le=1)


class FusedSegmenter(SegmenterBase):
    """Its members have the same parts and calibrated scores, so that they can be compared.

    What a member is worth for a part is in its calibration alone: where it errs its scores are
    low, and its masks give way.
    """

    def __init__(self, members: Sequence[Segmenter], config: FusedConfig) -> None:
        self.members, self.config, self.parts = tuple(members), config, members[0].parts

    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        """See `Segmenter.predict`."""
        floor = self._floor(threshold)
        each = [member.predict(images, objects, threshold=floor) for member in self.members]
        return [self._one(found) for found in zip(*each, strict=True)]

    def predict_both(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects],
        *,
        threshold: float | None = None,
    ) -> tuple[list[Detections], list[Detections]]:
        """See `Segmenter.predict_both`."""
        floor = self._floor(threshold)
        each = [member.predict_both(images, objects, threshold=floor) for member in self.members]
        without, filtered = (
            [self._one(found) for found in zip(*way, strict=True)]
            for way in zip(*each, strict=True)
        )
        return without, filtered

    def _floor(self, threshold: float | None) -> float:
        return self.config.score_threshold if threshold is None else threshold

    def _one(self, found: Sequence[Detections]) -> Detections:
        return together(found, self.config.overlap)


def together(found: Sequence[Detections], overlap: float) -> Detections:
    """What several found in one image, surest first; of equal scores the first one's."""
    boxes, labels, scores, vectors = (
        np.concatenate([getattr(each, name) for each in found])
        for name in ("boxes", "labels", "scores", "probabilities")
    )
    masks = [mask for each in found for mask in each.masks]
    order = np.argsort(-scores, kind="stable")
    kept = np.array(_kept(order, labels, masks, overlap), np.intp)
    return Detections(
        boxes[kept], labels[kept], scores[kept], vectors[kept], [masks[at] for at in kept]
    )


def _kept(
    order: NDArray[np.intp], labels: NDArray[np.int64], masks: Sequence[Rle], overlap: float
) -> list[int]:
    kept: dict[int, list[int]] = {}
    found = []
    for at in order.tolist():
        same = kept.setdefault(int(labels[at]), [])
        if not (iou([masks[at]], [masks[other] for other in same]) > overlap).any():
            same.append(at)
            found.append(at)
    return found
