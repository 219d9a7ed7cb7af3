"""Pins: the places in a picture that an inspector points at, each with what is wrong there.

The annotator reads them, in words, behind the note of a verdict; the event of the verdict keeps
them as numbers, so that they can be shown in the picture again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field
from sqlalchemy import select

from annotate.work import Event, Work
from partlab.config import Config, validate

_SAID = ("verdict", "sent-back", "corrected")
_MOST = 20


class Pin(Config):
    """`x` and `y` are shares of the picture's width and height, from its upper left corner.

    `part` is the name of the part that lies there, if one does, `why` what is wrong with it.
    """

    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)
    part: str = Field("", max_length=200)
    why: str = Field("", max_length=500)

    def __str__(self) -> str:
        """As an annotator reads it."""
        place = f"{self.x:.0%} from the left, {self.y:.0%} from the top"
        return ": ".join(filter(None, (f"{self.part or 'no part'} at {place}", self.why.strip())))


class _Pins(Config):
    pins: tuple[Pin, ...] = Field((), max_length=_MOST)


def read_pins(given: Iterable[Mapping[str, Any]]) -> tuple[Pin, ...]:
    """Pins as a browser sends them.

    Raises:
        ConfigError: one has no place, or lies outside the picture; or there are too many.
    """
    return validate(_Pins, {"pins": list(given)}, "the pins").pins


def noted(note: str | None, pins: Sequence[Pin]) -> str | None:
    """A note with the words of the pins behind it; None where there is neither."""
    return "; ".join(filter(None, ((note or "").strip(), *map(str, pins)))) or None


def typed(note: str | None, pins: Sequence[Pin]) -> str:
    """The note without the words of its pins: what `noted` was made from."""
    words = noted(None, pins)
    return (note or "").removesuffix(words or "").removesuffix("; ") if words else note or ""


def pins_of(work: Work, object: str, round: int) -> dict[int, tuple[Pin, ...]]:
    """The pins of the last word on each image of a round."""
    query = select(Event.data).filter_by(object=object, round=round)
    with work.read() as session:
        said = session.scalars(query.where(Event.what.in_(_SAID)).order_by(Event.id)).all()
    found = {data["image_id"]: data.get("pins") or () for data in said}
    return {image: read_pins(pins) for image, pins in found.items() if pins}
