"""A segmenter whose scores are calibrated."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from partlab.config import Config
from segmenter.objects import Objects
from segmenter.protocol import Detections, Pixels, Segmenter, SegmenterBase
from segmenter.tuning.scale import Scale

FLOOR = 0.001
"""Scores below it were never calibrated: they are not asked for unless somebody does."""


class Tuned(SegmenterBase):
    """The same masks; the order within a part stays, so its AP does too.

    All else, such as `network` and `features`, is that of the segmenter within. Without a
    threshold it reports what that reports.
    """

    def __init__(self, segmenter: Segmenter, scale: Scale) -> None:
        self.segmenter, self.scale = segmenter, scale
        self.parts = segmenter.parts

    def __getattr__(self, name: str) -> Any:
        if name == "segmenter":  # while it is unpickled or copied
            raise AttributeError(name)
        return getattr(self.segmenter, name)

    @property
    def config(self) -> Config:
        """The settings of its network."""
        return self.segmenter.config

    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        """See `Segmenter.predict`."""
        found = self.segmenter.predict(images, objects, threshold=self._asked(threshold))
        return [self._told(each, threshold) for each in found]

    def predict_both(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects],
        *,
        threshold: float | None = None,
    ) -> tuple[list[Detections], list[Detections]]:
        """See `Segmenter.predict_both`."""
        asked = self._asked(threshold)
        without, filtered = self.segmenter.predict_both(images, objects, threshold=asked)
        return (
            [self._told(each, threshold) for each in without],
            [self._told(each, threshold) for each in filtered],
        )

    def _asked(self, threshold: float | None) -> float | None:
        if threshold is None:
            return None
        return max(self.scale.lowest(threshold), min(threshold, FLOOR))

    def _told(self, found: Detections, threshold: float | None) -> Detections:
        vectors = self.scale.of_vectors(found.probabilities)
        scores = vectors[np.arange(len(found)), found.labels]
        order = np.argsort(-scores, kind="stable")
        if threshold is not None:
            order = order[scores[order] >= np.float32(threshold)]
        return replace(
            found,
            boxes=found.boxes[order],
            labels=found.labels[order],
            scores=scores[order],
            probabilities=vectors[order],
            masks=[found.masks[at] for at in order],
        )
