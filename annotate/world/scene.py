"""One picture of the part world: who stands where, the pixels, and the exact masks.

Everything is drawn as numbers into one map three times as fine as the picture. A pixel
belongs to the part at its centre, so masks are exact, never overlap (M-02) and cover the
object (M-01); its colour is the mean over its nine cells, so edges are smooth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from annotate.world import paint
from annotate.world.catalogue import Kind, Piece, Rng
from annotate.world.shapes import Outline, blob, box, tube, turned
from partlab.masks import BoolMask

FINE = 3  # cells per pixel side
_SPARE = 24  # tries until every visible part is large enough to be seen


@dataclass(frozen=True, slots=True)
class PartMask:
    """The visible pixels of one part of one object; `individual` counts from 1."""

    part: str
    individual: int
    mask: BoolMask


@dataclass(frozen=True, slots=True)
class Scene:
    """A finished picture: RGB pixels (size, size, 3) and its part masks."""

    pixels: NDArray[np.uint8]
    masks: list[PartMask]


@dataclass(frozen=True, slots=True)
class Hints:
    """Where hue and pattern tell the object category; None: they tell nothing."""

    background: float | None = None
    texture: float | None = None


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A piece in the picture: whose it is (0: clutter), and its outline in cells."""

    individual: int
    piece: Piece


def draw_scene(rng: Rng, kind: Kind, size: int, hints: Hints = Hints()) -> Scene:
    """One picture of `size` pixels a side with one to three individuals of `kind`."""
    for attempt in range(_SPARE):
        count = int(rng.choice(3, p=(0.7, 0.22, 0.08))) + 1 if attempt < _SPARE // 2 else 1
        drawn = _arrange(rng, kind, count, size)
        cells = _rasterise(drawn, size)
        masks = _masks(cells, drawn, kind)
        if _legible(masks, drawn, size, count):
            break
    return Scene(_paint(rng, cells, drawn, kind, size, hints), masks)


# --- who stands where --------------------------------------------------------------------


def _arrange(rng: Rng, kind: Kind, count: int, size: int) -> list[_Drawn]:
    clutter = [_Drawn(0, piece) for piece in _clutter(rng, int(rng.integers(0, 5)), size, 0.34)]
    around, start = rng.uniform(0.2, 0.26), rng.uniform(0, 2 * np.pi)
    for individual in range(1, count + 1):
        low, high = ((0.62, 0.94), (0.46, 0.62), (0.4, 0.5))[count - 1]
        angle = start + individual * 2 * np.pi / count
        centre = np.array([0.5, 0.5]) + rng.uniform(-0.06, 0.06, 2)
        if count > 1:
            centre += around * np.array([np.cos(angle), np.sin(angle)])
        placed = _place(rng, kind, rng.uniform(low, high) * size, centre * size)
        clutter += [_Drawn(individual, piece) for piece in placed]
    front = int(rng.integers(1, 3)) if rng.uniform() < 0.35 else 0
    return clutter + [_Drawn(0, piece) for piece in _clutter(rng, front, size, 0.2)]


def _place(rng: Rng, kind: Kind, extent: float, centre: Outline) -> list[Piece]:
    """An individual, turned, mirrored and leaning, its longer side `extent` pixels."""
    pieces = kind.build(rng)
    angle = rng.uniform(-kind.tilt, kind.tilt)
    shape = np.array([[rng.choice((-1.0, 1.0)), 0.0], [rng.uniform(-0.12, 0.12), 1.0]])
    outlines = [turned(piece.outline @ shape, angle) for piece in pieces]
    corners = np.concatenate(outlines)
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = extent / (high - low).max()
    middle = (low + high) / 2
    return [
        Piece(piece.part, (outline - middle) * scale + centre, piece.ink)
        for piece, outline in zip(pieces, outlines, strict=True)
    ]


