"""A server that follows the loop of a work: the version that is served there is served here.

A new version is loaded and tried beside the old one, then takes its place in the next request. The
one before stays for whoever asks for it by name and version: requests under way, and a rollback,
which then costs nothing. A bulk job keeps the version it began with, however many come after it.
What cannot be loaded changes nothing, and is said.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from annotate.work import Work
from app.serve.models import Load, Models, RunOf, Source, told_of
from app.serve.served import Served, Told, version_of
from app.serve.settings import ServeSettings
from partlab.errors import DatasetError, NotFoundError, PartlabError
from segmenter.loop.versions import (
    CHECKPOINT,
    Version,
    current,
    folder_of,
    versions,
    whole_run,
)
from segmenter.origin import RunFolder

log = logging.getLogger(__name__)

KEPT = 2  # versions of one loop in memory: the one that is served, and the one before
AGAIN_S = 60.0  # until a version that could not be loaded is tried again


@dataclass
class LoopOf:
    """The version that a work's loop serves; `loaded` is the one that was loaded last."""

    work: Path
    device: str | None
    loaded: str = ""
    _seen: tuple[int, int] | None = None  # of the history, when it was read
    _newest: str = ""

    def __call__(self, name: str, settings: ServeSettings, told: Told) -> Served:
        """Load it.

        Raises:
            NotFoundError: no version is served there yet.
            DatasetError: its weights are not those that the history knows; else as a run.
        """
        version = self._version()
        self.loaded = _token(version)
        return RunOf(whole_run(self.work, version), CHECKPOINT, self.device)(name, settings, told)

    def newest(self) -> str:
        """Which version it is by now; the database is read only after something has happened."""
        stat = (self.work / "exports" / "history.jsonl").stat()
        seen = stat.st_mtime_ns, stat.st_size
        if seen != self._seen:
            self._newest, self._seen = _token(self._version()), seen
        return self._newest

    def earlier(self, version: str) -> Load | None:
        """What loads the version of the loop that a server calls `version`; None: none is."""
        with Work.open(self.work) as work:
            known = versions(work)
        for one in reversed(known):
            with suppress(NotFoundError, DatasetError):  # its folder was taken away, or changed
                facts = told_of(RunFolder(folder_of(self.work, one.number)))
                if version_of(one.weights_sha256, facts) == version:
                    return RunOf(whole_run(self.work, one), CHECKPOINT, self.device)
        return None

    def _version(self) -> Version:
        with Work.open(self.work) as work:
            found = current(work)
        if found is None:
            raise NotFoundError(
                f"the loop of {self.work} serves no version yet",
                hint=f"make one: partlab loop start {self.work}; --run takes one of yours",
            )
        return found


def _token(version: Version) -> str:
    return f"{version.number}:{version.weights_sha256}"


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

    models: Models
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
