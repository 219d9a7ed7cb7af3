"""Where the object categories of a work stand, as far as inspecting goes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from annotate.inspect.discards import find_cases
from annotate.inspect.people import person
from annotate.inspect.plan import get_plan
from annotate.inspect.rounds import sample_of, verdicts_of
from annotate.work import Batch, Event, Work, same_person


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one object category stands: its current round, and the rounds before.

    `held` says that the plan knows, and that somebody has to finish the round.
    """

    object: str
    round: int
    state: str
    annotator: str
    plan: str
    drawn: int
    seen: int
    bad: int
    discards_waiting: int
    rejected_rounds: int
    inspectors: tuple[str, ...]
    held: bool = False


def status(work: Work, objects: Sequence[str] = ()) -> list[Standing]:
    """Where each object category stands, by name; all that were handed out if none is named.

    Raises:
        UnknownNameError: there is no such object category in the work.
    """
    batches = [work.batch(name) for name in objects] or work.batches()
    waiting = Counter(case.object for case in find_cases(work) if case.open)
    return [_standing(work, batch, waiting[batch.object]) for batch in batches]


def _standing(work: Work, batch: Batch, waiting: int) -> Standing:
    sample, verdicts = sample_of(work, batch), verdicts_of(work, batch)
    bad = {image: not verdict.passed for image, verdict in verdicts.items()}
    plan = sample.plan if sample else get_plan(work.settings.plan)
    seen = sample.inspected(bad) if sample else {}
    before = work.rounds(batch.object) if batch.round > 1 else []
    return Standing(
        object=batch.object,
        round=batch.round,
        state=batch.state,
        annotator=batch.assignee,
        plan=plan.name,
        drawn=len(sample.images) if sample else 0,
        seen=len(seen),
        bad=sum(seen.values()),
        discards_waiting=waiting,
        rejected_rounds=sum(earlier.state == "rejected" for earlier in before),
        inspectors=tuple(sorted({verdict.inspector for verdict in verdicts.values()})),
        held=sample is not None and batch.state == "sampled" and sample.decide(bad) != "continue",
    )


def sampled_by(work: Work, who: str) -> tuple[list[str], dict[str, str]]:
    """Categories being inspected whose draw `who` asked for, and whose the others are."""
    mine, others = list[str](), dict[str, str]()
    for batch in work.batches():
        if batch.state == "sampled":
            about = {"object": batch.object, "round": batch.round, "what": "sampled"}
            with work.read() as session:
                asked = session.scalars(select(Event.who).filter_by(**about)).all()[-1]
            if same_person(asked, person(who)):
                mine.append(batch.object)
            else:
                others[batch.object] = asked
    return mine, others
