"""`partlab inspect decide | send-back | reopen`: verdicts, what they cause, and the way back."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from app.cli._told import tell_annotators
from app.cli._ui import ME, ByOpt, DryRunOpt, JsonOpt, NewOpt, ObjectArg, Ui, WorkArg, reported
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.inspect.desk import Desk
    from annotate.inspect.service import Inspection


def register(group: typer.Typer) -> None:
    """Add these commands to the group `inspect`."""
    group.command()(decide)
    group.command("send-back")(send_back)
    group.command()(reopen)


def decide(
    folder: WorkArg,
    object: ObjectArg,
    image: Annotated[
        str | None, typer.Option(help="Image id, file name, or the end of one.")
    ] = None,
    passes: Annotated[bool, typer.Option("--pass", help="That image passes.")] = False,
    fails: Annotated[bool, typer.Option("--fail", help="It fails, for a --reason.")] = False,
    reason: Annotated[
        str | None, typer.Option(help="Why it fails; a wrong one lists those of the work.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="A remark, kept with the verdict.")] = None,
    pass_rest: Annotated[
        bool, typer.Option("--pass-rest", help="Then all other images that are due pass.")
    ] = False,
    verdicts: Annotated[
        Path | None, typer.Option(help="The filled-in verdicts.csv of `sample`.")
    ] = None,
    from_studio: Annotated[
        bool, typer.Option("--from-studio", help="Read the inspection project of this round.")
    ] = False,
    by: Annotated[
        str | None, typer.Option(metavar="WHO", help="Your email or name.", show_default=False)
    ] = None,
    new: NewOpt = False,
    dry_run: DryRunOpt = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Accept or reject the category without asking again.")
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Say which drawn images pass; the category is accepted or rejected as the plan says.

    Verdicts that decide a category are taken only when you say yes to what they cause. An image
    that was sent back alone gets its verdict by --image.

    Example: partlab inspect decide ram-work ram --by ina@example.org --image 12 --fail
    --reason outline --pass-rest
    """
    with reported(json) as ui:
        from annotate.inspect.people import named
        from annotate.inspect.service import Inspection
        from annotate.work import Work

        _one_way(image is not None or pass_rest, verdicts is not None, from_studio)
        passed = _verdict(passes, fails)
        _about_one(image, passes or fails, reason, note)
        with Work.open(folder) as work:
            inspection = Inspection(work)
            work.batch(object)
            if from_studio:
                _no_name(by)
                ways = _studio_ways(inspection, object)
            elif (by := by or os.environ.get(ME)) is None:
                raise ConfigError("nobody is named", hint=f"say who you are with --by, or in {ME}")
            elif verdicts is not None:
                ways = _table_ways(inspection, object, verdicts, named(work, by, new=new))
            else:
                given = _Given(image, passed, reason, note, pass_rest)
                by = named(work, by, new=new)
                if image is not None and _is_corrected(inspection, object, image):
                    return _look_again(inspection, object, given, by, ui, dry_run=dry_run)
                ways = _hand_ways(inspection, object, given, by)
            ahead = ways.foresee()
            if dry_run:
                return _tell_ahead(ahead, ui)
            _agreed(ahead, yes=yes, ask=not json)
            told = ways.take()
            return _tell_desk(inspection.cards(object, told.pop("round")), folder, ui, told)


class _Given(NamedTuple):
    """Verdicts as the command line has them."""

    image: str | None
    passed: bool | None
    reason: str | None
    note: str | None
    rest: bool


class _Ways(NamedTuple):
    """The same verdicts, looked ahead and taken."""

    foresee: "Callable[[], Desk]"
    take: Callable[[], dict[str, Any]]


def _tell_ahead(ahead: "Desk", ui: Ui) -> None:
    from app.cli._inspect_rounds import desk_json

    ui.emit({"dry_run": True, **desk_json(ahead)}, f"nothing is recorded; {_ahead(ahead)}")


def _ahead(ahead: "Desk") -> str:
    """What verdicts would cause."""
    causes = {
        "accept": "accepts the category, so that it is exported",
        "reject": "rejects the category: all of it is drawn again, in a new round",
        "continue": "decides nothing yet",
    }
    counts = f"{ahead.bad} of {ahead.seen} inspected images bad"
    return f"{ahead.object} r{ahead.round}: {counts}; this {causes[ahead.decision]}"


