"""Where a work stands: each category's state, annotator, faults, help and minutes.

Everything comes from the work's state; no server is asked. The commands print it, other rooms
use the same numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, select

from annotate.facts import Facts
from annotate.studio.acts.answers import nested
from annotate.studio.acts.choose import CLOSED
from annotate.studio.acts.notes import Note, Seen, sum_up
from annotate.studio.acts.overlaps import accepted_overlaps
from annotate.vocabulary import ObjectParts
from annotate.work import HONEYPOT, PICTURE, Answer, Batch, Flag, Task, Work
from annotate.work.change import DONE
from annotate.work.complaints import ERROR, ending, problem

KEPT = "kept from the round before"
BEING_DRAWN = ("planned", "annotating", "submitted")
REFUSED = ("discard", "restored")
MADE_ANEW = problem(
    "made-anew",
    "what was drawn went with its task, and is kept in the exports: draw it in the new one",
)


@dataclass(frozen=True, slots=True)
class Standing(Facts):
    """One round of one object category; counts are of images, but `kept` to `manual`.

    `done` are drawn or discarded. `broken` answers cannot be used, `restored` ones were
    discarded and are to be drawn after all. Masks that the round began with, from the round
    before, are `kept`, corrected or not; those taken from a model as they came are `untouched`,
    corrected ones `changed`, the others `manual` (D-05). `minutes` is the time
    spent, `minutes_per_image` its mean over images with a known time. `flags` are open ones, of
    earlier rounds too as long as this one is drawn,
    `problems` what else was seen in answers, such as parts drawn over each other (M-02), and
    `notes` sum them up, but for images given up. Of a complete round, `undrawn` are the parts
    drawn in no picture.
    Besides the images there are `checks`, honeypots, of which `checked` are done; their minutes
    count, nothing else of them does.
    """

    object: str
    round: int
    state: str
    assignee: str
    images: int
    done: int
    drawn: int
    discarded: int
    broken: int
    restored: int
    kept: int
    untouched: int
    changed: int
    manual: int
    minutes: float
    minutes_per_image: float | None
    flags: tuple[str, ...]
    problems: tuple[str, ...]
    project_id: int | None
    pulled: str | None
    checks: int = 0
    checked: int = 0
    notes: tuple[Note, ...] = ()
    undrawn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hours(Facts):
    """What one annotator did over all rounds (Q-03); `images` are answers, discards among them."""

    annotator: str
    rounds: int
    images: int
    discarded: int
    hours: float
    minutes_per_image: float | None


def standings(work: Work, objects: Sequence[str] = ()) -> list[Standing]:
    """The current round of each object category that was handed out, or of those named.

    Raises:
        UnknownNameError: no such object category.
    """
    batches = [work.batch(name) for name in dict.fromkeys(objects)] or work.batches()
    flags = open_flags(work)
    return [_standing(work, batch, flags) for batch in batches]


def _flags_of(batch: Batch, flags: Mapping[tuple[str, int], Sequence[Flag]]) -> Iterator[str]:
    """What is to be said of a category: also of its earlier rounds, as long as it is drawn."""
    first = 1 if batch.state in BEING_DRAWN else batch.round
    for number in range(first, batch.round + 1):
        before = f"round {number}: " if number < batch.round else ""
        yield from (before + f.message for f in flags.get((batch.object, number), ()))


def _standing(
    work: Work, batch: Batch, all_flags: Mapping[tuple[str, int], Sequence[Flag]]
) -> Standing:
    flags = all_flags.get((batch.object, batch.round), ())
    kinds: Counter[str] = Counter()
    origins: Counter[str] = Counter()
    minutes, checked = [], 0
    problems: list[Seen] = []
    flagged, parts = {flag.task_id for flag in flags}, work.moves(batch).parts
    accepted = {frozenset(pair) for pair in accepted_overlaps(work, batch)}
    refused, used = set[int](), set[str]()
    handed_out = work.tasks(batch.object, batch.round)
    tasks = {task.image_id: task.task_id for task in handed_out}
    secret = {task.image_id for task in handed_out if task.role == HONEYPOT}
    for answer in work.answers(batch.object, batch.round, with_honeypots=True):
        minutes += [answer.minutes] if answer.minutes is not None else []
        if answer.image_id in secret:
            checked += answer.kind in DONE
            continue
        kinds[answer.kind] += 1
        refused |= {answer.image_id} if answer.kind in REFUSED else set()
        lost = answer.kind == "broken" and answer.task_id != tasks[answer.image_id]
        told = answer.task_id in flagged
        found = [MADE_ANEW] if lost else _problems(answer, parts, accepted, told=told)
        problems += [(answer.image_id, problem) for problem in found]
        used |= {mask["part"] for mask in answer.masks}
        origins.update(origin_of(mask, batch) for mask in answer.masks)
    done, images = sum(kinds[kind] for kind in DONE), len(tasks.keys() - secret)
    complete = done == images and kinds["masks"] > 0
    undrawn = [part.name for part in parts.parts if complete and part.id not in used]
    return Standing(
        object=batch.object,
        round=batch.round,
        state=batch.state,
        assignee=batch.assignee,
        images=images,
        done=done,
        drawn=kinds["masks"],
        discarded=kinds["discard"],
        broken=kinds["broken"],
        restored=kinds["restored"],
        kept=origins[KEPT],
        untouched=origins["prediction"],
        changed=origins["prediction-changed"],
        manual=origins["manual"],
        minutes=sum(minutes),
        minutes_per_image=_mean(minutes),
        flags=tuple(_flags_of(batch, all_flags)),
        problems=tuple(f"image {image}: {one['message']}" for image, one in problems),
        project_id=batch.project_id,
        pulled=batch.cursor,
        checks=len(tasks.keys() & secret),
        checked=checked,
        notes=sum_up(
            [one for one in problems if one[0] not in refused], kinds.total() - len(refused)
        ),
        undrawn=tuple(undrawn),
    )


def origin_of(mask: Mapping[str, Any], batch: Batch) -> str:
    """How a mask came to be: by hand, from a model, or kept from the round before."""
    began = batch.start_from is not None and mask.get("model") == batch.start_from
    return KEPT if began else str(mask.get("origin", "manual"))


def _problems(
    answer: Answer, parts: ObjectParts, accepted: Collection[frozenset[str]], *, told: bool
) -> Iterator[Mapping[str, Any]]:
    """What was seen in an answer, but for errors `told` by a flag, and overlaps that are declared
    or accepted by now.
    """  # fmt: skip
    for one in answer.problems:
        small, large = one.get("parts", ("", ""))
        declared = nested(small, large, parts) or frozenset((small, large)) in accepted
        if not declared and not (told and one["severity"] == ERROR):
            yield one


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def open_flags(work: Work) -> Mapping[tuple[str, int], list[Flag]]:
    """Flags that nobody has answered, by object and round, oldest first.

    A flag is answered when the assignee's later answer for the same task could be used; one
    about an annotation too many, when that annotation is gone or counts; any, when its task or
    project is gone, or the picture was handed out anew. Once its round is closed, a flag that
    asks somebody to do something is void.
    """
    done = select(Answer.object, Answer.round, Answer.task_id, Answer.updated_at)
    with work.read() as session:
        rows = session.execute(done.where(Answer.kind.in_(DONE))).all()
        over = select(Batch.object, Batch.round).where(Batch.state.in_(CLOSED))
        closed = {(object, round) for object, round in session.execute(over)}
    answered = {(object, round, task): at for object, round, task, at in rows}
    found: defaultdict[tuple[str, int], list[Flag]] = defaultdict(list)
    for flag in sorted(work.flags(), key=lambda flag: (flag.at, flag.task_id)):
        later = answered.get((flag.object, flag.round, flag.task_id), "") > flag.at
        void = (flag.object, flag.round) in closed and flag.kind not in (
            *ending("never"),
            "deleted",
        )
        if not flag.settled and not void and (flag.kind in ending("deleted") or not later):
            found[flag.object, flag.round].append(flag)
    return found


def hours_by_annotator(work: Work) -> list[Hours]:
    """Time and images of every annotator over all rounds, also rejected ones (Q-03)."""
    query = select(Answer.annotator, Answer.object, Answer.round, Answer.kind, Answer.minutes)
    own = and_(Answer.object == Task.object, Answer.round == Task.round)
    query = query.add_columns(Task.role).join(Task, and_(own, Answer.image_id == Task.image_id))
    with work.read() as session:
        rows = session.execute(query).all()
    people: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        people[row.annotator].append(row)
    return [_hours(annotator, people[annotator]) for annotator in sorted(people)]


def _hours(annotator: str, rows: Sequence[Any]) -> Hours:
    """Time spent on honeypots counts as time, they do not count as images."""
    minutes = [row.minutes for row in rows if row.minutes is not None]
    pictures = [row for row in rows if row.role == PICTURE]
    return Hours(
        annotator=annotator,
        rounds=len({(row.object, row.round) for row in rows}),
        images=len(pictures),
        discarded=sum(row.kind == "discard" for row in pictures),
        hours=sum(minutes) / 60,
        minutes_per_image=_mean(minutes),
    )
