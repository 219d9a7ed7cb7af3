"""Images that annotators refused: two inspectors each, and a report that refusing is not
an easy way out (M-07, Q-04, Q-05).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, null, select
from sqlalchemy.orm import Session

from annotate.data import effort
from annotate.work import (
    Answer,
    Batch,
    DiscardReview,
    Event,
    Image,
    Work,
    discard_state,
    honeypots,
    refusal_of,
)
from annotate.work.pictures import shown_picture
from partlab.errors import NotFoundError

PUBLISHED = {name: effort.PUBLISHED[name] for name in ("discarded", "kept")}
PUBLISHED["rate"] = effort.PUBLISHED["discard_rate"]
"""What the authors of PartImageNet++ report: a reference, never counted here (Q-04, Q-05)."""

MANY_RESTORED = 0.2  # of the settled cases: refusing is then no longer a matter of quality
FEW_CASES = 5  # below this nothing is said of anybody


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
    """All refused images of all rounds, oldest round first.

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
    query = select(Answer, Image).join(Image, Image.id == Answer.image_id)
    query = query.where(Answer.kind.in_(("discard", "restored")), Image.truth.is_(null()))
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


@dataclass(frozen=True, slots=True)
class Refusals:
    """How often one annotator refused images of one object category (or a sum of such).

    `looked_at` counts images with an answer, over all rounds. `restored_share` is of the
    settled cases, None where there are none.
    """

    object: str
    annotator: str
    looked_at: int
    refused: int
    waiting: int
    final: int
    restored: int
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Share of the images looked at that were refused."""
        return self.refused / self.looked_at if self.looked_at else 0.0

    @property
    def restored_share(self) -> float | None:
        """Share of the settled refusals that inspectors turned down."""
        settled = self.final + self.restored
        return self.restored / settled if settled else None


def refusals(work: Work, object: str | None = None) -> list[Refusals]:
    """Refusals of each object category and annotator."""
    cases: dict[tuple[str, str], list[DiscardCase]] = {}
    for case in find_cases(work, object):
        cases.setdefault((case.object, case.annotator), []).append(case)
    looked_at = _looked_at(work, object)
    keys = sorted({*cases, *looked_at})
    return [_count(*key, looked_at.get(key, 0), cases.get(key, [])) for key in keys]


def _looked_at(work: Work, object: str | None) -> dict[tuple[str, str], int]:
    query = select(Answer.object, Answer.annotator, func.count()).where(Answer.kind != "broken")
    query = query.where(Answer.image_id.not_in(honeypots(object)))
    query = query.filter_by(object=object) if object else query
    with work.read() as session:
        rows = session.execute(query.group_by(Answer.object, Answer.annotator))
        return {(owner, who): count for owner, who, count in rows}


def _count(object: str, annotator: str, looked_at: int, cases: Sequence[DiscardCase]) -> Refusals:
    states = Counter(case.state for case in cases)
    reasons = Counter(case.reason or "not stated" for case in cases)
    return Refusals(
        object,
        annotator,
        looked_at,
        len(cases),
        states["waiting"],
        states["final"],
        states["restored"],
        dict(reasons.most_common()),
    )


def total(rows: Iterable[Refusals], object: str = "all", annotator: str = "all") -> Refusals:
    """The sum of some rows."""
    found = list(rows)
    reasons: Counter[str] = Counter()
    for row in found:
        reasons.update(row.reasons)

    def count(name: str) -> int:
        return sum(getattr(row, name) for row in found)

    return Refusals(
        object,
        annotator,
        count("looked_at"),
        count("refused"),
        count("waiting"),
        count("final"),
        count("restored"),
        dict(reasons.most_common()),
    )


def worries(rows: Sequence[Refusals]) -> list[str]:
    """Signs that hard images are being refused, as sentences; none where all is well."""
    found = []
    for annotator in sorted({row.annotator for row in rows}):
        one = total((r for r in rows if r.annotator == annotator), annotator=annotator)
        share, settled = one.restored_share, one.final + one.restored
        if share is not None and settled >= FEW_CASES and share > MANY_RESTORED:
            found.append(
                f"inspectors restored {share:.0%} of the {settled} settled refusals of {annotator}"
            )
    for row in rows:
        if row.refused >= FEW_CASES and row.rate > PUBLISHED["rate"]:
            found.append(
                f"{row.annotator} refused {row.rate:.0%} of {row.looked_at} images of "
                f"{row.object}, which is many"
            )
    return found
