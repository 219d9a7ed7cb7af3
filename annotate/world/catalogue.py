"""What lives in the part world: object categories, their parts, and how each is built.

Every part is made by one of a few *looks*; parts of different categories that share a look
are twins: cut out of the picture nobody can tell whose they are, only the known object
category can (that is what the category filter is for). Lengths are in units of the object,
which fills about [-1, 1] squared and looks to the right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from annotate.world.shapes import Outline, blob, box, ellipse, tube
from partlab.parts import join_name

Rng = np.random.Generator
Ink = Literal["paint", "shade", "dark", "light"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One outline of one part. Later pieces lie on top; `ink` other than paint is decoration."""

    part: str
    outline: Outline
    ink: Ink = "paint"


@dataclass(frozen=True, slots=True)
class Part:
    """One part category of an object; parts with the same look are twins."""

    name: str
    look: str
    inside: str | None = None  # the part around it: a declared inclusion (M-03)


@dataclass(frozen=True, slots=True)
class Kind:
    """One object category; `build` draws an individual, back to front."""

    name: str
    parts: tuple[Part, ...]
    build: Callable[[Rng], list[Piece]]
    whole_object: bool = False  # the only part is the object itself (V-04)
    tilt: float = 0.25  # how far an individual leans, in radians


def _u(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


# --- looks shared by several categories ------------------------------------------------


def _eye(part: str, x: float, y: float, r: float) -> list[Piece]:
    return [
        Piece(part, ellipse(x, y, r, r), "light"),
        Piece(part, ellipse(x + 0.25 * r, y, 0.62 * r, 0.7 * r), "dark"),
    ]


def _beast_head(rng: Rng, x: float, y: float, neck: float) -> list[Piece]:
    r = _u(rng, 0.27, 0.32)
    nose = x + r * 1.3
    ears = [
        blob([(x + dx - 0.1, y - r * 0.6), (x + dx, y - r * 1.65), (x + dx + 0.12, y - r * 0.6)])
        for dx in (-0.16, 0.1)
    ]
    skull = ellipse(x, y, r, r * 0.95)
    muzzle = ellipse(nose - r * 0.45, y + r * 0.25, r * 0.6, r * 0.45)
    return [
        Piece("head", tube([(neck, -0.08), ((neck + x) / 2, y * 0.55), (x, y)], [0.36, 0.3, 0.3])),
        *(Piece("head", ear) for ear in ears),
        Piece("head", skull),
        Piece("head", muzzle),
        Piece("head", ellipse(nose, y + r * 0.12, 0.06, 0.05), "dark"),
        *_eye("head", x + r * 0.25, y - r * 0.15, 0.075),
    ]


def _leg(rng: Rng, x: float, top: float, bottom: float) -> Piece:
    swing = _u(rng, -0.14, 0.14)
    knee = (x + swing * 0.2, (top + bottom) / 2)
    foot = (x + swing + 0.04, bottom)
    return Piece("leg", tube([(x, top), knee, foot], [0.25, 0.19, 0.2]))


def _torso(rng: Rng, long: float, high: float) -> Piece:
    sag = _u(rng, -0.05, 0.05)
    points = [(-long, -0.05), (-long * 0.7, -high), (0, -high + 0.06 + sag), (long * 0.75, -high)]
    points += [(long, -0.1), (long * 0.8, high * 0.75), (0, high + sag), (-long * 0.8, high * 0.85)]
    return Piece("body", blob(points))


def _beast(rng: Rng) -> tuple[list[Piece], tuple[float, float], tuple[float, float]]:
    """Far legs, body, near legs, head; and where the rump and the head are."""
    long, high = _u(rng, 0.58, 0.68), _u(rng, 0.3, 0.36)
    bottom = high + _u(rng, 0.4, 0.52)
    far = [_leg(rng, x, 0.1, bottom - 0.06) for x in (-long * 0.5, long * 0.78)]
    near = [_leg(rng, x, 0.12, bottom) for x in (-long * 0.8, long * 0.5)]
    head = (long + _u(rng, 0.06, 0.16), -high - _u(rng, 0.1, 0.24))
    pieces = [*far, _torso(rng, long, high), *near, *_beast_head(rng, *head, long * 0.82)]
    return pieces, (-long + 0.06, -high * 0.5), head


def _wheel(x: float, y: float, r: float) -> list[Piece]:
    return [
        Piece("wheel", ellipse(x, y, r, r), "dark"),
        Piece("wheel", ellipse(x, y, r * 0.68, r * 0.68)),
        Piece("wheel", ellipse(x, y, r * 0.22, r * 0.22), "light"),
    ]


def _window(x: float, y: float, w: float, h: float, lean: float) -> list[Piece]:
    frame = box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, 0.05)
    frame[:, 0] += lean * (frame[:, 1] - y)
    inner = [(-0.3, 0.3), (0.1, -0.36), (0.24, -0.36), (-0.16, 0.3)]
    glint = np.array([(x + a * w + lean * b * h, y + b * h) for a, b in inner])
    return [Piece("window", frame), Piece("window", glint, "light")]


