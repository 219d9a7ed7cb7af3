"""How a corrupted picture comes to the model: size, JPEG, and the released code's second crop."""

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from partlab.errors import ConfigError, DatasetError
from train.corruptions.generate import SMALLEST, corrupt

Pixels = NDArray[np.uint8]
Preprocess = Literal["none", "authors"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """Steps about a corruption; the defaults are those of the published ImageNet-C (B4).

    Args:
        preprocess: "none" gives the model the corrupted picture. "authors" scales it up and crops
            it a second time, as the code released with PartImageNet++ does: the model sees the
            middle 196 of 224 pixels. The paper's figures most likely contain this.
        jpeg: quality at which the corrupted picture is saved and read again, 85 as in the
            published files; None leaves the step out, which moves accuracy under noise by points.
        size: pixels a side that the model sees; ImageNet-C is defined at 224.

    Raises:
        ConfigError: a value that cannot be used.
    """

    preprocess: Preprocess = "none"
    jpeg: int | None = 85
    size: int = 224

    def __post_init__(self) -> None:
        if self.preprocess not in ("none", "authors"):
            raise ConfigError(f"unknown preprocess {self.preprocess!r}", hint="none or authors")
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise ConfigError(f"there is no JPEG quality {self.jpeg}", hint="1 to 100, or none")
        if self.size < SMALLEST:
            raise ConfigError(
                f"corruptions at {self.size} pixels a side", hint=f"{SMALLEST} is the least"
            )

    @property
    def name(self) -> str:
        """For tables: figures of different names do not compare."""
        jpeg = "no-jpeg" if self.jpeg is None else f"jpeg-{self.jpeg}"
        return f"{self.size}px,{jpeg},preprocess={self.preprocess}"

    def clean(self, pixels: Pixels) -> Pixels:
        """(H, W, 3) of any size to (size, size, 3): what corruptions are applied to."""
        return _middle(pixels, self.size, InterpolationMode.BILINEAR)

    def corrupted(self, clean: Pixels, corruption: str, severity: int, key: str) -> Pixels:
        """What the model sees; arguments and errors are those of `corrupt`."""
        made = corrupt(clean, corruption, severity, key)
        return self.seen(made if self.jpeg is None else _through_jpeg(made, self.jpeg))

    def seen(self, corrupted: Pixels) -> Pixels:
        """Of a corrupted picture, just made or from ImageNet-C's files.

        Raises:
            DatasetError: it is not of the model's size, and nothing says how to scale it.
        """
        if self.preprocess == "authors":
            return _middle(corrupted, self.size, InterpolationMode.BICUBIC)
        if corrupted.shape[:2] != (self.size, self.size):
            raise DatasetError(
                f"a corrupted picture has {corrupted.shape[1]} x {corrupted.shape[0]} pixels, the "
                f"model sees {self.size} x {self.size}",
                hint='preprocess "authors" scales and crops it',
            )
        return corrupted


def _middle(pixels: Pixels, size: int, how: InterpolationMode) -> Pixels:
    """Shorter side to 256/224 of `size`, then the middle."""
    large = F.resize(Image.fromarray(pixels), round(size * 256 / 224), how)
    return np.array(F.center_crop(large, size))


def _through_jpeg(pixels: Pixels, quality: int) -> Pixels:
    return np.array(Image.open(BytesIO(jpeg_bytes(pixels, quality))))


def jpeg_bytes(pixels: Pixels, quality: int) -> bytes:
    """(H, W, 3) as a JPEG file, as the published ones were saved."""
    held = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(held, "JPEG", quality=quality, optimize=True)
    return held.getvalue()


RELEASED = Protocol()
"""As the published files were made (G-01): 224 pixels, JPEG of quality 85."""
