"""What an inspector has before them: plain values, for a terminal as for a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annotate.inspect.plan import Decision
from partlab.errors import ConfigError, UnknownNameError

_CAUSES = {
    "accept": "accepts the category, so that it is exported",
    "reject": "rejects the category: all of it is drawn again, in a new round",
    "continue": "decides nothing yet",
}


def caused(decision: Decision, seen: int, bad: int) -> str:
    """What verdicts cause, as a sentence without its subject's name."""
    return f"{bad} of {seen} inspected images bad; this {_CAUSES[decision]}"


@dataclass(frozen=True, slots=True)
class Ahead:
    """What the plan would make of a round after one more verdict."""

    decision: Decision
    seen: int
    bad: int

    def __str__(self) -> str:
        """What that causes."""
        return caused(self.decision, self.seen, self.bad)


@dataclass(frozen=True, slots=True)
class Outlook:
    """By image id what a pass (True) or a failure would lead to; `rest`: if all others pass."""

    of: Mapping[int, Mapping[bool, Ahead]]
    rest: Ahead | None


@dataclass(frozen=True, slots=True)
class Card:
    """One drawn image, as an inspector gets to see it.

    `position` is its place in the draw, `due` whether it waits for a verdict now. `drawn` and
    `missing` are part names, `problems` sentences on what a picture may hide, such as parts
    drawn over each other (M-02). `passed` is None while there is no verdict.
    """

    image_id: int
    file_name: str
    position: int
    due: bool
    overlay: Path
    drawn: tuple[str, ...]
    missing: tuple[str, ...]
    problems: tuple[str, ...] = ()
    passed: bool | None = None
    reason: str | None = None
    note: str | None = None
    inspector: str | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """One round of an object category, as far as its inspection is.

    `rules` is the plan in sentences, `seen` the verdicts that count, `bad` the failures among
    them. `decision` is the plan's; the batch's `state` follows it.
    """

    object: str
    round: int
    state: str
    annotator: str
    plan: str
    rules: tuple[str, ...]
    seen: int
    bad: int
    decision: Decision
    cards: tuple[Card, ...]
    sheet: Path

    @property
    def due(self) -> list[Card]:
        """The images to look at now."""
        return [card for card in self.cards if card.due]

    def card(self, image: int | str) -> Card:
        """A drawn image by its id, its file name or the end of that.

        Raises:
            UnknownNameError: it is not in the sample.
            ConfigError: several images end like this.
        """
        names = {card.file_name: card for card in self.cards}
        found = [c for c in self.cards if str(c.image_id) == str(image)]
        found = found or [c for c in self.cards if f"/{c.file_name}".endswith(f"/{image}")]
        if len(found) > 1:
            raise ConfigError(f"{len(found)} drawn images of {self.object} end in {image!r}")
        if not found:
            known = [str(card.image_id) for card in self.cards] + list(names)
            raise UnknownNameError(f"image in the sample of {self.object}", str(image), known)
        return found[0]
