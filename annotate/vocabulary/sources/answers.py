"""What a SPARQL endpoint answered, kept on disk: a question is asked once, also after `kill -9`."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from partlab.errors import PartlabError, SchemaError

Rows = list[dict[str, str]]

_TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, asked TEXT, rows TEXT)"
_AT_ONCE = 500  # SQLite's limit on variables is higher everywhere


class Answers:
    """A folder with one SQLite file: SHA-256 of endpoint and question -> rows of the answer.

    Every answer is one transaction, so that a crash at any moment loses none that was kept, and
    two processes may share it.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open or make it.

        Raises:
            SchemaError: the file is damaged.
            PartlabError: the folder cannot be written to.
        """
        self.path = Path(folder) / "answers.sqlite"
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=30)
            with self._database:
                self._database.execute(_TABLE)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def get(self, keys: Sequence[str]) -> dict[str, Rows]:
        """The rows of those that were answered before."""
        found: dict[str, Rows] = {}
        with self._told():
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, rows FROM answers WHERE key IN ({marks})"
                found |= {
                    key: json.loads(rows) for key, rows in self._database.execute(query, some)
                }
        return found

    def put(self, answers: Mapping[str, Rows]) -> None:
        """Keep these, in place of older ones."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        records = [
            (key, now, json.dumps(rows, ensure_ascii=False)) for key, rows in answers.items()
        ]
        with self._told(), self._database:
            self._database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", records)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise PartlabError(
                f"cannot use the stored answers {self.path}: {error}",
                hint="choose another folder with --cache",
            ) from error
        except (sqlite3.DatabaseError, ValueError) as error:
            raise SchemaError(
                f"the stored answers {self.path} are damaged: {error}",
                hint="delete that file and run the same command again",
            ) from error
