"""The chain of events: each is applied by its rule, and its hash covers all before it.

A hash is of what was recorded, never of what was made of it: an answer's sentences may be worded
otherwise by the next version, and the history is still the same.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate.work.change import Change
from annotate.work.machine import RULES
from annotate.work.tables import Event
from partlab.errors import SchemaError
from partlab.files import sha256_json

_FORM = "2:"  # how hashes begin; those of the first form are bare


def apply_event(change: Change) -> None:
    """Apply an event by its rule, and note it.

    Raises:
        SchemaError: there is no rule of its kind.
        StateError: the rule does not allow it.
    """
    event = change.event
    if event.what not in RULES:
        raise SchemaError(f"the history has an unknown kind of event: {event.what!r}")
    RULES[event.what](change)
    change.session.add(event)
    change.session.flush()


def hash_now(session: Session, object: str) -> str:
    """The category's hash: that of its whole history, as left by its last event."""
    query = select(Event.after).filter_by(object=object).order_by(Event.id.desc()).limit(1)
    return session.scalar(query) or ""


def hash_after(event: Event) -> str:
    """What an event leaves behind, by all that is recorded of it."""
    facts = [event.id, event.at, event.who, event.what, event.object, event.round, event.data]
    return _FORM + sha256_json([event.before, *facts])


def is_intact(event: Event) -> bool:
    """Whether an event is the one that was recorded.

    Hashes of the first form also covered the answers that an ingest made of its raw export, with
    their sentences of then: of those events only the raw export can be checked.
    """
    if event.after.startswith(_FORM):
        return event.after == hash_after(event)
    if event.what == "pulled" and "file" in event.data:
        return True
    facts = [event.before, event.at, event.who, event.what, event.round, event.data]
    return event.after == sha256_json([*facts, [], []])
