"""One round's ingests, written and recorded: first the raw export, then one event with it."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import and_, func, select

from annotate.studio.acts.ingest import read_export
from annotate.studio.api.changes import Got
from annotate.studio.api.projects import labels_are_names, names_work
from annotate.studio.api.raw import Header, RawTask, content_hash, open_export, write_export
from annotate.work import Answer, Batch, Event, Flag, MovedOnError, Task, Work, open_images
from annotate.work.change import BLANK
from annotate.work.complaints import ending

log = logging.getLogger(__name__)

_TRIES = 5
_FETCHED = "fetched"  # in place of the hash of a suggestion that we did not make
Brought = tuple[int, Sequence[Answer], Sequence[Flag]]
"""Tasks, new answers, and flags that are new, renewed or settled."""


class Recorder:
    """Brings tasks of one round into the state. `people` are emails by user id."""

    def __init__(self, work: Work, batch: Batch, people: Mapping[int, str], who: str) -> None:
        assert batch.project_id is not None
        self._work, self._people, self._who = work, people, who
        self._project = batch.project_id
        self._batch = batch
        self._key: dict[str, Any] = {"object": batch.object, "round": batch.round}
        self._images = {
            task.image_id: task.task_id
            for task in work.tasks(batch.object, batch.round)
            if task.project_id == self._project
        }

    def waits(self, count: int) -> bool:
        """Whether it matters which tasks the project holds, `count` in all."""
        flags = self._open_flags(ending("deleted"))
        with self._work.read() as session:
            return count < len(self._images) or bool(flags or open_images(session, self._batch))

    def is_ours(self, task: RawTask) -> bool:
        """Whether a task says that it shows a picture of this round."""
        return names_work(task.data, self._work) and task.data.get("image_id") in self._images

    def unseen(self, page: Sequence[Got]) -> list[Got]:
        """Tasks that changed since they were last read, and hold or held something.

        What they held may have been flagged only. What another task of the picture held, which
        is gone, is not missed in this one.
        """
        same = and_(
            Answer.object == Task.object,
            Answer.round == Task.round,
            Answer.image_id == Task.image_id,
            Answer.task_id == Task.task_id,
        )
        query = (
            select(Task.task_id, Task.seen, Answer.annotation_id)
            .outerjoin(Answer, same)
            .where(Task.object == self._batch.object, Task.round == self._batch.round)
            .where(Task.project_id == self._project, Task.task_id.in_([g.task.id for g in page]))
        )
        with self._work.read() as session:
            known = {id: (seen, answered) for id, seen, answered in session.execute(query)}
        nothing = (None, None)
        held = {id for id, (_, answered) in known.items() if answered is not None}
        held |= {flag.task_id for flag in self._open_flags(ending("deleted"))}
        return [
            got
            for got in page
            if known.get(got.task.id, nothing)[0] != got.task.updated_at
            and (got.task.annotations or got.task.id in held)
        ]

    def ingest(self, tasks: Sequence[Got], models: dict[int, str], cursor: str | None) -> Brought:
        """Write tasks down and take them in; `cursor` says that these were the last."""
        self._note_fetched(tasks)
        header = self._header([got.task for got in tasks], models, cursor)
        path = self._next_file()
        sha256 = write_export(path, header, [got.raw for got in tasks])
        return self._record(path, header, sha256)

    def _note_fetched(self, tasks: Sequence[Got]) -> None:
        """Suggestions that Label Studio got by itself were shown like those we pushed (D-05)."""
        known = {t.task_id: t for t in self._work.tasks(self._batch.object, self._batch.round)}
        found: dict[str, dict[str, str]] = {}
        for got in tasks:
            task, versions = known.get(got.task.id), map(str.strip, got.versions.split(","))
            models = [each for each in versions if each and each != self._batch.start_from]
            if task is not None and models and (task.pushed or BLANK).endswith(BLANK):
                found.setdefault(models[-1], {})[str(task.image_id)] = _FETCHED
        if self._work.batch(self._batch.object, self._batch.round).state != "annotating":
            return
        for model, images in found.items():
            data = {"model": model, "tasks": images}
            self._work.record("pushed", who=self._who, data=data, **self._key)

    def take_up(self) -> Iterator[Brought]:
        """Take in a raw export that was written when a pull was cut off."""
        path = self._next_file()
        if path.exists():
            log.info("%s was written but not recorded: taken up", path)
            with open_export(path) as export:
                header = export.header
            yield self._record(path, header, content_hash(path))

    def remember(self, cursor: str) -> None:
        """Note how far the server was read, when nothing came of it."""
        self._work.record("pulled", who=self._who, data={"cursor": cursor}, **self._key)

    def miss(self, there: set[int]) -> int:
        """Flag tasks that are not `there` any more; `studio create` puts back those not done.

        What was said of such tasks before is settled. Those handed out meanwhile do not count.
        """
        tasks = self._work.tasks(self._batch.object, self._batch.round)
        own = [t for t in tasks if t.project_id == self._project and t.task_id not in there]
        gone = [task for task in own if self._images.get(task.image_id) == task.task_id]
        with self._work.read() as session:
            open_ = set(open_images(session, self._batch))
        flags = [self._gone(task, task.image_id in open_) for task in gone]
        self._flag("tasks were deleted in Label Studio", flags + self._over(there), gone)
        return len(gone)

    def settle(self) -> None:
        """The project is gone, and not needed: nobody need do anything about its tasks."""
        self._flag("the project was deleted in Label Studio", self._over(set()))

    def _over(self, there: set[int]) -> list[dict[str, Any]]:
        """Open flags of tasks that are not `there`, settled."""
        flags = [flag for flag in self._open_flags() if flag.task_id not in there]
        rows = [
            asdict(flag) | {"settled": True} for flag in flags if flag.kind not in ending("never")
        ]
        return [{key: row[key] for key in row if key not in self._key} for row in rows]

    def _flag(self, why: str, flags: list[dict[str, Any]], gone: Sequence[Task] = ()) -> None:
        if flags:
            data = {"reason": why, "flags": flags, "gone": [task.image_id for task in gone]}
            self._work.record("flagged", who=self._who, data=data, **self._key)

    def _open_flags(self, kinds: Collection[str] = ()) -> list[Flag]:
        query = select(Flag).filter_by(settled=False, **self._key)
        query = query.where(Flag.kind.in_(kinds)) if kinds else query
        with self._work.read() as session:
            return list(session.scalars(query.order_by(Flag.task_id, Flag.annotation_id)))

    def _gone(self, task: Task, open: bool) -> dict[str, Any]:
        name = self._work.image(task.image_id).file_name
        what = "`partlab studio create` puts the picture back" if open else "its answer is kept"
        where = f"project {self._project} task {task.task_id} ({name})"
        return {
            "task_id": task.task_id,
            "annotation_id": 0,
            "kind": "task-gone",
            "message": f"{where}: somebody deleted the task in Label Studio; {what}",
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "settled": False,  # or a merge would keep that of an earlier one
        }

    def _header(
        self, tasks: Sequence[RawTask], models: dict[int, str], cursor: str | None
    ) -> Header:
        parts = self._work.parts(self._batch)
        annotations = [annotation for task in tasks for annotation in task.annotations]
        touched = {a.completed_by for a in annotations} | {a.updated_by for a in annotations}
        return Header(
            work=self._work.settings.id,
            object=self._batch.object,
            round=self._batch.round,
            project=self._project,
            tasks={task.id: task.updated_at for task in tasks},
            people={id: email for id, email in sorted(self._people.items()) if id in touched},
            models=models,
            parts=tuple((part.id, part.name) for part in parts.parts),
            inclusions=dict(parts.inclusions),
            named=labels_are_names(self._work, self._batch),
            cursor=cursor,
        )

    def _next_file(self) -> Path:
        """The raw export after the last one that was recorded."""
        query = select(func.count()).select_from(Event).filter_by(what="pulled", **self._key)
        with self._work.read() as session:
            recorded = session.scalar(query.where(Event.data["file"].as_string() != "")) or 0
        folder = self._work.raw_folder(self._batch.object, self._batch.round)
        return folder / f"{recorded + 1:06}.jsonl.gz"

    def _record(self, path: Path, header: Header, sha256: str) -> Brought:
        """One event; a file that brings nothing is removed."""
        data: dict[str, Any] = {
            "file": path.relative_to(self._work.folder).as_posix(),
            "sha256": sha256,
            "project": header.project,
            "tasks": len(header.tasks),
            "seen": self._seen(header),
        }
        data |= {"cursor": header.cursor} if header.cursor else {}
        for attempt in range(1, _TRIES + 1):
            basis = self._work.hash_of(self._batch.object)
            event = Event(
                id=0, at="", who=self._who, what="pulled", data=data, before=basis, after="",
                **self._key,
            )  # fmt: skip
            answers, flags = read_export(self._work, event)
            if not (answers or flags or data["seen"]):
                path.unlink()
                return 0, (), ()
            try:
                about: dict[str, Any] = {"data": data, "basis": basis, **self._key}
                about |= {"answers": answers, "flags": flags}
                self._work.record("pulled", who=self._who, **about)
            except MovedOnError:
                if attempt == _TRIES:
                    raise
            else:
                break
        return len(header.tasks), answers, flags

    def _seen(self, header: Header) -> dict[str, str]:
        """When each image's task was last changed, where that is news."""
        query = select(Task.image_id, Task.task_id, Task.seen).filter_by(**self._key)
        query = query.where(Task.project_id == header.project, Task.task_id.in_(header.tasks))
        with self._work.read() as session:
            rows = session.execute(query).all()
        times = {image: (header.tasks[task], seen) for image, task, seen in rows if task}
        return {str(image): time for image, (time, seen) in times.items() if time != seen}
