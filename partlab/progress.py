"""How work tells how far it is and what it measured, without any room knowing who listens.

The listener is a context variable: a command line sets one for itself, a server one for each
request, and nothing in between passes it on. Without a listener work is silent.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Listener(Protocol):
    """Hears of counted work and of events; called in the thread that does the work."""

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """Yield the items unchanged, telling how far it is."""
        ...

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Something happened once, such as "metrics": its facts, ready for JSON."""
        ...


class Silent:
    """The listener that says nothing."""

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """The items, unchanged."""
        yield from items

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Nothing."""


_SILENT = Silent()
_listener: ContextVar[Listener] = ContextVar("partlab_listener")


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Everything done in this block, in this thread or task, tells `listener`.

    A thread started inside does not inherit it, unless it runs in a copy of the context, as
    `asyncio.to_thread` does.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Wrap counted work: `for item in track(items, "reading images", total=len(items))`."""
    return _listener.get(_SILENT).track(items, what, total)


def event(name: str, **facts: Any) -> None:
    """Tell the listener of something that happened once."""
    _listener.get(_SILENT).event(name, facts)


def duration(seconds: float) -> str:
    """4000 -> `1 h 07 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
