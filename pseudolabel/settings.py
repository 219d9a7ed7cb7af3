"""Settings of a run; those that decide what a store holds are part of its identity."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from partlab.config import SPEED, Config
from segmenter.predictor import PredictionSettings
from segmenter.predictor import Thresholds as Thresholds


class ClassifierSettings(Config):
    """A timm classifier whose top-1 stands for the image's class ("semi-open").

    `names` is a text file: the object category of each output, one a line.
    """

    model: str
    weights: Path
    names: Path


class Settings(PredictionSettings):
    """How images become pseudo labels.

    Those marked `SPEED` decide how fast, not what: a run may go on with others, as after memory
    ran out (a GPU then adds in another order, and scores may differ in their last digits). The
    shard size decides which images share a file.
    """

    classifier: ClassifierSettings | None = None
    checkpoint: str = "best"
    batch_size: Annotated[int, SPEED] = Field(8, ge=1)
    batch_pixels: Annotated[int, SPEED] = Field(1 << 25, ge=1)  # batches of huge images are small
    picture_seconds: Annotated[float, SPEED] = Field(60, gt=0)  # then it counts as unreadable
    shard_size: int = Field(256, ge=1)
