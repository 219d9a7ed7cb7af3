"""`partlab inspect decide | send-back | reopen`: verdicts, what they cause, and the way back."""

import logging
import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotate.inspect.telling import tell_annotators
from app.cli._ui import ME, ByOpt, DryRunOpt, JsonOpt, NewOpt, ObjectArg, Ui, WorkArg, reported
from app.cli._verdict_ways import (
    Given,
    Ways,
    agreed,
    ahead_words,
    desk_lines,
    hand_ways,
    say_elsewhere,
    table_ways,
)
from partlab.counts import counted
from partlab.errors import ConfigError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from annotate.inspect.desk import Desk
    from annotate.inspect.service import Inspection
    from annotate.inspect.verdicts import Ruling


def register(group: typer.Typer) -> None:
    """Add these commands to the group `inspect`."""
    group.command()(decide)
    group.command("send-back")(send_back)
    group.command()(reopen)


def decide(
    folder: WorkArg,
    object: Annotated[
        str | None,
        typer.Argument(metavar="OBJECT", help="Else all whose tables are filled in."),
    ] = None,
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

    Without OBJECT all tables that `sample` wrote are read, as far as they are filled in. Verdicts
    that decide a category are taken only when you say yes to what they cause. An image that was
    sent back alone gets its verdict by --image, or in its own table.

    Example: partlab inspect decide ram-work ram --by ina@example.org --image 12 --fail
    --reason outline --pass-rest
    """
    with reported(json) as ui:
        from annotate.inspect.people import named
        from annotate.inspect.service import Inspection
        from annotate.work import Work

        _one_way(by_hand=image is not None or pass_rest, by_table=verdicts is not None)
        passed = _verdict(passes, fails)
        _about_one(image, passes or fails, reason, note)
        by = _inspector(by)
        with Work.open(folder) as work:
            inspection, by = Inspection(work), named(work, by, new=new)
            say_elsewhere(work, [object] if object else ())
            given = Given(image, passed, reason, note, pass_rest)
            if object is None:
                _no_object(image, pass_rest=pass_rest, verdicts=verdicts)
                return _decide_all(inspection, by, ui, dry_run=dry_run, yes=yes)
            work.batch(object)
            if image is not None and _is_corrected(inspection, object, image):
                return _look_again(inspection, object, given, by, ui, dry_run=dry_run)
            ways = _ways_of(inspection, object, given, verdicts, by)
            return _decide(inspection, object, ways, ui, dry_run=dry_run, yes=yes)


def _decide(
    inspection: "Inspection", object: str, ways: Ways, ui: Ui, *, dry_run: bool, yes: bool
) -> None:
    """The verdicts of one category."""
    ahead = ways.foresee()
    if dry_run:
        return _tell_ahead(ahead, ui)
    agreed([ahead], yes=yes, ask=not ui.json)
    told = ways.take()
    desk = inspection.cards(object, told.pop("round"))
    return _tell_desk(desk, inspection.work.folder, ui, told)


def _inspector(by: str | None) -> str:
    """Who gives the verdicts."""
    by = by or os.environ.get(ME)
    if by is None:
        raise ConfigError("nobody is named", hint=f"say who you are with --by, or in {ME}")
    return by


def _no_object(image: str | None, *, pass_rest: bool, verdicts: Path | None) -> None:
    given = {"--image": image, "--pass-rest": pass_rest, "--verdicts": verdicts}
    if about := [name for name, value in given.items() if value]:
        raise ConfigError(
            f"{about[0]} is about one object category, and none is named",
            hint="name it after the work; without one, the tables that `sample` wrote are read",
        )


def _ways_of(
    inspection: "Inspection", object: str, given: Given, table: Path | None, by: str
) -> Ways:
    if table is not None:
        return table_ways(inspection, object, table, by)
    return hand_ways(inspection, object, given, by)


def _decide_all(inspection: "Inspection", by: str, ui: Ui, *, dry_run: bool, yes: bool) -> None:
    """The verdicts of all categories; none is taken unless all of them can be."""
    again, ways = _again_tables(inspection, by), _filled_in(inspection, by)
    if not ways and not again:
        raise ConfigError(
            f"no table that was written for {by} has a verdict to take",
            hint="`partlab inspect sample WORK` says what waits, and where",
        )
    ahead = [one.foresee() for one in ways.values()]
    if dry_run:
        _tell_all_ahead(ahead, again, ui)
    else:
        agreed(ahead, yes=yes, ask=not ui.json)
        _take_all(inspection, ways, again, by, ui)


def _filled_in(inspection: "Inspection", by: str) -> dict[str, Ways]:
    """Categories whose draw `by` asked for, and whose table has verdicts; the others are said."""
    from annotate.inspect.standing import sampled_by
    from annotate.inspect.verdicts import read_rulings, table_of

    ways = {}
    mine, others = sampled_by(inspection.work, by)
    for name in mine:
        table = table_of(inspection.cards(name))
        if table.exists() and read_rulings(table):
            ways[name] = table_ways(inspection, name, table, by)
        else:
            log.warning("left out: %s: %s has no verdict", name, table)
    for name, who in others.items():
        log.warning("left out: %s is inspected by %s", name, who)
    return ways


def _again_tables(inspection: "Inspection", by: str) -> "dict[str, list[Ruling]]":
    """Verdicts on images that were sent back and drawn again, by category, once they can be."""
    from annotate.inspect.again import check_again, read_again

    work = inspection.work
    found = {b.object: read_again(work, b.object, by) for b in work.batches()}
    found = {name: rulings for name, rulings in found.items() if rulings}
    for name, rulings in found.items():
        check_again(work, name, rulings, by)
    return found


def _tell_all_ahead(ahead: "list[Desk]", again: "dict[str, list[Ruling]]", ui: Ui) -> None:
    from app.cli._inspect_rounds import desk_json

    lines = ["nothing is recorded", *map(ahead_words, ahead)]
    lines += [
        f"image {one.image} of {name} {'passes' if one.passed else 'goes back once more'}"
        for name, rulings in again.items()
        for one in rulings
    ]
    told: dict[str, Any] = {"dry_run": True, "desks": [desk_json(desk) for desk in ahead]}
    ui.emit(
        {**told, "again": {name: len(found) for name, found in again.items()}}, "\n".join(lines)
    )


def _take_all(
    inspection: "Inspection",
    ways: dict[str, Ways],
    again: "dict[str, list[Ruling]]",
    by: str,
    ui: Ui,
) -> None:
    from annotate.inspect.again import decide_again, write_again
    from app.cli._inspect_rounds import desk_json

    folder = inspection.work.folder
    lines, desks, looked = list[str](), list[dict[str, Any]](), list[str]()
    for name, one in ways.items():
        told = one.take()
        desk = inspection.cards(name, told.pop("round"))
        lines += [f"{name}:", *(f"  {line}" for line in desk_lines(desk, folder, told))]
        desks.append({**desk_json(desk), **told})
    for name, rulings in again.items():
        looked += decide_again(inspection.work, name, rulings, by)
        write_again(inspection.work, name, by)
    lines += [*looked, *tell_annotators(inspection.work, [*again])]
    ui.emit({"desks": desks, "again": looked}, "\n".join(lines))


def _tell_desk(desk: "Desk", folder: Path, ui: Ui, told: dict[str, Any]) -> None:
    from app.cli._inspect_rounds import desk_json

    ui.emit({**desk_json(desk), **told}, "\n".join(desk_lines(desk, folder, told)))


def _tell_ahead(ahead: "Desk", ui: Ui) -> None:
    from app.cli._inspect_rounds import desk_json

    ui.emit({"dry_run": True, **desk_json(ahead)}, f"nothing is recorded; {ahead_words(ahead)}")


def _one_way(*, by_hand: bool, by_table: bool) -> None:
    if by_hand and by_table:
        raise ConfigError("verdicts by hand and --verdicts exclude each other", hint="choose one")


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


def _is_corrected(inspection: "Inspection", object: str, image: str) -> bool:
    """Whether this is an image of an accepted category that was sent back alone."""
    from annotate.inspect.corrections import find_correction
    from partlab.errors import NotFoundError

    try:
        return bool(find_correction(inspection.work, object, image))
    except NotFoundError:
        return False


def _look_again(
    inspection: "Inspection", object: str, given: Given, by: str, ui: Ui, *, dry_run: bool
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
        lines = [
            f"{object} r{desk.round}: open again, {counted(len(desk.due), 'image')} to look at"
        ]
        lines += [_stale_line(out, found) for out, found in stale.items()]
        lines.append(f"next: partlab inspect sample {quote(str(folder))} {quote(object)} --by WHO")
        ui.emit({**facts, "exports": exports}, "\n".join(lines))


def _stale_line(out: Path, found: bool) -> str:
    if found:
        return f"  stale from now on, and marked so: {out}"
    return f"  stale from now on, and no longer where it was written: {out}"
