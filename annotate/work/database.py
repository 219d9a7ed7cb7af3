"""Opening the state: SQLite in the work's folder, or the PostgreSQL of PARTLAB_DB_URL.

SQLite runs in WAL mode and every write begins with BEGIN IMMEDIATE, so that two processes
wait for each other instead of failing; PostgreSQL takes one advisory lock for the same.

The tables are what the history makes of them, so a version that has others makes them anew:
there is nothing to migrate.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from annotate.work.tables import About, Base
from partlab.errors import (
    BackendUnavailableError,
    BusyError,
    ConfigError,
    DatasetError,
    PartlabError,
)
from partlab.files import sha256_json

URL = "PARTLAB_DB_URL"
WAIT_SECONDS = 60
LOCK = 7_041_907  # any number, the same for every partlab process
FORM = "form"  # in `about`: that of the tables
FILE = "file"  # of a connection: the path, and the inode that was opened
DATABASE_FILES = ("partlab.db", "partlab.db-wal", "partlab.db-shm")


def open_database(folder: Path, kind: str) -> Engine:
    """Connect, and make the tables where there are none.

    Raises:
        BackendUnavailableError: PostgreSQL is needed and not named, not installed or not there.
        DatasetError: the file is not a database of ours, or is of another version.
    """
    engine = sqlite_engine(folder) if kind == "sqlite" else _postgres()
    with reading(engine) as session:
        empty = not inspect(session.connection()).has_table(About.__tablename__)
    if empty:
        with writing(engine) as session:
            Base.metadata.create_all(session.connection())
            session.merge(About(key=FORM, value=_form()))
    with reading(engine) as session:
        stated = session.get(About, FORM)
    if stated is None or stated.value != _form():
        raise _other_version(engine)
    return engine


def _form() -> str:
    """A hash of tables and columns: other ones, another hash."""
    return sha256_json(
        [
            [table.name, [[c.name, str(c.type), c.nullable, c.primary_key] for c in table.columns]]
            for table in Base.metadata.sorted_tables
        ]
    )


def _other_version(engine: Engine) -> DatasetError:
    new = "" if engine.dialect.name == "sqlite" else f"name a new database in {URL}; then "
    return DatasetError(
        f"{_where(engine)} was made by another version of partlab",
        hint=f"{new}`partlab inspect rebuild WORK` makes it again from its history",
    )


def drop_database(folder: Path) -> None:
    """Delete the SQLite database of a folder, if it has one."""
    for name in DATABASE_FILES:
        (folder / name).unlink(missing_ok=True)


def database_kind() -> str:
    """What a new work will keep its state in: "postgresql" when PARTLAB_DB_URL is set."""
    return "postgresql" if os.environ.get(URL) else "sqlite"


def sqlite_engine(folder: Path) -> Engine:
    """Connections to the SQLite database of a folder, as it is."""
    path = folder / "partlab.db"
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": WAIT_SECONDS})

    @event.listens_for(engine, "do_connect")
    def _note_file(_: Any, record: Any, *__: Any) -> None:
        record.info[FILE] = (path, _inode(path))

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy says BEGIN, not the driver
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")
        if record.info[FILE][1] is None:  # this connection made the file
            record.info[FILE] = (path, _inode(path))

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _is_same_file(connection: Connection) -> bool:
    """Whether the file is still the one that was opened: a rebuild puts a new one in place."""
    path, opened = connection.info.get(FILE, (None, None))
    return opened is None or opened == _inode(path)


def _need_same_file(engine: Engine, connection: Connection) -> None:
    """What is written into the old file would be lost."""
    if not _is_same_file(connection):
        engine.dispose()  # whoever goes on connects to the new one
        raise BusyError(
            f"the database {_where(engine)} was made again meanwhile",
            hint="run the same command again",
        )


def _postgres() -> Engine:
    url = os.environ.get(URL)
    if not url:
        raise BackendUnavailableError(
            "this work keeps its state in PostgreSQL, and PARTLAB_DB_URL is not set",
            hint=f"export {URL}=postgresql+psycopg://USER:PASSWORD@HOST/DATABASE",
        )
    try:
        if make_url(url).get_backend_name() != "postgresql":
            raise ConfigError(f"{URL} does not name a PostgreSQL database")
        engine = create_engine(url, pool_pre_ping=True)
    except ArgumentError:
        raise ConfigError(f"{URL} is not a database address") from None
    except ImportError as error:
        raise BackendUnavailableError(
            f"{error.name} is not installed", hint="pip install 'partlab[postgres]'"
        ) from None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")

    return engine


@contextmanager
def _in_words(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _translated(error, engine) from error


def _where(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _translated(error: DBAPIError, engine: Engine) -> PartlabError:
    where = _where(engine)
    words = str(error.orig).strip().splitlines()[0]
    if isinstance(error, IntegrityError):
        return DatasetError(f"{where} refused a row that contradicts another: {words}")
    if engine.dialect.name == "sqlite":
        if "locked" in words:
            return BusyError(f"another process has held {where} for over {WAIT_SECONDS} s")
        if "not a database" in words or "malformed" in words:
            return DatasetError(
                f"{where} is damaged: {words}",
                hint="`partlab inspect rebuild WORK` makes it again",
            )
        closed = "unable to open" in words or "readonly" in words
        hint = "its folder must be writable, even to read" if closed else "look at its disk"
        hint = "free some space" if "full" in words else hint
        return PartlabError(f"cannot use {where}: {words}", hint=f"{hint}, then try again")
    if isinstance(error, OperationalError):
        return BackendUnavailableError(f"cannot reach the database {where}: {words}")
    return PartlabError(f"the database {where} refused: {words}")


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session for SELECTs, of the database as it is now; rows stay usable after it."""
    with _in_words(engine):
        with engine.connect() as connection:
            same = _is_same_file(connection)
        if not same:
            engine.dispose()
        with Session(engine, expire_on_commit=False) as session:
            yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """One write transaction that has the database for itself.

    Raises:
        BusyError: the database was made again since it was opened, or is held by others.
    """
    with (
        _in_words(engine),
        engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
        Session(connection, expire_on_commit=False) as session,
    ):
        _need_same_file(engine, connection)
        yield session
        session.flush()
