"""What waits for one inspector: rounds to look at, images drawn again, images given up.

waiting = queue(work, "ina@x.org")
"""

from collections import Counter
from dataclasses import dataclass
from shlex import quote
from statistics import mean
from typing import Literal

from sqlalchemy import select

from annotate.inspect.again import drawn_again
from annotate.inspect.discards import DiscardCase, find_cases
from annotate.inspect.people import need_no_annotator, person
from annotate.inspect.plan import get_plan
from annotate.inspect.rounds import lay_out, with_masks
from annotate.work import Batch, Event, Work, same_person
from annotate.work.inspecting import check_not_own
from partlab.counts import few
from partlab.errors import StateError

MINUTES = 0.5  # of looking at one picture, as long as nobody was timed
_TIMED = ("verdict", "discard-review")

Kind = Literal["round", "again", "discards"]


@dataclass(frozen=True, slots=True)
class Item:
    """One category to look at: a `round`, images drawn `again`, or `discards`.

    `state` is that of the round; `pictures` are to be looked at, in about `minutes`. `finish` says
    that all were, and only the decision is to be closed. `others` have said something in it.
    """

    kind: Kind
    object: str
    round: int
    state: str
    annotator: str
    pictures: int
    minutes: float
    finish: bool = False
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for `who`; `own` are the categories left out because they drew them.

    `for_others` counts images given up that they may not review. `why` says what brings work,
    where nothing waits.
    """

    who: str
    items: tuple[Item, ...]
    own: tuple[str, ...]
    for_others: int
    why: str


def queue(work: Work, who: str) -> Queue:
    """What waits for somebody, in the order of the categories' names; given up images last."""
    who, own, items = person(who), list[str](), list[Item]()
    each = minutes_of(work)
    again = Counter(one.object for one in drawn_again(work))
    given_up = find_cases(work)
    waiting = Counter(case.object for case in given_up if case.open)
    for batch in work.batches():
        if not (again[batch.object] or batch.state in ("submitted", "sampled")):
            continue
        if drew(work, batch, who):
            own.append(batch.object)
        elif again[batch.object]:
            items.append(_item("again", batch, again[batch.object], each))
        elif batch.state == "sampled" or not waiting[batch.object]:
            items.append(_round(work, batch, who, each))
    mine = [case for case in given_up if case.open and may_review(work, case, who)]
    counts = Counter(case.object for case in mine)
    items += [_item("discards", work.batch(name), n, each) for name, n in sorted(counts.items())]
    left = waiting.total() - len(mine)
    return Queue(who, tuple(items), tuple(own), left, "" if items else nothing_waits(work))


def drew(work: Work, batch: Batch, who: str) -> bool:
    """Whether somebody drew a round, or one that its masks began with (Q-04)."""
    with work.read() as session:
        try:
            check_not_own(session, batch, who)
        except StateError:
            return True
    return False


def may_review(work: Work, case: DiscardCase, who: str) -> bool:
    """Whether somebody's word on an image that was given up would be taken."""
    said = [case.annotator, *(review.inspector for review in case.reviews)]
    if any(same_person(who, one) for one in said):
        return False
    try:
        need_no_annotator(work, who)
    except StateError:
        return False
    return True


def minutes_of(work: Work) -> float:
    """How long inspectors of this work look at a picture: the mean of what was timed."""
    with work.read() as session:
        said = session.scalars(select(Event.data).where(Event.what.in_(_TIMED)))
        timed = [data["minutes"] for data in said if data.get("minutes")]
    return mean(timed) if timed else MINUTES


def _round(work: Work, batch: Batch, who: str, each: float) -> Item:
    if batch.state == "submitted":
        plan = get_plan(work.settings.plan)
        return _item("round", batch, min(plan.max_images, len(with_masks(work, batch))), each)
    desk = lay_out(work, batch)
    others = {card.inspector for card in desk.cards if card.inspector}
    named = tuple(sorted(one for one in others if not same_person(one, who)))
    done = desk.decision != "continue"
    return _item("round", batch, len(desk.due), each, finish=done, others=named)


def _item(
    kind: Kind,
    batch: Batch,
    pictures: int,
    each: float,
    *,
    finish: bool = False,
    others: tuple[str, ...] = (),
) -> Item:
    about = (batch.object, batch.round, batch.state, batch.assignee)
    return Item(kind, *about, pictures, pictures * each, finish, others)


def nothing_waits(work: Work) -> str:
    """Why there is nothing to inspect, and what brings something."""
    words = "no object category waits for inspection"
    drawn = [b.object for b in work.batches() if b.state in ("planned", "annotating")]
    if not drawn:
        return words
    are = "is" if len(drawn) == 1 else "are"
    return (
        f"{words}: {few(drawn)} {are} still being drawn, as far as was pulled\n"
        f"fetch what was drawn since: partlab studio pull {quote(str(work.folder))}"
    )