def _clutter(rng: Rng, count: int, size: int, reach: float) -> list[Piece]:
    """Stones, planks and blades of grass: things that belong to no object category."""
    pieces = []
    for _ in range(count):
        scale = size * reach * rng.uniform(0.35, 1.0)
        x, y = rng.uniform(-0.05, 1.05, 2) * size
        pieces.append(Piece("", _thing(rng) * scale + (x, y)))
    return pieces


def _thing(rng: Rng) -> Outline:
    sort = int(rng.integers(3))
    if sort == 0:
        angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)
        radii = rng.uniform(0.35, 0.6, 6)
        return blob([(r * np.cos(a), r * np.sin(a)) for r, a in zip(radii, angles, strict=True)])
    if sort == 1:
        return turned(box(-0.9, -0.14, 0.9, 0.14, 0.02), rng.uniform(0, np.pi))
    blade = tube([(-0.8, 0), (0, rng.uniform(-0.4, 0.4)), (0.8, 0)], [0.03, 0.22, 0.03])
    return turned(blade, rng.uniform(0, np.pi))


# --- the map of cells ----------------------------------------------------------------------


def _rasterise(drawn: Sequence[_Drawn], size: int) -> NDArray[np.uint8]:
    """Position in `drawn`, plus one, of the topmost piece in each cell; 0 is background."""
    canvas = Image.new("L", (size * FINE, size * FINE))
    draw = ImageDraw.Draw(canvas)
    for number, item in enumerate(drawn, start=1):
        corners = np.rint(item.piece.outline * FINE).astype(int)
        draw.polygon([(int(x), int(y)) for x, y in corners], fill=number)
    return np.asarray(canvas)


