"""Bulk jobs: the pseudo-label engine on a served model, surviving whatever stops the server.

    JOBS/ID/job.json         what was asked, by whom, how it stands
    JOBS/ID/pictures/…       what was sent with it, if no folder was named
    JOBS/ID/store/           the pseudo-label store, shard by shard: where a job goes on
    JOBS/ID/result.parquet   all rows in one file, once it is done

A job is on disk before its sender hears of it. One runs at a time, in the order they came.
"""

import hashlib
import json
import logging
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Literal, TypeVar

import pyarrow.parquet as pq
from pydantic import Field

from app.serve.encoded import base64_picture
from app.serve.errors import RefusalError, parameters
from app.serve.models import Models
from app.serve.segmenters import SegmenterModel, SharedSegmenter
from app.serve.settings import ServeSettings
from partlab.config import Config, validate
from partlab.errors import NotFoundError, PartlabError, StateError
from partlab.files import (
    exclusive,
    read_json,
    replacing,
    write_bytes,
    write_json,
    write_lines,
)
from partlab.folders import is_store
from partlab.images import is_image_name
from partlab.pictures import is_safe_name
from partlab.progress import Silent, listening
from pseudolabel.settings import Settings, Thresholds
from pseudolabel.store import SCHEMA, read_manifest, shard_path
from segmenter.protocol import Segmenter
from segmenter.tuning.file import with_own

log = logging.getLogger(__name__)
T = TypeVar("T")

How = Literal["queued", "running", "done", "failed", "cancelled"]
_OPEN = ("queued", "running")
_NAMES = b"partlab.names"


class SentPicture(Config):
    """A picture that came with a job; `name` is relative, `object` what it shows."""

    name: str
    image: str = Field(repr=False)
    object: str | None = None


class JobAsk(Config):
    """What a job is to do: a folder under one of the server's roots, or pictures sent with it.

    `folder` is ROOT/sub-folder. The object category of a picture is its first sub-folder there.
    """

    model: str | None = None
    folder: str | None = None
    pictures: tuple[SentPicture, ...] = ()
    category_filter: bool = True
    thresholds: Thresholds = Thresholds()
    unite: bool = True
    shard_size: int = Field(64, ge=1, le=100_000)

    @property
    def settings(self) -> Settings:
        """Of the engine."""
        named = {"category_filter", "unite", "shard_size"}
        named |= self.model_fields_set & {"thresholds"}  # else a tuned run's own stand
        return Settings(**{name: getattr(self, name) for name in named})


class Record(Config):
    """job.json."""

    id: str
    model: str
    images: str
    by: str | None
    asked: str  # hash of the request, for who repeats it
    created: str
    settings: dict[str, Any]
    state: How = "queued"
    reason: str | None = None
    hint: str | None = None


class _StoppedError(Exception):
    """The server is being stopped; the job goes on when it is started again."""


class _CancelledError(Exception):
    """Somebody cancelled the job."""


@dataclass(frozen=True)
class _ServedHere:
    """A model of this server as the engine's origin (`segmenter.origin.Origin`)."""

    model: SegmenterModel

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def place(self) -> str:
        return f"served:{self.model.name}@{self.model.version}"

    def description(self) -> dict[str, Any]:
        return self.model.description

    def weights_sha256(self, checkpoint: str) -> str:
        return self.model.weights_sha256

    def load(self, checkpoint: str, device: str | None) -> Segmenter:
        return SharedSegmenter(self.model)


