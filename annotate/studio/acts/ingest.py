"""From a raw export to answers and flags; the same for a live pull and for a rebuild."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate.studio.acts.answers import Context, make_answer, read_annotation, same_drawing
from annotate.studio.acts.choose import Round, Said, choose, foreign_edit, late
from annotate.studio.api.projects import names_work
from annotate.studio.api.raw import Header, RawTask, open_export
from annotate.work import (
    Answer,
    DiscardReview,
    Event,
    Flag,
    Image,
    Task,
    Work,
    discard_state,
    in_correction,
)
from annotate.work.complaints import ERROR, KINDS, REDRAWN, SENT_BACK, Problem, ending, problem
from partlab.errors import SchemaError


def read_export(work: Work, event: Event) -> tuple[list[Answer], list[Flag]]:
    """What an event "pulled" brings: new answers; flags that are new, renewed or settled.

    A function of the raw file that the event names and of the state before the event.

    Raises:
        NotFoundError: the raw file is gone.
        SchemaError: it is damaged, or is not the one that was recorded.
    """
    if "file" not in event.data:
        return [], []
    answers: list[Answer] = []
    flags: list[Flag] = []
    with open_export(work.folder / event.data["file"], event.data["sha256"]) as export:
        _need_ours(work, event, export.header)
        facts = _facts(work, event, export.header)
        for task in export.tasks:
            answer, said = _judge(task, facts)
            answers += [answer] if answer is not None else []
            flags += [*facts.news(task, said), *facts.settled(task, said)]
    return answers, flags


def _need_ours(work: Work, event: Event, header: Header) -> None:
    stated = (header.work, header.object, header.round)
    if stated != (work.settings.id, event.object, event.round):
        raise SchemaError(f"the raw export {event.data['file']} belongs to another work or round")


@dataclass(frozen=True, slots=True)
class _Facts:
    """The state before the event, as far as it concerns the tasks of one raw file."""

    header: Header
    round: Round
    context: Context
    work: Work
    file: str
    images: Mapping[int, Image]  # by task id
    stored: Mapping[int, Answer]  # by image id, as are those below
    restored: frozenset[int]
    flagged: Mapping[tuple[int, int, str], Flag]

    def image(self, task: RawTask) -> Image | None:
        """The image a task shows; None when the task is not one of this round's."""
        image = self.images.get(task.id)
        if image is None or task.data.get("image_id") != image.id:
            return None
        return image if names_work(task.data, self.work, by_name=True) else None

    def news(self, task: RawTask, said: Sequence[Said]) -> Iterator[Flag]:
        """What is not in the state yet, as flags; seen again later, or after all, it is news."""
        image = self.images.get(task.id)
        name = f" ({image.file_name})" if image is not None else ""
        for one in said:
            where = f"project {self.header.project} task {task.id} annotation {one.annotation_id}"
            message = f"{where}{name}: {one.words}"
            known = self.flagged.get((task.id, one.annotation_id, one.kind))
            again = known is not None and (known.settled or known.at < one.at)
            if known is None or again or known.message != message:
                yield Flag(
                    object=self.round.object,
                    round=self.round.number,
                    task_id=task.id,
                    annotation_id=one.annotation_id,
                    kind=one.kind,
                    message=message,
                    at=one.at,
                    settled=False,  # said, or a merge would keep what was settled before
                )

    def settled(self, task: RawTask, said: Sequence[Said]) -> Iterator[Flag]:
        """Open flags of annotations that are no longer too many.

        Somebody deleted them, as was asked, or the round has become their author's.
        """
        there = {annotation.id for annotation in task.annotations}
        again = {(one.annotation_id, one.kind) for one in said}
        for flag in self.flagged.values():
            if flag.task_id != task.id or flag.kind not in ending("deleted") or flag.settled:
                continue
            counts = not self.round.closed and (flag.annotation_id, flag.kind) not in again
            if counts or flag.annotation_id not in there:
                yield Flag(**{**asdict(flag), "settled": True})


def _facts(work: Work, event: Event, header: Header) -> _Facts:
    key: dict[str, Any] = {"object": event.object, "round": event.round}
    batch = work.batch(event.object, event.round)
    with work.read() as session:
        images = _images(session, key, header)
        ids = [image.id for image in images.values()]
        stored = select(Answer).filter_by(**key).where(Answer.image_id.in_(ids))
        reviews = select(DiscardReview).filter_by(**key).where(DiscardReview.image_id.in_(ids))
        flags = select(Flag).filter_by(**key).where(Flag.task_id.in_(header.tasks))
        return _Facts(
            header=header,
            round=Round(event.object, event.round, batch.state, batch.assignee, header.people),
            context=Context(
                parts=header.vocabulary,
                min_pixels=work.settings.min_pixels,
                model_help=work.settings.model_help,
                models=header.models,
                named=header.named,
                start_from=batch.start_from,
            ),
            work=work,
            file=event.data["file"],
            images=images,
            stored={answer.image_id: answer for answer in session.scalars(stored)},
            restored=_restored(list(session.scalars(reviews))),
            flagged={(f.task_id, f.annotation_id, f.kind): f for f in session.scalars(flags)},
        )


