"""Which part of a picture the network sees: drawn from a generator, the same for its label map."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from partlab.targets import crop
from train.settings import DataConfig

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""Left, top, width, height, as shares of the picture's width and height."""
How = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
"""Ways to resize: Pillow's and timm's names."""
_TRIES = 10  # torchvision's


@dataclass(frozen=True, slots=True)
class View:
    """A square view: where it lies in the picture, how far it is moved, whether it is turned.

    `shift` (x, y) are pixels of the view; what is moved in from outside shows the picture's
    reflection, and nothing is known of its parts.
    """

    box: Box
    flip: bool = False
    shift: tuple[int, int] = (0, 0)

    def labels(
        self, found: NDArray[Any], size: int, side: int, ignore: int, mirrored: NDArray[Any]
    ) -> NDArray[np.int32]:
        """The label map at side x side cells: under each cell's centre, never a mean of ids."""
        height, width = found.shape
        left, top, w, h = self.box
        dx, dy = (moved / size for moved in self.shift)
        box = ((left + dx * w) * width, (top + dy * h) * height, w * width, h * height)
        cells = crop(found, box, side, mirrored=mirrored if self.flip else None).astype(np.int32)
        if self.shift != (0, 0):
            outside = _outside(dy, side)[:, None] | _outside(dx, side)[:: -1 if self.flip else 1]
            cells[outside] = ignore
        return np.asarray(cells)


def _outside(moved: float, side: int) -> NDArray[np.bool_]:
    """Which cells' centres, shares of the view before it was moved, lie outside it."""
    at = (np.arange(side) + 0.5) / side + moved
    return (at < 0) | (at >= 1)


def training_view(
    size: tuple[int, int], config: DataConfig, random: np.random.Generator
) -> tuple[View, tuple[int, int, int, int]]:
    """Draw a view of a picture of (height, width); also its box in whole pixels.

    `resized`: torchvision's RandomResizedCrop. `padded`: the middle square, shifted.
    """
    if config.crop == "padded":
        pixels = _middle(size, 1.0)
        x, y = random.integers(-config.shift, config.shift, 2, endpoint=True)
        shift = int(x), int(y)
    else:
        pixels, shift = resized_box(size, config.scale, config.ratio, random), (0, 0)
    flip = bool(random.random() < config.flip)
    return View(relative(pixels, size), flip, shift), pixels


def relative(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    """(left, top, width, height) in pixels as shares of a (height, width) picture."""
    left, top, width, height = box
    return left / size[1], top / size[0], width / size[1], height / size[0]


def resized_box(
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    random: np.random.Generator,
) -> tuple[int, int, int, int]:
    """(left, top, width, height) by torchvision's law: ten tries, then as much as fits."""
    height, width = size
    for _ in range(_TRIES):
        area = height * width * random.uniform(*scale)
        aspect = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = int(random.integers(0, height - h, endpoint=True))
            return int(random.integers(0, width - w, endpoint=True)), top, w, h
    aspect = min(max(width / height, ratio[0]), ratio[1])
    return _middle(size, aspect)


def _middle(size: tuple[int, int], aspect: float) -> tuple[int, int, int, int]:
    """The largest box of this width by height in the middle of a (height, width) picture."""
    height, width = size
    w, h = width, max(round(width / aspect), 1)
    if h > height:
        w, h = max(round(height * aspect), 1), height
    return (width - w) // 2, (height - h) // 2, w, h


def cut(pixels: Pixels, box: tuple[int, int, int, int], view: View, size: int) -> Pixels:
    """The view of a picture, (size, size, 3): cut first, then bicubic with antialiasing.

    Equal to torchvision's `resized_crop` of a Pillow picture.
    """
    left, top, width, height = box
    part = np.ascontiguousarray(pixels[top : top + height, left : left + width])
    shown = resize(part, (size, size))
    if view.shift != (0, 0):
        shown = _moved(shown, *view.shift)
    return np.ascontiguousarray(shown[:, ::-1]) if view.flip else shown


def resize(pixels: Pixels, size: tuple[int, int], how: str = "bicubic") -> Pixels:
    """With antialiasing to (height, width), as Pillow does it; `how` is one of `How`."""
    if pixels.shape[:2] == size:
        return pixels
    picture = PillowImage.fromarray(pixels)
    return np.asarray(picture.resize(size[::-1], PillowImage.Resampling[how.upper()]))


def middle(pixels: Pixels, config: DataConfig, how: str = "bicubic") -> Pixels:
    """(size, size, 3): what a network sees of a picture when not training (E-06)."""
    scaled, _, (left, top) = eval_view((pixels.shape[0], pixels.shape[1]), config)
    side = config.size
    return resize(pixels, scaled, how)[top : top + side, left : left + side]


def _moved(pixels: Pixels, x: int, y: int) -> Pixels:
    """Seen from x pixels to the right and y below; reflected where nothing is."""
    side = len(pixels)
    far = max(abs(x), abs(y))
    wide = np.pad(pixels, ((far, far), (far, far), (0, 0)), mode="reflect")
    return np.asarray(wide[far + y : far + y + side, far + x : far + x + side])


def eval_view(
    size: tuple[int, int], config: DataConfig
) -> tuple[tuple[int, int], View, tuple[int, int]]:
    """(height, width) to resize to, the view of the centre, its (left, top) there (E-06).

    As torchvision's Resize and CenterCrop round.
    """
    height, width = size
    short = round(config.size / config.eval_crop)
    scaled = (short, int(short * width / height))
    if width < height:
        scaled = (int(short * height / width), short)
    top, left = (round((side - config.size) / 2) for side in scaled)
    return scaled, View(relative((left, top, config.size, config.size), scaled)), (left, top)
