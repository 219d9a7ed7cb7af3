"""What an inspector's word must be to count."""

from annotate.inspect.desk import Card, Desk
from annotate.work import Work, same_person
from partlab.errors import ConfigError, StateError, UnknownNameError


def check_inspector(card: Card, who: str) -> None:
    """See that nobody else has spoken on an image.

    Raises:
        StateError: somebody has.
    """
    if card.inspector is not None and not same_person(card.inspector, who):
        raise StateError(f"image {card.image_id} was already inspected by {card.inspector}")


def check_reason(work: Work, passed: bool, reason: str | None) -> str | None:
    """The reason as the work's list has it, whatever its capitals; only a failure has one.

    Raises:
        ConfigError: a failure without a reason, or a reason without a failure.
        UnknownNameError: the work has no such reason.
    """
    known = work.settings.fail_reasons
    if passed and reason is not None:
        raise ConfigError("an image that passes needs no reason", hint="use a note for a remark")
    if not passed and reason is None:
        raise ConfigError("an image that fails needs a reason", hint=f"one of: {', '.join(known)}")
    if reason is None:
        return None
    found = next((one for one in known if one.casefold() == reason.strip().casefold()), None)
    if found is None:
        raise UnknownNameError("reason", reason, known)
    return found


def check_due(desk: Desk, card: Card) -> None:
    """See that a verdict on an image is due, or one can be corrected.

    Raises:
        StateError: the plan does not come to it now.
    """
    if card.passed is not None or card.due:
        return
    if not desk.due:
        raise StateError(
            f"no image of {desk.object} waits for a verdict",
            hint="it is decided, and to be finished: on the page Inspect, or with --pass-rest",
        )
    due = ", ".join(str(one.image_id) for one in desk.due)
    raise StateError(
        f"image {card.image_id} is not due yet: the plan {desk.plan!r} keeps the order of the draw",
        hint=f"due now: {due}",
    )
