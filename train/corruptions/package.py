"""What is taken from the package `imagecorruptions`: the corruptions it has right, and textures.

Its functions draw from numpy's global generator. They run alone, with that generator set for the
picture and put back afterwards, so that nobody else's numbers change (RK-18).
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import as_file, files
from threading import Lock
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from partlab.errors import BackendUnavailableError
from partlab.images import load_image

Pixels = NDArray[np.uint8]

PACKAGE = "imagecorruptions-imaug"
OWN_SEED = frozenset({"impulse_noise", "glass_blur"})  # functions with generators of their own
TEXTURES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""The sixth that the package has is never drawn by the original, whose `randint(5)` ends at 4."""

_alone = Lock()


def need_corruptions() -> ModuleType:
    """The package's module of functions.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    try:
        return importlib.import_module("imagecorruptions.corruptions")
    except ImportError as error:
        raise BackendUnavailableError(
            f"corruptions need the package {PACKAGE} ({error})",
            hint="pip install 'partlab[corruptions]'",
        ) from None


def by_package(name: str, pixels: Pixels, severity: int, seed: int) -> Pixels:
    """The package's corruption of that name; `seed` has 32 bits."""
    function = getattr(need_corruptions(), name)
    extra = {"seed": seed} if name in OWN_SEED else {}
    with _alone, _global_generator(seed):
        found = function(Image.fromarray(pixels), severity, **extra)
    return np.asarray(found).astype(np.uint8)  # cut, not rounded, as the original does


@contextmanager
def _global_generator(seed: int) -> Iterator[None]:
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def motion_blur(
    layer: NDArray[np.float32], radius: int, sigma: float, angle: float
) -> NDArray[np.float64]:
    """A one-sided Gaussian streak over (H, W) or (H, W, 3), in the values of `layer`."""
    found: NDArray[np.float64] = need_corruptions()._motion_blur(layer, radius, sigma, angle)
    return found


@cache
def texture(number: int) -> Pixels:
    """One of the five pictures of frost, (H, W, 3) RGB; do not write to it."""
    need_corruptions()
    with as_file(files("imagecorruptions") / "frost" / TEXTURES[number]) as path:
        return load_image(path)
