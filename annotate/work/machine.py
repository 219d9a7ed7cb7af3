"""The rules of a work: what may happen in which state, and what it changes.

    planned -> annotating -> submitted -> sampled -> accepted | rejected -> planned (next round)

A batch whose assignee is replaced after answers came in is "abandoned" and planned afresh.
Each function below applies one kind of event; live work and a rebuild run the same code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, func, null, select
from sqlalchemy.orm import Session

from annotate.work.tables import (
    About,
    Answer,
    Batch,
    CategoryId,
    DiscardReview,
    Draw,
    Event,
    Flag,
    Image,
    Task,
    Verdict,
)
from partlab.errors import StateError

FINAL = ("accepted", "rejected", "abandoned")
DONE = ("masks", "discard")
PART_GONE = "part-gone"
"""The problem of an answer that a change of the vocabulary opened again."""


@dataclass(frozen=True)
class Change:
    """One event on its way into the database, with the rows an ingest brought along."""

    session: Session
    event: Event
    answers: Sequence[Answer] = ()
    flags: Sequence[Flag] = ()

    @property
    def data(self) -> dict[str, Any]:
        """The event's own values."""
        return self.event.data

    @property
    def key(self) -> dict[str, Any]:
        """Object category and round."""
        return {"object": self.event.object, "round": self.event.round}

    def batch(self, *states: str) -> Batch:
        """The batch the event is about, when it is in one of these states.

        Raises:
            StateError: there is no such batch, or it is in another state.
        """
        found = self.session.get(Batch, (self.event.object, self.event.round))
        if found is None:
            raise StateError(f"{self.event.object} has no round {self.event.round}")
        if states and found.state not in states:
            raise StateError(
                f"{self.event.object} round {found.round} is {found.state}; "
                f"{self.event.what!r} needs it {' or '.join(states)}",
                hint=HINTS.get(found.state),
            )
        return found

    def find(self, table: type[Any], image_id: int) -> Any:
        """This batch's row about an image, or None."""
        return self.session.get(table, (self.event.object, self.event.round, image_id))

    def task(self, image_id: int | str) -> Task:
        """This batch's task of an image.

        Raises:
            StateError: the image was not handed out in this round.
        """
        found: Task | None = self.find(Task, int(image_id))
        if found is None:
            raise StateError(
                f"image {image_id} is not in {self.event.object} round {self.event.round}"
            )
        return found

    def hand_out(self) -> None:
        """Add the tasks of the images that the event names.

        Raises:
            StateError: one is not an image of the category, or is handed out already.
        """
        ids: list[int] = self.data["images"]
        key = {"object": self.event.object}
        known = set(self.session.scalars(select(Image.id).filter_by(**key)))
        there = set(self.session.scalars(select(Task.image_id).filter_by(**self.key)))
        for id in ids:
            if id not in known or id in there:
                why = "is in it already" if id in there else "is not an image of it"
                raise StateError(f"image {id} cannot join {self.event.object}: it {why}")
            there.add(id)
        self.session.add_all(Task(**self.key, image_id=id) for id in ids)


HINTS = {
    "planned": "run `partlab studio create`",
    "annotating": "`partlab studio status` shows what is missing; `partlab studio pull` fetches it",
    "submitted": "run `partlab inspect sample`",
    "sampled": "run `partlab inspect decide`",
    "accepted": "the category is done",
    "rejected": "run `partlab studio create` to begin the next round",
    "abandoned": "run `partlab studio create` to begin the next round",
}


@dataclass(frozen=True)
class Rules:
    """The kinds of events, by name."""

    apply: dict[str, Callable[[Change], None]] = field(default_factory=dict)

    def __call__(self, what: str) -> Callable[[Callable[[Change], None]], Any]:
        """Register the function below as the one for `what`."""

        def add(function: Callable[[Change], None]) -> Callable[[Change], None]:
            self.apply[what] = function
            return function

        return add


rules = Rules()


@rules("started")
def _started(change: Change) -> None:
    """{work, vocabulary_version}: the first event of every work."""
    for key, value in change.data.items():
        change.session.merge(About(key=key, value=str(value)))


@rules("images")
def _images(change: Change) -> None:
    """{images: [row, …]}: pictures that belong to the work."""
    change.session.add_all(Image(**row) for row in change.data["images"])


@rules("planned")
def _planned(change: Change) -> None:
    """{images, assignee, vocabulary_version, start_from?}: a round is handed out."""
    rounds = change.session.scalars(select(Batch).filter_by(object=change.event.object)).all()
    latest = max(rounds, key=lambda batch: batch.round, default=None)
    if latest is not None and latest.state not in ("rejected", "abandoned"):
        raise StateError(
            f"{latest.object} round {latest.round} is {latest.state}: no new round is due",
            hint=HINTS.get(latest.state),
        )
    if change.event.round != (latest.round if latest else 0) + 1:
        raise StateError(f"the next round of {change.event.object} is not {change.event.round}")
    batch = Batch(
        **change.key,
        state="planned",
        assignee=change.data["assignee"],
        vocabulary_version=change.data["vocabulary_version"],
        start_from=change.data.get("start_from"),
    )
    change.session.add(batch)
    change.hand_out()