def _images(session: Session, key: Mapping[str, Any], header: Header) -> dict[int, Image]:
    """Images by task id, of those tasks that belong to the round."""
    query = (
        select(Task.task_id, Image)
        .join(Image, Image.id == Task.image_id)
        .where(Task.object == key["object"], Task.round == key["round"])
        .where(Task.project_id == header.project, Task.task_id.in_(header.tasks))
    )
    return {task_id: image for task_id, image in session.execute(query) if task_id is not None}


def _restored(reviews: Sequence[DiscardReview]) -> frozenset[int]:
    """Images of which inspectors said that they can be drawn (Q-04)."""
    found: dict[tuple[int, str], list[DiscardReview]] = {}
    for review in reviews:
        found.setdefault((review.image_id, review.refusal), []).append(review)
    return frozenset(id for (id, _), said in found.items() if discard_state(said) == "restored")


def _judge(task: RawTask, facts: _Facts) -> tuple[Answer | None, list[Said]]:
    image = facts.image(task)
    if image is None:
        return None, [_unknown(annotation.id, task) for annotation in task.annotations]
    stored = facts.stored.get(image.id)
    back = facts.round.state == "accepted" and in_correction(stored)
    if facts.round.closed and not back:
        return None, late(task, facts.round, stored)
    choice = choose(task, facts.round, stored)
    said = list(choice.said)
    for annotation in choice.edited:
        unchanged = (
            stored is not None
            and stored.annotation_id == annotation.id
            and same_drawing(read_annotation(annotation, image, facts.context), stored)
        )
        if not unchanged:  # a migration of the vocabulary renames labels, and changes nothing else
            said.append(foreign_edit(annotation, facts.round, stored))
    if choice.taken is None:
        return None, said
    answer = make_answer(
        choice.taken,
        image,
        facts.context,
        object=facts.round.object,
        round=facts.round.number,
        task_id=task.id,
        annotator=facts.round.assignee,
        raw=facts.file,
    )
    if answer.kind == "discard" and image.id in facts.restored:
        return None, [*said, _again(answer)]
    if answer.kind == "discard" and back:
        return None, [*said, _given_up(answer)]
    said += _faults(answer)
    if back and stored is not None:
        answer.problems = [*answer.problems, _still_back(answer, stored)]
    return answer, said


def _still_back(answer: Answer, stored: Answer) -> Problem:
    """What keeps an image that was sent back open until an inspector has passed it."""
    before = next((p for p in stored.problems if p["kind"] == SENT_BACK), None)
    if answer.kind != "masks" and before is not None:
        return dict(before)
    return problem(REDRAWN, "drawn again after it was sent back, and not looked at since")


def _unknown(annotation_id: int, task: RawTask) -> Said:
    words = (
        "the task is not one of this round's, so what is drawn in it is only in the raw export; "
        "delete the task in Label Studio"
    )
    return Said("unknown-task", annotation_id, task.updated_at, words)


def _again(answer: Answer) -> Said:
    words = (
        f"{answer.annotator} gives it up again ({answer.reason}), but two inspectors found that it "
        "can be drawn; not taken: draw it"
    )
    return Said("discard-after-restore", answer.annotation_id, answer.updated_at, words)


def _given_up(answer: Answer) -> Said:
    words = (
        f"{answer.annotator} gives it up ({answer.reason}), but it was drawn before and sent back "
        "to be corrected; not taken: correct it"
    )
    return Said("discard-after-sent-back", answer.annotation_id, answer.updated_at, words)


def _faults(answer: Answer) -> Iterator[Said]:
    """Why an answer is broken: one sentence for each kind of fault."""
    found: dict[str, list[str]] = {}
    for one in answer.problems:
        if one["severity"] == ERROR:
            found.setdefault(one["kind"], []).append(one["message"])
    for kind, messages in found.items():
        more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
        advice = KINDS[kind].advice
        words = f"{answer.annotator}: {messages[0]}{more}{': ' if advice else ''}{advice}"
        yield Said(kind, answer.annotation_id, answer.updated_at, words)