def _agreed(ahead: "Desk", *, yes: bool, ask: bool) -> None:
    """See that somebody wants what the verdicts cause.

    Raises:
        ConfigError: nobody can be asked, or they say no.
    """
    if yes or ahead.decision == "continue" or ahead.state != "sampled":
        return
    if not (ask and _at_terminal()):
        raise ConfigError(
            _ahead(ahead), hint="--yes does it, --dry-run only looks; nothing was recorded"
        )
    if not typer.confirm(f"{_ahead(ahead)}. Go on?", err=True):
        raise ConfigError("nothing was recorded")


def _one_way(*ways: bool) -> None:
    if sum(ways) > 1:
        raise ConfigError(
            "verdicts by hand, --verdicts and --from-studio exclude each other", hint="choose one"
        )


def _verdict(passes: bool, fails: bool) -> bool | None:
    if passes and fails:
        raise ConfigError("--pass and --fail exclude each other", hint="choose one")
    return passes if passes or fails else None


def _about_one(image: str | None, *words: str | bool | None) -> None:
    if image is None and any(words):
        raise ConfigError(
            "--pass, --fail, --reason and --note are about one image, and none is named",
            hint="name it with --image; --pass-rest passes all that are due",
        )


def _no_name(by: str | None) -> None:
    if by is not None:
        raise ConfigError("in Label Studio a login says who gave a verdict", hint="leave out --by")


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _table_ways(inspection: "Inspection", object: str, table: Path, by: str) -> _Ways:
    from annotate.inspect.verdicts import decide_all, foresee_all, read_table

    rulings = read_table(table)

    def take() -> dict[str, Any]:
        desk, given = decide_all(inspection, object, rulings, by)
        left = sum(not ruling.stands(desk.card(ruling.image)) for ruling in rulings)
        waiting = left if desk.state == "sampled" else 0
        told = {"given": given, "known": len(rulings) - given - left, "not_needed": left - waiting}
        return {**told, "waiting": waiting, "round": desk.round}

    return _Ways(lambda: foresee_all(inspection, object, rulings, by), take)


