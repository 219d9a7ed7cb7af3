"""The rules of a work's segmenters: versions that were made, and which of them is served."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate.work.change import Change, Rules
from annotate.work.tables import Event
from partlab.errors import StateError

rules = Rules()
MADE, BACK = "version", "rollback"


def version_events(session: Session) -> list[Event]:
    """What happened to the work's segmenters, oldest first."""
    query = select(Event).where(Event.what.in_((MADE, BACK))).order_by(Event.id)
    return list(session.scalars(query))


def served_version(events: list[Event]) -> int | None:
    """The version that is served after these events; None before the first."""
    served: int | None = None
    for event in events:
        if event.what == BACK or event.data["served"]:
            served = event.data["version"]
    return served


@rules(MADE)
def _made(change: Change) -> None:
    """{version, parent, served, weights_sha256, data_sha256, …}: a version was made and examined.

    `parent` is what it was compared with; another that is served since has a right to be, too.
    """
    events = version_events(change.session)
    last = max((e.data["version"] for e in events if e.what == MADE), default=0)
    if change.data["version"] != last + 1:
        raise StateError(f"the next version is {last + 1}, not {change.data['version']}")
    if change.data["parent"] != served_version(events):
        raise StateError(
            f"version {change.data['version']} was compared with another version than is served",
            hint="run the same command again",
        )


@rules(BACK)
def _back(change: Change) -> None:
    """{version, before}: an earlier version is served again."""
    events = version_events(change.session)
    known = [e.data["version"] for e in events if e.what == MADE]
    version, served = change.data["version"], served_version(events)
    if version not in known:
        told = f"there are {min(known)} to {max(known)}" if known else "there are none yet"
        raise StateError(f"there is no version {version}", hint=told)
    if version == served:
        raise StateError(f"version {version} is served already")


@rules("ordered")
def _ordered(change: Change) -> None:
    """{project_id, order: {image id: place}}: the order its tasks show; a note, no more."""
    change.batch("annotating")
