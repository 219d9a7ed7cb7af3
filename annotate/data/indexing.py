"""The index of a large file, made in a process of its own: what reading it took ends with that.

So a server stays small and answers meanwhile. One file is read at a time, and an index that was
not finished is not there at all.
"""

import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

from annotate.data.index import SMALL, Index, kept_index, read_index
from partlab.errors import PartlabError
from partlab.progress import event, listening

T = TypeVar("T")
_TICK_S = 0.2  # between two looks at what is waited for
_LEAVE_S = 2.0  # for a process that is to end
_one = Lock()


def indexed(file: Path, *, small: int = SMALL) -> Index:
    """As `kept_index`; a file that is not `small` (bytes) is read in another process.

    How far that is, is told as an event "step"; a listener that raises ends the process. A script
    that calls this needs `if __name__ == "__main__":`.

    Raises:
        NotFoundError, SchemaError: as `read_coco`.
        PartlabError: the process was killed.
    """
    if not file.is_file() or file.stat().st_size < small:
        return kept_index(file, small=small)
    found = read_index(file)
    if found is not None:
        return found
    with _turn():
        found = read_index(file)  # somebody made it meanwhile
        if found is None:
            _make_apart(file)
    return found or kept_index(file, small=small)  # read here only where none can be kept


@contextmanager
def _turn() -> Iterator[None]:
    while not _one.acquire(timeout=_TICK_S):
        event("step", words="waiting: another large file is being read")
    try:
        yield
    finally:
        _one.release()


def _make_apart(file: Path) -> None:
    context = get_context("spawn")
    hearing, saying = context.Pipe(duplex=False)
    process = context.Process(target=_made, args=(file, saying), daemon=True)
    process.start()
    saying.close()  # ours; the other end is the process's, and closes with it
    try:
        _follow(file, hearing)
    finally:
        process.terminate()
        process.join(_LEAVE_S)
        process.kill()
        process.join()
        hearing.close()


def _follow(file: Path, hearing: Connection) -> None:
    """Tell what the process says until it has done; what went wrong there is raised here."""
    words = f"reading {file.name}, {file.stat().st_size / 1e6:,.0f} MB; once only"
    while True:
        event("step", words=words)
        if not hearing.poll(_TICK_S):
            continue
        try:
            said = hearing.recv()
        except EOFError:
            raise PartlabError(
                f"reading {file} was killed, perhaps for want of memory",
                hint="split it (partlab data split), or free some memory",
            ) from None
        if isinstance(said, PartlabError):
            raise said
        if said is None:
            return
        words = said


# --- in the process ----------------------------------------------------------------------------


def _made(file: Path, saying: Connection) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no half of a file stays
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who was asked to end by a key tells us
    try:
        with listening(_Saying(saying)):
            kept_index(file, small=0)
        saying.send(None)
    except PartlabError as error:
        saying.send(error)


class _Saying:
    """A listener that says how far it is through a pipe."""

    def __init__(self, saying: Connection) -> None:
        self.saying, self.last = saying, 0.0

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """See `partlab.progress.Listener`."""
        for number, item in enumerate(items):
            if monotonic() - self.last > _TICK_S:
                self.last = monotonic()
                of = f" {total:,} images" if total else ""
                self.saying.send(f"{what}{of}: {number:,} done")
            yield item

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Nothing is told."""
