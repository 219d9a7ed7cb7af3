"""Corruptions of our own, to ImageNet-C's definition: where the package differs, or is slow.

The package's elastic transform is another one, its frost has a sixth texture and its snow is cut
off the centre (robustness B2); its zoom blur and brightness are right and slow. Numbers come from
numpy's frozen RandomState, whose streams are the same in every version.
"""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from torch.nn import functional as F

from train.corruptions.package import TEXTURES, motion_blur, texture

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32] | NDArray[np.float64]

_ZOOMS = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
_FROST = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
# mean, spread, zoom, threshold, radius, sigma, share of the picture
_SNOW = (
    (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
# strength, sigma and affine reach in pixels; 244 is the original's, though its pictures have 224
_ELASTIC = (
    (244 * 2, 244 * 0.7, 244 * 0.1),
    (244 * 2, 244 * 0.08, 244 * 0.2),
    (244 * 0.05, 244 * 0.01, 244 * 0.02),
    (244 * 0.07, 244 * 0.01, 244 * 0.02),
    (244 * 0.12, 244 * 0.01, 244 * 0.02),
)


def zoom_blur(pixels: Pixels, severity: int, rng: RandomState) -> Pixels:
    """The mean of the picture and of zooms into its middle."""
    end, step = _ZOOMS[severity - 1]
    factors = np.arange(1, end, step)
    image = (pixels / 255).astype(np.float32)
    total = np.zeros_like(image)
    for factor in factors:
        total += zoomed(image, float(factor))
    return _bytes((image + total) / (len(factors) + 1))


def zoomed(image: Floats, factor: float) -> NDArray[Any]:
    """The middle of (H, W, C), `factor` times larger and cut to the same size, linear between.

    As scipy's `zoom` of order 1 has it, with corners on corners, many times faster.
    """
    height, width = image.shape[:2]
    high, wide = int(np.ceil(height / factor)), int(np.ceil(width / factor))
    top, left = (height - high) // 2, (width - wide) // 2
    part = image[top : top + high, left : left + wide].astype(np.float64)
    size = round(high * factor), round(wide * factor)
    planes = torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))[None]
    large = F.interpolate(planes, size, mode="bilinear", align_corners=True)[0]
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    kept = large.numpy().transpose(1, 2, 0)[top : top + height, left : left + width]
    return kept.astype(image.dtype)


def brightness(pixels: Pixels, severity: int, rng: RandomState) -> Pixels:
    """More of HSV's value; hue and saturation stay, so no conversion is needed."""
    image = pixels / 255
    value = image.max(2, keepdims=True)
    brighter = np.minimum(value + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1], 1)
    # The distance from the largest colour, as a share of it: black has none and becomes grey.
    share = (value - image) / np.where(value == 0, 1, value)
    return _bytes(brighter * (1 - share))


def frost(pixels: Pixels, severity: int, rng: RandomState) -> Pixels:
    """A piece of a photograph of frost added; of pictures as large as it, enlarged."""
    own, added = _FROST[severity - 1]
    ice, (height, width) = texture(int(rng.randint(len(TEXTURES)))), pixels.shape[:2]
    scale = max((height + 1) / ice.shape[0], (width + 1) / ice.shape[1])
    if scale > 1:  # the original knows only 224 x 224, where this never is so
        size = int(np.ceil(ice.shape[1] * scale)), int(np.ceil(ice.shape[0] * scale))
        ice = cv2.resize(ice, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)
    top, left = rng.randint(ice.shape[0] - height), rng.randint(ice.shape[1] - width)
    piece = ice[top : top + height, left : left + width]
    return np.clip(own * pixels + added * piece, 0, 255).astype(np.uint8)


def snow(pixels: Pixels, severity: int, rng: RandomState) -> Pixels:
    """Enlarged noise above a threshold, blown aslant, on a paler picture."""
    mean, spread, zoom, threshold, radius, sigma, own = _SNOW[severity - 1]
    image = pixels.astype(np.float32) / np.float32(255)
    flakes = zoomed(rng.normal(mean, spread, image.shape[:2])[..., None], zoom)[..., 0]
    flakes[flakes < threshold] = 0
    layer = (np.clip(flakes, 0, 1) * 255).astype(np.uint8).astype(np.float32)  # blown as 8 bits
    blown = motion_blur(layer, int(radius), sigma, rng.uniform(-135, -45))
    fallen = (np.round(np.clip(blown, 0, 255)) / 255)[..., None]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    paler = own * image + (1 - own) * np.maximum(image, grey * 1.5 + 0.5)
    return _bytes(paler + fallen + np.rot90(fallen, 2))


def elastic_transform(pixels: Pixels, severity: int, rng: RandomState) -> Pixels:
    """A random affine map, then each pixel moved by smooth noise."""
    strength, sigma, reach = _ELASTIC[severity - 1]
    image, (height, width) = pixels.astype(np.float32) / np.float32(255), pixels.shape[:2]
    image = cv2.warpAffine(
        image, _affine(height, width, reach, rng), (width, height),
        borderMode=cv2.BORDER_REFLECT_101,
    ).astype(np.float32, copy=False)  # fmt: skip
    right, down = (_noise(height, width, sigma, strength, rng) for _ in range(2))
    places = np.arange(height)[:, None] + down, np.arange(width) + right
    moved = [map_coordinates(image[..., c], places, order=1, mode="reflect") for c in range(3)]
    return _bytes(np.stack(moved, 2))


def _affine(height: int, width: int, reach: float, rng: RandomState) -> NDArray[np.float64]:
    """Three corners of a square about the middle, each moved by up to `reach`."""
    middle, side = np.array([height, width], np.float32) // 2, min(height, width) // 3
    corners = np.stack([middle + side, middle + np.array([side, -side]), middle - side])
    corners = corners.astype(np.float32)
    moved = corners + rng.uniform(-reach, reach, (3, 2)).astype(np.float32)
    return np.asarray(cv2.getAffineTransform(corners, moved), np.float64)


def _noise(height: int, width: int, sigma: float, strength: float, rng: RandomState) -> Floats:
    noise = rng.uniform(-1, 1, (height, width))
    smooth = gaussian_filter(noise, sigma, mode="reflect", truncate=3)
    found: Floats = (smooth * strength).astype(np.float32)
    return found


def _bytes(image: Floats) -> Pixels:
    """Cut, not rounded, as the original does."""
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)
