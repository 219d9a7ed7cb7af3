"""What is still to be done in a picture, written into its task, where its annotator reads it.

    told = tell(work, studio, work.batch("ram"), who="lead@example.org")

Label Studio calls every task that has an annotation completed, also when the answer could not be
used, or an inspector wants it drawn after all, or corrected. So the task says it: in a column of
the project's list, and above the picture. A task that is simply to be drawn, or done, says nothing.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from annotate.studio.acts.overlaps import undeclared_overlaps
from annotate.studio.acts.status import MADE_ANEW, open_flags
from annotate.studio.acts.task_data import Column, keep_words
from annotate.studio.api.client import Studio
from annotate.studio.spelling.names import TODO
from annotate.work import Answer, Batch, DiscardReview, Flag, Verdict, Work, refusal_of
from annotate.work.change import DONE
from annotate.work.complaints import SENT_BACK

_COLUMN = Column(TODO, event="told", noted="todo")
_UPDATE = "press Update"
_DRAWN_IN = ("planned", "annotating", "submitted")
_WHERE = re.compile(r"^project \d+ task \d+ annotation \d+(?: \(.*?\))?: ", re.DOTALL)
_ASKING = ("cancelled", "foreign-edit", "deleted", "discard-after-restore")
"""Flags that ask the annotator for something in a picture that looks done."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """What was wrong with the last round of a category that was rejected: reasons by image id."""

    round: int
    reasons: Mapping[int, str]


def last_rejection(work: Work, batch: Batch) -> Rejection | None:
    """The failures of the newest rejected round before this one."""
    earlier = [one for one in work.rounds(batch.object) if one.round < batch.round]
    rejected = next((one for one in reversed(earlier) if one.state == "rejected"), None)
    if rejected is None:
        return None
    query = select(Verdict).filter_by(object=batch.object, round=rejected.round, passed=False)
    with work.read() as session:
        failed = session.scalars(query.order_by(Verdict.image_id)).all()
    return Rejection(rejected.round, {one.image_id: why(one.reason, one.note) for one in failed})


def why(reason: str | None, note: str | None) -> str:
    """An inspector's reason and note, as an annotator reads them."""
    return ": ".join(filter(None, (reason, note))) or "no reason given"


def todos(work: Work, batch: Batch) -> dict[int, str]:
    """What is to be done in the pictures of a round, by image id; nothing of what is done."""
    if batch.state not in (*_DRAWN_IN, "accepted"):
        return {}
    drawn_in = batch.state in _DRAWN_IN
    rejection = last_rejection(work, batch) if drawn_in else None
    flags = {flag.task_id: flag for flag in _asking(work, batch)} if drawn_in else {}
    columns = (Answer.image_id, Answer.kind, Answer.reason, Answer.problems, Answer.task_id)
    query = select(Answer.object, Answer.round, *columns)
    with work.read() as session:
        rows = session.execute(query.filter_by(object=batch.object, round=batch.round))
        answers = {row.image_id: row for row in rows}
    lying = _overlaps(work, batch) if batch.state == "submitted" else {}
    found = {}
    for task in work.tasks(batch.object, batch.round):
        answer = answers.get(task.image_id)
        if answer is not None and answer.task_id != task.task_id and answer.kind not in DONE:
            words = str(MADE_ANEW["message"])
        elif answer is not None:
            words = _of_answer(work, batch, answer) or lying.get(task.image_id, "")
        else:
            words = _of_rejection(rejection, task.image_id) if rejection is not None else ""
        if (flag := flags.get(task.task_id or 0)) and (answer is None or answer.kind not in DONE):
            words = words or _WHERE.sub("", flag.message)
        if words:
            found[task.image_id] = words[:1].upper() + words[1:]
    return found


def _asking(work: Work, batch: Batch) -> Iterable[Flag]:
    flags = open_flags(work).get((batch.object, batch.round), ())
    return (flag for flag in flags if flag.kind in _ASKING)


def _of_rejection(rejection: Rejection, image_id: int) -> str:
    if image_id not in rejection.reasons:
        return ""
    return f"draw it better than in round {rejection.round}: {rejection.reasons[image_id]}"


def _of_answer(work: Work, batch: Batch, answer: Any) -> str:
    """What one answer still lacks; nothing where it is done."""
    if answer.kind == "restored":
        return _restored(work, answer)
    if batch.state == "accepted":
        wanted = [one for one in answer.problems if one["kind"] == SENT_BACK]
        wanted = wanted and [one for one in answer.problems if one["severity"] == "error"]
    elif answer.kind == "broken":
        wanted = [one for one in answer.problems if one["severity"] == "error"]
    else:
        wanted = []
    return "; ".join(dict.fromkeys(one["message"] for one in wanted))


def _overlaps(work: Work, batch: Batch) -> dict[int, str]:
    """Where parts lie over each other, which keeps a round that is complete from inspection."""
    parts, found = work.moves(batch).parts, dict[int, list[str]]()
    for (small, large), images in undeclared_overlaps(work, batch).items():
        for id in images:
            words = f"{parts.part(small).name} lies over {parts.part(large).name}"
            found.setdefault(id, []).append(words)
    return {
        id: f"{', '.join(words)}: parts do not overlap; erase one of them there, and {_UPDATE}"
        for id, words in found.items()
    }


def _restored(work: Work, answer: Any) -> str:
    """Inspectors want it drawn after all; what they noted stands behind it."""
    key = {"object": answer.object, "round": answer.round, "image_id": answer.image_id}
    query = select(DiscardReview).filter_by(**key, uphold=False, refusal=refusal_of(answer))
    with work.read() as session:
        reviews = session.scalars(query.order_by(DiscardReview.at)).all()
    notes = "; ".join(review.note for review in reviews if review.note)
    said = f" ({notes})" if notes else ""
    return (
        f"inspectors find that it can be drawn{said}: take back the reason, draw it, and {_UPDATE}"
    )


def tell(work: Work, studio: Studio, batch: Batch, who: str = "partlab") -> int:
    """Write into the tasks of a round what is to be done in them, where that changed; how many.

    Raises:
        StudioError: the server cannot be reached, or refuses. A task that is gone is passed over.
    """
    return keep_words(work, studio, batch, _COLUMN, todos(work, batch), who)
