"""The database of a work made again from its journal and its raw exports."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from annotate.vocabulary import read_vocabulary
from annotate.work import journal
from annotate.work.chain import apply_event, hash_now
from annotate.work.change import Change
from annotate.work.database import DATABASE_FILES, drop_database, open_database, writing
from annotate.work.settings import WorkSettings
from annotate.work.store import Work
from annotate.work.tables import Answer, Event, Flag
from partlab.config import load_config
from partlab.errors import DatasetError, NotFoundError
from partlab.files import exclusive

Ingest = Callable[[Work, Event], tuple[Sequence[Answer], Sequence[Flag]]]
"""Reads the raw file of a "pulled" event again."""


def rebuild_work(folder: str | Path, ingest: Ingest) -> int:
    """Make the database again from the journal and the raw exports; the old one is kept.

    Returns the number of events.

    Raises:
        NotFoundError: there is no journal.
        SchemaError: the journal is damaged; the message says the line.
        DatasetError: what comes out is not what was recorded, or PostgreSQL's database is
            not empty.
    """
    folder = Path(folder)
    settings = load_config(WorkSettings, folder / "work.json")
    source = folder / "exports" / "history.jsonl"
    if not source.exists():
        raise NotFoundError(f"{folder} has no history to rebuild from: {source} is missing")
    with exclusive(folder):
        if settings.database != "sqlite":
            return _replay(folder, settings, folder, source, ingest)
        scratch = folder / ".rebuild"
        drop_database(scratch)
        scratch.mkdir(exist_ok=True)
        count = _replay(folder, settings, scratch, source, ingest)
        _put_in_place(scratch, folder)
    return count


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
    recorded, before = event.after, hash_now(change.session, event.object)
    if before == event.before:
        apply_event(change)
    if event.after != recorded or before != event.before:
        raise DatasetError(
            f"event {event.id} ({event.what}) of {source} does not fit the others",
            hint="the journal or a raw export was changed by hand",
        )


def _put_in_place(scratch: Path, folder: Path) -> None:
    """The new database becomes the work's; the old one is kept beside it.

    The old one's log goes first: read into the new one, it would damage it.
    """
    for name in DATABASE_FILES[::-1]:
        if (folder / name).exists():
            kept = name.replace("partlab.db", "partlab.db.before-rebuild")
            os.replace(folder / name, folder / kept)
    os.replace(scratch / "partlab.db", folder / "partlab.db")
    drop_database(scratch)
    scratch.rmdir()
