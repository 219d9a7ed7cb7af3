"""Another annotator for an object category: always for the whole of it (M-05)."""

import logging
from typing import Any

from annotate.studio.acts.begin import handing_out
from annotate.studio.acts.pull import pull, pulling
from annotate.studio.acts.rounds import BEING_DRAWN, OVER, images_of_next
from annotate.studio.acts.wall import tell_project
from annotate.studio.api.client import Studio
from annotate.studio.api.users import need_users
from annotate.work import Batch, Work
from partlab.counts import counted
from partlab.errors import StateError, StudioError

log = logging.getLogger(__name__)

_OPEN = (*BEING_DRAWN, "submitted", "sampled", *OVER)


def reassign(
    work: Work, studio: Studio, owner: str, to: str, *, force: bool = False, dry_run: bool = False
) -> tuple[Batch, int]:
    """Give a whole category to another annotator; its round, and the answers that are redone.

    The category is pulled first, so that nothing drawn is overlooked; a dry run does not, and
    knows only of answers that were pulled before. With answers in this round `force` gives the
    round up and plans it afresh for the new annotator, since one person draws all images of a
    category; the old answers stay in the exports. After a rejection the next round is planned.
    `partlab studio create` then makes the new project.

    Raises:
        StateError: the round is accepted, is theirs already, or has answers.
        UnknownNameError: there is no such category, or no such account.
        StudioError: the server is gone, or lacks the project.
        BusyError: another process works on the projects.
    """
    to = to.strip().lower()
    batch = work.batch(owner)
    need_users(studio, [to])
    _need_open(batch, to)
    if dry_run:
        return batch, _answers(work, batch, force=force)
    who = str(studio.whoami()["email"])
    _fetch(work, studio, batch, who, force=force)
    with pulling(work), handing_out(work.folder):
        batch = work.batch(owner)
        _need_open(batch, to)
        answers = _answers(work, batch, force=force)
        _hand_over(work, studio, who, batch, to, answers)
    return work.batch(owner), answers


def _need_open(batch: Batch, to: str) -> None:
    what = f"{batch.object} round {batch.round}"
    if batch.state not in _OPEN:
        raise StateError(f"{what} is {batch.state}: there is nothing to hand over")
    if batch.assignee == to:
        raise StateError(f"{what} is {to}'s already")


def _fetch(work: Work, studio: Studio, batch: Batch, who: str, *, force: bool) -> None:
    """Take in what was drawn so far; `force` goes on without what cannot be read."""
    if batch.project_id is None or batch.state in OVER:
        return
    for told in pull(work, studio, objects=[batch.object], submit=False, who=who):
        if not told.trouble or told.round != batch.round:
            continue
        if not force:
            hint = f"{told.hint}; or go on with --force, without what was not pulled"
            raise StudioError(told.trouble, hint=hint)
        log.warning("%s: going on without what was not pulled", told.trouble)


def _answers(work: Work, batch: Batch, *, force: bool) -> int:
    """How many answers have to be redone."""
    what = f"{batch.object} round {batch.round}"
    there = work.answers(batch.object, batch.round, with_honeypots=True)
    answers = 0 if batch.state in OVER else sum(1 for _ in there)
    if answers and not force:
        raise StateError(
            f"{what} already has {counted(answers, 'answer')} of {batch.assignee}; one annotator "
            "draws a whole category",
            hint="with --force the round is begun afresh; its answers stay in the exports",
        )
    return answers


def _hand_over(work: Work, studio: Studio, who: str, batch: Batch, to: str, answers: int) -> None:
    owner = batch.object
    if batch.state in BEING_DRAWN and not answers:
        work.record("reassigned", who=who, object=owner, round=batch.round, data={"to": to})
        changed = work.batch(owner)
        tell_project(work, studio, changed)
        return
    if batch.state not in OVER:
        reason = f"reassigned from {batch.assignee} to {to}"
        work.record("abandoned", who=who, object=owner, round=batch.round, data={"reason": reason})
        tell_project(work, studio, work.batch(owner, batch.round))
    images = images_of_next(work, batch)
    data: dict[str, Any] = {"images": images, "assignee": to}
    data["vocabulary_version"] = work.vocabulary.version
    work.record("planned", who=who, object=owner, round=batch.round + 1, data=data)
