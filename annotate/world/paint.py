"""Colours, textures and backgrounds: nothing here knows an object category by itself.

All of it is drawn from the picture's own random generator. A *hint* (a number in [0, 1) for
each object category) fixes hue and pattern instead, for studies of shortcuts.
"""

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from annotate.world.catalogue import Ink

Rng = np.random.Generator
Plane = NDArray[np.float32]  # (height, width)
Colours = NDArray[np.float32]  # (height, width, 3), 0 to 255

TEXTURES = ("plain", "stripes", "dots", "checks", "blotches")
BACKGROUNDS = ("gradient", "ground", "clouds", "stripes", "tiles", "lights")


@dataclass(frozen=True, slots=True)
class Paint:
    """What one part of one individual is painted with."""

    colour: NDArray[np.float32]  # (3,)
    texture: str
    strength: float
    angle: float
    period: float  # in pixels

    def field(self, x: Plane, y: Plane, blotches: Plane) -> Plane:
        """How much lighter or darker each pixel is, about 1."""
        if self.texture == "plain":
            return np.ones_like(blotches)
        if self.texture == "blotches":
            return 1 + self.strength * blotches
        along, across = _turned(x, y, self.angle)
        u, v = np.sin(along * (6.2832 / self.period)), np.sin(across * (6.2832 / self.period))
        wave = {"stripes": u, "checks": u * v, "dots": np.minimum(u, v) + 0.4}[self.texture]
        sharp: Plane = 1 + self.strength * np.clip(wave * 4, -1, 1)
        return sharp

    def inked(self, ink: Ink) -> NDArray[np.float32]:
        """The colour of a decoration on this part."""
        if ink == "dark":
            return self.colour * 0.16 + 14
        if ink == "light":
            return self.colour * 0.25 + 185
        return self.colour * (0.68 if ink == "shade" else 1.0)


def hsv(hue: float, saturation: float, value: float) -> NDArray[np.float32]:
    """An RGB colour, 0 to 255."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32) * 255


def coat(rng: Rng, parts: int, size: int, hint: float | None = None) -> list[Paint]:
    """Paints for the parts of one individual, in harmony with each other."""
    hue = rng.uniform() if hint is None else hint + rng.uniform(-0.02, 0.02)
    steps = rng.permutation([0.0, 0.06, -0.06, 0.5, 0.42, 0.12, -0.12, 0.58])[:parts]
    values = rng.permutation(np.linspace(0.55, 0.95, max(parts, 2)))[:parts]
    texture = TEXTURES[int(rng.integers(len(TEXTURES)))]
    if hint is not None:
        steps, texture = np.zeros(parts), TEXTURES[int(hint * 97) % len(TEXTURES)]
    return [
        Paint(
            hsv(hue + step, rng.uniform(0.4, 0.8), value),
            texture if hint is not None or rng.uniform() < 0.6 else "plain",
            rng.uniform(0.07, 0.16),
            rng.uniform(0, np.pi),
            size * rng.uniform(0.03, 0.07),
        )
        for step, value in zip(steps, values, strict=True)
    ]


def noise(rng: Rng, size: int, cells: int) -> Plane:
    """Smooth noise in about [-1, 1], `cells` bumps across."""
    coarse = rng.integers(0, 256, (cells + 2, cells + 2), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32) / 127.5 - 1


def background(rng: Rng, size: int, hint: float | None = None) -> Colours:
    """A backdrop of one of six sorts, in calm colours."""
    sort = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
    hue, tone = rng.uniform(), rng.uniform(0.1, 0.4)
    if hint is not None:
        sort, hue, tone = BACKGROUNDS[int(hint * 97) % len(BACKGROUNDS)], hint, 0.4
    first = hsv(hue, tone, rng.uniform(0.5, 0.98))
    second = hsv(hue + rng.uniform(-0.12, 0.12), tone * 1.3, rng.uniform(0.4, 0.9))
    mix = _pattern(rng, sort, size)
    grain = noise(rng, size, 24) * 0.05 + noise(rng, size, 5) * 0.08
    mixed: Colours = (first * (1 - mix[..., None]) + second * mix[..., None]) * (
        1 + grain[..., None]
    )
    return mixed


def _pattern(rng: Rng, sort: str, size: int) -> Plane:
    """How much of the second colour each pixel has, 0 to 1."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    angle, turns = rng.uniform(0, 2 * np.pi), rng.uniform(25, 60)
    u, v = _turned(x, y, angle)
    if sort == "gradient":
        mix = u * 0.7 + 0.5
    elif sort == "ground":
        mix = (y - rng.uniform(0.55, 0.8) + 0.05 * noise(rng, size, 4)) * (size / 3)
    elif sort == "clouds":
        mix = 0.5 + noise(rng, size, 4) + 0.4 * noise(rng, size, 10)
    elif sort == "stripes":
        mix = np.clip(0.3 + np.sin(u * turns), 0, 0.6)
    elif sort == "tiles":
        mix = (np.maximum(np.cos(u * turns), np.cos(v * turns)) - 0.9) * 12
    else:
        mix = _lights(rng, x, y)
    limited: Plane = np.clip(mix, 0, 1)
    return limited


def _turned(x: Plane, y: Plane, angle: float) -> tuple[Plane, Plane]:
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return x * c + y * s, y * c - x * s


def _lights(rng: Rng, x: Plane, y: Plane) -> Plane:
    glow = np.zeros_like(x)
    for cx, cy, r in rng.uniform((-0.1, -0.1, 0.05), (1.1, 1.1, 0.18), (14, 3)).tolist():
        distance = np.hypot(x - cx, y - cy)
        glow = np.maximum(glow, np.clip((r - distance) * 60, 0, 0.55))
    return glow


def relief(coverage: Plane, radius: float) -> Plane:
    """Light from the upper left on a shape that bulges: above 0 lit, below 0 in shade."""
    bump = blurred(coverage, radius)
    lit: Plane = np.zeros_like(bump)
    lit[1:-1, 1:-1] = bump[2:, 1:-1] - bump[:-2, 1:-1]
    lit[1:-1, 1:-1] += 0.7 * (bump[1:-1, 2:] - bump[1:-1, :-2])
    lit *= radius
    return lit


def blurred(plane: Plane, radius: float) -> Plane:
    """A plane in [0, 1], blurred."""
    grey = Image.fromarray((plane * 255).astype(np.uint8))
    soft: Plane = np.asarray(grey.filter(ImageFilter.GaussianBlur(radius)), np.float32)
    return soft * np.float32(1 / 255)
