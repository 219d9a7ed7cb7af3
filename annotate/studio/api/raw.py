"""Raw exports: tasks as Label Studio gave them, compressed, one file for each ingest.

    WORK/exports/<object>/r<n>/000001.jsonl.gz

The first line says whose tasks these are and what else is needed to understand them (`Header`),
each further line is one task. With these files and the journal the state can be made again,
whatever becomes of the server. The same tasks give the same bytes.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ValidationError

from annotate.vocabulary import ObjectParts, Part
from partlab.config import Config
from partlab.errors import NotFoundError, SchemaError
from partlab.files import replacing
from partlab.inclusions import Outer


def _utc(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return datetime.fromisoformat(value).astimezone(UTC).isoformat(timespec="microseconds")


def _id(value: Any) -> Any:
    """Label Studio gives a user now by id, now as an object."""
    return value.get("id") if isinstance(value, Mapping) else value


Time = Annotated[str, BeforeValidator(_utc)]
"""A moment as text that sorts: UTC, always with microseconds."""

UserId = Annotated[int | None, BeforeValidator(_id)]


class RawAnnotation(BaseModel):
    """What partlab reads of one annotation; `result` is understood by `spelling.reading`."""

    id: int
    updated_at: Time
    completed_by: UserId = None
    updated_by: UserId = None
    was_cancelled: bool = False
    lead_time: float | None = None
    parent_prediction: int | None = None
    result: Any = None


class RawTask(BaseModel):
    """What partlab reads of one task."""

    id: int
    updated_at: Time
    data: dict[str, Any]
    annotations: tuple[RawAnnotation, ...] = ()


class Header(Config):
    """The first line of a raw export.

    `tasks` holds when each task was last changed, `people` the emails of everybody who touched
    one, `models` what made each prediction that an annotation began with, `parts` ids and names
    of the vocabulary of that time. Labels are ids, or names where it is `named`, as in projects of
    earlier versions. `cursor` is set when the server had nothing further.
    """

    format: int = 1
    work: str
    object: str
    round: int
    project: int
    tasks: dict[int, str]
    people: dict[int, str]
    models: dict[int, str]
    parts: tuple[tuple[str, str], ...]
    inclusions: dict[str, Outer]
    named: bool = True
    cursor: str | None = None

    @property
    def vocabulary(self) -> ObjectParts:
        """The object category as it was when the tasks were read."""
        parts = tuple(Part(id=id, name=name) for id, name in self.parts)
        return ObjectParts(name=self.object, parts=parts, inclusions=self.inclusions)


def write_export(path: Path, header: Header, tasks: Iterable[Mapping[str, Any]]) -> str:
    """Write a raw export, atomically; returns the hex SHA-256 of its uncompressed lines.

    Raises:
        PartlabError: the disk is full.
    """
    digest = hashlib.sha256()
    with (
        replacing(path) as scratch,
        scratch.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed,
    ):
        for record in (header.model_dump(mode="json"), *tasks):
            line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            packed.write(line)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Export:
    """An open raw export; `tasks` is read as it is asked for, one task in memory."""

    header: Header
    tasks: Iterator[RawTask]


@contextmanager
def open_export(path: Path, sha256: str | None = None) -> Iterator[Export]:
    """Open a raw export; with `sha256`, see that it is what was recorded.

    Raises:
        NotFoundError: it is not there.
        SchemaError: it is damaged, or was changed.
    """
    if sha256 is not None and content_hash(path) != sha256:
        raise SchemaError(
            f"{path} is not the file that was recorded",
            hint="a raw export is never edited; put it back from a copy",
        )
    with _in_words(path), gzip.open(path, "rb") as lines:
        header = Header.model_validate_json(lines.readline())
        yield Export(header, (RawTask.model_validate_json(line) for line in lines))


def content_hash(path: Path) -> str:
    """Hex SHA-256 of the uncompressed lines.

    Raises:
        NotFoundError: it is not there.
        SchemaError: it is damaged.
    """
    digest = hashlib.sha256()
    with _in_words(path), gzip.open(path, "rb") as lines:
        for line in lines:
            digest.update(line)
    return digest.hexdigest()


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError(
            f"the raw export {path} is missing", hint="put it back from a copy of the work"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile, ValidationError, UnicodeDecodeError) as error:
        why = str(error).splitlines()[0]
        raise SchemaError(f"the raw export {path} is damaged: {why}") from error
