"""Discarded images: what their inspectors said, and what follows (M-07, Q-04)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate.work.queries import select_answers
from annotate.work.tables import Answer, Batch, DiscardReview


def refusal_of(answer: Any) -> str:
    """Which refusal an answer (or a row with its columns) is: one for another reason is another.

    Saving it again is none, or an annotator could so be rid of what an inspector said of it.
    """
    return str(answer.reason)


def reviews_of(session: Session, answer: Any) -> list[DiscardReview]:
    """The reviews of one refusal, oldest first."""
    key = {"object": answer.object, "round": answer.round, "image_id": answer.image_id}
    query = select(DiscardReview).filter_by(**key, refusal=refusal_of(answer))
    return sorted(session.scalars(query), key=lambda review: review.at)


def discard_state(reviews: Sequence[Any]) -> str:
    """Say "waiting", "final" or "restored": two agree, or the third decides (Q-04).

    `reviews` have an attribute `uphold`.
    """
    uphold = sum(review.uphold for review in reviews)
    if uphold >= 2:
        return "final"
    return "restored" if len(reviews) - uphold >= 2 else "waiting"


def unsettled_discards(session: Session, batch: Batch) -> list[int]:
    """Ids of discarded images whose two inspectors have not agreed yet; never honeypots."""
    query = _REFUSALS.filter_by(object=batch.object, round=batch.round, kind="discard")
    rows = session.execute(query).all()
    return [row.image_id for row in rows if discard_state(reviews_of(session, row)) == "waiting"]


_REFUSALS = select_answers(
    Answer.object,
    Answer.round,
    Answer.image_id,
    Answer.kind,
    Answer.reason,
)


def final_discards(session: Session, object: str) -> set[int]:
    """Ids of an object's images whose newest answer is a refusal that stands (Q-04)."""
    reviews: dict[tuple[int, int, str], list[DiscardReview]] = {}
    for review in session.scalars(select(DiscardReview).filter_by(object=object)):
        reviews.setdefault((review.round, review.image_id, review.refusal), []).append(review)
    found: set[int] = set()
    for row in session.execute(_REFUSALS.filter_by(object=object).order_by(Answer.round)):
        said = reviews.get((row.round, row.image_id, refusal_of(row)), ())
        final = row.kind == "discard" and discard_state(said) == "final"
        (found.add if final else found.discard)(row.image_id)
    return found
