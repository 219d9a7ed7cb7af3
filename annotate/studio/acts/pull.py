"""What annotators drew comes back from Label Studio: changed tasks only, each ingest kept raw.

    for told in pull(work, studio):
        print(told.object, told.answers, told.open)

Tasks are asked for by when they were last changed, a few at a time. Each handful is first
written as a raw export and then recorded, with the cursor, in one event; whatever is cut off
between the two is taken up by the next pull. Nothing comes into the state twice.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sqlalchemy import func, select

from annotate.facts import Facts
from annotate.studio.acts.ingest import read_export
from annotate.studio.acts.record import Recorder
from annotate.studio.acts.status import standings
from annotate.studio.acts.submit import submit_finished
from annotate.studio.acts.todo import tell
from annotate.studio.acts.wall import tidy_wall
from annotate.studio.api.changes import PAGE, Got, ProjectTasks
from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.api.projects import RIGHT_SERVER, Key, find_projects
from annotate.work import (
    Answer,
    Batch,
    Flag,
    Work,
    open_images,
    unsettled_discards,
    waits_for_a_look,
)
from annotate.work.change import HINTS
from partlab.counts import counted
from partlab.errors import BusyError, StateError
from partlab.files import exclusive
from partlab.progress import track

__all__ = ["Pulled", "pull", "pulling", "read_export"]

log = logging.getLogger(__name__)

BEING_DRAWN = ("annotating", "submitted")
OVER = ("sampled", "accepted", "rejected", "abandoned")


@dataclass(slots=True)
class Pulled(Facts):
    """What one pull brought of one round.

    `tasks` had changed; `answers` of them are new or changed: `masks` images drawn, `discards`
    given up, `broken` not usable. `flags` are new or renewed, `open` are images not done yet.
    `noted` says that the standing of the round has notes on drawings that look wrong.
    Of a round that was `submitted`, `waiting` discards are to be reviewed before it is sampled.
    `corrected` images were sent back and drawn again: an inspector is to look at them. In `told`
    tasks it was written, for the annotator, what is to be done.
    `trouble` says why the round could not be read, `hint` what to do.
    """

    object: str
    round: int
    project_id: int
    state: str = ""
    tasks: int = 0
    answers: int = 0
    masks: int = 0
    discards: int = 0
    broken: int = 0
    flags: int = 0
    open: int = 0
    noted: bool = False
    submitted: bool = False
    waiting: int = 0
    corrected: int = 0
    told: int = 0
    trouble: str | None = None
    hint: str | None = None

    def count(self, tasks: int, answers: Sequence[Answer], flags: Sequence[Flag]) -> None:
        """Add one ingest."""
        kinds = [answer.kind for answer in answers]
        self.tasks += tasks
        self.answers += len(answers)
        self.masks += kinds.count("masks")
        self.discards += kinds.count("discard")
        self.broken += kinds.count("broken")
        self.corrected += sum(map(waits_for_a_look, answers))
        self.flags += sum(not flag.settled for flag in flags)
        self.noted |= any(one["severity"] == "warning" for a in answers for one in a.problems)


def pull(
    work: Work,
    studio: Studio,
    *,
    objects: Sequence[str] = (),
    submit: bool = True,
    who: str = "partlab",
) -> list[Pulled]:
    """Fetch what changed since the last pull, and submit rounds that are complete (M-08).

    A project that somebody deleted is told in `trouble` while images of it are open, and costs
    nothing: what was pulled from it stays.

    Args:
        work: the annotation work.
        studio: the server that its projects are on.
        objects: only these object categories; all if none is named.
        submit: whether a complete round is submitted for inspection.
        who: stands in the history.

    Raises:
        UnknownNameError: no such object category.
        StateError: nothing was handed out yet.
        StudioError: the server is gone or does not accept the token; what was read is kept.
        BusyError: another pull of this work is running.
        PartlabError: the disk is full; nothing is half written.
    """
    batches = _batches(work, objects)
    told: list[Pulled] = []
    with pulling(work):
        there = find_projects(studio, work)
        people = {id: email for email, id in studio.users().items()}
        rounds = [_Round(work, studio, batch, people, who) for batch in batches]
        steps = _steps(rounds, there, told, submit=submit)
        for _ in track(steps, "pulling", sum(one.size for one in rounds)):
            pass
        tidy_wall(work, studio)
    return told


def _batches(work: Work, objects: Sequence[str]) -> list[Batch]:
    """Rounds with a project: the current ones, and those before, where somebody may still draw."""
    named = [work.batch(name) for name in dict.fromkeys(objects)] or work.batches()
    found = []
    for batch in named:
        earlier = work.batch(batch.object, batch.round - 1) if batch.round > 1 else None
        found += [earlier] if earlier is not None and batch.state in BEING_DRAWN else []
        found.append(batch)
    found = [b for b in found if b.project_id is not None and b.state in (*BEING_DRAWN, *OVER)]
    if not found:
        what = f"{named[0].object} is {named[0].state}" if objects else "nothing was handed out"
        hint = HINTS.get(named[0].state if objects else "planned")
        raise StateError(f"nothing to pull in {work.folder}: {what}", hint=hint)
    return found


@contextmanager
def pulling(work: Work) -> Iterator[None]:
    """Keep other pulls of this work away.

    Raises:
        BusyError: another pull is running.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(work.folder / ".pull"))
        except BusyError as error:
            raise BusyError(
                f"another pull of {work.folder} is running", hint="wait for it to end"
            ) from error
        yield