class Jobs:
    """The jobs of one server; a folder belongs to one server at a time."""

    def __init__(self, folder: Path, settings: ServeSettings, models: Models) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.settings, self.models = folder, settings, models
        self._lock = exclusive(folder)
        self._lock.__enter__()
        for scratch in folder.glob(".new-*"):  # of a sender that never heard of it
            shutil.rmtree(scratch, ignore_errors=True)
        self._changed = Condition()
        self._records = {record.id: record for record in _read_all(folder)}
        self._done: dict[str, int] = {}
        self._cancelled: set[str] = set()
        self._stopping = False
        self._thread: Thread | None = None

    # -- asked by requests ------------------------------------------------------------------

    def submit(self, ask: JobAsk, by: str | None, key: str) -> tuple[Record, bool]:
        """Take a job; also whether it is new. The same key with the same request is the same job.

        Raises:
            RefusalError: 422, no such folder, a picture that cannot be kept, or the key came
                with another request.
            NotFoundError: there is no such model.
        """
        model: SegmenterModel = self.models.find(ask.model, "segmenter")
        with parameters():
            settings = with_own(ask.settings, model.description, model.checkpoint)
            settings.thresholds.of(model.segmenter.names)
        asked = hashlib.sha256(ask.model_dump_json().encode()).hexdigest()
        number = _number(by, key)
        with self._changed:
            if (known := self._records.get(number)) is not None:
                if known.asked != asked:
                    raise RefusalError(422, "this idempotency key came with another request before")
                return known, False
        images = self._folder_of(ask) if ask.folder is not None else None
        record = Record(
            id=number,
            model=f"{model.name}@{model.version}",
            images=str(images or self.folder / number / "list.csv"),
            by=by,
            asked=asked,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            settings=settings.model_dump(mode="json"),
        )
        self._write_new(record, ask)
        return record, True

    def get(self, number: str) -> Record:
        """One job.

        Raises:
            NotFoundError: there is none of this number.
        """
        with self._changed:
            if number not in self._records:
                raise NotFoundError(f"no job {number[:80]}", hint="see GET /v1/jobs")
            return self._records[number]

    def all(self) -> list[Record]:
        """Newest first."""
        with self._changed:
            return sorted(self._records.values(), key=lambda one: one.created, reverse=True)

    def told(self, record: Record) -> dict[str, Any]:
        """How far a job is."""
        store, images, done, counts = self.folder / record.id / "store", None, 0, None
        if is_store(store):
            manifest = read_manifest(store)
            images, counts = manifest.images, manifest.counts or None
            done = sum(
                len(manifest.span(shard))
                for shard in range(manifest.shards)
                if shard_path(store, shard).is_file()
            )
        return {
            **record.model_dump(include={"id", "model", "state", "created", "reason", "hint"}),
            "images": images,
            "done": max(done, self._done.get(record.id, 0)),
            "counts": counts,
        }

    def result(self, number: str) -> Path:
        """The Parquet file of a finished job.

        Raises:
            NotFoundError: no such job.
            StateError: it is not done.
        """
        record = self.get(number)
        if record.state != "done":
            why = f": {record.reason}" if record.reason else ""
            raise StateError(f"the job {number} is {record.state}{why}", hint="see how far it is")
        return self.folder / number / "result.parquet"

    def cancel(self, number: str) -> Record:
        """End a job where it is; what it has made stays.

        Raises:
            NotFoundError: no such job.
            StateError: it has ended already.
        """
        with self._changed:
            record = self.get(number)
            if record.state not in _OPEN:
                raise StateError(f"the job {number} is {record.state} already")
            self._cancelled.add(number)
            return record if record.state == "running" else self._set(record, state="cancelled")

    def count(self) -> Counter[str]:
        """How many jobs are in which state."""
        with self._changed:
            return Counter(record.state for record in self._records.values())

    # -- the thread that works --------------------------------------------------------------

    def start(self) -> None:
        """Begin to work, first on what an earlier server left."""
        self._thread = Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop at the next picture; an unfinished job goes on with the next server."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._lock.__exit__(None, None, None)

    def _work(self) -> None:
        while record := self._next():
            try:
                self._run(record)
                self._set(record, state="done", reason=None)
            except _StoppedError:
                return
            except _CancelledError:
                self._set(record, state="cancelled")
            except PartlabError as error:
                self._set(record, state="failed", reason=error.message, hint=error.hint)
            except Exception as error:
                log.exception("job %s failed", record.id)
                self._set(record, state="failed", reason=f"{type(error).__name__}: {error}")

    def _next(self) -> Record | None:
        with self._changed:
            while not self._stopping:
                waiting = [each for each in self._records.values() if each.state in _OPEN]
                for record in sorted(waiting, key=lambda one: (one.created, one.id)):
                    if self.models.knows(record.model):
                        return self._set(record, state="running", reason=None)
                    if record.reason is None:
                        self._set(record, state="queued", reason=f"{record.model} is not served")
                self._changed.wait()
        return None

    def _run(self, record: Record) -> None:
        with self.models.using(record.model) as model:
            self._label(record, model)

    def _label(self, record: Record, model: SegmenterModel) -> None:
        from pseudolabel.engine import label_images

        place = self.folder / record.id
        settings = validate(Settings, record.settings, str(place / "job.json"))
        with listening(_Heard(self, record.id)):
            done = label_images(
                record.images, _ServedHere(model), place / "store", settings, workers=0
            )
        assert done is not None
        write_result(place / "store", place / "result.parquet", model.segmenter.names)

    def see(self, number: str, done: int) -> None:
        """Note how far the running job is, and end it here if it has to end."""
        self._done[number] = done
        if self._stopping:
            raise _StoppedError
        if number in self._cancelled:
            raise _CancelledError

    def _set(self, record: Record, **facts: Any) -> Record:
        changed = record.model_copy(update=facts)
        with self._changed:
            write_json(self.folder / record.id / "job.json", changed.model_dump(mode="json"))
            self._records[record.id] = changed
        return changed

    # -- what comes in ----------------------------------------------------------------------

    def _folder_of(self, ask: JobAsk) -> Path:
        """A folder below one of the server's roots, whatever way it is written."""
        root, _, rest = (ask.folder or "").partition("/")
        if ask.pictures:
            raise RefusalError(422, "a job has a folder or pictures", hint="give one of the two")
        if root not in self.settings.roots:
            known = ", ".join(self.settings.roots) or "none; start the server with --root"
            raise RefusalError(422, f"this server has no root {root!r}", hint=f"roots: {known}")
        base = self.settings.roots[root].resolve()
        if rest and not is_safe_name(rest):
            raise RefusalError(422, f"{ask.folder!r} does not lie under the root {root}")
        found = (base / rest).resolve()
        if not found.is_relative_to(base) or not found.is_dir():
            raise RefusalError(422, f"there is no folder {ask.folder!r}")
        return found

    def _write_new(self, record: Record, ask: JobAsk) -> None:
        scratch = self.folder / f".new-{secrets.token_hex(8)}"
        scratch.mkdir()
        try:
            if ask.folder is None:
                self._keep_pictures(scratch, ask.pictures)
            write_json(scratch / "job.json", record.model_dump(mode="json"))
            with self._changed:
                if record.id not in self._records:
                    scratch.rename(self.folder / record.id)
                    self._records[record.id] = record
                    self._changed.notify_all()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _keep_pictures(self, place: Path, pictures: Sequence[SentPicture]) -> None:

        if not 0 < len(pictures) <= self.settings.job_pictures:
            raise RefusalError(
                422,
                f"a job came with {len(pictures)} pictures and no folder",
                hint=f"name a folder, or send 1 to {self.settings.job_pictures} pictures",
            )
        names = [each.name for each in pictures]
        for name in names:
            if not is_safe_name(name) or not is_image_name(name) or _odd(name):
                raise RefusalError(
                    422, f"{name[:200]!r} is no name for a picture", hint="such as cat/0001.jpg"
                )
            if names.count(name) > 1:
                raise RefusalError(422, f"two pictures are called {name!r}")
        for each in pictures:
            write_bytes(place / "pictures" / each.name, base64_picture(each.image))
        lines = [f"pictures/{one.name},{one.object or ''}" for one in pictures]
        write_lines(place / "list.csv", ["path,object", *lines])


