"""What every segmenter backend offers, and how the others find it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from partlab.config import Config
from partlab.counts import counted
from partlab.masks import Rle
from partlab.parts import Parts
from partlab.registry import Registry
from partlab.schema import Dataset
from segmenter.objects import Objects

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
        return f"Detections({counted(len(self), 'mask')}{best})"


class Segmenter(Protocol):
    """A trained network that finds part masks; predicting leaves no trace in it.

    What it finds in an image follows from that image and the arguments alone: not from the
    images beside or before it, nor from what another thread asks of it at the same time. (On a
    GPU the last bits of scores may depend on how many images of one shape are beside it.)
    """

    @property
    def parts(self) -> Parts:
        """The part categories it knows, by label, and the inclusions among them."""
        ...

    @property
    def config(self) -> Config:
        """The settings of its network."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        ...

    @property
    def objects(self) -> tuple[str, ...]:
        """The object categories it knows."""
        ...

    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        """Find parts in RGB images (height, width, 3), which may differ in size.

        `objects[i]` says what image i may show: the category filter (P-02), applied to the
        full probability vector before thresholding and NMS. Detections that score lower than
        `threshold` are not reported; None: the threshold of its settings.

        Raises:
            UnknownNameError: it does not know such an object category.
        """
        ...

    def predict_both(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects],
        *,
        threshold: float | None = None,
    ) -> tuple[list[Detections], list[Detections]]:
        """What `predict` finds without and with the category filter."""
        ...


class SegmenterBase(ABC):
    """What a segmenter may inherit: all that follows from its `parts` and its `predict`."""

    parts: Parts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.parts.summary})"

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        return self.parts.names

    @property
    def objects(self) -> tuple[str, ...]:
        """The object categories it knows."""
        return self.parts.objects

    @abstractmethod
    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        """See `Segmenter.predict`."""

    def predict_both(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects],
        *,
        threshold: float | None = None,
    ) -> tuple[list[Detections], list[Detections]]:
        """The two ways one after the other; networks that can share their work do so."""
        return (
            self.predict(images, threshold=threshold),
            self.predict(images, objects, threshold=threshold),
        )


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
backends.register("dense", "segmenter.later:dense")
backends.register("fused", "segmenter.fused.backend:backend")
backends.register("detectron2", "segmenter.detectron2_backend:backend")
