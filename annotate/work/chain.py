"""The chain of events: each is applied by its rule, and its hash covers all before it."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate.work.change import Change
from annotate.work.machine import RULES
from annotate.work.tables import Answer, Event, Flag
from partlab.errors import SchemaError
from partlab.files import sha256_json


def apply_event(change: Change) -> None:
    """Apply an event by its rule, and note it with the hash it leaves behind.

    Raises:
        SchemaError: there is no rule of its kind.
        StateError: the rule does not allow it.
    """
    event = change.event
    if event.what not in RULES:
        raise SchemaError(f"the history has an unknown kind of event: {event.what!r}")
    RULES[event.what](change)
    event.after = _hash_after(event, change.answers, change.flags)
    change.session.add(event)
    change.session.flush()


def hash_now(session: Session, object: str) -> str:
    """The category's hash: that of its whole history, as left by its last event."""
    query = select(Event.after).filter_by(object=object).order_by(Event.id.desc()).limit(1)
    return session.scalar(query) or ""


def _hash_after(event: Event, answers: Sequence[Answer], flags: Sequence[Flag]) -> str:
    facts = [event.before, event.at, event.who, event.what, event.round, event.data]
    return sha256_json([*facts, [asdict(a) for a in answers], [asdict(f) for f in flags]])
