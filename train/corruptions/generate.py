"""One picture, one corruption, one severity: the same bytes wherever and whenever it is made."""

from collections.abc import Callable
from hashlib import sha256

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from partlab.errors import ConfigError, DatasetError, UnknownNameError
from train.common_corruptions import CORRUPTIONS, SEVERITIES
from train.corruptions import own
from train.corruptions.package import by_package, need_corruptions

Pixels = NDArray[np.uint8]

SMALLEST = 32
"""Pixels a side: the kernels of the strongest blurs are 21 wide."""
_OWN: dict[str, Callable[[Pixels, int, RandomState], Pixels]] = {
    "zoom_blur": own.zoom_blur,
    "snow": own.snow,
    "frost": own.frost,
    "brightness": own.brightness,
    "elastic_transform": own.elastic_transform,
}


def corrupt(pixels: Pixels, corruption: str, severity: int, key: str) -> Pixels:
    """The picture corrupted, to ImageNet-C's definition (G-02, RK-18, RK-19).

    Chance comes from (key, corruption, severity) alone, so neither the process, the batch, the
    order nor a second run changes a byte.

    Args:
        pixels: (H, W, 3) RGB uint8, at the size the model sees: streaks, flakes and blurs are
            measured in pixels, and the published definition knows 224 x 224 only. Other sizes
            from 32 on work and are not comparable with ImageNet-C.
        corruption: one of `CORRUPTIONS`.
        severity: 1…5.
        key: what names the picture, as `n01440764/x.JPEG`.

    Returns:
        uint8 of the same shape; `pixels` is left as it is.

    Raises:
        BackendUnavailableError: the extra `corruptions` is not installed.
        ConfigError: the severity is not one of 1…5.
        UnknownNameError: there is no such corruption.
        DatasetError: the picture is smaller than 32 pixels a side, or is not RGB of 8 bits.
    """
    check(corruption, severity)
    _check_picture(pixels, key)
    need_corruptions()  # also of those that are our own: half of a benchmark is none
    seed = seed_of(key, corruption, severity)
    if corruption in _OWN:
        made = _OWN[corruption](pixels, severity, RandomState(seed))
    else:
        made = by_package(corruption, pixels, severity, seed)
    return np.ascontiguousarray(made)  # some are views of planes, which hashes refuse


def check(corruption: str, severity: object) -> None:
    """See that there is such a corruption and such a severity; errors are those of `corrupt`."""
    if corruption not in CORRUPTIONS:
        raise UnknownNameError("corruption", corruption, CORRUPTIONS)
    whole = isinstance(severity, int | np.integer) and not isinstance(severity, bool)
    if not whole or severity not in SEVERITIES:
        raise ConfigError(
            f"there is no severity {severity!r} of {corruption}", hint="severities are 1 to 5"
        )


def seed_of(key: str, corruption: str, severity: int) -> int:
    """32 bits."""
    words = "\0".join((key, corruption, str(int(severity))))
    return int.from_bytes(sha256(words.encode("utf-8", "surrogateescape")).digest()[:4], "little")


def _check_picture(pixels: Pixels, key: str) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise DatasetError(
            f"picture {key} is {pixels.dtype} of shape {pixels.shape}, not RGB of 8 bits",
            hint="partlab.images.load_image reads any picture as such",
        )
    if min(pixels.shape[:2]) < SMALLEST:
        raise DatasetError(
            f"picture {key} has {pixels.shape[1]} x {pixels.shape[0]} pixels, corruptions need at "
            f"least {SMALLEST} a side",
            hint="corrupt larger pictures, or enlarge these first",
        )
