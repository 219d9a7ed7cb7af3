"""A segmenter as a server has it: behind a batcher, for requests and for work inside."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np

from app.serve.batcher import Batcher, QueueFullError
from app.serve.served import Kind, Told, version_of
from app.serve.settings import BatchLimits
from partlab.config import Config
from segmenter.objects import Objects
from segmenter.predictor import PredictionSettings, Predictor
from segmenter.prompt.cache import DEFAULT_BYTES
from segmenter.protocol import Detections, Pixels, Segmenter, SegmenterBase
from segmenter.tuning.file import with_own

if TYPE_CHECKING:
    from segmenter.prompt import Prompter, Prompts

_PROMPT = object()
GREY = np.full((64, 96, 3), 128, np.uint8)
"""A picture for first predictions."""


class SegmenterModel:
    """A segmenter behind a batcher."""

    kind: Kind = "segmenter"

    def __init__(
        self,
        name: str,
        segmenter: Segmenter,
        description: dict[str, Any],
        limits: BatchLimits,
        told: Told,
        checkpoint: str = "best",
        weights_sha256: str = "",
        cache_bytes: int = DEFAULT_BYTES,
    ) -> None:
        self.name, self.segmenter = name, segmenter
        self.description, self.checkpoint = description, checkpoint
        self.weights_sha256 = weights_sha256
        self.version = version_of(weights_sha256, description)
        self.cache_bytes = cache_bytes
        self.batcher = Batcher(name, self._look, limits, partial(told, name))
        self.batchers: tuple[Batcher, ...] = (self.batcher,)

    def about(self) -> dict[str, Any]:
        """What it is and knows."""
        return {
            "name": self.name,
            "version": self.version,
            "kind": self.kind,
            "clicks": self.clicks,
            "objects": list(self.segmenter.objects),
            "parts": list(self.segmenter.names),
            "checkpoint": self.checkpoint,
            "weights_sha256": self.weights_sha256,
            "description": self.description,
        }

    def predictor(self, *, unite: bool = True) -> Predictor:
        """What turns detections into answers; a tuned run's thresholds are its own."""
        settings = PredictionSettings(unite=unite)
        return Predictor(self.segmenter, with_own(settings, self.description, self.checkpoint))

    def submit(self, pixels: Pixels, objects: Objects, threshold: float | None) -> Future[Any]:
        """`Detections` of one picture; errors are those of `Batcher.submit`."""
        size = int(pixels.shape[0] * pixels.shape[1])
        return self.batcher.submit((pixels, objects), pixels=size, key=threshold)

    def ask(self, pixels: Pixels, prompts: "Prompts", **about: Any) -> Future[Any]:
        """`PromptAnswer` or None, in the model's own thread; `about` as `Prompter.answer`.

        Errors are those of `Batcher.submit`.
        """
        size = int(pixels.shape[0] * pixels.shape[1])
        return self.batcher.submit((pixels, prompts, about), pixels=size, key=_PROMPT)

    @cached_property
    def prompter(self) -> "Prompter":
        """What answers clicks and boxes; it keeps features of the last pictures."""
        from segmenter.prompt import prompter_of

        return prompter_of(self.segmenter, cache_bytes=self.cache_bytes)

    @property
    def clicks(self) -> str:
        """The name and version of what answers clicks and boxes."""
        return self.prompter.called or f"{self.name}@{self.version}"

    def warm_up(self) -> None:
        """Look at grey, and load what answers clicks."""
        _ = self.prompter
        self._look(0.5, [(GREY, None)])

    def _look(self, key: Any, asked: list[Any]) -> Sequence[Any]:
        """The batcher's work: `key` is a threshold, or says that clicks and boxes are asked."""
        if key is _PROMPT:
            answer = self.prompter.answer
            return [answer(pixels, prompts, **about) for pixels, prompts, about in asked]
        return self._found(key, asked)

    def _found(self, threshold: float | None, asked: list[Any]) -> Sequence[Detections]:
        return self.segmenter.predict(
            [pixels for pixels, _ in asked],
            [objects for _, objects in asked],
            threshold=threshold,
        )


@dataclass
class SharedSegmenter(SegmenterBase):
    """The segmenter of a served model for work inside the server, such as a bulk job.

    It takes its turn like every request, and waits where a request would be turned away.
    """

    model: SegmenterModel

    def __post_init__(self) -> None:
        self.parts = self.model.segmenter.parts

    @property
    def config(self) -> Config:
        """The network's."""
        return self.model.segmenter.config

    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        """See `Segmenter.predict`."""
        each = [None] * len(images) if objects is None else objects
        asked = [self._submit(*one, threshold) for one in zip(images, each, strict=True)]
        return [future.result() for future in asked]

    def _submit(self, pixels: Pixels, objects: Objects, threshold: float | None) -> Future[Any]:
        while True:
            try:
                return self.model.submit(pixels, objects, threshold)
            except QueueFullError:
                sleep(0.1)
