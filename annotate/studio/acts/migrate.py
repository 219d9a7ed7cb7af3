"""A work goes on with a changed vocabulary; nothing that was drawn is touched.

    for told in migrate(work, studio, new):
        print(told.object, told.does, told.why)

What is drawn bears part ids. So another name only changes the interface of a round; merged parts
are mapped wherever answers are read; and where people have to draw, the next round begins with
what they have drawn. The vocabulary is replaced first, then the rounds follow one by one: cut off
at any moment, the same command goes on where it stopped.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select

from annotate.facts import Facts
from annotate.studio.acts.begin import handing_out
from annotate.studio.acts.create import create, renew_project
from annotate.studio.acts.pull import pull, pulling
from annotate.studio.acts.rounds import round_after_a_change
from annotate.studio.acts.wall import tell_project
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import IDS, labels_are_names
from annotate.studio.spelling.labelconfig import moved_keys
from annotate.vocabulary import ObjectParts, Vocabulary
from annotate.vocabulary.diff import is_continued
from annotate.vocabulary.edit import UNSIGNED, Editor
from annotate.vocabulary.migrate import Moves, moves_between, settle
from annotate.work import Answer, Batch, Work
from partlab.errors import StateError, StudioError, UnknownNameError
from partlab.files import exclusive

OPEN = ("planned", "annotating", "submitted")
OVER = ("rejected", "abandoned")

Does = Literal["nothing", "new interface", "goes on", "next round", "mapped"]


@dataclass(slots=True)
class Migrated(Facts):
    """What a change of the vocabulary does to the current round of one object category.

    A round that is drawn gets a "new interface" where only names change, "goes on" as it is where
    parts were merged or `keep_answers` says so, and ends for the "next round" where there is
    something to draw, `why` says what; `answers` are the images drawn so far, which it begins
    with. The answers of one that is not drawn any more are "mapped" when they are read. `keys` are
    the parts that another key chooses: name, key before, key now.
    """

    object: str
    round: int
    state: str
    project_id: int | None = None
    does: Does = "nothing"
    why: str = ""
    answers: int = 0
    keys: tuple[tuple[str, str, str], ...] = ()


def migrate(
    work: Work,
    studio: Studio | None,
    new: Vocabulary,
    *,
    keep_answers: bool = False,
    dry_run: bool = False,
    by: Editor = UNSIGNED,
) -> tuple[Vocabulary, list[Migrated]]:
    """Make `new` the work's vocabulary, with all that follows; the version, and what it touched.

    Args:
        work: the annotation work.
        studio: the server; None will do when nothing was handed out.
        new: made from the work's own vocabulary, by the commands or by hand.
        keep_answers: rounds that are drawn go on with the parts they have; their next ones have
            the new ones.
        dry_run: tell, and change nothing.
        by: who stands in the history.

    Raises:
        StateError: `new` is not made from the work's vocabulary, or lacks an object that is
            being drawn.
        ConfigError: an edit by hand has two meanings.
        StudioError: the server is gone, or lacks a project.
        BusyError: another process works on the projects.
    """
    target = _target(work, new, by)
    _need_objects(work, target)
    if dry_run:
        return target, [_told(work, target, batch, keep_answers) for batch in _current(work)]
    _fetch(work, studio, target, by, keep_answers)
    with _alone(work):
        if target != work.vocabulary:
            work.replace_vocabulary(target, by.name)
        told = [_told(work, target, batch, keep_answers) for batch in _current(work)]
        for one in told:
            _follow(work, studio, one, by)
    begun = [one.object for one in told if one.does == "next round"]
    if begun and studio is not None:
        create(work, studio, objects=begun)
    return target, told


def _target(work: Work, new: Vocabulary, by: Editor) -> Vocabulary:
    """The version to reach; the work's own where it was taken over before and then cut off."""
    if new.hash == work.vocabulary.hash and not is_continued(work.vocabulary, new):
        return work.vocabulary
    return settle(work.vocabulary, new, by)