def _door(x: float, y: float, w: float, h: float) -> list[Piece]:
    handle = box(x + w * 0.12, y - 0.025, x + w * 0.36, y + 0.03, 0.02)
    return [
        Piece("door", box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, 0.04)),
        Piece("door", handle, "dark"),
    ]


def _bird(rng: Rng, beak: float) -> tuple[list[Piece], float]:
    """Beak, body, wing, head; and where the belly ends."""
    long, high = _u(rng, 0.58, 0.68), _u(rng, 0.34, 0.42)
    body = blob([(-long, -0.12), (-0.1, -high), (long * 0.8, -0.22), (long * 0.85, 0.1), (0, high)])
    x, y, r = long * 0.9, -high - _u(rng, 0.24, 0.36), _u(rng, 0.23, 0.27)
    neck = tube([(long * 0.55, -0.05), (x - 0.06, y * 0.6), (x, y)], [0.34, 0.26, 0.26])
    bill = blob([(x + r * 0.6, y - 0.12), (x + r + beak, y + 0.06), (x + r * 0.6, y + 0.14)])
    lift = _u(rng, -0.16, 0.1)
    wing = blob([(0.28, -0.12), (0.02, 0.16), (-long * 0.85, 0.02 + lift), (-0.1, -0.24)])
    pieces = [
        Piece("beak", bill),
        Piece("body", body),
        Piece("wing", wing),
        Piece("wing", tube([(-0.35, lift * 0.4), (0.1, -0.02)], [0.02, 0.03]), "shade"),
        Piece("head", neck),
        Piece("head", ellipse(x, y, r, r)),
        *_eye("head", x + r * 0.35, y - r * 0.1, 0.075),
    ]
    return pieces, high


def _dome(rng: Rng, part: str, y: float, w: float, h: float) -> list[Piece]:
    dome = blob([(-w, y), (-w * 0.72, y - h * 0.72), (0, y - h), (w * 0.72, y - h * 0.72), (w, y)])
    spots = [
        Piece(part, ellipse(x * w + _u(rng, -0.05, 0.05), y - s * h, 0.09, 0.07), "light")
        for x, s in ((-0.5, 0.4), (0.02, 0.62), (0.5, 0.36))
    ]
    return [Piece(part, dome), *spots]


def _stem(rng: Rng, top: float, bottom: float) -> Piece:
    bend = _u(rng, -0.08, 0.08)
    return Piece("stem", tube([(0, top), (bend, (top + bottom) / 2), (0, bottom)], [0.26, 0.3]))