@rules("extended")
def _extended(change: Change) -> None:
    """{images}: more pictures for a round that is being drawn, in place of discarded ones."""
    batch = change.batch("planned", "annotating", "submitted")
    batch.state, batch.manifest_hash = "annotating" if batch.project_id else "planned", None
    change.hand_out()


@rules("opened")
def _opened(change: Change) -> None:
    """{project_id, config_hash}: the project is in Label Studio."""
    batch = change.batch("planned", "annotating")
    batch.state, batch.project_id = "annotating", change.data["project_id"]
    batch.config_hash = change.data["config_hash"]


@rules("tasks")
def _tasks(change: Change) -> None:
    """{project_id, tasks: {image id: task id}}: images are in the project."""
    change.batch("annotating")
    for image_id, task_id in change.data["tasks"].items():
        task = change.task(image_id)
        _settle_gone(change, task)
        task.project_id, task.task_id = change.data["project_id"], task_id


def _settle_gone(change: Change, task: Task) -> None:
    """The picture of a deleted task is handed out again: nobody need do anything about it."""
    key = (task.object, task.round, task.task_id, 0, "task-gone")
    if task.task_id is not None and (flag := change.session.get(Flag, key)) is not None:
        flag.settled = True


@rules("pushed")
def _pushed(change: Change) -> None:
    """{model, tasks: {image id: content hash}}: suggestions are in Label Studio (D-05)."""
    change.batch("annotating")
    for image_id, content in change.data["tasks"].items():
        change.task(image_id).pushed = f"{change.data['model']}:{content}"


@rules("reassigned")
def _reassigned(change: Change) -> None:
    """{to}: the whole category changes hands before its first answer (M-05)."""
    batch = change.batch("planned", "annotating")
    if change.session.scalar(select(func.count()).select_from(Answer).filter_by(**change.key)):
        raise StateError(
            f"{batch.object} round {batch.round} already has answers of {batch.assignee}; "
            "one annotator draws a whole category",
            hint="with --force the round is begun afresh; its answers stay in the exports",
        )
    batch.assignee = change.data["to"]


@rules("abandoned")
def _abandoned(change: Change) -> None:
    """{reason}: the round is given up and stays in the history."""
    change.batch("planned", "annotating", "submitted", "sampled").state = "abandoned"


@rules("pulled")
def _pulled(change: Change) -> None:
    """{file?, sha256?, cursor?, seen?: {image id: time}} and answers, flags: one ingest.

    A round that is not being drawn any more takes no answers, only flags.
    """
    batch = change.batch("annotating", "submitted", "sampled", "accepted", "rejected")
    for answer in change.answers:
        change.task(answer.image_id)
        batch = change.batch("annotating", "submitted")
        batch.state, batch.manifest_hash = "annotating", None
    for row in (*change.answers, *change.flags):
        change.session.merge(row)
    for image_id, time in change.data.get("seen", {}).items():
        change.task(image_id).seen = time
    batch.cursor = change.data.get("cursor") or batch.cursor


@rules("flagged")
def _flagged(change: Change) -> None:
    """{reason, flags: [row, …], gone?: [image id, …]}: something seen that no answer came of.

    `gone` are images whose task is no longer in Label Studio.
    """
    change.batch()
    for row in change.data.get("flags", ()):
        change.session.merge(Flag(**change.key, **row))
    for image_id in change.data.get("gone", ()):
        change.task(image_id).project_id = None


@rules("submitted")
def _submitted(change: Change) -> None:
    """{manifest_hash, images, masks, discards}: every image is drawn or discarded (M-08)."""
    batch = change.batch("annotating")
    open_ = open_images(change.session, batch)
    if open_:
        raise StateError(f"{batch.object} round {batch.round}: {len(open_)} images are not done")
    batch.state, batch.manifest_hash = "submitted", change.data["manifest_hash"]


def open_images(session: Session, batch: Batch) -> list[int]:
    """Ids of the images of a round that have neither masks nor a discard."""
    key = {"object": batch.object, "round": batch.round}
    done = select(Answer.image_id).filter_by(**key).where(Answer.kind.in_(DONE))
    wanted = select(Task.image_id).filter_by(**key).where(Task.image_id.not_in(done))
    return list(session.scalars(wanted.order_by(Task.image_id)))


