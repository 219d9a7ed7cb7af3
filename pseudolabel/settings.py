"""Settings that decide what a store holds; they are part of its identity."""

from pathlib import Path

from pydantic import Field

from partlab.config import Config
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

    Batch and shard sizes belong here because a network's answer depends, in its last bits and
    through padding, on the images it sees at the same time.
    """

    classifier: ClassifierSettings | None = None
    checkpoint: str = "best"
    batch_size: int = Field(8, ge=1)
    batch_pixels: int = Field(1 << 25, ge=1)  # bounds memory: batches of huge images are small
    shard_size: int = Field(256, ge=1)