def _vessel(rng: Rng) -> tuple[Piece, float, float]:
    w, h = _u(rng, 0.5, 0.58), _u(rng, 0.46, 0.54)
    belly = _u(rng, 0.02, 0.1)
    points = [(-w * 0.85, -h), (w * 0.85, -h), (w + belly, -h * 0.1), (w * 0.8, h), (-w * 0.8, h)]
    return Piece("body", blob([*points, (-w - belly, -h * 0.1)])), w, h


def _ring_handle(rng: Rng, x: float, h: float) -> Piece:
    reach = _u(rng, 0.36, 0.46)
    points = [(x + 0.1, -h * 0.62), (x - reach * 0.8, -h * 0.6), (x - reach, -0.02)]
    points += [(x - reach * 0.8, h * 0.5), (x + 0.1, h * 0.55)]
    return Piece("handle", tube(points, [0.17, 0.15, 0.17]))


# --- the object categories ---------------------------------------------------------------


def _cat(rng: Rng) -> list[Piece]:
    pieces, (x, y), _ = _beast(rng)
    sway = _u(rng, -0.15, 0.15)
    tail = [(x + 0.1, y + 0.05), (x - 0.3, y - 0.05), (x - 0.38 + sway, y - 0.5), (x - 0.62, -1.0)]
    return [Piece("tail", tube(tail, [0.17, 0.15, 0.13])), *pieces]


def _dog(rng: Rng) -> list[Piece]:
    pieces, (x, y), _ = _beast(rng)
    tip = (x - _u(rng, 0.2, 0.3), y - _u(rng, 0.24, 0.34))
    return [
        Piece("tail", tube([(x + 0.1, y + 0.1), (x - 0.12, y), tip], [0.26, 0.2, 0.07])),
        *pieces,
    ]


def _ram(rng: Rng) -> list[Piece]:
    pieces, _, (x, y) = _beast(rng)
    r = _u(rng, 0.16, 0.19)
    turns = np.linspace(-0.5 * np.pi, 1.25 * np.pi, 9)
    fade = np.linspace(1.0, 0.62, 9)
    curl = [
        (x - 0.1 - r * f * np.cos(t), y - 0.02 + r * f * np.sin(t))
        for t, f in zip(turns, fade, strict=True)
    ]
    return [*pieces, Piece("horn", tube(curl, [0.19, 0.15, 0.06]))]


def _car(rng: Rng) -> list[Piece]:
    roof = _u(rng, 0.5, 0.58)
    cabin = blob([(-0.66, -0.05), (-0.42, -roof), (0.2, -roof), (0.58, -0.05), (0, 0.1)])
    windows = [
        *_window(-0.27, -roof * 0.55, 0.34, 0.3, -0.2),
        *_window(0.17, -roof * 0.55, 0.34, 0.3, 0.3),
    ]
    return [
        Piece("body", cabin),
        Piece("body", box(-1, -0.12, 1, 0.36, 0.2)),
        Piece("body", ellipse(0.93, 0.06, 0.07, 0.09), "light"),
        *windows,
        *_door(-0.04, 0.1, 0.4, 0.36),
        *_wheel(-0.58, 0.36, 0.25),
        *_wheel(0.58, 0.36, 0.25),
    ]


def _bus(rng: Rng) -> list[Piece]:
    top = -_u(rng, 0.62, 0.72)
    side = _u(rng, 0, 1) < 0.5
    xs = (-0.72, -0.3, 0.12) if side else (-0.32, 0.1, 0.52)
    windows = [piece for x in xs for piece in _window(x, top + 0.3, 0.34, 0.3, 0.0)]
    return [
        Piece("body", box(-1, top, 1, 0.36, 0.14)),
        Piece("body", box(-0.97, -0.02, 0.97, 0.05, 0.02), "shade"),
        *windows,
        *_door(0.72 if side else -0.76, -0.02, 0.36, 0.6),
        *_wheel(-0.54, 0.36, 0.25),
        *_wheel(0.4, 0.36, 0.25),
    ]


