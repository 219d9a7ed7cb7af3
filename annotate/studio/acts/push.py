"""Pre-annotations: a model's part masks, sent to Label Studio in bulk and checked there.

    told = push(work, studio, suggest, model="seg-1@0123456789ab")

Nothing is sent twice: what each task holds is in the work's state and is read back from the
server, so that the same command goes on after a crash at any moment. Pictures stream through;
memory grows only with what `suggest` holds.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from time import monotonic
from typing import NamedTuple

from sqlalchemy import and_, func, select

from annotate.facts import Facts
from annotate.studio.acts.predictions import Prediction, Predictions
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import chunks, labels_are_names, need_own
from annotate.studio.spelling.names import LABELS
from annotate.studio.spelling.shapes import Size
from annotate.studio.spelling.uniting import PartMask
from annotate.studio.spelling.writing import regions_of
from annotate.work import Answer, Batch, Image, Task, Work
from annotate.work.change import BLANK, DONE, HINTS
from partlab.errors import BusyError, ConfigError, StateError
from partlab.files import exclusive, sha256_json
from partlab.progress import track

log = logging.getLogger(__name__)

ASKED = 250  # pictures that suggestions are asked for at once
# One request: a server that `partlab studio up` did not start counts the whole project again
# after each (ADR 0010), so few are better; but what a slow model has made must not wait for long.
PORTION_TASKS = 1000
PORTION_NUMBERS = 4_000_000  # bytes of run lengths; each is a number of 4 characters in JSON
PORTION_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a model sees in one picture of the work; `score` is between 0 and 1.

    The masks may have the size of the data set's image or of the shown picture. No masks says
    that the model looked and found nothing.
    """

    image_id: int
    masks: tuple[PartMask, ...]
    score: float = 1.0


Suggest = Callable[[Sequence[Image]], Iterable[Suggestion]]
"""Suggestions for some pictures of one object category, in any order; it may leave some out."""


@dataclass(slots=True)
class Pushed(Facts):
    """What happened to one round of one object category, in tasks (`masks`: in masks).

    `unchanged` held this suggestion already, `answered` are drawn or discarded, in `blank` ones
    the model found nothing, `without` ones it left out, `waiting` ones are not in Label Studio
    yet. In a dry run `sent` are those that suggestions would be made for.
    """

    object: str
    round: int
    project_id: int
    sent: int = 0
    masks: int = 0
    unchanged: int = 0
    answered: int = 0
    blank: int = 0
    without: int = 0
    waiting: int = 0


def push(
    work: Work,
    studio: Studio,
    suggest: Suggest,
    *,
    model: str,
    objects: Sequence[str] = (),
    replace: bool = False,
    dry_run: bool = False,
) -> list[Pushed]:
    """Send a suggestion for every task that has none of this model, and no answer.

    Label Studio shows the suggestions of one origin only. So rounds that began with what was drawn
    in the one before are left out, with a warning.

    Args:
        work: the annotation work.
        studio: the server that its projects are on.
        suggest: makes the suggestions, asked for a few hundred pictures at a time.
        model: names what makes them, down to the last bit (`run name@hash`): under one name,
            one picture gets one suggestion. It stays with every mask that comes of it (D-05).
        objects: only these object categories; all that are being drawn if none is named.
        replace: take those rounds, too: what was drawn before is shown no more.
        dry_run: count, and change nothing; `suggest` is not called.

    Raises:
        ConfigError: the model is called like the masks of an earlier round, such as `r1:who`.
        StateError: the work forbids model help (D-05), nothing is being drawn, or what is begins
            with what was drawn before (one that is named suffices).
        StudioError: the server does not take them, is gone, or is another than the work's; what it
            took is not sent again.
        BusyError: another push of this work is running.
    """
    need_model_help(work)
    if re.match(r"r\d+:", model):
        raise ConfigError(
            f"no model can be called {model!r}: so are the masks of an earlier round",
            hint="begin its name with something else",
        )
    batches = _being_drawn(work, objects)
    batches = batches if replace else _without_carried(batches, objects)
    total = sum(_count(work, batch) for batch in batches)
    rows = track((row for b in batches for row in _rows(work, b)), "pushing", total=total)
    with _alone(work):
        who = "" if dry_run else str(studio.whoami()["email"])
        return [
            _Round(work, studio, batches[number], model, who).run(each, suggest, dry_run=dry_run)
            for number, (_, each) in enumerate(groupby(rows, key=lambda row: row.task.object))
        ]


