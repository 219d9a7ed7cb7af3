"""How long work tells how far it is, without any room knowing about terminals."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Wraps an iterable: `for item in progress(items, "reading images", total=len(items))`."""

    def __call__(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """Yield the items unchanged, telling how far it is."""
        ...


def silent(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The default: says nothing."""
    yield from items
