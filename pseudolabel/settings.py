"""Settings of a run; those that decide what a store holds are part of its identity."""

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from partlab.config import SPEED, Config
from partlab.errors import UnknownNameError

Share = float  # between 0 and 1


class Thresholds(Config):
    """Lowest score a mask may have (requirement B4.1); the file that `calibrate` writes.

    `{"default": 0.5, "parts": {"car:wheel": 0.35}}`
    """

    default: Share = Field(0.5, ge=0, le=1)
    parts: dict[str, Share] = Field(default_factory=dict)

    def of(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """One threshold for each label.

        Raises:
            UnknownNameError: a part is named that the segmenter does not have.
        """
        for name in self.parts:
            if name not in names:
                raise UnknownNameError("part category", name, names)
        return np.array([self.parts.get(name, self.default) for name in names], np.float32)


class ClassifierSettings(Config):
    """A timm classifier whose top-1 stands for the image's class ("semi-open").

    `names` is a text file: the object category of each output, one a line.
    """

    model: str
    weights: Path
    names: Path


class Settings(Config):
    """How images become pseudo labels.

    Those marked `SPEED` decide how fast, not what: a run may go on with others, as after memory
    ran out (a GPU then adds in another order, and scores may differ in their last digits). The
    shard size decides which images share a file.
    """

    thresholds: Thresholds = Thresholds()
    category_filter: bool = True
    unite: bool = True  # B4.3; False keeps instances apart, so that any threshold can be tried
    classifier: ClassifierSettings | None = None
    checkpoint: str = "best"
    batch_size: Annotated[int, SPEED] = Field(8, ge=1)
    batch_pixels: Annotated[int, SPEED] = Field(
        1 << 25, ge=1
    )  # bounds memory: batches of huge images are small
    shard_size: int = Field(256, ge=1)
