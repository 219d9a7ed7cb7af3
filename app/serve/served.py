"""What every served model is, whatever it does."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

from app.serve.batcher import Batcher
from app.serve.settings import ServeSettings
from partlab.files import sha256_json

Kind = Literal["segmenter", "recognition"]
Told = Callable[[str, int, float], None]
"""Model, images of a batch, seconds it took."""
_HASH = 12  # hex digits of a version


class Served(Protocol):
    """A model that is loaded and answers; its batchers are where its threads are."""

    name: str
    version: str
    kind: Kind
    batchers: tuple[Batcher, ...]

    def about(self) -> dict[str, Any]:
        """What `/v1/models` tells of it."""
        ...

    def warm_up(self) -> None:
        """One real prediction, which raises what any prediction would."""
        ...


Load = Callable[[str, ServeSettings, Told], Served]
"""Loads a model: its name, the server's settings, who is told of batches."""


def version_of(weights: str, config: Any) -> str:
    """12 hex digits that change with the weights and with the settings."""
    return sha256_json([weights, config])[:_HASH]