def _bicycle(rng: Rng) -> list[Piece]:
    seat, crank = (-0.28, -0.38), (-0.12, 0.26)
    back, front, fork = (-0.66, 0.3), (0.66, 0.3), (0.46, -0.42)
    bars = [(back, crank), (crank, seat), (seat, fork), (fork, crank), (back, seat), (fork, front)]
    high = _u(rng, 0.12, 0.2)
    grip = [
        (fork[0] + 0.02, fork[1] + 0.05),
        (fork[0], fork[1] - high),
        (fork[0] + 0.3, fork[1] - high),
    ]
    return [
        *_wheel(*back, 0.38),
        *_wheel(*front, 0.38),
        *(Piece("frame", tube(bar, [0.11, 0.11])) for bar in bars),
        Piece("saddle", blob([(-0.5, -0.5), (-0.46, -0.36), (-0.06, -0.4), (-0.1, -0.48)])),
        Piece("handlebar", tube(grip, [0.13, 0.13, 0.14])),
    ]


def _duck(rng: Rng) -> list[Piece]:
    pieces, _ = _bird(rng, _u(rng, 0.14, 0.2))
    up = _u(rng, 0.2, 0.34)
    return [
        Piece("tail", blob([(-0.4, -0.2), (-0.98, -0.2 - up), (-0.9, 0.02), (-0.45, 0.1)])),
        *pieces,
    ]


def _stork(rng: Rng) -> list[Piece]:
    pieces, high = _bird(rng, _u(rng, 0.42, 0.52))
    down = high + _u(rng, 0.5, 0.64)
    legs = [
        Piece(
            "leg",
            tube([(x, 0.1), (x + _u(rng, -0.06, 0.06), 0.5), (x, down), (x + 0.16, down)], [0.13]),
        )
        for x in (-0.14, 0.16)
    ]
    return [*legs, *pieces]


def _fish(rng: Rng) -> list[Piece]:
    high, fork = _u(rng, 0.36, 0.46), _u(rng, 0.34, 0.44)
    body = blob(
        [
            (-0.62, 0),
            (-0.1, -high),
            (0.6, -high * 0.66),
            (0.92, 0.02),
            (0.6, high * 0.7),
            (-0.1, high),
        ]
    )
    tail = blob([(-0.5, 0), (-0.98, -fork), (-0.84, 0), (-0.98, fork)])
    upper = blob([(-0.24, -high * 0.7), (-0.2, -high - 0.26), (0.36, -high * 0.75)])
    lower = blob([(-0.16, high * 0.8), (-0.22, high + 0.2), (0.2, high * 0.75)])
    gill = tube([(0.36, -high * 0.5), (0.28, 0), (0.36, high * 0.5)], [0.03])
    return [
        Piece("tail", tail),
        Piece("fin", upper),
        Piece("fin", lower),
        Piece("body", body),
        Piece("body", gill, "shade"),
        Piece("eye", ellipse(0.62, -0.1, 0.14, 0.14), "light"),
        Piece("eye", ellipse(0.65, -0.1, 0.075, 0.08), "dark"),
    ]


def _mushroom(rng: Rng) -> list[Piece]:
    top = _u(rng, -0.12, 0.02)
    return [_stem(rng, top - 0.1, 0.85), *_dome(rng, "cap", top, 0.8, _u(rng, 0.62, 0.74))]


def _lamp(rng: Rng) -> list[Piece]:
    top, foot = _u(rng, -0.32, -0.2), _u(rng, 0.4, 0.52)
    return [
        _stem(rng, top - 0.1, 0.85),
        Piece("base", box(-foot, 0.72, foot, 1.0, 0.12)),
        *_dome(rng, "shade", top, 0.76, _u(rng, 0.62, 0.74)),
    ]


