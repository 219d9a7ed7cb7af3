"""What every segmenter backend offers, and how the others find it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from partlab.config import Config
from partlab.masks import Rle
from partlab.registry import Registry
from partlab.schema import Dataset

Pixels = NDArray[np.uint8]

DETECTRON2_INSTALL = (
    'pip install torch torchvision "setuptools<81" wheel ninja && '
    'pip install --no-build-isolation "git+https://github.com/facebookresearch/detectron2'
    '@02b5c4e295e990042a714712c21dc79b731e8833"'
)
"""The line that gets the optional detectron2 backend; it is not on the package index."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What a segmenter found in one image: N part masks, best score first.

    Boxes are x1, y1, x2, y2 in pixels of the image as given; `labels` are 0-based into the
    segmenter's `names`; `scores[i] == probabilities[i, labels[i]]`. With the category filter
    the probabilities of foreign parts are 0.
    """

    boxes: NDArray[np.float32]  # (N, 4)
    labels: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float32]  # (N,)
    probabilities: NDArray[np.float32]  # (N, K)
    masks: list[Rle]  # N, each of the image's size

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        best = f", best score {self.scores[0]:.2f}" if len(self) else ""
        return f"Detections({len(self)} masks{best})"


class Segmenter(Protocol):
    """A trained network that finds part masks."""

    names: tuple[str, ...]  # `object:part` for each label

    def predict(
        self, images: Sequence[Pixels], allowed: Sequence[Sequence[int] | None] | None = None
    ) -> list[Detections]:
        """Find parts in RGB images (height, width, 3), which may differ in size.

        `allowed[i]` lists the labels image i may have: the category filter (P-02), applied to
        the full probability vector before thresholding and NMS. None: all labels.
        """
        ...


class Backend(Protocol):
    """A module-level object (or module) that trains and loads one kind of segmenter."""

    settings: type[Config]

    def fit(
        self,
        train: Dataset,
        val: Dataset | None,
        run: Path,
        config: Any,
    ) -> None:
        """Train into the run folder; called again on an unfinished run it goes on."""
        ...

    def load(self, run: Path, *, checkpoint: str = "best", device: str | None = None) -> Segmenter:
        """The segmenter of a run folder."""
        ...


backends = Registry("segmenter backend", "partlab.segmenters")
backends.register("torchvision", "segmenter.later:torchvision")
backends.register("detectron2", "segmenter.detectron2_backend:backend")


def object_labels(names: Sequence[str]) -> dict[str, list[int]]:
    """Labels of each object category, from names of the form `object:part`."""
    labels: dict[str, list[int]] = {}
    for label, name in enumerate(names):
        labels.setdefault(name.split(":", 1)[0], []).append(label)
    return labels
