"""Counts the effort of a work from its state and history (Q-03, Q-04)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import func, select

from annotate.data.effort import Effort, PersonEffort
from annotate.inspect.refusals import refusals, total
from annotate.studio.acts.status import origin_of, standings
from annotate.work import Answer, Batch, Event, Verdict, Work, same_person, select_answers
from partlab.errors import ConfigError

ROLES = ("annotator", "inspector", "other")


def measure_effort(work: Work) -> Effort:
    """Count what the state and the history of a work say."""
    with work.read() as session:
        batches = list(session.scalars(select(Batch)))
        verdicts = list(session.scalars(select(Verdict)))
    people = _people(work, batches, verdicts)
    refused = total(refusals(work))
    decided = Counter(batch.state for batch in batches)
    closed = decided["accepted"] + decided["rejected"]
    minutes = _minutes_per_image(work)
    return Effort(
        annotators=sum(person.role == "annotator" for person in people),
        inspectors=sum(person.role == "inspector" for person in people),
        hours=round(sum(person.hours for person in people), 3),
        minutes_per_image=minutes,
        categories=len({batch.object for batch in batches}),
        accepted=decided["accepted"],
        rounds=sum(batch.state not in ("planned", "abandoned") for batch in batches),
        rejections=decided["rejected"],
        rejected_share=decided["rejected"] / closed if closed else None,
        verdicts=len(verdicts),
        failed_verdicts=sum(not verdict.passed for verdict in verdicts),
        fail_reasons=_reasons(verdicts),
        looked_at=refused.looked_at,
        discarded=refused.refused,
        discards_final=refused.final,
        discards_restored=refused.restored,
        discards_waiting=refused.waiting,
        discard_rate=refused.rate if refused.looked_at else None,
        regions=_regions(work),
        flags=sum(len(standing.flags) for standing in standings(work)),
        flags_seen=len(work.flags()),
        people=people,
    )


def _reasons(verdicts: Iterable[Verdict]) -> dict[str, int]:
    found = Counter(verdict.reason or "not stated" for verdict in verdicts if not verdict.passed)
    return dict(found.most_common())


def _minutes_per_image(work: Work) -> float | None:
    with work.read() as session:
        found: float | None = session.scalar(select(func.avg(Answer.minutes)))
    return round(found, 3) if found is not None else None


def _regions(work: Work) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for batch in work.batches():
        for answer in work.answers(batch.object, batch.round):
            counts.update(origin_of(mask, batch) for mask in answer.masks)
    return dict(sorted(counts.items()))


def _people(work: Work, batches: list[Batch], verdicts: list[Verdict]) -> list[PersonEffort]:
    names = _names(work)
    hours, images = _hours(work, names), _images(work, verdicts, names)
    rounds: defaultdict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    for batch in batches:
        if batch.state != "planned":
            rounds[names[batch.assignee], "annotator"].add((batch.object, batch.round))
    for verdict in verdicts:
        rounds[names[verdict.inspector], "inspector"].add((verdict.object, verdict.round))
    rejected = {(b.object, b.round) for b in batches if b.state == "rejected"}
    keys = sorted({*hours, *images, *(k for k in rounds if k in images or k[1] == "inspector")})
    return [
        PersonEffort(
            *key,
            round(hours.get(key, 0.0), 3),
            images.get(key, 0),
            len(rounds.get(key, ())),
            len(rounds.get(key, set()) & rejected),
        )
        for key in keys
    ]


def _names(work: Work) -> dict[str, str]:
    """What each person is called: a bare name is the one whose address begins with it."""
    columns = (Event.who, Answer.annotator, Batch.assignee)
    with work.read() as session:
        names = {name for one in columns for name in session.scalars(select(one).distinct())}
    found = {}
    for name in names:
        same = [other for other in names if same_person(name, other)]
        addresses = [other for other in same if "@" in other]
        one = (
            len({address.strip().casefold() for address in addresses}) == 1
        )  # else nobody knows whose
        found[name] = min(addresses if one else [other for other in same if "@" not in other])
    return found


def _images(
    work: Work, verdicts: list[Verdict], names: Mapping[str, str]
) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    query = select_answers(Answer.annotator, func.count()).group_by(Answer.annotator)
    with work.read() as session:
        for who, count in session.execute(query):
            found[names[who], "annotator"] += count
        events = select(Event.who).filter_by(what="discard-review")
        found.update((names[who], "inspector") for who in session.scalars(events))
    found.update((names[verdict.inspector], "inspector") for verdict in verdicts)
    return found


def _hours(work: Work, names: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """Measured by Label Studio, and noted by hand.

    The minutes of a word that was changed are those of the last one: Label Studio counts on.
    """
    looked: dict[Any, float] = {}
    found: defaultdict[tuple[str, str], float] = defaultdict(float)
    query = select(Answer.annotator, func.sum(Answer.minutes)).group_by(Answer.annotator)
    kinds = ("verdict", "discard-review", "logged")
    with work.read() as session:
        for who, minutes in session.execute(query):
            found[names[who], "annotator"] += (minutes or 0) / 60
        events = select(Event).where(Event.what.in_(kinds)).order_by(Event.id)
        for event in session.scalars(events):
            who, data = names[event.who], event.data
            if event.what != "logged" and data.get("minutes"):
                key = (event.what, event.object, event.round, data["image_id"], who)
                looked[key] = data["minutes"]
            elif data.get("kind") == "hours":
                found[who, data["role"]] += data["hours"]
    for (*_, who), minutes in looked.items():
        found[who, "inspector"] += minutes / 60
    return {key: hours for key, hours in found.items() if hours}


def note_hours(work: Work, who: str, hours: float, role: str, note: str | None = None) -> None:
    """Note hours that no server measured, such as reading the rules or sorting images.

    Raises:
        ConfigError: the hours are not above 0, or the role is unknown.
    """
    if role not in ROLES:
        raise ConfigError(f"unknown role {role!r}", hint=f"one of {', '.join(ROLES)}")
    if not 0 < hours <= 1_000:
        raise ConfigError(f"cannot note {hours} hours", hint="a number above 0, at most 1000")
    data = {"kind": "hours", "hours": hours, "role": role, "note": note}
    work.record("logged", who=who, data=data)