def _masks(cells: NDArray[np.uint8], drawn: Sequence[_Drawn], kind: Kind) -> list[PartMask]:
    centres = cells[FINE // 2 :: FINE, FINE // 2 :: FINE]
    inner = {part.name: part.inside for part in kind.parts}
    found: dict[tuple[int, str], BoolMask] = {}
    for number, item in enumerate(drawn, start=1):
        name: str | None = item.piece.part
        mask = centres == number
        while item.individual and name and mask.any():
            key = item.individual, name
            found[key] = found[key] | mask if key in found else mask
            name = inner[name]
    order = {part.name: position for position, part in enumerate(kind.parts)}
    keys = sorted(found, key=lambda key: (key[0], order[key[1]]))
    return [PartMask(name, individual, found[individual, name]) for individual, name in keys]


def _legible(masks: list[PartMask], drawn: Sequence[_Drawn], size: int, count: int) -> bool:
    """Whether no mask is a sliver and every individual is mostly in sight."""
    if any(mask.mask.sum() < size * size * 0.0008 for mask in masks):
        return False
    for individual in range(1, count + 1):
        own = [item for item in drawn if item.individual == individual]
        alone = (_rasterise(own, size) > 0).sum() / FINE**2
        shown = [mask.mask for mask in masks if mask.individual == individual]
        if not shown or np.logical_or.reduce(shown).sum() < 0.55 * alone:
            return False
    return True


# --- the pixels ------------------------------------------------------------------------------


def _paint(
    rng: Rng,
    cells: NDArray[np.uint8],
    drawn: Sequence[_Drawn],
    kind: Kind,
    size: int,
    hints: Hints,
) -> NDArray[np.uint8]:
    owner = np.array([0, *(item.individual for item in drawn)], np.uint8)
    canvas = paint.background(rng, size, hints.background)
    _shade_ground(canvas, owner[cells] > 0)
    canvas *= _mean(cells == 0)[..., None]
    _fill(rng, canvas, cells, drawn, kind, hints)
    canvas *= 1 - 0.5 * _mean(_edges(cells, drawn, size))[..., None]
    canvas *= _light(rng, size)[..., None]
    canvas += rng.integers(-5, 6, (size, size, 1)).astype(np.float32)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _shade_ground(canvas: paint.Colours, covered: NDArray[np.bool_]) -> None:
    """Darken the ground below and to the right of what covers it."""
    size = len(canvas)
    down, right = size // 40, size // 60
    shadow = paint.blurred(_mean(covered), size / 36)
    canvas[down:, right:] *= 1 - 0.4 * shadow[: size - down, : size - right, None]


def _mean(cells: NDArray[np.bool_]) -> paint.Plane:
    """Share of each pixel's cells that are set."""
    count = cells.view(np.uint8)
    rows = count[::FINE] + count[1::FINE] + count[2::FINE]
    columns = rows[:, ::FINE] + rows[:, 1::FINE] + rows[:, 2::FINE]
    share: paint.Plane = columns.astype(np.float32) / FINE**2
    return share


def _fill(
    rng: Rng,
    canvas: paint.Colours,
    cells: NDArray[np.uint8],
    drawn: Sequence[_Drawn],
    kind: Kind,
    hints: Hints,
) -> None:
    size = len(canvas)
    blotches = paint.noise(rng, size, 14)
    groups: dict[tuple[int, str], list[int]] = {}
    for position, item in enumerate(drawn):
        whose = item.individual or -1 - position
        groups.setdefault((whose, item.piece.part), []).append(position)
    coats: dict[int, dict[str, paint.Paint]] = {}
    names = [part.name for part in kind.parts]
    for (whose, part), positions in groups.items():
        if whose not in coats:
            mine = names if whose > 0 else [""]
            hint = hints.texture if whose > 0 else None
            coats[whose] = dict(zip(mine, paint.coat(rng, len(mine), size, hint), strict=True))
        _fill_part(
            canvas, cells, [(i, drawn[i].piece) for i in positions], coats[whose][part], blotches
        )


def _fill_part(
    canvas: paint.Colours,
    cells: NDArray[np.uint8],
    pieces: Sequence[tuple[int, Piece]],
    coat: paint.Paint,
    blotches: paint.Plane,
) -> None:
    size = len(canvas)
    corners = np.concatenate([piece.outline for _, piece in pieces])
    x0, y0 = np.clip(np.floor(corners.min(axis=0)) - 3, 0, size).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(corners.max(axis=0)) + 4, 0, size).astype(int).tolist()
    if x0 >= x1 or y0 >= y1:
        return
    window = cells[y0 * FINE : y1 * FINE, x0 * FINE : x1 * FINE]
    shares = [_mean(window == position + 1) for position, _ in pieces]
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    shine = coat.field(x, y, blotches[y0:y1, x0:x1])
    whole = np.minimum(np.sum(shares, axis=0, dtype=np.float32), 1)
    shine = (
        shine * (1 + 0.55 * paint.relief(whole, size / 50)) * (1.08 - 0.2 * (y - y0) / (y1 - y0))
    )
    for share, (_, piece) in zip(shares, pieces, strict=True):
        canvas[y0:y1, x0:x1] += (share * shine)[..., None] * coat.inked(piece.ink)


def _edges(cells: NDArray[np.uint8], drawn: Sequence[_Drawn], size: int) -> NDArray[np.bool_]:
    """Cells on the border between two parts, for the dark line around them."""
    numbers: dict[tuple[int, str], int] = {}
    group = [0]
    for position, item in enumerate(drawn):
        whose = (item.individual or -1 - position, item.piece.part)
        group.append(numbers.setdefault(whose, len(numbers) + 1))
    parts = np.array(group, np.uint8)[cells]
    edge = np.zeros(parts.shape, bool)
    edge[1:] |= parts[1:] != parts[:-1]
    edge[:, 1:] |= parts[:, 1:] != parts[:, :-1]
    for _ in range(max(1, round(size / 128))):
        edge[:-1] |= edge[1:]
        edge[:, :-1] |= edge[:, 1:]
    return edge


def _light(rng: Rng, size: int) -> paint.Plane:
    """Brightness over the picture: exposure, and a fall-off towards the corners."""
    side = np.linspace(-0.5, 0.5, size)
    corner = side[:, None] ** 2 + side[None, :] ** 2
    light: paint.Plane = np.asarray(rng.uniform(0.88, 1.08) * (1 - 0.35 * corner), np.float32)
    return light
