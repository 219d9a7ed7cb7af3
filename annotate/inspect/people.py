"""Who inspects: names as they are kept, and slips of the pen found before they count."""

import re
from difflib import SequenceMatcher

from sqlalchemy import select

from annotate.work import Batch, Event, Work, same_person
from partlab.errors import ConfigError, StateError

_NEAR = 0.7  # of difflib: one wrong letter of four, one more or less of three
_INSPECTING = ("sampled", "verdict", "discard-review", "sent-back", "corrected")


def person(who: str) -> str:
    """An inspector's name or address as it is kept: on one line, addresses in lower case.

    Raises:
        ConfigError: it is empty.
    """
    name = " ".join(who.split())
    if not name:
        raise ConfigError("nobody is named", hint="say who you are with --by")
    return name.lower() if "@" in name else name


def named(work: Work, who: str, *, new: bool = False) -> str:
    """`person(who)`, unless it looks like somebody the work knows, written differently.

    Two spellings of one person would count as two inspectors (Q-04). `new` insists.

    Raises:
        ConfigError: it is empty, or new in this work and near to the name of somebody.
    """
    name = person(who)
    known = [] if new else _known(work)
    if any(same_person(name, one) for one in known):
        return name
    if near := [one for one in known if _is_near(name, one)]:
        raise ConfigError(
            f"{name} is new in this work: did you mean {' or '.join(near[:3])}?",
            hint="somebody else says so, this once, with --new-inspector",
        )
    return name


def need_no_annotator(work: Work, who: str) -> None:
    """See that somebody draws nothing in this work, now or in a round before.

    Raises:
        StateError: they do. Two who draw could else wave each other's refusals through (Q-04).
    """
    with work.read() as session:
        drawn = session.execute(select(Batch.object, Batch.assignee).order_by(Batch.object))
        found = [owner for owner, assignee in drawn if same_person(who, assignee)]
    if found:
        raise StateError(
            f"{who} draws {', '.join(dict.fromkeys(found))} in this work, and refused images are "
            "for inspectors",
            hint="let an inspector review it; where there are too few people, --anyone takes it",
        )


def _known(work: Work) -> list[str]:
    """Annotators, and who has spoken as an inspector."""
    inspectors = select(Event.who).where(Event.what.in_(_INSPECTING))
    with work.read() as session:
        return sorted({*session.scalars(select(Batch.assignee)), *session.scalars(inspectors)})


def _is_near(a: str, b: str) -> bool:
    """Whether names, and hosts where both have one, differ by little."""
    (name, _, host), (other, _, elsewhere) = (one.casefold().partition("@") for one in (a, b))
    if _words(name) == _words(other) and host == elsewhere:
        return False  # annotator1 and annotator2, a.mueller and m.mueller
    return _alike(name, other) and (not (host and elsewhere) or _alike(host, elsewhere))


def _words(name: str) -> list[str]:
    """The words of a name without numbers and initials."""
    return [word for word in re.split(r"[\W\d_]+", name) if len(word) > 1]


def _alike(a: str, b: str) -> bool:
    return SequenceMatcher(None, a, b).ratio() >= _NEAR
