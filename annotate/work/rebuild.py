"""The database of a work made again from its journal and its raw exports."""

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from annotate.vocabulary import read_vocabulary
from annotate.work import journal
from annotate.work.chain import apply_event, hash_now, is_intact
from annotate.work.change import Change
from annotate.work.database import (
    DATABASE_FILES,
    drop_database,
    open_database,
    sqlite_engine,
    writing,
)
from annotate.work.settings import WorkSettings
from annotate.work.store import Work, settings_of
from annotate.work.tables import About, Answer, Event, Flag
from partlab.errors import BusyError, DatasetError, NotFoundError, PartlabError
from partlab.files import exclusive

log = logging.getLogger(__name__)

Ingest = Callable[[Work, Event], tuple[Sequence[Answer], Sequence[Flag]]]
"""Reads the raw file of a "pulled" event again."""


def rebuild_work(folder: str | Path, ingest: Ingest) -> int:
    """Make the database again from the journal and the raw exports; the old one is kept.

    Returns the number of events.

    Raises:
        NotFoundError: there is no work, or no journal.
        SchemaError: the journal is damaged; the message says the line.
        DatasetError: what comes out is not what was recorded, or PostgreSQL's database is
            not empty.
        BusyError: another process is writing to the old database, or reading it.
    """
    folder = Path(folder)
    settings = settings_of(folder)
    source = folder / "exports" / "history.jsonl"
    if not source.exists():
        raise NotFoundError(f"{folder} has no history to rebuild from: {source} is missing")
    with exclusive(folder):
        if settings.database != "sqlite":
            return _replay(folder, settings, folder, source, ingest)
        scratch = folder / ".rebuild"
        drop_database(scratch)
        scratch.mkdir(exist_ok=True)
        with _holding_old(folder, settings, source):
            count = _replay(folder, settings, scratch, source, ingest)
            _put_in_place(scratch, folder)
    return count


@contextmanager
def _holding_old(folder: Path, settings: WorkSettings, source: Path) -> Iterator[None]:
    """Keep everybody from writing into the old database, where it can still be read.

    Events that a crash kept from the journal are added to it first.
    """
    with ExitStack() as stack:
        if (folder / "partlab.db").exists():
            engine = sqlite_engine(folder)
            stack.callback(engine.dispose)
            try:
                session = stack.enter_context(writing(engine))
                _fold_in_log(engine)
                owner = session.get(About, "work")
                if owner is not None and owner.value == settings.id:
                    journal.catch_up(session, source)
            except BusyError:
                raise
            except (PartlabError, DBAPIError, sqlite3.Error) as error:
                log.warning("the old database is of no help: %s", str(error).partition("\n")[0])
        yield


def _fold_in_log(engine: Engine) -> None:
    """Then the file is whole without its log, whatever happens to that."""
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        _, logged, folded = cursor.execute("PRAGMA wal_checkpoint").fetchone()
    if logged != folded:
        raise BusyError(
            f"another process is reading {engine.url.database}",
            hint="wait for it to end, then run the same command again",
        )


def _replay(
    folder: Path, settings: WorkSettings, database: Path, source: Path, ingest: Ingest
) -> int:
    vocabulary = read_vocabulary(folder / "vocabulary.yaml")
    engine = open_database(database, settings.database)
    count = 0
    with Work(folder, settings, vocabulary, engine) as work:
        work.need_empty()
        for event in journal.read_journal(source):
            answers, flags = ingest(work, event) if event.what == "pulled" else ((), ())
            with writing(engine) as session:
                _again(Change(session, event, answers, flags), source)
            count += 1
    return count


def _again(change: Change, source: Path) -> None:
    event = change.event
    if hash_now(change.session, event.object) != event.before or not is_intact(event):
        raise DatasetError(
            f"event {event.id} ({event.what}) of {source} does not fit the others",
            hint="the journal was changed by hand: put it back from a copy of the work",
        )
    apply_event(change)


def _put_in_place(scratch: Path, folder: Path) -> None:
    """The new database becomes the work's; the old one is kept beside it.

    There is a database at every moment. The old one's log goes before the new one comes: read
    into that, it would damage it.
    """
    kept = {
        name: name.replace("partlab.db", "partlab.db.before-rebuild") for name in DATABASE_FILES
    }
    for name in kept.values():
        (folder / name).unlink(missing_ok=True)
    for name in DATABASE_FILES:
        if (folder / name).exists():
            put = _link if name == "partlab.db" else os.replace
            put(folder / name, folder / kept[name])
    os.replace(scratch / "partlab.db", folder / "partlab.db")
    drop_database(scratch)
    scratch.rmdir()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a system without links
        shutil.copyfile(source, target)
