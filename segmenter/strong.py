"""Strong changes of a picture that leave its masks where they are: for what a student learns from.

Colours, grey, blur and a rectangle without content (FixMatch's, without its shears and rotations).
"""

import numpy as np
from torch import Tensor
from torchvision.transforms.v2 import functional as F

_HALF = 0.5
_GREY = 0.2


def strong(pixels: Tensor, random: np.random.Generator) -> Tensor:
    """Another picture (3, H, W) uint8 of the same; what is drawn follows from `random` alone."""
    for change in (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation):
        pixels = change(pixels, float(random.uniform(0.5, 1.5)))
    pixels = F.adjust_hue(pixels, float(random.uniform(-0.1, 0.1)))
    if random.random() < _GREY:
        pixels = F.rgb_to_grayscale(pixels, num_output_channels=3)
    if random.random() < _HALF:
        pixels = F.gaussian_blur(pixels, [5, 5], [float(random.uniform(0.1, 1.5))])
    return _cut(pixels, random) if random.random() < _HALF else pixels


def _cut(pixels: Tensor, random: np.random.Generator) -> Tensor:
    """A rectangle of a tenth to a third of each side in grey."""
    height, width = pixels.shape[-2:]
    tall, wide = (max(round(side * random.uniform(0.1, 1 / 3)), 1) for side in (height, width))
    top, left = random.integers(height - tall + 1), random.integers(width - wide + 1)
    cut = pixels.clone()
    cut[:, top : top + tall, left : left + wide] = 127
    return cut
