"""Which annotation of a task counts, and a sentence about everything that does not.

The newest one that the assignee made and nobody else changed; skipped ones never. Label Studio
lets everybody do anything, so what is not taken is told (M-05).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from annotate.studio.api.raw import RawAnnotation, RawTask
from annotate.work import Answer, same_person

CLOSED = ("sampled", "accepted", "rejected", "abandoned")


@dataclass(frozen=True, slots=True)
class Said:
    """One thing to be flagged: `at` is when it happened, `words` what and what to do."""

    kind: str
    annotation_id: int
    at: str
    words: str


@dataclass(frozen=True, slots=True)
class Round:
    """Whose round it is, and what has become of it; `people` are emails by user id."""

    object: str
    number: int
    state: str
    assignee: str
    people: Mapping[int, str]

    @property
    def closed(self) -> bool:
        """Whether answers are no longer taken."""
        return self.state in CLOSED

    def name(self, user: int | None) -> str:
        """How a message calls somebody."""
        return "nobody" if user is None else self.people.get(user, f"user {user}")

    def is_assignee(self, user: int | None) -> bool:
        """Whether this user draws the category."""
        return same_person(self.name(user), self.assignee)


@dataclass(frozen=True, slots=True)
class Choice:
    """The annotation that counts (None: what is stored stays), those that somebody else
    changed, and what there is to say.
    """  # fmt: skip

    taken: RawAnnotation | None
    edited: tuple[RawAnnotation, ...]
    said: tuple[Said, ...]


def choose(task: RawTask, round: Round, stored: Answer | None) -> Choice:
    """Choose among the annotations of one task of a round that is being drawn."""
    mine = [a for a in task.annotations if round.is_assignee(a.completed_by)]
    edited = [a for a in mine if a.updated_by is not None and not round.is_assignee(a.updated_by)]
    clean = sorted(
        (a for a in mine if a not in edited and not a.was_cancelled),
        key=lambda a: (a.updated_at, a.id),
    )
    best = clean[-1] if clean else None
    taken = best if best is not None and _is_news(best, stored) else None
    said = [
        *(_foreign(a, round) for a in task.annotations if a not in mine),
        *(_second(a, best, round) for a in clean[:-1] if best is not None),
        *(_skipped(a, round) for a in mine if a.was_cancelled and best is None),
    ]
    if stored is not None and taken is None:
        said += _gone(task, stored)
    return Choice(taken, tuple(a for a in edited if not a.was_cancelled), tuple(said))


def _is_news(best: RawAnnotation, stored: Answer | None) -> bool:
    """Newer than what is stored; an answer that inspectors restored waits for that, too."""
    return stored is None or best.updated_at > stored.updated_at


def _foreign(annotation: RawAnnotation, round: Round) -> Said:
    who = round.name(annotation.completed_by)
    words = (
        f"{who} drew it, but {round.object} is {round.assignee}'s; not taken: delete it, or hand "
        f"the whole category over with `partlab studio reassign`"
    )
    return Said("foreign-annotation", annotation.id, annotation.updated_at, words)


def foreign_edit(annotation: RawAnnotation, round: Round, stored: Answer | None) -> Said:
    """Somebody else changed what the assignee had drawn."""
    kept = "what was pulled before stays" if stored is not None else "the picture stays open"
    words = (
        f"last changed by {round.name(annotation.updated_by)} in the name of {round.assignee}; "
        f"not taken, {kept}: if {round.assignee} agrees, they open it and press Update"
    )
    return Said("foreign-edit", annotation.id, annotation.updated_at, words)


def _second(annotation: RawAnnotation, best: RawAnnotation, round: Round) -> Said:
    words = (
        f"{round.assignee} submitted the picture more than once; the newest (annotation "
        f"{best.id}) counts: delete this one"
    )
    return Said("second-annotation", annotation.id, annotation.updated_at, words)


def _skipped(annotation: RawAnnotation, round: Round) -> Said:
    words = (
        f"{round.assignee} skipped it, which says nothing: open it, draw it or say why it cannot "
        "be drawn, and submit"
    )
    return Said("cancelled", annotation.id, annotation.updated_at, words)


def _gone(task: RawTask, stored: Answer) -> Iterator[Said]:
    """A task that was made anew never held what its predecessor did."""
    if stored.task_id != task.id or stored.annotation_id in {a.id for a in task.annotations}:
        return
    words = "it was deleted in Label Studio; what it held is kept: to replace it, submit a new one"
    yield Said("deleted", stored.annotation_id, stored.updated_at, words)


def late(task: RawTask, round: Round, stored: Answer | None) -> list[Said]:
    """What happened to a task after its round was over: told, never taken."""
    known = (stored.annotation_id, stored.updated_at) if stored is not None else (0, "")
    news = [a for a in task.annotations if a.updated_at > known[1]]
    what = {
        "rejected": "draw it in the project of the next round",
        "abandoned": "draw it in the project of the next round",
        "sampled": "if it matters, tell the inspector",
        "accepted": "nothing needs to be done",
    }[round.state]
    said = [
        Said(
            "late-edit",
            a.id,
            a.updated_at,
            f"{round.name(a.updated_by or a.completed_by)} changed it when round {round.number} "
            f"was {round.state} already; not taken: {what}",
        )
        for a in news
    ]
    return said if stored is None or news else [*said, *_gone(task, stored)]
