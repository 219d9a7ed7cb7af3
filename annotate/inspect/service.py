"""Inspection of a work, category by category: draw, look, decide (Q-01, Q-02, Q-04).

    inspection = Inspection(work)
    desk = inspection.sample("ram", who="ina@x.org")
    desk = inspection.decide("ram", desk.due[0].image_id, True, who="ina@x.org")

No terminal, no web: commands and pages are built on this.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

from sqlalchemy import select

from annotate.inspect.desk import Card, Desk, Standing
from annotate.inspect.discards import DiscardCase, find_cases
from annotate.inspect.exports import mark_stale
from annotate.inspect.overlaps import need_no_overlaps
from annotate.inspect.overlays import overlay_folder, overlay_path, render, render_sheet
from annotate.inspect.people import need_no_annotator, person
from annotate.inspect.plan import Plan, get_plan, in_words
from annotate.inspect.sampling import Sample, round_seed
from annotate.work import (
    Answer,
    Batch,
    Draw,
    Event,
    Image,
    MovedOnError,
    Verdict,
    Work,
    honeypots,
    open_images,
    same_person,
)
from annotate.work.change import HINTS, is_drawn
from annotate.work.inspecting import check_not_own
from partlab.errors import (
    ConfigError,
    NotFoundError,
    PartlabError,
    StateError,
    UnknownNameError,
)
from partlab.progress import track

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
            self._draw(batch, person(who), chosen or self.plan, suspicion, overlaps)
        elif batch.state in ("planned", "annotating"):
            raise self._still_drawn(batch)
        elif batch.state == "sampled":
            self._not_too_late(batch, chosen, suspicion)
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

        Raises:
            PartlabError: as `sample`, of a category that was named, or where there is no other.
        """

        def one(name: str) -> Desk:
            return self.sample(name, who, plan=plan, suspicion=suspicion, overlaps=overlaps)

        return for_each(objects or self.ready(), one, named=bool(objects))

    def _not_too_late(
        self, batch: Batch, plan: Plan | None, suspicion: Mapping[int, float] | None
    ) -> None:
        drawn = self.cards(batch.object).plan
        if suspicion is not None or (plan is not None and plan.name != drawn):
            raise ConfigError(
                f"{batch.object} round {batch.round} is drawn already, by the plan {drawn}: "
                "another plan, or an audit, comes too late",
                hint="leave them out to see what was drawn",
            )

    def _still_drawn(self, batch: Batch) -> StateError:
        with self.work.read() as session:
            open_, all_ = open_images(session, batch), self.work.tasks(batch.object, batch.round)
        since = (
            f"at the last pull, {batch.cursor[:16]}" if batch.cursor else "and nothing was pulled"
        )
        folder = quote(str(self.work.folder))
        return StateError(
            f"{batch.object} round {batch.round} is still being drawn: {len(open_)} of {len(all_)} "
            f"pictures were open {since}",
            hint=f"fetch what was drawn since: partlab studio pull {folder}",
        )

    def _draw(
        self,
        batch: Batch,
        who: str,
        plan: Plan,
        suspicion: Mapping[int, float] | None,
        overlaps: Collection[str],
    ) -> None:
        basis = self.work.hash_of(batch.object)
        seed = round_seed(self.work.settings.seed, batch.object, batch.round)
        images = self._with_masks(batch)
        if not images:
            raise StateError(f"{batch.object} round {batch.round} has no image with masks")
        accepted = need_no_overlaps(self.work, batch, overlaps)
        sample = Sample.draw(plan, seed, images, suspicion)
        suspects = {str(image): score for image, score in sample.suspects.items()}
        data: dict[str, Any] = {"seed": seed, "plan": plan.name, "images": sample.images}
        data |= {"rules": plan.model_dump(mode="json"), "suspects": suspects}
        data |= {"overlaps": accepted} if accepted else {}
        key: dict[str, Any] = {"object": batch.object, "round": batch.round}
        try:
            self.work.record("sampled", who=who, **key, data=data, basis=basis)
        except (StateError, MovedOnError):
            if self.work.batch(**key).state != "sampled":  # else another process was quicker
                raise

    def _with_masks(self, batch: Batch) -> list[int]:
        """Those that were drawn by the time of the draw: one that was sent back since is, too."""
        query = select(Answer.image_id, Answer.kind, Answer.problems)
        query = query.filter_by(object=batch.object, round=batch.round)
        query = query.where(Answer.image_id.not_in(honeypots(batch.object)))
        with self.work.read() as session:
            return [row.image_id for row in session.execute(query) if is_drawn(row)]

    def show(self, desk: Desk, card: Card) -> Path:
        """The picture of one card beside its masks: `card.overlay`, drawn unless it is there.

        What could not be read then is tried again.
        """
        image, answer = self._rows(desk.object, desk.round)[card.position]
        render(self.work, image, answer, card.overlay)
        return card.overlay

    def show_all(self, desk: Desk) -> Path:
        """The pictures of all cards, and those on one sheet, whose path it returns."""
        cards = desk.cards
        for card in track(cards, f"drawing {desk.object}", len(cards)):
            self.show(desk, card)
        render_sheet(self.work, self._rows(desk.object, desk.round), desk.sheet)
        return desk.sheet

    def _rows(self, object: str, round: int | None = None) -> list[tuple[Image, Answer]]:
        """The drawn images of a round with their answers, in the order of the draw."""
        batch = self.work.batch(object, round)
        with self.work.read() as session:
            query = select(Image).join(Draw, Draw.image_id == Image.id).order_by(Draw.position)
            images = session.scalars(query.where(Draw.object == object, Draw.round == batch.round))
            drawn = list(images)
        answers = self.work.answers(object, batch.round, images=[image.id for image in drawn])
        by_id = {answer.image_id: answer for answer in answers}
        return [(image, by_id[image.id]) for image in drawn if image.id in by_id]

    def cards(self, object: str, round: int | None = None) -> Desk:
        """What there is to look at, what was said so far, and what the plan makes of it.

        Raises:
            UnknownNameError: there is no such object category in the work.
        """
        batch = self.work.batch(object, round)
        sample, verdicts = self._sample_of(batch), self._verdicts(batch)
        plan = sample.plan if sample else self.plan
        bad = {image: not verdict.passed for image, verdict in verdicts.items()}
        open_ = sample.due(bad) if sample and batch.state == "sampled" else []
        seen = sample.inspected(bad) if sample else {}
        cards = [
            self._card(batch, position, image, answer, image.id in open_, verdicts.get(image.id))
            for position, (image, answer) in enumerate(self._rows(object, batch.round))
        ]
        return Desk(
            object=object,
            round=batch.round,
            state=batch.state,
            annotator=batch.assignee,
            plan=plan.name,
            rules=tuple(in_words(plan, len(sample.order) if sample else 100)),
            seen=len(seen),
            bad=sum(seen.values()),
            decision=sample.decide(bad) if sample else "continue",
            cards=tuple(cards),
            sheet=overlay_folder(self.work, object, batch.round) / "sheet.png",
        )

    def _card(
        self,
        batch: Batch,
        position: int,
        image: Image,
        answer: Answer,
        due: bool,
        verdict: Verdict | None,
    ) -> Card:
        parts = self.work.moves(batch).parts
        there = {mask["part"] for mask in answer.masks}
        said: dict[str, Any] = {}
        if verdict is not None:
            said = {name: getattr(verdict, name) for name in _SAID}
        return Card(
            image_id=image.id,
            file_name=image.file_name,
            position=position,
            due=due,
            overlay=overlay_path(self.work, batch.object, batch.round, position, image.id),
            drawn=tuple(part.name for part in parts.parts if part.id in there),
            missing=tuple(part.name for part in parts.parts if part.id not in there),
            problems=tuple(str(problem["message"]) for problem in answer.problems),
            **said,
        )

    def _sample_of(self, batch: Batch) -> Sample | None:
        """The draw of a round, made again from its seed and the plan as it was."""
        if batch.seed is None:
            return None
        query = select(Event).filter_by(what="sampled", object=batch.object, round=batch.round)
        with self.work.read() as session:
            event = session.scalars(query).one()
        plan = Plan.model_validate(event.data["rules"])
        suspects = {int(image): score for image, score in event.data["suspects"].items()}
        return Sample.draw(plan, batch.seed, self._with_masks(batch), suspects)

    def _verdicts(self, batch: Batch) -> dict[int, Verdict]:
        key = {"object": batch.object, "round": batch.round}
        with self.work.read() as session:
            found = session.scalars(select(Verdict).filter_by(**key))
            return {verdict.image_id: verdict for verdict in found}

    # --- deciding --------------------------------------------------------------------------

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
    ) -> Desk:
        """Give a verdict on one drawn image; the round is closed as soon as the plan knows.

        `image` is an id, a file name or the end of one; `minutes` the time it took (Q-03). The
        same inspector may give another verdict until the round is closed.

        Raises:
            UnknownNameError: the image is not in the sample, or the work has no such reason.
            ConfigError: a failure without a reason, or a reason without a failure.
            StateError: the round is not being inspected, the image is not due yet, or `who`
                drew it.
        """
        inspector = person(who)
        reason = self.check_reason(passed, reason)
        desk = self.being_inspected(object)
        card = desk.card(image)
        if card.passed is None and not card.due:
            _not_due(desk, card)
        data: dict[str, Any] = {"image_id": card.image_id, "passed": passed}
        data |= {"reason": reason, "note": note, "minutes": minutes}
        self.work.record("verdict", who=inspector, object=object, round=desk.round, data=data)
        return self._settle(object)

    def pass_rest(self, object: str, who: str) -> tuple[Desk, int]:
        """Let all images pass that are due now; how many were.

        Raises:
            StateError: as `decide`.
        """
        desk = self.cards(object)
        due = desk.due
        for card in due:
            desk = self.decide(object, card.image_id, True, who)
        return desk, len(due)

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
        sample = self._sample_of(batch)
        if sample is None:
            return desk
        bad = {image: not verdict.passed for image, verdict in self._verdicts(batch).items()}
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

    def check_inspector(self, card: Card, who: str) -> None:
        """See that nobody else has spoken on an image.

        Raises:
            StateError: somebody has.
        """
        if card.inspector is not None and not same_person(card.inspector, who):
            raise StateError(f"image {card.image_id} was already inspected by {card.inspector}")

    def check_reason(self, passed: bool, reason: str | None) -> str | None:
        """The reason as the work's list has it, whatever its capitals; only a failure has one.

        Raises:
            ConfigError: a failure without a reason, or a reason without a failure.
            UnknownNameError: the work has no such reason.
        """
        known = self.work.settings.fail_reasons
        if passed and reason is not None:
            raise ConfigError(
                "an image that passes needs no reason", hint="use a note for a remark"
            )
        if not passed and reason is None:
            raise ConfigError(
                "an image that fails needs a reason", hint=f"one of: {', '.join(known)}"
            )
        if reason is None:
            return None
        found = next((one for one in known if one.casefold() == reason.strip().casefold()), None)
        if found is None:
            raise UnknownNameError("reason", reason, known)
        return found

    def _settle(self, object: str) -> Desk:
        """Close the round if the plan has its answer, even one that a crash kept from us."""
        basis = self.work.hash_of(object)
        desk = self.cards(object)
        if desk.state != "sampled" or desk.decision == "continue":
            return desk
        data = {"accepted": desk.decision == "accept", "seen": desk.seen, "bad": desk.bad}
        verdicts = self._verdicts(self.work.batch(object, desk.round))
        last = max(verdicts.values(), key=lambda verdict: verdict.at)
        try:
            about: Any = {"object": object, "round": desk.round, "data": data, "basis": basis}
            self.work.record("decided", who=last.inspector, **about)
        except MovedOnError:  # a verdict was changed in between
            return self._settle(object)
        except StateError:  # another inspector's process was quicker
            if self.work.batch(object, desk.round).state == "sampled":
                raise
        return self.cards(object, desk.round)

    # --- the whole work --------------------------------------------------------------------

    def ready(self) -> list[str]:
        """Object categories that can be sampled, or are being inspected."""
        return [b.object for b in self.work.batches() if b.state in ("submitted", "sampled")]

    def status(self, objects: Sequence[str] = ()) -> list[Standing]:
        """Where each object category stands, by name; all that were handed out if none is named.

        Raises:
            UnknownNameError: there is no such object category in the work.
        """
        batches = [self.work.batch(name) for name in objects] or self.work.batches()
        waiting = Counter(case.object for case in find_cases(self.work) if case.open)
        return [self._standing(batch, waiting[batch.object]) for batch in batches]

    def _standing(self, batch: Batch, waiting: int) -> Standing:
        sample, verdicts = self._sample_of(batch), self._verdicts(batch)
        bad = {image: not verdict.passed for image, verdict in verdicts.items()}
        seen = sample.inspected(bad) if sample else {}
        before = self.work.rounds(batch.object) if batch.round > 1 else []
        return Standing(
            object=batch.object,
            round=batch.round,
            state=batch.state,
            annotator=batch.assignee,
            plan=(sample.plan if sample else self.plan).name,
            drawn=len(sample.images) if sample else 0,
            seen=len(seen),
            bad=sum(seen.values()),
            discards_waiting=waiting,
            rejected_rounds=sum(earlier.state == "rejected" for earlier in before),
            inspectors=tuple(sorted({verdict.inspector for verdict in verdicts.values()})),
        )

    # --- discards --------------------------------------------------------------------------

    def discards(self, object: str | None = None) -> list[DiscardCase]:
        """Every image an annotator refused, with what inspectors said of it (M-07)."""
        return find_cases(self.work, object)

    def review_discard(
        self,
        object: str,
        image: int | str,
        uphold: bool,
        who: str,
        *,
        note: str | None = None,
        minutes: float | None = None,
        anyone: bool = False,
    ) -> DiscardCase:
        """One inspector's word on a discarded image: uphold it, or have it drawn after all.

        Two different inspectors settle it, a third when they disagree (Q-04). With `anyone` they
        may draw other categories of the work.

        Raises:
            NotFoundError: no such image is discarded.
            StateError: `who` discarded it, draws another category or has spoken already, or the
                case is settled.
        """
        case = find_case(self.discards(object), object, image)
        if not anyone and not same_person(who, case.annotator):
            need_no_annotator(self.work, person(who))
        data: dict[str, Any] = {"image_id": case.image_id, "uphold": uphold, "note": note}
        data |= {"reason": case.reason, "annotator": case.annotator, "minutes": minutes}
        self.work.record(
            "discard-review", who=person(who), object=object, round=case.round, data=data
        )
        return find_case(self.discards(object), object, case.image_id)