def _hand_ways(inspection: "Inspection", object: str, given: _Given, by: str) -> _Ways:
    from annotate.inspect.rules import check_reason

    image, passed, reason, note, rest = given
    if (image is None) != (passed is None) or (image is None and not rest):
        raise ConfigError(
            "no verdict is given",
            hint="--image with --pass or --fail, --pass-rest, --verdicts, or --from-studio",
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

    return _Ways(foresee, take)


def _is_corrected(inspection: "Inspection", object: str, image: str) -> bool:
    """Whether this is an image of an accepted category that was sent back alone."""
    from annotate.inspect.corrections import find_correction
    from partlab.errors import NotFoundError

    try:
        return bool(find_correction(inspection.work, object, image))
    except NotFoundError:
        return False


def _look_again(
    inspection: "Inspection", object: str, given: _Given, by: str, ui: Ui, *, dry_run: bool
) -> None:
    from annotate.inspect.corrections import find_correction, look_again
    from annotate.inspect.rules import check_reason

    image, passed, reason, note, _ = given
    if image is None or passed is None:
        raise ConfigError("no verdict is given", hint="--image with --pass, or --fail and a reason")
    one = find_correction(inspection.work, object, image)
    words = "passes" if passed else f"goes back to {one.annotator} once more"
    if dry_run:
        check_reason(inspection.work, passed, reason)
        said = f"nothing is recorded; image {one.image_id} of {object} {words}"
        return ui.emit({"dry_run": True, "image_id": one.image_id, "passed": passed}, said)
    look_again(inspection.work, object, image, passed, by, reason=reason, note=note)
    told = tell_annotators(inspection.work, [object])
    result = {"object": object, "image_id": one.image_id, "passed": passed}
    return ui.emit(result, "\n".join([f"image {one.image_id} of {object} {words}", *told]))


def _studio_ways(inspection: "Inspection", object: str) -> _Ways:
    from annotate.inspect.readback import foresee_inspection, read_inspection
    from annotate.studio.api.client import Studio

    def foresee() -> "Desk":
        desk = inspection.cards(object)
        if desk.state != "sampled":  # read again, what is known is told
            return desk
        with Studio.from_env() as studio:
            return foresee_inspection(inspection, studio, object)

    def take() -> dict[str, Any]:
        round = inspection.cards(object).round
        with Studio.from_env() as studio:
            told = read_inspection(inspection, studio, object)
        found = {"given": told.taken, "known": told.known, "waiting": told.waiting}
        return {**found, "refused": told.refused, "round": round}

    return _Ways(foresee, take)


def _tell_desk(desk: "Desk", folder: Path, ui: Ui, told: dict[str, Any]) -> None:
    from app.cli._inspect_rounds import decision_line, desk_json

    lines = [f"{told['given']} verdict{'s' * (told['given'] != 1)} taken"]
    if told.get("not_needed"):
        lines[0] += f", {told['not_needed']} not needed by the plan"
    if told.get("waiting") and desk.due:
        verb = "waits" if told["waiting"] == 1 else "wait"
        lines[0] += f", {told['waiting']} {verb} until image {desk.due[0].image_id} has one"
    lines += told.get("refused", [])
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
    ui.emit({**desk_json(desk), **told}, "\n".join(lines))


def send_back(
    folder: WorkArg,
    object: ObjectArg,
    *,
    image: Annotated[str, typer.Option(help="Image id, file name, or the end of one.")],
    by: ByOpt,
    reason: Annotated[
        str | None, typer.Option(help="Why; else that of the verdict that failed it.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What the annotator is to mend.")] = None,
    new: NewOpt = False,
    json: JsonOpt = False,
) -> None:
    """Have a single image of an accepted category drawn again; all others stay accepted.

    Its annotator reads the reason and the note in Label Studio. Drawn again, the image waits for
    an inspector; until it passes it is in no export.

    Example: partlab inspect send-back ram-work ram --image 8 --by ina@example.org --reason outline
    """
    with reported(json) as ui:
        from dataclasses import asdict

        from annotate.inspect.corrections import send_back as back
        from annotate.inspect.people import named
        from annotate.work import Work

        with Work.open(folder) as work:
            by = named(work, by, new=new)
            one = back(work, object, image, by, reason=reason, note=note)
            told = tell_annotators(work, [object])
        words = f"image {one.image_id} of {object} goes back to {one.annotator}: {one.reason}"
        words += f" ({one.note})" if one.note else ""
        ui.emit(asdict(one), "\n".join([words, *told]))


def reopen(
    folder: WorkArg,
    object: ObjectArg,
    by: ByOpt,
    reason: Annotated[str, typer.Option(help="Why, for the history.")],
    new: NewOpt = False,
    json: JsonOpt = False,
) -> None:
    """Take a decision back: the images drawn in that round are inspected again.

    Verdicts given so far stay in the history and count no more. Data sets exported with that
    decision are told to be stale.

    Example: partlab inspect reopen ram-work ram --by lea@example.org --reason "a slip"
    """
    with reported(json) as ui:
        from annotate.inspect.people import named
        from annotate.inspect.service import Inspection
        from annotate.work import Work

        with Work.open(folder) as work:
            inspection = Inspection(work)
            stale = inspection.reopen(object, named(work, by, new=new), reason)
            desk = inspection.cards(object)
        facts = {"object": object, "round": desk.round, "state": desk.state}
        exports = [{"out": out, "found": found} for out, found in stale.items()]
        lines = [f"{object} r{desk.round}: open again, {len(desk.due)} images to look at"]
        lines += [_stale_line(out, found) for out, found in stale.items()]
        lines.append(f"next: partlab inspect sample {quote(str(folder))} {quote(object)} --by WHO")
        ui.emit({**facts, "exports": exports}, "\n".join(lines))


def _stale_line(out: Path, found: bool) -> str:
    if found:
        return f"  stale from now on, and marked so: {out}"
    return f"  stale from now on, and no longer where it was written: {out}"
