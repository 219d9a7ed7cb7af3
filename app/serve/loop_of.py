"""What loads the version that the loop of a work serves, now and as it changes."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from annotate.work import Work
from app.serve.run_of import RunOf, told_of
from app.serve.served import Load, Served, Told, version_of
from app.serve.settings import ServeSettings
from partlab.errors import DatasetError, NotFoundError
from segmenter.loop.versions import (
    CHECKPOINT,
    Version,
    current,
    folder_of,
    versions,
    whole_run,
)
from segmenter.origin import RunFolder


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