def _steps(
    rounds: Sequence["_Round"], there: Mapping[Key, int], told: list[Pulled], *, submit: bool
) -> Iterator[None]:
    """Does the work; a step for each task, looked at or not."""
    for one in rounds:
        left = one.size
        for count in one.run(there):
            yield from [None] * min(count, left)
            left -= min(count, left)
        one.finish(submit=submit)
        told.append(one.told)
        yield from [None] * left


class _Round:
    """The ingest of one round of one object category."""

    def __init__(
        self, work: Work, studio: Studio, batch: Batch, people: Mapping[int, str], who: str
    ) -> None:
        assert batch.project_id is not None  # see _batches
        self.told = Pulled(batch.object, batch.round, batch.project_id)
        self.size = len(work.tasks(batch.object, batch.round))
        self._work, self._studio, self._batch, self._who = work, studio, batch, who
        self._tasks = ProjectTasks(studio, batch.project_id)
        self._recorder = Recorder(work, batch, people, who)

    def run(self, there: Mapping[Key, int]) -> Iterator[int]:
        """Read what changed; yields how many tasks were looked at."""
        for taken_up in self._recorder.take_up():
            self.told.count(*taken_up)
        try:
            newest, count = self._tasks.newest()
            found = there.get((self._batch.object, self._batch.round)) == self.told.project_id
            if not found and (newest is None or not self._recorder.is_ours(newest)):
                self._studio.get(f"/api/projects/{self.told.project_id}/")
                self._is_foreign()
                return
            yield from self._read(newest.updated_at if newest is not None else None)
            if self._recorder.waits(count):
                self.told.flags += self._recorder.miss(self._tasks.ids())
        except RefusedError as error:
            if error.status != 404:
                raise
            self._is_gone()

    def _read(self, newest: str | None) -> Iterator[int]:
        cursor = self._work.batch(self._batch.object, self._batch.round).cursor
        waiting: list[Got] = []
        for page in self._tasks.changed(cursor):
            waiting += self._recorder.unseen(page)
            while len(waiting) > PAGE:  # the last handful is kept back: it carries the cursor
                self._ingest(waiting[:PAGE], None)
                del waiting[:PAGE]
            yield len(page)
        if waiting:
            self._ingest(waiting, newest)
        elif newest and cursor is None:
            self._recorder.remember(newest)

    def _ingest(self, tasks: Sequence[Got], cursor: str | None) -> None:
        self.told.count(*self._recorder.ingest(tasks, self._tasks.models(tasks), cursor))

    def finish(self, *, submit: bool) -> None:
        """Submit a complete round, and say where it stands."""
        batch = self._work.batch(self._batch.object, self._batch.round)
        if submit and self.told.trouble is None:
            self.told.submitted = submit_finished(self._work, batch, self._who)
        self.told.state = "submitted" if self.told.submitted else batch.state
        if self.told.noted or self.told.submitted:
            (now,) = standings(self._work, [batch.object])
            self.told.noted = bool(now.undrawn) or any(n.severity != "note" for n in now.notes)
        with self._work.read() as session:
            self.told.open = len(open_images(session, batch))
            if self.told.submitted:
                self.told.waiting = len(unsettled_discards(session, batch))
        if self.told.trouble is None:
            batch = self._work.batch(self._batch.object, self._batch.round)
            self.told.told = tell(self._work, self._studio, batch, self._who)

    def _is_foreign(self) -> None:
        self.told.trouble = (
            f"project {self.told.project_id} of {self._studio.url} does not belong to this work "
            f"({self._batch.object} round {self._batch.round}); nothing was read from it"
        )
        self.told.hint = RIGHT_SERVER

    def _is_gone(self) -> None:
        name = f"{self._batch.object} round {self._batch.round}"
        with self._work.read() as session:
            open_ = len(open_images(session, self._batch))
            key = {"object": self._batch.object, "round": self._batch.round}
            kept = session.scalar(select(func.count()).select_from(Answer).filter_by(**key))
        if self._batch.state in OVER or not open_:
            log.info("project %d (%s) is gone; it is not needed", self.told.project_id, name)
            self._recorder.settle()
            return
        self.told.trouble = (
            f"project {self.told.project_id} ({name}) is gone from {self._studio.url}; "
            f"{counted(kept or 0, 'answer is', 'answers are')} kept in the exports"
        )
        self.told.hint = (
            f"is {self._studio.url} the server that the work was created on "
            "(PARTLAB_STUDIO_URL)? If so, "
            f"`partlab studio create` makes it anew for the {counted(open_, 'image')} still open"
        )
