"""Discarded images: what their inspectors said, and what follows (M-07, Q-04)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, null, select
from sqlalchemy.orm import Session

from annotate.work.tables import Answer, Batch, DiscardReview, Image


def reviews_of(session: Session, batch: Batch, image_id: int) -> list[DiscardReview]:
    """The reviews of one discarded image, oldest first."""
    query = select(DiscardReview).filter_by(
        object=batch.object, round=batch.round, image_id=image_id
    )
    return sorted(session.scalars(query), key=lambda review: review.at)


def discard_state(reviews: Sequence[DiscardReview]) -> str:
    """Say "waiting", "final" or "restored": two agree, or the third decides (Q-04)."""
    uphold = sum(review.uphold for review in reviews)
    if uphold >= 2:
        return "final"
    return "restored" if len(reviews) - uphold >= 2 else "waiting"


def unsettled_discards(session: Session, batch: Batch) -> list[int]:
    """Ids of discarded images whose two inspectors have not agreed yet; never honeypots."""
    query = select(Answer.image_id).filter_by(
        object=batch.object, round=batch.round, kind="discard"
    )
    return [
        image_id
        for image_id in session.scalars(
            query.where(Answer.image_id.not_in(honeypots(batch.object)))
        )
        if discard_state(reviews_of(session, batch, image_id)) == "waiting"
    ]


def final_discards(session: Session, object: str) -> set[int]:
    """Ids of an object's images whose newest answer is a refusal that stands (Q-04)."""
    reviews: dict[tuple[int, int], list[DiscardReview]] = {}
    for review in session.scalars(select(DiscardReview).filter_by(object=object)):
        reviews.setdefault((review.round, review.image_id), []).append(review)
    columns = select(Answer.round, Answer.image_id, Answer.kind).filter_by(object=object)
    found: set[int] = set()
    for round, image_id, kind in session.execute(columns.order_by(Answer.round)):
        final = discard_state(reviews.get((round, image_id), ())) == "final"
        (found.add if kind == "discard" and final else found.discard)(image_id)
    return found


def honeypots(object: str | None = None) -> Select[Any]:
    """Select the ids of the images whose masks are known; all, or one object category's."""
    query = select(Image.id).where(Image.truth.is_not(null()))
    return query.filter_by(object=object) if object else query
