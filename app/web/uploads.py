"""Files that browsers send: in a folder of the app's own, bounded, gone with their session (SV-18).

Gradio takes them and gives two sessions that send the same file the same path, so a file goes
when the last session that has used it goes, when it is old, or when there are too many. The folder
goes when the app ends; what an app left behind that was killed goes when the next one starts.
"""

import logging
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR
from threading import Lock
from typing import Any

from partlab.errors import BusyError
from partlab.files import exclusive

log = logging.getLogger(__name__)

LARGEST = 32 << 20
"""Bytes of one file."""
AGE_S = 3600
_PREFIX = "partlab-app-"


@dataclass
class Uploads:
    """The folder, and who uses what in it."""

    place: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    most: int = 256 << 20
    folder: Path = field(init=False)
    _held: ExitStack = field(default_factory=ExitStack)
    _of: defaultdict[str, set[Path]] = field(default_factory=lambda: defaultdict(set))
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        for left in _left_behind(self.place):
            log.info("removed %s, which an app left behind that was killed", left)
        own = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=self.place))
        self._held.enter_context(exclusive(own))  # as long as this process lives
        self.folder = own / "files"
        self.folder.mkdir()

    def used(self, session: str | None, values: Any) -> None:
        """Note the files among an event's values as this session's."""
        mine = [path for path in _paths(values) if path.is_relative_to(self.folder)]
        if mine and session:
            with self._lock:
                self._of[session].update(mine)

    def left(self, session: str | None) -> None:
        """A session is over: what only it used is deleted."""
        with self._lock:
            mine = self._of.pop(session or "", set())
            others = set().union(*self._of.values())
            for path in mine - others:
                path.unlink(missing_ok=True)

    def sweep(self, now: float | None = None) -> None:
        """Delete what is old, then the oldest while there is more than may be."""
        now = time.time() if now is None else now
        with self._lock:
            files = sorted(_files(self.folder), reverse=True)  # newest first
            total = 0
            for changed, size, path in files:
                total += size
                if total > self.most or now - changed > AGE_S:
                    path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes there are now."""
        return sum(size for _, size, _ in _files(self.folder))

    def close(self) -> None:
        """Delete all."""
        self._held.close()
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def _left_behind(place: Path) -> Iterator[Path]:
    """Delete folders of apps of this user whose process is gone: their lock is free."""
    mine = getattr(os, "getuid", lambda: 0)()
    for each in place.glob(f"{_PREFIX}*"):
        with suppress(OSError, BusyError):
            about = each.lstat()
            ours = S_ISDIR(about.st_mode) and about.st_uid == mine
            if ours and (each / ".lock").is_file():  # one without is being made just now
                with exclusive(each):
                    shutil.rmtree(each)
                yield each


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                stat = path.stat()
                yield stat.st_ctime, stat.st_size, path


def _paths(values: Any) -> Iterator[Path]:
    """Of files in what a browser sends."""
    if isinstance(values, dict):
        if isinstance(values.get("path"), str):
            yield Path(values["path"]).resolve()
        values = list(values.values())
    if isinstance(values, list | tuple):
        for each in values:
            yield from _paths(each)
