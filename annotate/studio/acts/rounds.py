"""Rounds that are due: what `create` has to hand out, worked out without the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import select

from annotate.data.sample import need_enough
from annotate.facts import Facts
from annotate.studio.acts.annotators import Annotators, assign
from annotate.studio.acts.begin import Plan
from annotate.studio.acts.honeypots import Known
from annotate.studio.acts.refill import Lack, find_lacks
from annotate.studio.api.projects import Key
from annotate.work import HONEYPOT, Batch, Event, Image, Task, Work, final_discards
from partlab.errors import ConfigError, UnknownNameError

Start = Literal["fresh", "previous"]
OVER = ("rejected", "abandoned")
BEING_DRAWN = ("planned", "annotating")


@dataclass(frozen=True, slots=True)
class HandedOut(Facts):
    """One object category's current round: who draws how many images, and where.

    `made` says that the project is new (in a dry run: would be), `added` how many tasks are.
    `checks` of the tasks are honeypots, which are not among its images; annotators are not told.
    `note` says what is short, where more pictures were asked for, and whom it stays with, where
    others were named.
    """

    object: str
    round: int
    state: str
    assignee: str
    images: int
    project_id: int | None = None
    url: str | None = None
    made: bool = False
    added: int = 0
    checks: int = 0
    note: str = ""


def named_objects(work: Work, names: Sequence[str] = ()) -> list[str]:
    """The object categories of a work, or those of them that are named.

    Raises:
        UnknownNameError: the work has no such category.
    """
    with work.read() as session:
        known = sorted(session.scalars(select(Image.object).distinct()))
    for name in names:
        if name not in known:
            raise UnknownNameError("object category", name, known)
    return [name for name in known if not names or name in names]


def plan_rounds(
    work: Work,
    annotators: Annotators | None = None,
    start_from: Start = "fresh",
    objects: Sequence[str] = (),
    *,
    new_parts: bool = False,
) -> list[tuple[Key, dict[str, Any]]]:
    """The rounds that are due, as ((object, round), data of the event "planned").

    With `new_parts` those of accepted categories, too, whose parts nobody could have drawn yet.

    Raises:
        ConfigError: a category was never handed out, and nobody is named.
        UnknownNameError: one of `objects`, or of the categories of `annotators`, is not there.
    """
    images = work.images(with_honeypots=True)
    everything, objects = named_objects(work), named_objects(work, objects)
    latest = {batch.object: batch for batch in work.batches()}
    if isinstance(annotators, Mapping):  # a table of the whole work serves for a part of it
        others = set(everything).difference(objects)
        annotators = {name: who for name, who in annotators.items() if name not in others}
    wanted = assign(objects, annotators) if annotators else {}
    named = wanted if isinstance(annotators, Mapping) else {}
    planned = []
    for owner in objects:
        before = latest.get(owner)
        if new_parts and before is not None and (why := undrawn_parts(work, before)):
            planned.append(round_after_a_change(work, before, why))
            continue
        if before is not None and before.state not in OVER:
            continue
        kept = before.assignee if before is not None else None
        if (assignee := named.get(owner) or kept or wanted.get(owner)) is None:
            raise _nobody(owner)
        if before is not None:
            ids = images_of_next(work, before)
        else:
            ids = [image.id for image in images if image.object == owner]
        data: dict[str, Any] = {"images": ids, "assignee": assignee}
        data["vocabulary_version"] = work.vocabulary.version
        if before is not None and start_from == "previous":
            data["start_from"] = f"r{before.round}:{before.assignee}"
        planned.append(((owner, before.round + 1 if before is not None else 1), data))
    return planned


def undrawn_parts(work: Work, batch: Batch) -> str:
    """Which parts an accepted category has by now that nobody could have drawn, in words."""
    return work.moves(batch).undrawn if batch.state == "accepted" else ""


def round_after_a_change(work: Work, before: Batch, why: str) -> tuple[Key, dict[str, Any]]:
    """The round that follows a change of the vocabulary: it begins with what was drawn."""
    data: dict[str, Any] = {"images": images_of_next(work, before), "assignee": before.assignee}
    data |= {"vocabulary_version": work.vocabulary.version, "because": why}
    data |= {"start_from": f"r{before.round}:{before.assignee}"}
    return (before.object, before.round + 1), data


def because(work: Work, batch: Batch) -> str:
    """The change of the vocabulary that a round was begun for; nothing if there was none."""
    query = select(Event.data).filter_by(what="planned", object=batch.object, round=batch.round)
    with work.read() as session:
        data = session.scalar(query) or {}
    return str(data.get("because", ""))


def images_of_next(work: Work, before: Batch) -> list[int]:
    """Image ids of the round after this one: the same, without those discarded for good."""
    with work.read() as session:
        gone = final_discards(session, before.object)
    tasks = work.tasks(before.object, before.round)
    return [task.image_id for task in tasks if task.image_id not in gone]


def preview(
    work: Work,
    annotators: Annotators | None = None,
    start_from: Start = "fresh",
    *,
    objects: Sequence[str] = (),
    refill: bool = False,
    new_parts: bool = False,
) -> list[HandedOut]:
    """What `create` would do, as far as can be said without the server; changes nothing."""
    objects = named_objects(work, objects)
    planned = plan_rounds(work, annotators, start_from, objects, new_parts=new_parts)
    told, next_ones = _preview(work, planned, objects), {key[0]: d["images"] for key, d in planned}
    lacks = {o.object: o for o in find_lacks(work, next_ones, objects)} if refill else {}
    told = [_with_more(one, lacks[one.object]) if one.object in lacks else one for one in told]
    return [with_note(one, annotators, one.note) for one in told]


def preview_new(
    plan: Plan, per_object: int, annotators: Annotators | None, known: Known | None = None
) -> list[HandedOut]:
    """What `begin_work` and `create` would make of a plan; opens no picture.

    Raises:
        ConfigError: nobody is named to draw.
        DatasetError: a category has too few pictures.
    """
    if annotators is None:
        raise _nobody(next(iter(plan.objects)))
    need_enough(plan.objects, per_object, plan.images)
    wanted = assign(list(plan.objects), annotators)
    counts = dict.fromkeys(plan.objects, per_object)
    checks = dict.fromkeys(counts, 0) | (known.counts if known else {})
    return [
        HandedOut(
            name,
            1,
            "planned",
            wanted[name],
            count,
            made=True,
            added=count + checks[name],
            checks=checks[name],
        )
        for name, count in counts.items()
    ]


def _preview(
    work: Work, planned: Sequence[tuple[Key, dict[str, Any]]], objects: Sequence[str]
) -> list[HandedOut]:
    due = {}
    for (owner, round), data in planned:
        count = len(data["images"])
        checks = len(work.honeypots(owner).intersection(data["images"]))
        one = HandedOut(owner, round, "planned", data["assignee"], count - checks, made=True)
        due[owner] = replace(one, added=count, checks=checks)
    for batch in work.batches():
        if batch.object in objects and batch.object not in due:
            tasks = work.tasks(batch.object, batch.round)
            missing = sum(task.task_id is None for task in tasks)
            due[batch.object] = handed_out(batch, tasks, batch.project_id is None, missing)
    return [due[name] for name in sorted(due)]


def _with_more(one: HandedOut, lack: Lack) -> HandedOut:
    more, state = lack.found, one.state
    if more and state == "submitted":
        state = "annotating"
    note = lack.in_words(more)
    return replace(one, state=state, images=one.images + more, added=one.added + more, note=note)


def with_note(one: HandedOut, annotators: Annotators | None, short: str = "") -> HandedOut:
    """With what is short, and whom it stays with where `annotators` say somebody else."""
    named = annotators if annotators is not None and one.state in BEING_DRAWN else [one.assignee]
    wanted = [named.get(one.object, one.assignee)] if isinstance(named, Mapping) else named
    stays = (
        f"stays with {one.assignee}; `partlab studio reassign` hands a category over"
        if one.assignee not in {email.lower() for email in wanted}
        else ""
    )
    return replace(one, note="; ".join(filter(None, (short, stays))))


def _nobody(owner: str) -> ConfigError:
    return ConfigError(
        f"nobody is named to draw {owner}",
        hint="pass --annotators with emails, or with a CSV file of object,email",
    )


def handed_out(
    batch: Batch,
    tasks: Sequence[Task],
    made: bool = False,
    added: int = 0,
    url: str | None = None,
) -> HandedOut:
    """What is told of a round; honeypots are counted apart."""
    checks = sum(task.role == HONEYPOT for task in tasks)
    return HandedOut(
        batch.object,
        batch.round,
        batch.state,
        batch.assignee,
        len(tasks) - checks,
        batch.project_id,
        url,
        made,
        added,
        checks,
    )
