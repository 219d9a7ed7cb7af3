"""What an annotator points at in a picture, and what comes back: the types of model help."""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Protocol

from partlab.errors import ConfigError
from partlab.masks import BoolMask, Rle
from segmenter.objects import Objects
from segmenter.protocol import Pixels

Box = tuple[float, float, float, float]
MOST_CLICKS = 100


@dataclass(frozen=True, slots=True)
class Click:
    """A point in pixels of the picture as shown (EXIF applied); `positive`: it is inside."""

    x: float
    y: float
    positive: bool = True

    @property
    def at(self) -> tuple[int, int]:
        """(row, column) of its pixel."""
        return int(self.y), int(self.x)


@dataclass(frozen=True, slots=True)
class Prompts:
    """Clicks in the order in which they were made, and a box x1, y1, x2, y2 in pixels."""

    clicks: tuple[Click, ...] = ()
    box: Box | None = None

    def within(self, height: int, width: int) -> "Prompts":
        """The same with every point inside the picture and the box's corners in order.

        Raises:
            ConfigError: there is neither click nor box, there are more than MOST_CLICKS, or a
                coordinate is no number.
        """
        if not self.clicks and self.box is None:
            raise ConfigError("a prompt has neither a click nor a box", hint="give one of them")
        if len(self.clicks) > MOST_CLICKS:
            raise ConfigError(
                f"a prompt has {len(self.clicks)} clicks, more than {MOST_CLICKS}",
                hint="draw this part by hand",
            )
        numbers = [n for click in self.clicks for n in (click.x, click.y)] + [*(self.box or ())]
        if not all(isfinite(number) for number in numbers):
            raise ConfigError(
                "a prompt has a coordinate that is no number",
                hint="give pixels of the picture as shown",
            )
        clicks = tuple(
            replace(c, x=_inside(c.x, width - 0.5), y=_inside(c.y, height - 0.5))
            for c in self.clicks
        )
        return Prompts(clicks, None if self.box is None else _ordered(self.box, height, width))

    @property
    def positive(self) -> tuple[Click, ...]:
        """The clicks that the mask must hold."""
        return tuple(click for click in self.clicks if click.positive)

    def obeyed(self, mask: BoolMask) -> bool:
        """Whether a (height, width) mask holds every positive click and no negative one."""
        return all(bool(mask[click.at]) == click.positive for click in self.clicks)


def _inside(value: float, most: float) -> float:
    return min(max(value, 0.0), most)


def _ordered(box: Box, height: int, width: int) -> Box:
    """At least one pixel wide and high, all of it in the picture."""
    x1, x2 = sorted(_inside(x, width) for x in box[::2])
    y1, y2 = sorted(_inside(y, height) for y in box[1::2])
    x1, y1 = min(x1, width - 1), min(y1, height - 1)
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)


@dataclass(frozen=True, slots=True)
class PromptAnswer:
    """A mask of the picture's size; `score` (0…1) says how sure the network is of it.

    `part` is what the annotator chose, else what the network takes it for; None where it knows
    no name. `way` says how it came about: "layer" a part the segmenter found, "box" its mask
    head on a box of the prompt's, "prompted" the trained prompt head, "sam" a prompt model.
    """

    mask: Rle
    part: str | None
    score: float
    way: str


class Kept(Protocol):
    """What is kept of pictures that were looked at: bytes, and how often that saved a look."""

    hits: int
    misses: int
    nbytes: int


class Prompter(Protocol):
    """Who turns prompts into masks. Threads may share one."""

    @property
    def cache(self) -> Kept:
        """What it keeps of pictures."""
        ...

    @property
    def called(self) -> str | None:
        """The name and version that its masks bear; None: the segmenter's whose help it is."""
        ...

    def answer(
        self,
        pixels: Pixels,
        prompts: Prompts,
        *,
        part: str | None = None,
        objects: Objects = None,
        key: str | None = None,
    ) -> PromptAnswer | None:
        """The mask under the prompts; None where nothing obeys them all.

        `pixels` (height, width, 3) is the picture as shown; `part` the `object:part` that the
        annotator chose; `objects` what the picture shows (a name the segmenter does not know
        means: no help from names); `key` tells the picture for the cache, its content's hash.
        Without `key` the pixels are hashed.

        Raises:
            ConfigError: there is neither click nor box, there are more than MOST_CLICKS, or a
                coordinate is no number.
        """
        ...
