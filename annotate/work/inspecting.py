"""The rules of inspection: sampled, accepted or rejected; discards reviewed (Q-01, Q-02, Q-04)."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate.work.change import Change, Rules, in_correction
from annotate.work.complaints import REDRAWN, SENT_BACK, problem
from annotate.work.discards import discard_state, refusal_of, reviews_of, unsettled_discards
from annotate.work.tables import Answer, Batch, DiscardReview, Draw, Verdict
from partlab.counts import counted
from partlab.errors import StateError

rules = Rules()


@rules("sampled")
def _sampled(change: Change) -> None:
    """{seed, plan, images, …}: images are drawn for inspection, in this order (Q-01)."""
    batch = change.batch("submitted")
    _not_their_own(change, batch)
    if waiting := unsettled_discards(change.session, batch):
        images = counted(len(waiting), "discarded image waits", "discarded images wait")
        raise StateError(
            f"{batch.object} round {batch.round}: {images} for review",
            hint=f"two inspectors each run `partlab inspect discards WORK {batch.object}`",
        )
    batch.state, batch.seed = "sampled", change.data["seed"]
    batch.plan = change.data["plan"]
    for position, image_id in enumerate(change.data["images"]):
        answer = change.find(Answer, image_id)
        if answer is None or answer.kind != "masks":
            raise StateError(f"image {image_id} of {batch.object} has no masks to inspect")
        change.session.add(Draw(**change.key, image_id=image_id, position=position))


@rules("verdict")
def _verdict(change: Change) -> None:
    """{image_id, passed, reason?, note?, pins?, …}: an inspector's word on a drawn image (Q-02)."""
    batch, data = change.batch("sampled"), change.data
    who, image_id = change.event.who, data["image_id"]
    _not_their_own(change, batch)
    if change.find(Draw, image_id) is None:
        raise StateError(f"image {image_id} is not in the sample of {batch.object}")
    before = change.find(Verdict, image_id)
    if before is not None and not same_person(before.inspector, who):
        raise StateError(f"image {image_id} was already inspected by {before.inspector}")
    _put_verdict(change, passed=data["passed"])


@rules("unsaid")
def _unsaid(change: Change) -> None:
    """{image_id}: an inspector takes their word on a drawn image back, before it is decided."""
    batch, image_id = change.batch("sampled"), change.data["image_id"]
    said = change.find(Verdict, image_id)
    if said is None or not same_person(said.inspector, change.event.who):
        raise StateError(
            f"{change.event.who} has said nothing of image {image_id} of {batch.object}"
        )
    change.session.delete(said)


def images_in_correction(session: Session, batch: Batch) -> list[int]:
    """Ids of a round's images that were sent back and have not passed since."""
    query = select(Answer.image_id, Answer.problems)
    rows = session.execute(query.filter_by(object=batch.object, round=batch.round))
    return sorted(row.image_id for row in rows if in_correction(row))


def _not_their_own(change: Change, batch: Batch) -> None:
    check_not_own(change.session, batch, change.event.who)


def check_not_own(session: Session, batch: Batch, who: str) -> None:
    """See that a person did not draw the round, nor those that its masks began with.

    Raises:
        StateError: they did.
    """
    if any(same_person(who, person) for person in _drawn_by(session, batch)):
        raise StateError(
            f"{who} drew {batch.object}; nobody inspects their own work",
            hint="let another inspector do it",
        )


def _drawn_by(session: Session, batch: Batch) -> list[str]:
    """The assignee, and those of the rounds whose masks this one began with."""
    people = [batch.assignee]
    while batch.start_from:
        earlier = int(batch.start_from.partition(":")[0].removeprefix("r"))
        batch = session.get_one(Batch, (batch.object, earlier))
        people.append(batch.assignee)
    return people


def same_person(a: str, b: str) -> bool:
    """Whether two e-mail addresses or names mean one person.

    Capitals do not count, and a bare name is the person whose address begins with it.
    """
    first, second = a.strip().casefold(), b.strip().casefold()
    if ("@" in first) != ("@" in second):
        return first.partition("@")[0] == second.partition("@")[0]
    return first == second


@rules("decided")
def _decided(change: Change) -> None:
    """{accepted, seen, bad}: the plan has its answer; what follows is the next round."""
    batch = change.batch("sampled")
    batch.state = "accepted" if change.data["accepted"] else "rejected"


