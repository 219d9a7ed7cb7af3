"""A work on disk: its settings, vocabulary, state and history."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Engine, func, null, select
from sqlalchemy.orm import Session

from annotate.vocabulary import ObjectParts, Vocabulary, read_vocabulary, write_vocabulary
from annotate.vocabulary.migrate import Moves, moves_between
from annotate.work import journal
from annotate.work.chain import apply_event, hash_after, hash_now
from annotate.work.change import Change
from annotate.work.database import (
    database_kind,
    drop_database,
    open_database,
    reading,
    writing,
)
from annotate.work.queries import select_answers
from annotate.work.settings import WorkSettings
from annotate.work.tables import About, Answer, Batch, Event, Flag, Image, Task
from partlab.config import load_config
from partlab.counts import counted
from partlab.errors import (
    BusyError,
    DatasetError,
    NotFoundError,
    OutputExistsError,
    SchemaError,
    StateError,
    UnknownNameError,
)
from partlab.files import exclusive, sha256_json, write_bytes, write_json
from partlab.folders import WORK, is_work

IMAGES_PER_EVENT = 1000
LONGEST = 120  # bytes of a folder's name; file systems allow 255
T = TypeVar("T")


class MovedOnError(BusyError):
    """The object category was changed since what was to be recorded had been worked out."""


class Work:
    """One annotation work. `record` is the only thing that writes its state."""

    _read: "tuple[int, int, int] | None"  # of the vocabulary's file, when it was read

    def __init__(
        self, folder: Path, settings: WorkSettings, vocabulary: Vocabulary, engine: Engine
    ) -> None:
        self.folder, self.settings, self._engine = folder, settings, engine
        self._versions: dict[int, Vocabulary] = {}  # earlier ones, as they are asked for
        self.vocabulary = vocabulary

    @classmethod
    def create(
        cls,
        folder: str | Path,
        name: str,
        vocabulary: Vocabulary,
        images: Sequence[Image],
        **settings: Any,
    ) -> "Work":
        """Begin a work in a new folder; `settings` are those of WorkSettings.

        Raises:
            OutputExistsError: the folder already holds a work.
        """
        folder = Path(folder)
        if is_work(folder):
            raise OutputExistsError(
                f"{folder} already holds a work", hint="open it, or go elsewhere"
            )
        about = {"name": name, "id": uuid4().hex, "database": database_kind(), **settings}
        chosen = WorkSettings.model_validate(about)
        with exclusive(folder):
            drop_database(folder)  # what a `create` that was cut off left behind is not a work
            (folder / "exports" / "history.jsonl").unlink(missing_ok=True)
            work = cls(folder, chosen, vocabulary, open_database(folder, chosen.database))
            write_vocabulary(work._vocabulary_file, vocabulary)
            kept = work.kept_vocabulary(vocabulary.version)
            write_bytes(kept, work._vocabulary_file.read_bytes())
            work.vocabulary = vocabulary
            work._fill(images)
            write_json(folder / WORK, chosen.model_dump(mode="json"))  # now it is a work
        return work

    def _fill(self, images: Sequence[Image]) -> None:
        self.need_empty()
        facts = {"work": self.settings.id, "name": self.settings.name}
        facts["vocabulary_version"] = str(self.vocabulary.version)
        facts["vocabulary_hash"] = self.vocabulary.hash
        self.record("started", who="partlab", data=facts)
        for start in range(0, len(images), IMAGES_PER_EVENT):
            rows = [asdict(image) for image in images[start : start + IMAGES_PER_EVENT]]
            self.record("images", who="partlab", data={"images": rows})

    def need_empty(self) -> None:
        """See that the database holds nothing yet.

        Raises:
            DatasetError: another work is in it.
        """
        with self.read() as session:
            if (other := session.get(About, "name")) is not None:
                raise DatasetError(
                    f"the database already holds the work {other.value!r}",
                    hint="every work, and every rebuild, needs a new database: name one in "
                    "PARTLAB_DB_URL",
                )

    @classmethod
    def open(cls, folder: str | Path) -> "Work":
        """Open a work.

        Raises:
            NotFoundError: the folder holds none.
            DatasetError: the database belongs to another work.
        """
        folder = Path(folder)
        settings = settings_of(folder)
        _need_whole_migration(folder)
        vocabulary = read_vocabulary(folder / "vocabulary.yaml")
        work = cls(folder, settings, vocabulary, open_database(folder, settings.database))
        noted = journal.last_id(work.history)
        with work.read() as session:
            known = session.scalar(select(func.max(Event.id))) or 0
        about = work._about()
        work._need_ours(about)
        work._need_whole(noted, known)
        work.vocabulary = work._own_vocabulary(vocabulary, about)
        return work

    def _need_ours(self, about: Mapping[str, str]) -> None:
        if about.get("work") != self.settings.id:
            found = "another work" if "work" in about else "nothing yet"
            named = self.settings.database != "sqlite"
            other = "name the right one in PARTLAB_DB_URL, or " if named else ""
            raise DatasetError(
                f"the database of {self.folder} holds {found}",
                hint=f"{other}run `partlab inspect rebuild WORK`",
            )

    def _need_whole(self, noted: int, known: int) -> None:
        """The journal follows the database, so it can only be ahead of an older copy of it."""
        if noted > known:
            raise DatasetError(
                f"the database of {self.folder} is older than its history: it lacks the last "
                f"{counted(noted - known, 'event')}",
                hint="put the right database back, or run `partlab inspect rebuild WORK`",
            )

    @property
    def vocabulary(self) -> Vocabulary:
        """The work's own, as it is now: another process may have changed it since it was read.

        Raises:
            StateError: somebody changed it by hand.
        """
        if self._read != (now := _stamp(self._vocabulary_file)):
            found = read_vocabulary(self._vocabulary_file)
            self._vocabulary, self._read = self._own_vocabulary(found, self._about()), now
        return self._vocabulary

    @vocabulary.setter
    def vocabulary(self, vocabulary: Vocabulary) -> None:
        self._vocabulary, self._read = vocabulary, _stamp(self._vocabulary_file)

    @property
    def _vocabulary_file(self) -> Path:
        return self.folder / "vocabulary.yaml"

    def _about(self) -> dict[str, str]:
        with self.read() as session:
            return {row.key: row.value for row in session.scalars(select(About))}

    def _own_vocabulary(self, found: Vocabulary, about: Mapping[str, str]) -> Vocabulary:
        """What its file says; a kept one where a change was recorded and then cut off."""
        version = int(about["vocabulary_version"])
        if (version, about.get("vocabulary_hash")) == (found.version, found.hash):
            return found
        kept = self.kept_vocabulary(version)
        if found.version < version and found == read_vocabulary(
            self.kept_vocabulary(found.version), missing_ok=True
        ):
            write_bytes(self._vocabulary_file, kept.read_bytes())
            return read_vocabulary(kept)
        raise StateError(
            f"{self._vocabulary_file} was changed by hand; the work is at version {version}",
            hint=f"move it away and copy {kept} in its place; then "
            f"`partlab vocabulary migrate {self.folder} COPY` takes the change over",
        )

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> "Work":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> AbstractContextManager[Session]:
        """A session for SELECTs; rows stay usable after it."""
        return reading(self._engine)

    @property
    def history(self) -> Path:
        """The journal."""
        return self.folder / "exports" / "history.jsonl"

    def raw_folder(self, object: str, round: int) -> Path:
        """Where the raw exports of one round lie."""
        return self.folder / "exports" / safe_name(object) / f"r{round}"

    # --- writing ---------------------------------------------------------------------------

    def record(
        self,
        what: str,
        *,
        who: str,
        object: str = "",
        round: int = 0,
        data: Mapping[str, Any] | None = None,
        answers: Sequence[Answer] = (),
        flags: Sequence[Flag] = (),
        basis: str | None = None,
    ) -> Event:
        """Let one thing happen: checked, applied and noted in one transaction.

        `round` 0 means the current round of `object`. `answers` and `flags` must be what
        `annotate.studio.acts.pull.read_export` makes of the raw file that `data["file"]` names.
        `basis` is the category's `hash_of` that the caller went by.

        Raises:
            StateError: the rules do not allow it now; nothing was written.
            SchemaError: something holds bytes that are no text.
            MovedOnError: the category is no longer what `basis` says; nothing was written.
            BusyError: another process held the database for over a minute.
        """
        _need_text(who, data)
        with writing(self._engine) as session:
            if object and not round:
                round = self._latest(session, object).round
            before = hash_now(session, object)
            if basis not in (None, before):
                raise MovedOnError(
                    f"{object} was changed by another process at the same time",
                    hint="run the same command again",
                )
            event = Event(
                id=(session.scalar(select(func.max(Event.id))) or 0) + 1,
                at=datetime.now(UTC).isoformat(timespec="microseconds"),
                who=who,
                what=what,
                object=object,
                round=round,
                data=dict(data or {}),
                before=before,
                after="",
            )
            event.after = hash_after(event)
            apply_event(Change(session, event, answers, flags))
        with self.read() as session:
            journal.catch_up(session, self.history)
        return event

    def replace_vocabulary(self, vocabulary: Vocabulary, who: str) -> None:
        """Make a vocabulary the work's own; rounds follow elsewhere.

        Cut off before the event it was not replaced; cut off after it the kept one counts.
        """
        kept = self.kept_vocabulary(vocabulary.version)
        write_vocabulary(kept, vocabulary)
        about = {"version": vocabulary.version, "hash": vocabulary.hash}
        self.record("vocabulary", who=who, data=about)
        write_bytes(self._vocabulary_file, kept.read_bytes())
        self.vocabulary = vocabulary

    def kept_vocabulary(self, version: int) -> Path:
        """Where a version of the vocabulary is kept for ever."""
        return self.folder / "exports" / f"vocabulary-v{version}.yaml"

    # --- reading ---------------------------------------------------------------------------

    def parts(self, batch: Batch) -> ObjectParts:
        """The parts that a round is drawn with: those of its version of the vocabulary.

        Raises:
            NotFoundError: somebody deleted the file that keeps this version.
        """
        return self.vocabulary_of(batch).object(batch.object)

    def moves(self, batch: Batch, to: int | None = None) -> Moves:
        """What became of them since, up to a version of the vocabulary: by default its last."""
        new = self.vocabulary if to is None else self._version(to)
        return moves_between(self.vocabulary_of(batch), new, batch.object)

    def vocabulary_of(self, batch: Batch) -> Vocabulary:
        """The version that a round is drawn with."""
        return self._version(batch.vocabulary_version)

    def _version(self, number: int) -> Vocabulary:
        if number == self.vocabulary.version:
            return self.vocabulary
        if number not in self._versions:
            self._versions[number] = read_vocabulary(self.kept_vocabulary(number))
        return self._versions[number]

    def hash_of(self, object: str) -> str:
        """The hash of an object category's history so far; see `record`."""
        with self.read() as session:
            return hash_now(session, object)

    def batches(self) -> list[Batch]:
        """The current round of every object category that was handed out, by name."""
        latest: dict[str, Batch] = {}
        for batch in self._all(select(Batch).order_by(Batch.object, Batch.round)):
            latest[batch.object] = batch
        return list(latest.values())

    def rounds(self, object: str) -> list[Batch]:
        """All rounds of one object category, first to last."""
        return self._all(select(Batch).filter_by(object=object).order_by(Batch.round))

    def batch(self, object: str, round: int | None = None) -> Batch:
        """One round of an object category; the current one by default.

        Raises:
            UnknownNameError: no such category was handed out.
            StateError: it has no such round.
        """
        with self.read() as session:
            if round is None:
                return self._latest(session, object)
            found = session.get(Batch, (object, round))
        if found is None:
            raise StateError(f"{object} has no round {round}")
        return found

    def _latest(self, session: Session, object: str) -> Batch:
        query = select(Batch).filter_by(object=object).order_by(Batch.round.desc()).limit(1)
        if (found := session.scalar(query)) is None:
            known = session.scalars(select(Batch.object).distinct())
            raise UnknownNameError("object category", object, known)
        return found

    def images(self, object: str | None = None, *, with_honeypots: bool = False) -> list[Image]:
        """The work's pictures in their seeded order; all, or one object category's."""
        query = select(Image).order_by(Image.object, Image.rank)
        query = query if with_honeypots else query.where(Image.truth.is_(null()))
        return self._all(query.filter_by(object=object) if object else query)

    def honeypots(self, object: str | None = None) -> frozenset[int]:
        """Ids of the pictures whose masks are known; annotators are not told."""
        query = select(Image.id).where(Image.truth.is_not(null()))
        return frozenset(self._all(query.filter_by(object=object) if object else query))

    def image(self, id: int) -> Image:
        """One picture.

        Raises:
            NotFoundError: the work has none of this id.
        """
        with self.read() as session:
            if (found := session.get(Image, id)) is None:
                raise NotFoundError(f"{self.folder} has no image {id}")
        return found

    def tasks(self, object: str, round: int) -> list[Task]:
        """The images handed out in one round, honeypots too, with their Label Studio ids."""
        query = select(Task).filter_by(object=object, round=round)
        return self._all(query.order_by(Task.image_id))

    def answers(
        self,
        object: str,
        round: int,
        *,
        with_honeypots: bool = False,
        images: Collection[int] | None = None,
    ) -> Iterator[Answer]:
        """The answers of one round (to some `images`), one at a time, by image id.

        Masks of parts that were merged since bear the id of the part they lie in now.
        """
        query = select_answers(with_honeypots=with_honeypots).order_by(Answer.image_id)
        query = query.filter_by(object=object, round=round)
        if images is not None:
            query = query.where(Answer.image_id.in_(images))
        merged = self.moves(self.batch(object, round)).merged
        with self.read() as session:
            for answer in session.scalars(query.execution_options(yield_per=500)):
                if merged:
                    session.expunge(answer)  # a copy for the reader: the state keeps what it has
                    masks = answer.masks
                    answer.masks = [{**m, "part": merged.get(m["part"], m["part"])} for m in masks]
                yield answer

    def events(self, object: str | None = None) -> list[Event]:
        """The history, oldest first; all, or of one object category."""
        query = select(Event).order_by(Event.id)
        return self._all(query.filter_by(object=object) if object else query)

    def flags(self, object: str | None = None) -> list[Flag]:
        """Breaches of the rules seen so far."""
        query = select(Flag).order_by(Flag.object, Flag.round, Flag.task_id)
        return self._all(query.filter_by(object=object) if object else query)

    def _all(self, query: Any) -> list[Any]:
        with self.read() as session:
            return list(session.scalars(query))


