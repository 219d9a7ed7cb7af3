"""Verdicts from a table or by hand: looked ahead, agreed to, taken, told."""

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.inspect.desk import Desk
    from annotate.inspect.service import Inspection
    from annotate.work import Work

log = logging.getLogger(__name__)


class Given(NamedTuple):
    """Verdicts as the command line has them."""

    image: str | None
    passed: bool | None
    reason: str | None
    note: str | None
    rest: bool


class Ways(NamedTuple):
    """The same verdicts, looked ahead and taken."""

    foresee: "Callable[[], Desk]"
    take: Callable[[], dict[str, Any]]


def table_ways(inspection: "Inspection", object: str, table: Path, by: str) -> Ways:
    """The verdicts filled in in a table of `partlab inspect sample`."""
    from annotate.inspect.verdicts import decide_all, foresee_all, read_table

    rulings = read_table(table)

    def take() -> dict[str, Any]:
        desk, given = decide_all(inspection, object, rulings, by)
        left = sum(not ruling.stands(desk.card(ruling.image)) for ruling in rulings)
        waiting = left if desk.state == "sampled" else 0
        told = {"given": given, "known": len(rulings) - given - left, "not_needed": left - waiting}
        return {**told, "waiting": waiting, "round": desk.round}

    return Ways(lambda: foresee_all(inspection, object, rulings, by), take)


def hand_ways(inspection: "Inspection", object: str, given: Given, by: str) -> Ways:
    """One verdict of the command line, or a pass for all that are due, or both."""
    from annotate.inspect.rules import check_reason

    image, passed, reason, note, rest = given
    if (image is None) != (passed is None) or (image is None and not rest):
        raise ConfigError(
            "no verdict is given",
            hint="--image with --pass or --fail, --pass-rest, or --verdicts",
        )

    def foresee() -> "Desk":
        words: dict[int, bool] = {}
        if image is not None and passed is not None:
            check_reason(inspection.work, passed, reason)
            words[inspection.being_inspected(object).card(image).image_id] = passed
        return inspection.foresee(object, words, by, pass_rest=rest)

    def take() -> dict[str, Any]:
        count, desk = 0, inspection.being_inspected(object)
        if image is not None and passed is not None:
            desk = inspection.decide(object, image, passed, by, reason=reason, note=note)
            count += 1
        if rest:
            desk, passed_now = inspection.pass_rest(object, by)
            count += passed_now
        return {"given": count, "not_needed": 0, "round": desk.round}

    return Ways(foresee, take)


def say_elsewhere(work: "Work", objects: Iterable[str] = ()) -> None:
    """Warn of words that an earlier version took in Label Studio, and that nobody read."""
    from annotate.inspect.elsewhere import said_elsewhere

    for words in said_elsewhere(work, objects).values():
        log.warning("%s", words)


def ahead_words(ahead: "Desk") -> str:
    """What verdicts would cause."""
    from annotate.inspect.desk import caused

    return f"{ahead.object} r{ahead.round}: {caused(ahead.decision, ahead.seen, ahead.bad)}"


def agreed(ahead: Sequence["Desk"], *, yes: bool, ask: bool) -> None:
    """See that somebody wants what the verdicts cause.

    Raises:
        ConfigError: nobody can be asked, or they say no.
    """
    final = [d for d in ahead if d.decision != "continue" and d.state == "sampled"]
    if yes or not final:
        return
    words = "\n".join(map(ahead_words, final))
    if not (ask and _at_terminal()):
        raise ConfigError(words, hint="--yes does it, --dry-run only looks; nothing was recorded")
    if not typer.confirm(f"{words}. Go on?", err=True):
        raise ConfigError("nothing was recorded")


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def desk_lines(desk: "Desk", folder: Path, told: dict[str, Any]) -> list[str]:
    """What was taken, what came of it, and what is next."""
    from app.cli._inspect_rounds import decision_line

    lines = [f"{told['given']} verdict{'s' * (told['given'] != 1)} taken"]
    if told.get("not_needed"):
        lines[0] += f", {told['not_needed']} not needed by the plan"
    if told.get("waiting") and desk.due:
        verb = "waits" if told["waiting"] == 1 else "wait"
        lines[0] += f", {told['waiting']} {verb} until image {desk.due[0].image_id} has one"
    lines.append(decision_line(desk))
    if desk.due:
        lines += [f"  due: image {card.image_id}  {card.overlay}" for card in desk.due]
    elif desk.state == "rejected":
        command = f"partlab studio create {quote(str(folder))}"
        lines.append(f"next: {command}  (the whole category, a new round)")
    elif desk.state == "accepted":
        command = f"partlab inspect send-back {quote(str(folder))} {quote(desk.object)} --by WHO"
        lines += [
            f"  image {card.image_id} failed ({card.reason}); to have it alone drawn again: "
            f"{command} --image {card.image_id}"
            for card in desk.cards
            if card.passed is False
        ]
        command = f"partlab inspect export {quote(str(folder))} --out DATA"
        lines.append(f"next: {command}  (all that is accepted)")
    return lines
