"""Models that long work is done with: they stay until it ends, whatever is served meanwhile."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from app.serve.served import Served

M = TypeVar("M", bound=Served)


@dataclass
class Held:
    """Who may be let go, and when; threads may share one."""

    _users: Counter[int] = field(default_factory=Counter)  # by id of the model
    _leaving: set[int] = field(default_factory=set)
    _turn: Lock = field(default_factory=Lock)

    @contextmanager
    def using(self, find: Callable[[], M]) -> Iterator[M]:
        """Keep what `find` gives until the block ends; no model is let go in between."""
        with self._turn:
            model = find()
            self._users[id(model)] += 1
        try:
            yield model
        finally:
            with self._turn:
                self._users[id(model)] -= 1
                over = not self._users[id(model)] and id(model) in self._leaving
                if over:
                    self._leaving.discard(id(model))
            if over:
                end(model)

    def let_go(self, model: Served) -> None:
        """End a model that is not served any more, now or when its last user is done."""
        with self._turn:
            used = self._users[id(model)] > 0
            if used:
                self._leaving.add(id(model))
        if not used:
            end(model)


def end(model: Served) -> None:
    """Finish what waits for it, and end its threads."""
    for batcher in model.batchers:
        batcher.close()
