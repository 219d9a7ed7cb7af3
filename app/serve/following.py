"""A server that follows the loop of a work: the version that is served there is served here.

A new version is loaded and tried beside the old one, then takes its place in the next request. The
one before stays for whoever asks for it by name and version: requests under way, and a rollback,
which then costs nothing. A bulk job keeps the version it began with, however many come after it.
What cannot be loaded changes nothing, and is said.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic
from typing import Any, Protocol

from app.serve.held import Held
from app.serve.loop_of import LoopOf
from app.serve.served import Served
from app.serve.settings import ServeSettings
from app.serve.source import Source
from partlab.errors import PartlabError

log = logging.getLogger(__name__)

KEPT = 2  # versions of one loop in memory: the one that is served, and the one before
AGAIN_S = 60.0  # until a version that could not be loaded is tried again


class Serving(Protocol):
    """Models that change while they are served (`app.serve.models.Models`)."""

    sources: Sequence[Source]
    settings: ServeSettings
    held: Held

    def find(self, wanted: str | None) -> Any:
        """A model by its name."""
        ...

    def made(self, source: Source) -> Served:
        """A source's model, which has made its first prediction."""
        ...

    def put(self, model: Served, gone: Served | None = None) -> None:
        """Make a model the one that answers; another may go."""
        ...


@dataclass
class _Followed:
    """One source that changes: its models by what they are, the newest last."""

    source: Source
    kept: dict[str, Served]
    wanted: str = ""  # at the last look
    failed: str = ""
    again: float = 0.0


@dataclass
class Following:
    """Looks now and then whether a source has become another, in a thread of its own."""

    models: Serving
    followed: list[_Followed] = field(default_factory=list)
    _end: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def __post_init__(self) -> None:
        for source in self.models.sources:
            if isinstance(source.load, LoopOf):
                model = self.models.find(source.name)
                self.followed.append(_Followed(source, {source.load.loaded: model}))

    def start(self) -> None:
        """Begin to look."""
        self._thread = Thread(target=self._run, name="following", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; a version that is being loaded is not waited for."""
        self._end.set()

    def _run(self) -> None:
        while not self._end.wait(self.models.settings.follow_s):
            for each in self.followed:
                try:
                    self.look(each)
                # Broad, since a network and its backend may raise anything when they are loaded,
                # and a thread that ended would never look again. The old version answers.
                except Exception as error:
                    self._say(each, error)

    def look(self, each: _Followed) -> None:
        """Serve what the source is by now; errors are those of loading it."""
        each.wanted = "?"
        newest = each.source.newest() if each.source.newest else ""
        if newest == list(each.kept)[-1] or (newest == each.failed and monotonic() < each.again):
            return
        each.wanted = newest
        model = each.kept.pop(newest, None) or self.models.made(each.source)
        each.kept[newest], each.failed = model, ""
        gone = each.kept.pop(next(iter(each.kept))) if len(each.kept) > KEPT else None
        self.models.put(model, gone)
        log.info("%s is %s now: version %s of its loop", model.name, model.version, _number(newest))
        if gone is not None:
            self.models.held.let_go(gone)

    def _say(self, each: _Followed, error: Exception) -> None:
        if each.wanted != each.failed or monotonic() >= each.again:
            served = _number(list(each.kept)[-1])
            log.warning(
                "%s: version %s cannot be served, so %s stays: %s",
                *(each.source.name, _number(each.wanted), served, error),
                exc_info=None if isinstance(error, PartlabError) else error,
            )
        each.failed, each.again = each.wanted, monotonic() + AGAIN_S


def _number(token: str) -> str:
    return token.partition(":")[0]
