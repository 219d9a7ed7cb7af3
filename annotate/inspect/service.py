"""Inspection of a work, category by category: draw, look, decide (Q-01, Q-02, Q-04).

    inspection = Inspection(work)
    desk = inspection.sample("ram", who="ina@x.org")
    desk = inspection.decide("ram", desk.due[0].image_id, True, who="ina@x.org")

No terminal, no web: commands and pages are built on this.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from annotate.inspect.desk import Ahead, Desk, Outlook
from annotate.inspect.draws import check_not_too_late, draw, still_drawn
from annotate.inspect.exports import mark_stale
from annotate.inspect.overlaps import shared_out
from annotate.inspect.people import person
from annotate.inspect.pins import Pin, noted
from annotate.inspect.plan import Plan, get_plan
from annotate.inspect.rounds import is_held, lay_out, sample_of, verdicts_of
from annotate.inspect.rules import check_due, check_reason
from annotate.work import MovedOnError, Work
from annotate.work.change import HINTS
from annotate.work.inspecting import check_not_own
from partlab.counts import counted
from partlab.errors import ConfigError, PartlabError, StateError

log = logging.getLogger(__name__)
T = TypeVar("T")


class Inspection:
    """The inspection of one work; every change goes through the work's own rules."""

    def __init__(self, work: Work) -> None:
        self.work = work

    @property
    def plan(self) -> Plan:
        """The work's own inspection plan."""
        return get_plan(self.work.settings.plan)

    def sample(
        self,
        object: str,
        who: str,
        *,
        plan: str | Plan | None = None,
        suspicion: Mapping[int, float] | None = None,
        overlaps: Collection[str] = (),
    ) -> Desk:
        """Draw the images of a submitted category; asked again, say which they are.

        The draw follows from the work's seed, the category and the round, so each round has a
        fresh one. `plan` is the work's unless another is named; it holds for this round.
        `suspicion` is an audit's score by image id, for plans that begin with the likely wrong
        ones. `overlaps` accepts parts that lie over each other undeclared: names, as
        "mirror=door" (M-02).

        Raises:
            UnknownNameError: there is no such category, or no such plan.
            ConfigError: a file of a plan's settings does not make one, or it was drawn before by
                another plan, or without this `suspicion`.
            StateError: the category is not submitted, discards wait for review, there is
                nothing to inspect, parts lie over each other undeclared and not accepted, or `who`
                drew it.
            MovedOnError: an answer came in at the same time; nothing was drawn.
        """
        batch = self.work.batch(object)
        chosen = get_plan(plan) if plan else None
        if batch.state == "submitted":
            draw(self.work, batch, person(who), chosen or self.plan, suspicion, overlaps)
        elif batch.state in ("planned", "annotating"):
            raise still_drawn(self.work, batch)
        elif batch.state == "sampled":
            check_not_too_late(self.work, batch, chosen, suspicion)
        else:
            raise StateError(
                f"{object} round {batch.round} is {batch.state}, not submitted",
                hint=HINTS.get(batch.state),
            )
        return self._settle(object)

    def sample_all(
        self,
        who: str,
        objects: Sequence[str] = (),
        *,
        plan: str | Plan | None = None,
        suspicion: Mapping[int, float] | None = None,
        overlaps: Collection[str] = (),
    ) -> list[Desk]:
        """`sample` of the categories named, else of all that are ready and can be `who`'s.

        Of `overlaps` each category takes those between parts that it has.

        Raises:
            UnknownNameError: no category has both parts that one of `overlaps` names.
            PartlabError: as `sample`, of a category that was named, or where there is no other.
        """
        names = list(objects) or self.ready()
        others = [] if objects else [batch.object for batch in self.work.batches()]
        fine = shared_out(self.work, names, overlaps, others=others)

        def one(name: str) -> Desk:
            return self.sample(name, who, plan=plan, suspicion=suspicion, overlaps=fine[name])

        return for_each(names, one, named=bool(objects))

    def ready(self) -> list[str]:
        """Object categories that can be sampled, or are being inspected."""
        return [b.object for b in self.work.batches() if b.state in ("submitted", "sampled")]

    def cards(self, object: str, round: int | None = None) -> Desk:
        """What there is to look at, what was said so far, and what the plan makes of it.

        Raises:
            UnknownNameError: there is no such object category in the work.
        """
        return lay_out(self.work, self.work.batch(object, round))

    def decide(
        self,
        object: str,
        image: int | str,
        passed: bool,
        who: str,
        *,
        reason: str | None = None,
        note: str | None = None,
        minutes: float | None = None,
        pins: Sequence[Pin] = (),
        hold: bool = False,
    ) -> Desk:
        """Give a verdict on one drawn image; the round is closed as soon as the plan knows.

        `image` is an id, a file name or the end of one; `minutes` the time it took (Q-03), `pins`
        places in it. The same inspector may give another verdict until the round is closed; with
        `hold` it stays open until somebody calls `finish`.

        Raises:
            UnknownNameError: the image is not in the sample, or the work has no such reason.
            ConfigError: a failure without a reason, or a reason without a failure.
            StateError: the round is not being inspected, the image is not due yet, or `who`
                drew it.
        """
        inspector = person(who)
        reason = check_reason(self.work, passed, reason)
        desk = self.being_inspected(object)
        card = desk.card(image)
        check_due(desk, card)
        data: dict[str, Any] = {"image_id": card.image_id, "passed": passed}
        data |= {"reason": reason, "note": noted(note, pins), "minutes": minutes}
        data |= {"pins": [pin.model_dump() for pin in pins]} if pins else {}
        data |= {"hold": True} if hold else {}
        self.work.record("verdict", who=inspector, object=object, round=desk.round, data=data)
        return self._settle(object)

    def take_back(self, object: str, image: int | str, who: str) -> Desk:
        """Take one's own verdict back; the round stays open, whatever the others say.

        Raises:
            StateError: the round is not being inspected, or the verdict is not `who`'s.
        """
        desk = self.being_inspected(object)
        data = {"image_id": desk.card(image).image_id}
        self.work.record("unsaid", who=person(who), object=object, round=desk.round, data=data)
        return self._settle(object)

    def finish(self, object: str, who: str) -> Desk:
        """Close a round whose verdicts were held, once the plan knows.

        Raises:
            StateError: it is not being inspected, the plan does not know yet, or `who` drew it.
        """
        desk = self.being_inspected(object)
        with self.work.read() as session:
            check_not_own(session, self.work.batch(object, desk.round), person(who))
        if desk.decision == "continue":
            raise StateError(
                f"{object} round {desk.round} is not decided: "
                f"{counted(len(desk.due), 'image waits', 'images wait')} for a verdict"
            )
        return self._settle(object, by=person(who))

    def pass_rest(self, object: str, who: str, *, hold: bool = False) -> tuple[Desk, int]:
        """Let all images pass that are due now; how many were. `hold` is that of `decide`.

        Raises:
            StateError: as `decide`.
        """
        desk = self.cards(object)
        due = desk.due
        for card in due:
            desk = self.decide(object, card.image_id, True, who, hold=hold)
        held = desk.state == "sampled" and desk.decision != "continue"
        return (self.finish(object, who) if held and not hold else desk), len(due)

    def outlook(self, object: str) -> Outlook:
        """What a verdict more would lead to, for every image that can have one.

        Nothing is recorded; of a round that is not being inspected there is nothing to say.
        """
        batch = self.work.batch(object)
        sample = sample_of(self.work, batch)
        if sample is None or batch.state != "sampled":
            return Outlook({}, None)
        said = verdicts_of(self.work, batch)
        bad = {image: not verdict.passed for image, verdict in said.items()}

        def after(words: Mapping[int, bool]) -> Ahead:
            seen = sample.inspected(words)
            return Ahead(sample.decide(words), len(seen), sum(seen.values()))

        images = {*bad, *sample.due(bad)}
        each = {i: {word: after({**bad, i: not word}) for word in (True, False)} for i in images}
        all_ = dict(bad)
        while due := sample.due(all_):
            all_ |= dict.fromkeys(due, False)
        return Outlook(each, after(all_) if len(all_) > len(bad) else None)

    def foresee(
        self,
        object: str,
        words: Mapping[int, bool],
        who: str | None = None,
        *,
        pass_rest: bool = False,
    ) -> Desk:
        """What the desk would say after these verdicts (by image id, True: passes) of `who`.

        With `pass_rest` all images that are due then pass, too. Nothing is recorded. Verdicts
        that the plan does not come to count for nothing.

        Raises:
            StateError: the round is not being inspected, or `who` drew it.
        """
        desk = self.being_inspected(object)
        batch = self.work.batch(object, desk.round)
        if who is not None:
            with self.work.read() as session:
                check_not_own(session, batch, person(who))
        sample = sample_of(self.work, batch)
        if sample is None:
            return desk
        bad = {
            image: not verdict.passed for image, verdict in verdicts_of(self.work, batch).items()
        }
        bad |= {image: not passed for image, passed in words.items()}
        seen = sample.inspected(bad)
        due, decision = sample.due(bad), sample.decide(bad)
        cards = tuple(replace(card, due=card.image_id in due) for card in desk.cards)
        bads = sum(seen.values())
        ahead = replace(desk, cards=cards, decision=decision, seen=len(seen), bad=bads)
        if pass_rest and ahead.due:
            return self.foresee(object, {card.image_id: True for card in ahead.due} | {**words})
        return ahead

    def reopen(self, object: str, who: str, reason: str) -> dict[Path, bool]:
        """Have the newest round of a decided category inspected again; its verdicts go.

        Returns the data sets exported with that decision: whether they were found and now say
        that they are stale.

        Raises:
            StateError: it is not decided, the next round has begun, or `who` drew it.
            ConfigError: no reason is given.
        """
        if not reason.strip():
            raise ConfigError("no reason is given", hint="--reason says why, for the history")
        batch = self.work.batch(object)
        about: dict[str, Any] = {"object": object, "round": batch.round}
        self.work.record("reopened", who=person(who), data={"reason": reason.strip()}, **about)
        return mark_stale(self.work, object, batch.round, reason.strip())

    def being_inspected(self, object: str) -> Desk:
        """The desk of a category whose round is sampled and not decided.

        Raises:
            StateError: it is not.
        """
        desk = self._settle(object)
        if desk.state != "sampled":
            raise StateError(
                f"{object} round {desk.round} is {desk.state}, so nothing is to be inspected",
                hint=HINTS.get(desk.state),
            )
        return desk

    def _settle(self, object: str, by: str | None = None) -> Desk:
        """Close the round if the plan has its answer, even one that a crash kept from us.

        A round whose last word is held is closed only `by` somebody.
        """
        basis = self.work.hash_of(object)
        desk = self.cards(object)
        if desk.state != "sampled" or desk.decision == "continue":
            return desk
        if by is None and is_held(self.work, object, desk.round):
            return desk
        data = {"accepted": desk.decision == "accept", "seen": desk.seen, "bad": desk.bad}
        verdicts = verdicts_of(self.work, self.work.batch(object, desk.round))
        last = max(verdicts.values(), key=lambda verdict: verdict.at)
        try:
            about: Any = {"object": object, "round": desk.round, "data": data, "basis": basis}
            self.work.record("decided", who=by or last.inspector, **about)
        except MovedOnError:  # a verdict was changed in between
            return self._settle(object, by)
        except StateError:  # another inspector's process was quicker
            if self.work.batch(object, desk.round).state == "sampled":
                raise
        return self.cards(object, desk.round)


def for_each(names: Iterable[str], action: Callable[[str], T], *, named: bool = False) -> list[T]:
    """What came of each category; one that cannot be served does not stop the others.

    Its fault is logged, with what to do about it.

    Raises:
        PartlabError: what stopped a category that was `named`, or the first where none came out.
    """
    found, faults = [], []
    for name in names:
        try:
            found.append(action(name))
        except PartlabError as error:
            faults.append(error)
    if faults and (named or not found):
        raise faults[0]
    for fault in faults:
        log.warning("left out: %s%s", fault.message, f"\n  {fault.hint}" if fault.hint else "")
    return found