def _current(work: Work) -> list[Batch]:
    return [batch for batch in work.batches() if batch.state not in OVER]


def _need_objects(work: Work, target: Vocabulary) -> None:
    for batch in _current(work):
        if batch.object not in target.names:
            raise StateError(
                f"{batch.object} round {batch.round} is {batch.state}, and version "
                f"{target.version} of the vocabulary does not have it",
                hint=UnknownNameError("object category", batch.object, target.names).hint,
            )


def _fetch(work: Work, studio: Studio | None, target: Vocabulary, by: Editor, keep: bool) -> None:
    """Take in what annotators drew so far in rounds that end."""
    told = [_told(work, target, batch, keep) for batch in _current(work)]
    due = [one.object for one in told if one.does == "next round" and one.project_id]
    if due and studio is not None:
        for one in pull(work, studio, objects=due, submit=False, who=by.name):
            if one.trouble and work.batch(one.object).round == one.round:
                raise StudioError(one.trouble, hint=one.hint)


def _told(work: Work, target: Vocabulary, batch: Batch, keep: bool) -> Migrated:
    """What becomes of one round."""
    told = Migrated(batch.object, batch.round, batch.state, batch.project_id)
    old, new = work.parts(batch), target.object(batch.object)
    if old.seen == new.seen:
        return told
    moves = moves_between(work.vocabulary_of(batch), target, batch.object)
    told.does = _does(work, batch, moves, keep=keep)
    told.why = moves.to_draw if told.does in ("next round", "mapped", "goes on") else ""
    if told.does in ("next round", "new interface"):
        told.keys = moved_keys(old, new)
    if told.does == "next round":
        told.answers = _answers(work, batch)
    return told


def _does(work: Work, batch: Batch, moves: Moves, *, keep: bool) -> Does:
    if batch.state not in OPEN:
        return "mapped"
    if batch.project_id is None:
        return "new interface"
    lost = labels_are_names(work, batch) and not _known(work.parts(batch), moves.parts)
    if (moves.to_draw or (lost and not moves.merged)) and not keep:
        return "next round"
    return "goes on" if moves.to_draw or moves.merged or lost else "new interface"


def _known(old: ObjectParts, new: ObjectParts) -> bool:
    """Whether every old name, as an id or a name, is a label of the same part now."""
    now = {part.name: part.id for part in new.parts} | {id: id for id in new.ids}
    return all(now.get(part.name) == part.id for part in old.parts)


def _answers(work: Work, batch: Batch) -> int:
    """How many images are drawn, honeypots too."""
    query = select(func.count()).select_from(Answer)
    with work.read() as session:
        key = {"object": batch.object, "round": batch.round, "kind": "masks"}
        return session.scalar(query.filter_by(**key)) or 0


def _follow(work: Work, studio: Studio | None, told: Migrated, by: Editor) -> None:
    """One round goes the way of the vocabulary; what follows from its state is found again."""
    batch = work.batch(told.object, told.round)
    if told.does == "next round":
        why = told.why or "its project is of an earlier version, and its labels are names"
        (object, round), data = round_after_a_change(work, batch, why)
        work.record("planned", who=by.name, object=object, round=round, data=data)
        if studio is not None:
            tell_project(work, studio, work.batch(told.object, told.round))
    elif told.does == "new interface":
        version = work.vocabulary.version
        about: dict[str, Any] = {"vocabulary_version": version, "parts": {}, "redraw": {}}
        if studio is not None and batch.project_id is not None:
            about |= {"config_hash": renew_project(work, studio, batch, version), "labels": IDS}
        work.record("migrated", who=by.name, object=batch.object, round=batch.round, data=about)


@contextmanager
def _alone(work: Work) -> Iterator[None]:
    """Keep pulls, pushes and hand-outs of this work away."""
    with ExitStack() as stack:
        stack.enter_context(pulling(work))
        stack.enter_context(exclusive(work.folder / ".push"))
        stack.enter_context(handing_out(work.folder))
        yield