class _Heard(Silent):
    """Hears how far the engine is."""

    def __init__(self, jobs: Jobs, number: str) -> None:
        self.jobs, self.number = jobs, number

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """Counts, and looks at each image whether to end."""
        for count, item in enumerate(items):
            if what == "labelling":
                self.jobs.see(self.number, count)
            yield item


def write_result(store: Path, out: Path, names: Sequence[str]) -> None:
    """All rows of a store in one Parquet file, shard by shard; names by label in its metadata."""
    manifest = read_manifest(store)
    schema = SCHEMA.with_metadata({_NAMES: json.dumps(list(names)).encode()})
    with replacing(out) as scratch, pq.ParquetWriter(scratch, schema, compression="zstd") as file:
        for shard in range(manifest.shards):
            table = pq.read_table(shard_path(store, shard), schema=SCHEMA)
            file.write_table(table.replace_schema_metadata(schema.metadata))


def _read_all(folder: Path) -> Iterator[Record]:
    for file in sorted(folder.glob("*/job.json")):
        try:
            yield validate(Record, read_json(file), str(file))
        except PartlabError as error:
            log.warning("%s is left out: %s", file.parent, error.message)


def _number(by: str | None, key: str) -> str:
    if not key:
        return secrets.token_hex(16)
    return hashlib.sha256(f"{by or ''}\0{key}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _odd(name: str) -> bool:
    """Letters that would break the list, or that no file name can have."""
    return any(ord(letter) < 32 or letter in ',"\\' for letter in name) or len(name) > 200