def need_model_help(work: Work) -> None:
    """The switch of the whole project (D-05).

    Raises:
        StateError: the work forbids every pre-annotation.
    """
    if not work.settings.model_help:
        raise StateError(
            f"the work {work.settings.name!r} forbids model help: its labels are drawn by hand",
            hint="that was chosen when it was created, and holds for the whole work (D-05)",
        )


def _being_drawn(work: Work, objects: Sequence[str]) -> list[Batch]:
    named = [work.batch(name) for name in dict.fromkeys(objects)]
    for batch in named:
        if batch.state != "annotating":
            raise StateError(
                f"{batch.object} round {batch.round} is {batch.state}, not being drawn",
                hint=HINTS.get(batch.state),
            )
    found = named or [batch for batch in work.batches() if batch.state == "annotating"]
    found = [batch for batch in found if _count(work, batch)]
    if not found:
        raise StateError(
            f"nothing is being drawn in {work.folder}", hint="run `partlab studio create` first"
        )
    return found


def _without_carried(batches: Sequence[Batch], named: Sequence[str]) -> list[Batch]:
    """The rounds that began empty; what people drew is not hidden by a slip."""
    carried = [batch for batch in batches if batch.start_from]
    rounds = ", ".join(f"{batch.object} round {batch.round}" for batch in carried)
    words = (
        f"{rounds} began with what was drawn before, which a model's suggestions would hide in "
        "every picture"
    )
    if carried and (named or len(carried) == len(batches)):
        raise StateError(words, hint="--replace shows the model's instead")
    if carried:
        log.warning("left out: %s (--replace shows the model's instead)", words)
    return [batch for batch in batches if not batch.start_from]


@contextmanager
def _alone(work: Work) -> Iterator[None]:
    try:
        with exclusive(work.folder / ".push"):
            yield
    except BusyError as error:
        raise BusyError(
            f"another push of {work.folder} is running", hint="wait for it to end"
        ) from error


class _Row(NamedTuple):
    task: Task
    image: Image
    answer: str | None


def _count(work: Work, batch: Batch) -> int:
    query = select(func.count()).select_from(Task)
    with work.read() as session:
        key = {"object": batch.object, "round": batch.round}
        return session.scalar(query.filter_by(**key)) or 0