@rules("sampled")
def _sampled(change: Change) -> None:
    """{seed, plan, images, …}: images are drawn for inspection, in this order (Q-01)."""
    batch = change.batch("submitted")
    _not_their_own(change, batch)
    if waiting := unsettled_discards(change.session, batch):
        raise StateError(
            f"{batch.object} round {batch.round}: {len(waiting)} discarded images wait for review",
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
    """{image_id, passed, reason?, note?}: an inspector's word on a drawn image (Q-02)."""
    batch, data = change.batch("sampled"), change.data
    who, image_id = change.event.who, data["image_id"]
    _not_their_own(change, batch)
    if change.find(Draw, image_id) is None:
        raise StateError(f"image {image_id} is not in the sample of {batch.object}")
    before = change.find(Verdict, image_id)
    if before is not None and not same_person(before.inspector, who):
        raise StateError(f"image {image_id} was already inspected by {before.inspector}")
    words = {key: data.get(key) for key in ("reason", "note")}
    values = {**change.key, "image_id": image_id, "passed": data["passed"], **words}
    change.session.merge(Verdict(**values, inspector=who, at=change.event.at))


def _not_their_own(change: Change, batch: Batch) -> None:
    drew = _drawn_by(change.session, batch)
    if any(same_person(change.event.who, person) for person in drew):
        raise StateError(
            f"{change.event.who} drew {batch.object}; nobody inspects their own work",
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


@rules("discard-review")
def _discard_review(change: Change) -> None:
    """{image_id, uphold, note?, …}: one of two inspectors on a discarded image (Q-04)."""
    batch, data, who = change.batch("annotating", "submitted"), change.data, change.event.who
    answer = change.find(Answer, data["image_id"])
    if answer is None or answer.kind != "discard":
        raise StateError(f"image {data['image_id']} of {batch.object} is not discarded")
    if same_person(who, answer.annotator) or same_person(who, batch.assignee):
        raise StateError(f"{who} discarded image {answer.image_id}; two others must review it")
    reviews = reviews_of(change.session, batch, answer.image_id)
    if any(same_person(who, review.inspector) for review in reviews):
        raise StateError(f"{who} has already reviewed image {answer.image_id}")
    if discard_state(reviews) != "waiting":
        raise StateError(f"the review of image {answer.image_id} is closed")
    review = DiscardReview(
        **change.key,
        image_id=answer.image_id,
        inspector=who,
        uphold=data["uphold"],
        note=data.get("note"),
        at=change.event.at,
    )
    change.session.add(review)
    if discard_state([*reviews, review]) == "restored":
        answer.kind, batch.state, batch.manifest_hash = "restored", "annotating", None


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


@rules("migrated")
def _migrated(change: Change) -> None:
    """{vocabulary_version, config_hash?, parts: {old id: new id or None}, redraw?}.

    A change of the vocabulary. A mask whose part is gone is taken from the answer; one answer's
    masks that end under one part stay separate layers until the next export. `redraw` is
    {image id: why} of the answers that count as not done from now on; without it they are those
    that lost a mask. A round that is being inspected, or was accepted, cannot be opened again.
    """
    batch = change.batch("planned", "annotating", "submitted", "sampled", "accepted")
    moves: dict[str, str | None] = change.data["parts"]
    redraw: dict[str, str] | None = change.data.get("redraw")
    batch.vocabulary_version = change.data["vocabulary_version"]
    batch.config_hash = change.data.get("config_hash") or batch.config_hash
    for answer in change.session.scalars(select(Answer).filter_by(**change.key)):
        moved = [{**mask, "part": moves.get(mask["part"], mask["part"])} for mask in answer.masks]
        lost = sorted(
            {m["part"] for m, n in zip(answer.masks, moved, strict=True) if not n["part"]}
        )
        if moved != answer.masks:
            answer.masks = [mask for mask in moved if mask["part"]]
        words = f"the part {', '.join(lost)} is no longer in the vocabulary: draw it afresh"
        why = (words if lost else None) if redraw is None else redraw.get(str(answer.image_id))
        if why is not None and answer.kind == "masks":
            change.batch("planned", "annotating", "submitted")
            answer.kind, batch.state, batch.manifest_hash = "broken", "annotating", None
            problem = {"kind": PART_GONE, "message": why, "severity": "error"}
            answer.problems = [*answer.problems, problem]


@rules("vocabulary")
def _vocabulary(change: Change) -> None:
    """{version, hash}: the work's own copy of the vocabulary was replaced."""
    for key in ("version", "hash"):
        change.session.merge(About(key=f"vocabulary_{key}", value=str(change.data[key])))


@rules("categories")
def _categories(change: Change) -> None:
    """{ids: [[object, part id, category id], …]}: numbers in exported files, for ever."""
    for owner, part, number in change.data["ids"]:
        taken = select(CategoryId).where(CategoryId.id == number)
        if change.session.get(CategoryId, (owner, part)) or change.session.scalar(taken):
            raise StateError(
                f"the category number of {owner}:{part} was given by another process",
                hint="run the same command again",
            )
        change.session.add(CategoryId(object=owner, part=part, id=number))


@rules("logged")
def _logged(change: Change) -> None:
    """{anything}: a note for the record, such as honeypots or hours worked elsewhere (Q-03)."""
