"""One event on its way into the database, and what its rule needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotate.work.complaints import PART_GONE, REDRAWN, SENT_BACK
from annotate.work.tables import HONEYPOT, PICTURE, Answer, Batch, Event, Flag, Image, Task
from partlab.errors import StateError

DONE = ("masks", "discard")
BLANK = "-blank"
"""At the end of what was suggested for a picture: nothing, so that nothing was shown."""


def is_drawn(answer: Any) -> bool:
    """Whether an answer (or a row with kind and problems) has masks, also when it was opened again.

    A change of the vocabulary opens answers, and so does an inspector who sends one back.
    """
    return answer.kind == "masks" or bool(_kinds(answer) & {PART_GONE, SENT_BACK})


def in_correction(answer: Any) -> bool:
    """Whether an answer (None, a row with problems) was sent back and has not passed since."""
    return answer is not None and bool(_kinds(answer) & {SENT_BACK, REDRAWN})


def waits_for_a_look(answer: Any) -> bool:
    """Whether an answer that was sent back was drawn again, and nobody has looked at it since."""
    return answer.kind == "masks" and REDRAWN in _kinds(answer)


def _kinds(answer: Any) -> set[str]:
    return {problem["kind"] for problem in answer.problems}


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
        rows = self.session.scalars(select(Image).filter_by(**key))
        known = {image.id: image.truth for image in rows}
        there = set(self.session.scalars(select(Task.image_id).filter_by(**self.key)))
        for id in ids:
            if id not in known or id in there:
                why = "is in it already" if id in there else "is not an image of it"
                raise StateError(f"image {id} cannot join {self.event.object}: it {why}")
            there.add(id)
        roles = {id: PICTURE if known[id] is None else HONEYPOT for id in ids}
        self.session.add_all(Task(**self.key, image_id=id, role=roles[id]) for id in ids)


HINTS = {
    "planned": "run `partlab studio create`",
    "annotating": "`partlab status` shows what is missing; `partlab studio pull` fetches it",
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