def _teapot(rng: Rng) -> list[Piece]:
    body, w, h = _vessel(rng)
    spout = [(w * 0.7, h * 0.4), (w + 0.22, 0.05), (w + 0.42, -h * 0.8)]
    rim = -h * 0.92
    lid = blob([(-w * 0.8, rim), (-w * 0.5, rim - 0.2), (w * 0.5, rim - 0.2), (w * 0.8, rim)])
    return [
        _ring_handle(rng, -w, h),
        Piece("spout", tube(spout, [0.3, 0.2, 0.14])),
        body,
        Piece("lid", ellipse(0, rim - 0.27, 0.12, 0.11)),
        Piece("lid", lid),
    ]


def _mug(rng: Rng) -> list[Piece]:
    body, w, h = _vessel(rng)
    return [
        _ring_handle(rng, -w, h),
        body,
        Piece("body", ellipse(0, -h * 0.93, w * 0.74, 0.09), "shade"),
    ]


def _flatworm(rng: Rng) -> list[Piece]:
    phase, wave = _u(rng, 0, 6.28), _u(rng, 0.16, 0.34)
    xs = np.linspace(-0.9, 0.9, 7)
    line = [(float(x), wave * float(np.sin(3.4 * x + phase))) for x in xs]
    x, y = line[-1]
    eyes = [Piece("body", ellipse(x - 0.06, y + dy, 0.04, 0.04), "dark") for dy in (-0.07, 0.07)]
    body = Piece("body", tube(line, [0.1, 0.36, 0.42, 0.4, 0.26]))
    return [body, Piece("body", tube(line[1:-1], [0.03, 0.06, 0.03]), "shade"), *eyes]


def _parts(*names: str) -> tuple[Part, ...]:
    """Parts written as `name=look` or `name=look<outer`."""
    made = []
    for text in names:
        name, _, rest = text.partition("=")
        look, _, outer = rest.partition("<")
        made.append(Part(name, look, outer or None))
    return tuple(made)


_BEAST = ("head=beast head", "body=beast body", "leg=beast leg")
_BIRD = ("head=bird head", "body=bird body", "wing=bird wing<body")
_COACH = ("wheel=wheel", "window=window<body", "door=door<body")

KINDS: tuple[Kind, ...] = (
    Kind("cat", _parts(*_BEAST, "tail=long tail"), _cat),
    Kind("dog", _parts(*_BEAST, "tail=short tail"), _dog),
    Kind("ram", _parts(*_BEAST, "horn=horn<head"), _ram),
    Kind("car", _parts("body=car body", *_COACH), _car),
    Kind("bus", _parts("body=bus body", *_COACH), _bus),
    Kind(
        "bicycle",
        _parts("wheel=wheel", "frame=frame", "saddle=saddle", "handlebar=handlebar"),
        _bicycle,
    ),
    Kind("duck", _parts(*_BIRD, "beak=short beak", "tail=bird tail"), _duck),
    Kind("stork", _parts(*_BIRD, "beak=long beak", "leg=bird leg"), _stork),
    Kind(
        "fish",
        _parts("body=fish body", "tail=fish tail", "fin=fin", "eye=eye<body"),
        _fish,
        tilt=0.5,
    ),
    Kind("mushroom", _parts("cap=dome", "stem=stem"), _mushroom),
    Kind("lamp", _parts("shade=dome", "stem=stem", "base=base"), _lamp),
    Kind("teapot", _parts("body=vessel", "handle=ring", "spout=spout", "lid=lid"), _teapot),
    Kind("mug", _parts("body=vessel", "handle=ring"), _mug),
    Kind("flatworm", _parts("body=flatworm"), _flatworm, whole_object=True, tilt=3.14),
)


def twins() -> dict[str, list[str]]:
    """Looks that several object categories share -> the parts (`object:part`) made by them."""
    found: dict[str, list[str]] = {}
    for kind in KINDS:
        for part in kind.parts:
            found.setdefault(part.look, []).append(join_name(kind.name, part.name))
    return {look: parts for look, parts in found.items() if len(parts) > 1}
