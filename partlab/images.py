"""The one way a picture becomes pixels, for every room."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from partlab.errors import DatasetError, NotFoundError

# A photo of over 89 megapixels is large, no bomb; one of twice that size is still refused.
warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)

# What Pillow raises depends on where in the file the damage is; EXIF alone gives half of these.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
    PillowImage.DecompressionBombError,
)
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def load_image(path: str | Path) -> NDArray[np.uint8]:
    """Decode to RGB, shape (height, width, 3), EXIF orientation applied.

    Browsers and Label Studio show the rotated picture, so masks are drawn on it.
    Grey, palette, CMYK and transparent pictures become RGB; a PNG named .JPEG opens.

    Raises:
        NotFoundError: there is no such file.
        DatasetError: the file is damaged, truncated or not a picture.
    """
    try:
        with PillowImage.open(path) as opened:
            return np.array(_eight_bit(ImageOps.exif_transpose(opened)).convert("RGB"))
    except FileNotFoundError:
        raise NotFoundError(f"no image {path}") from None
    except _DAMAGE as error:
        raise DatasetError(f"cannot read image {path}: {_reason(error)}") from error


def _eight_bit(picture: PillowImage.Image) -> PillowImage.Image:
    """Grey of 16 bits scaled down; Pillow itself would cut everything over 255 to white."""
    if not picture.mode.startswith("I;16"):
        return picture
    return PillowImage.fromarray((np.asarray(picture) >> 8).astype(np.uint8))


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) as shown, that is after EXIF orientation; reads the header only."""
    try:
        with PillowImage.open(path) as opened:
            turned = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return (opened.height, opened.width) if turned else (opened.width, opened.height)
    except FileNotFoundError:
        raise NotFoundError(f"no image {path}") from None
    except _DAMAGE as error:
        raise DatasetError(f"cannot read image {path}: {_reason(error)}") from error


def is_image_name(path: str | Path) -> bool:
    """Whether the file name ends like a picture's."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return str(error) or type(error).__name__
