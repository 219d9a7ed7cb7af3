"""The lowest score a mask may have, part by part."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from partlab.config import Config
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
