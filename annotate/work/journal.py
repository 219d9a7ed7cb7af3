"""The journal: every event as one JSON line in WORK/exports/history.jsonl.

It follows the database, so a crash between the two costs nothing: the next event writes
what is missing. With the raw exports beside it, the database can be made again.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate.work.tables import Event
from partlab.errors import DatasetError, PartlabError, SchemaError
from partlab.files import cannot_write


def catch_up(session: Session, path: Path) -> None:
    """Append the events that are not in the file yet, and see them safely on disk.

    Raises:
        DatasetError: the last event of the file is not that of the database.
        PartlabError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            last, after = _mend_and_find_last(path)
            if last and session.scalar(select(Event.after).filter_by(id=last)) != after:
                raise DatasetError(
                    f"event {last} of {path} is not that of the database",
                    hint="`partlab inspect rebuild WORK` makes the database from the history",
                )
            news = session.scalars(select(Event).where(Event.id > last).order_by(Event.id))
            with path.open("ab") as handle:
                for event in news:
                    handle.write(json.dumps(asdict(event), ensure_ascii=False).encode() + b"\n")
                handle.flush()
                os.fsync(handle.fileno())
    except OSError as error:
        fault = cannot_write(path, error)
        hint = f"the state itself is safe, and the next command catches up; {fault.hint}"
        raise PartlabError(fault.message, hint=hint) from error


def last_id(path: Path) -> int:
    """Id of the last whole line of a journal; 0 where there is none.

    Raises:
        SchemaError: the line is damaged.
    """
    if not path.is_file():
        return 0
    with path.open("rb") as handle:
        return _last(handle, path)[0][0]


_Last = tuple[int, str]  # id and hash of the last event


def _mend_and_find_last(path: Path) -> _Last:
    """The last whole line; a line cut off by a crash is removed."""
    if not path.exists():
        return 0, ""
    with path.open("rb+") as handle:
        last, end = _last(handle, path)
        handle.truncate(end)
    return last


def _last(handle: BinaryIO, path: Path) -> tuple[_Last, int]:
    """The last whole line, and where it ends."""
    end = handle.seek(0, os.SEEK_END)
    while end:
        start = _line_start(handle, end)
        handle.seek(start)
        line = handle.read(end - start)
        if line.endswith(b"\n"):
            return _read_last(line, path), end
        end = start
    return (0, ""), 0


def _read_last(line: bytes, path: Path) -> _Last:
    try:
        event = json.loads(line)
        return int(event["id"]), str(event["after"])
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(f"the last line of {path} is damaged: {error}") from None


def _line_start(handle: BinaryIO, end: int) -> int:
    """Where the last line before `end` begins."""
    position, step = max(end - 1, 0), 1 << 16
    while position > 0:
        begin = max(0, position - step)
        handle.seek(begin)
        block = handle.read(position - begin)
        if (found := block.rfind(b"\n")) >= 0:
            return begin + found + 1
        position = begin
    return 0


def read_journal(path: Path) -> Iterator[Event]:
    """The events of a journal, in order.

    Raises:
        SchemaError: a line is damaged, or one is missing.
    """
    expected = 1
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, 1):
            if not line.endswith("\n"):
                return  # cut off by a crash; it never counted
            try:
                event = Event(**json.loads(line))
            except (json.JSONDecodeError, TypeError) as error:
                raise SchemaError(f"{path} line {number} is damaged: {error}") from None
            if event.id != expected:
                raise SchemaError(f"{path} line {number}: event {expected} is missing")
            expected += 1
            yield event
