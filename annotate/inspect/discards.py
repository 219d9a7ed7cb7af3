"""Images that annotators refused: two inspectors each settle it (M-07, Q-04)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate.inspect.people import need_no_annotator, person
from annotate.work import (
    Answer,
    Batch,
    DiscardReview,
    Event,
    Image,
    Work,
    discard_state,
    refusal_of,
    same_person,
    select_answers,
)
from annotate.work.pictures import shown_picture
from partlab.errors import ConfigError, NotFoundError


@dataclass(frozen=True, slots=True)
class Review:
    """One inspector's word."""

    inspector: str
    uphold: bool
    at: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class DiscardCase:
    """One refused image and the reviews of its newest refusal, of `refused_at`.

    `state` is "waiting" (for reviews), "final", "restored" (to be drawn after all), "withdrawn"
    (the annotator drew it themselves) or "abandoned" (with its round, before it was settled).
    `disputed` says that two inspectors disagree and a third decides; `drawn` that it has masks
    now.
    """

    object: str
    round: int
    image_id: int
    file_name: str
    annotator: str
    reason: str | None
    state: str
    drawn: bool
    batch_state: str
    reviews: tuple[Review, ...] = ()
    picture: Path | None = None
    refused_at: str | None = None

    @property
    def open(self) -> bool:
        """Whether a review can be given."""
        return self.state == "waiting"

    @property
    def disputed(self) -> bool:
        """Whether two have spoken and a third is needed."""
        return self.state == "waiting" and len(self.reviews) >= 2


def find_cases(work: Work, object: str | None = None) -> list[DiscardCase]:
    """Every image an annotator refused, with what inspectors said of it (M-07), oldest round first.

    Raises:
        UnknownNameError: there is no such object category in the work.
    """
    if object is not None:
        work.batch(object)  # says near names
    only = {"object": object} if object else {}
    with work.read() as session:
        reviews: dict[_Key, list[DiscardReview]] = {}
        for review in session.scalars(select(DiscardReview).filter_by(**only)):
            key = (review.object, review.round, review.image_id)
            reviews.setdefault(key, []).append(review)
        refused = _refused(session, only)
        facts = _facts(session, only)
        keys = sorted({*refused, *reviews})
        columns = select(Batch.object, Batch.round, Batch.state).filter_by(**only)
        batches = {(owner, n): state for owner, n, state in session.execute(columns)}
        return [
            _case(work, session, key, reviews.get(key, []), facts.get(key, {}), batches[key[:2]])
            for key in keys
        ]


_Key = tuple[str, int, int]  # object, round, image id


def _refused(session: Session, only: dict[str, str]) -> dict[_Key, tuple[Answer, Image]]:
    """Held by the caller, so that `session.get` finds these rows without asking again."""
    query = select_answers(Answer, Image).join(Image, Image.id == Answer.image_id)
    query = query.where(Answer.kind.in_(("discard", "restored")))
    rows = session.execute(query.where(Answer.object == only["object"]) if only else query)
    return {(a.object, a.round, a.image_id): (a, image) for a, image in rows}


def _facts(session: Session, only: dict[str, str]) -> dict[_Key, dict[str, Any]]:
    """Reason and annotator as they were when an inspector looked, even if redrawn since."""
    query = select(Event).filter_by(what="discard-review", **only)
    events = session.scalars(query.order_by(Event.id))
    return {(event.object, event.round, event.data["image_id"]): event.data for event in events}


def _case(
    work: Work,
    session: Session,
    key: _Key,
    reviews: list[DiscardReview],
    facts: dict[str, Any],
    batch_state: str,
) -> DiscardCase:
    answer, image = session.get(Answer, key), session.get(Image, key[2])
    reviews = sorted(reviews, key=lambda review: review.at)
    still = answer is not None and answer.kind in ("discard", "restored")
    newest = refusal_of(answer) if still else reviews[-1].refusal
    reviews = [review for review in reviews if review.refusal == newest]
    return DiscardCase(
        *key,
        file_name=image.file_name if image else "",
        annotator=facts.get("annotator") or (answer.annotator if answer else ""),
        reason=answer.reason if answer and still else facts.get("reason"),
        state=_state(discard_state(reviews), still, batch_state),
        drawn=answer is not None and answer.kind == "masks",
        batch_state=batch_state,
        reviews=tuple(Review(r.inspector, r.uphold, r.at, r.note) for r in reviews),
        picture=_picture(work, image),
        refused_at=answer.updated_at if answer and still else None,
    )


def _state(said: str, still: bool, batch_state: str) -> str:
    """What inspectors said, unless the annotator drew the image, or the round was given up."""
    if not still and said != "restored":
        return "withdrawn"
    return "abandoned" if (said, batch_state) == ("waiting", "abandoned") else said


def _picture(work: Work, image: Image | None) -> Path | None:
    try:
        return shown_picture(work.folder, image) if image else None
    except NotFoundError:
        return None


def foresee_review(case: DiscardCase, uphold: bool) -> str:
    """What one more word on an open case causes."""
    state = discard_state([*case.reviews, Review("", uphold, "")])
    if state == "final":
        return "the image is given up for good"
    if state == "restored":
        return f"{case.annotator} is to draw it after all"
    if case.reviews:
        return "you two disagree: a third inspector decides"
    return "another inspector looks at it, too"


def review_discard(
    work: Work,
    object: str,
    image: int | str,
    uphold: bool,
    who: str,
    *,
    note: str | None = None,
    minutes: float | None = None,
    anyone: bool = False,
) -> DiscardCase:
    """One inspector's word on a discarded image: uphold it, or have it drawn after all.

    Two different inspectors settle it, a third when they disagree (Q-04). With `anyone` they may
    draw other categories of the work.

    Raises:
        NotFoundError: no such image is discarded.
        StateError: `who` discarded it, draws another category or has spoken already, or the case
            is settled.
    """
    case = find_case(find_cases(work, object), object, image)
    if not anyone and not same_person(who, case.annotator):
        need_no_annotator(work, person(who))
    data: dict[str, Any] = {"image_id": case.image_id, "uphold": uphold, "note": note}
    data |= {"reason": case.reason, "annotator": case.annotator, "minutes": minutes}
    work.record("discard-review", who=person(who), object=object, round=case.round, data=data)
    return find_case(find_cases(work, object), object, case.image_id)


def find_case(cases: Sequence[DiscardCase], object: str, image: int | str) -> DiscardCase:
    """The newest case of an image, by its id, its file name or the end of that."""
    found = [c for c in cases if str(c.image_id) == str(image)]
    found = found or [c for c in cases if f"/{c.file_name}".endswith(f"/{image}")]
    if len({case.image_id for case in found}) > 1:
        raise ConfigError(f"several discarded images of {object} end in {image!r}")
    if not found:
        raise NotFoundError(
            f"no image {image} of {object} is discarded",
            hint="`partlab inspect discards WORK` lists them",
        )
    return max(found, key=lambda case: case.round)