_SAID = ("passed", "reason", "note", "inspector")


def for_each(names: Iterable[str], action: Callable[[str], T], *, named: bool = False) -> list[T]:
    """What came of each category; one that cannot be served does not stop the others.

    Its fault is logged.

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
        log.warning("left out: %s", fault.message)
    return found


def find_case(cases: Sequence[DiscardCase], object: str, image: int | str) -> DiscardCase:
    """The newest case of an image, by its id, its file name or the end of that."""
    found = [c for c in cases if str(c.image_id) == str(image)]
    found = found or [c for c in cases if f"/{c.file_name}".endswith(f"/{image}")]
    if len({case.image_id for case in found}) > 1:
        raise ConfigError(f"several discarded images of {object} end in {image!r}")
    if not found:
        raise NotFoundError(
            f"no image {image} of {object} is discarded",
            hint="`partlab inspect discards WORK` lists them",
        )
    return max(found, key=lambda case: case.round)


def _not_due(desk: Desk, card: Card) -> None:
    if not desk.due:
        raise StateError(f"no image of {desk.object} waits for a verdict")
    due = ", ".join(str(one.image_id) for one in desk.due)
    raise StateError(
        f"image {card.image_id} is not due yet: the plan {desk.plan!r} keeps the order of the draw",
        hint=f"due now: {due}",
    )