def settings_of(folder: Path) -> WorkSettings:
    """What the work of a folder was started with.

    Raises:
        NotFoundError: the folder holds none.
    """
    if not is_work(folder):
        raise NotFoundError(
            f"{folder} holds no work", hint="begin one with `partlab studio create`"
        )
    return load_config(WorkSettings, folder / WORK)


def _need_whole_migration(folder: Path) -> None:
    """An earlier version of partlab gave annotations on the server new labels, one by one."""
    if (folder / "migrating.yaml").exists():
        raise StateError(
            f"a change of the vocabulary of {folder} was cut off in an earlier version of partlab",
            hint="finish it with that version: the same `partlab vocabulary migrate` again",
        )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What of a file changes when it is replaced; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _need_text(*values: Any) -> None:
    """Refuse what could not be written into the journal, before anything is done."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        words = error.object[max(0, error.start - 20) : error.end]
        raise SchemaError(f"{words!a} is not UTF-8 text; nothing was recorded") from None


def safe_name(name: str) -> str:
    """A folder name for an object category: readable, unique, safe on every system."""
    plain = "".join(c if c.isalnum() or c in "-_ " else "_" for c in name).strip() or "_"
    plain = plain.encode()[:LONGEST].decode(errors="ignore")
    return plain if plain == name else f"{plain}-{sha256_json(name)[:8]}"