def _rows(work: Work, batch: Batch) -> Iterator[_Row]:
    """The tasks of one round in the order of image ids, a few at a time in memory."""
    same_image = and_(
        Answer.object == Task.object, Answer.round == Task.round, Answer.image_id == Task.image_id
    )
    query = (
        select(Task, Image, Answer.kind)
        .join(Image, Image.id == Task.image_id)
        .outerjoin(Answer, same_image)
        .where(Task.object == batch.object, Task.round == batch.round)
        .order_by(Task.image_id)
        .limit(ASKED)
    )
    found, last = True, None
    while found:
        following = query if last is None else query.where(Task.image_id > last)
        with work.read() as session:
            rows = [_Row(*row) for row in session.execute(following)]
        yield from rows
        found = len(rows) == ASKED
        last = rows[-1].task.image_id if rows else None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A prediction, and what is recorded once the task holds it."""

    image_id: int
    content: str
    prediction: Prediction


class _Round:
    """The delivery to one round of one object category."""

    def __init__(self, work: Work, studio: Studio, batch: Batch, model: str, who: str) -> None:
        assert batch.project_id is not None  # it is being drawn
        self._work, self._studio, self._batch = work, studio, batch
        self._model, self._who = model, who
        self._parts = work.parts(batch)
        self._named = labels_are_names(work, batch)
        self._there = Predictions(studio, batch.project_id, model, self._parts, named=self._named)
        self._told = Pushed(batch.object, batch.round, batch.project_id)
        self._portion: list[_Wanted] = []
        self._numbers, self._sent_at = 0, monotonic()

    def run(self, rows: Iterable[_Row], suggest: Suggest, *, dry_run: bool) -> Pushed:
        todo = (row for row in rows if self._needs_one(row))
        if dry_run:
            self._told.sent = sum(1 for _ in todo)
            return self._told
        need_own(self._studio, self._work, self._batch)
        for chunk in chunks(todo, ASKED):
            self._serve(chunk, suggest)
        self._send()
        self._there.show()
        return self._told

    def _needs_one(self, row: _Row) -> bool:
        if row.answer in DONE:
            self._told.answered += 1
        elif row.task.task_id is None or row.task.project_id != self._told.project_id:
            self._told.waiting += 1
        elif self._holds(row):
            self._told.unchanged += 1
        else:
            return True
        return False

    def _holds(self, row: _Row) -> bool:
        """Whether this very suggestion was recorded, and is still on the server."""
        wanted = f"{self._model}:{self._content(row.image)}"
        if row.task.pushed == wanted + BLANK:
            return True
        held = row.task.pushed == wanted and row.task.task_id in self._there.held
        self._there.some_held = self._there.some_held or held
        return held

    def _content(self, image: Image) -> str:
        """What a suggestion depends on, besides the model."""
        parts = list(self._parts.ids)
        about = [image.file_name, image.sha256, image.width, image.height, image.shown, parts]
        return sha256_json(about)[:16]

    def _serve(self, rows: Sequence[_Row], suggest: Suggest) -> None:
        """Ask for suggestions for some tasks, and send when there are enough."""
        left = {row.image.id: row for row in rows}
        for suggestion in suggest([row.image for row in rows]):
            if (row := left.pop(suggestion.image_id, None)) is not None:
                self._portion.append(self._wanted(row, suggestion))
                if self._is_full():
                    self._send()
        self._told.without += len(left)

    def _is_full(self) -> bool:
        self._numbers += _numbers(self._portion[-1].prediction)
        return (
            len(self._portion) >= PORTION_TASKS
            or self._numbers >= PORTION_NUMBERS
            or monotonic() - self._sent_at > PORTION_SECONDS
        )

    def _wanted(self, row: _Row, suggestion: Suggestion) -> _Wanted:
        task, image = row.task, row.image
        shown: Size = (image.shown[0], image.shown[1])
        how = {"named": self._named, "two_lists": self._there.two_lists}
        regions = regions_of(suggestion.masks, self._parts, shown, **how)
        content = self._content(image) + ("" if regions else BLANK)
        assert task.task_id is not None  # see _needs_one
        prediction = Prediction(task.task_id, image.file_name, regions, suggestion.score, shown)
        return _Wanted(image.id, content, prediction)

    def _send(self) -> None:
        portion, self._portion, self._numbers = self._portion, [], 0
        if portion:
            sent = self._there.send([wanted.prediction for wanted in portion])
            regions = [region for prediction in sent for region in prediction.regions]
            blank = sum(not wanted.prediction.regions for wanted in portion)
            self._told.sent += len(sent)
            self._told.masks += sum(
                any(region["value"].get(key) for key in LABELS.values()) for region in regions
            )
            self._told.unchanged += len(portion) - blank - len(sent)  # arrived, but not recorded
            self._told.blank += blank
            contents = {str(wanted.image_id): wanted.content for wanted in portion}
            self._work.record(
                "pushed",
                who=self._who,
                object=self._told.object,
                round=self._told.round,
                data={"model": self._model, "tasks": contents},
            )
        self._sent_at = monotonic()


def _numbers(prediction: Prediction) -> int:
    return sum(len(region["value"].get("rle", ())) for region in prediction.regions)