@rules("sent-back")
def _sent_back(change: Change) -> None:
    """{image_id, reason, note?}: one image of an accepted category is to be drawn again, alone.

    The others stay accepted. It may be one that was drawn again and fails once more.
    """
    batch, data = change.batch("accepted"), change.data
    _not_their_own(change, batch)
    answer = change.find(Answer, data["image_id"])
    if answer is None or answer.kind != "masks":
        raise StateError(
            f"image {data['image_id']} of {batch.object} has no masks that could be sent back"
        )
    words = ": ".join(filter(None, (data["reason"], data.get("note"))))
    back = problem(SENT_BACK, f"an inspector sent it back ({words}): correct it, and press Update")
    answer.kind, answer.problems = "broken", [*_without_correction(answer), back]
    _put_verdict(change, passed=False)


@rules("corrected")
def _corrected(change: Change) -> None:
    """{image_id, note?}: an image that was sent back passes, drawn again or as it is."""
    batch = change.batch("accepted")
    _not_their_own(change, batch)
    answer = change.find(Answer, change.data["image_id"])
    if not in_correction(answer) or not answer.masks:
        raise StateError(
            f"image {change.data['image_id']} of {batch.object} was not sent back, or has no masks"
        )
    answer.kind, answer.problems = "masks", _without_correction(answer)
    _put_verdict(change, passed=True)


def _without_correction(answer: Answer) -> list[Any]:
    return [one for one in answer.problems if one["kind"] not in (SENT_BACK, REDRAWN)]


def _put_verdict(change: Change, *, passed: bool) -> None:
    words = {key: change.data.get(key) for key in ("reason", "note")}
    values = {**change.key, "image_id": change.data["image_id"], "passed": passed, **words}
    change.session.merge(Verdict(**values, inspector=change.event.who, at=change.event.at))


@rules("reopened")
def _reopened(change: Change) -> None:
    """{reason}: a decision was a slip; the images drawn in that round are looked at again.

    What was said stays in the history alone, so that no old word decides the round at once.
    """
    batch = change.batch("accepted", "rejected")
    _not_their_own(change, batch)
    if change.session.get(Batch, (batch.object, batch.round + 1)) is not None:
        raise StateError(
            f"{batch.object} round {batch.round} is over: round {batch.round + 1} has begun",
            hint="inspect that one",
        )
    if being := images_in_correction(change.session, batch):
        raise StateError(
            f"{batch.object} round {batch.round}: image {', '.join(map(str, being))} was sent back "
            "and has not passed since",
            hint=f"first pass what is drawn: partlab inspect decide WORK {batch.object} --image "
            f"{being[0]} --pass --by WHO",
        )
    batch.state = "sampled"
    for verdict in change.session.scalars(select(Verdict).filter_by(**change.key)):
        change.session.delete(verdict)


@rules("exported")
def _exported(change: Change) -> None:
    """{out, categories: {object: [round, hash]}}: a data set was made; a note and no more."""


@rules("discard-review")
def _discard_review(change: Change) -> None:
    """{image_id, uphold, reason?, note?, …}: one of two inspectors on a discarded image (Q-04).

    A word is about the refusal for the reason that stands now: another is reviewed afresh.
    """
    batch, data, who = change.batch("annotating", "submitted"), change.data, change.event.who
    answer = change.find(Answer, data["image_id"])
    if answer is None or answer.kind != "discard":
        raise StateError(f"image {data['image_id']} of {batch.object} is not discarded")
    if data.get("reason", answer.reason) != answer.reason:
        raise StateError(
            f"image {answer.image_id} of {batch.object} was given up anew: {answer.reason}",
            hint="look at it again",
        )
    if same_person(who, answer.annotator) or same_person(who, batch.assignee):
        raise StateError(f"{who} discarded image {answer.image_id}; two others must review it")
    reviews = reviews_of(change.session, answer)
    if any(same_person(who, review.inspector) for review in reviews):
        raise StateError(f"{who} has already reviewed image {answer.image_id}")
    if discard_state(reviews) != "waiting":
        raise StateError(f"the review of image {answer.image_id} is closed")
    review = DiscardReview(
        **change.key,
        image_id=answer.image_id,
        inspector=who,
        refusal=refusal_of(answer),
        uphold=data["uphold"],
        note=data.get("note"),
        at=change.event.at,
    )
    change.session.add(review)
    if discard_state([*reviews, review]) == "restored":
        answer.kind, batch.state, batch.manifest_hash = "restored", "annotating", None
