"""`partlab inspect sample | history | rebuild`: rounds of categories."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotate.inspect.telling import tell_annotators
from app.cli._ui import ByOpt, JsonOpt, NewOpt, ObjectsArg, WorkArg, reported
from app.cli._verdict_ways import say_elsewhere
from partlab.counts import counted

if TYPE_CHECKING:
    from annotate.inspect.desk import Desk
    from annotate.inspect.service import Inspection
    from annotate.work import Work


def register(group: typer.Typer) -> None:
    """Add these commands to the group `inspect`."""
    group.command()(sample)
    group.command()(history)
    group.command()(rebuild)


def sample(
    folder: WorkArg,
    objects: ObjectsArg = None,
    *,
    by: ByOpt,
    new: NewOpt = False,
    plan: Annotated[
        str | None,
        typer.Option(help="paper, sequential, ranked, or a .json file; else the work's own."),
    ] = None,
    audit: Annotated[
        Path | None, typer.Option(help="An audit's JSON: ranked plans begin with its suspects.")
    ] = None,
    accept_overlap: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INNER=OUTER",
            help="Accept that this part lies over that one, where a category has both; repeatable.",
        ),
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Draw the images of submitted categories to inspect, and render their masks.

    Parts that lie over each other stop it until that is declared, mended or accepted by name.
    Where the work was audited, the likely wrong images are told first, with why; which images are
    drawn stays random, as the plan's error rates need it.
    Also shown are single images of accepted categories that were sent back and drawn again.

    Example: partlab inspect sample ram-work ram --by ina@example.org
    """
    with reported(json) as ui:
        from annotate.inspect.people import named
        from annotate.inspect.queue import nothing_waits
        from annotate.inspect.service import Inspection
        from annotate.work import Work
        from app.cli._inspect_rounds import desk_json

        with Work.open(folder) as work:
            inspection, by = Inspection(work), named(work, by, new=new)
            fine = accept_overlap or []
            desks = _sampled(inspection, objects or [], by, plan, audit, fine)
            say_elsewhere(work, objects or ())
            nothing = nothing_waits(work)
            again = _to_look_at_again(work, objects or [], by)
            doubts = {desk.object: _doubts(inspection, desk) for desk in desks}
            later = tell_annotators(work, [d.object for d in desks]) if fine else []
        told = [{**desk_json(d), "likely_wrong": doubts[d.object]} for d in desks]
        lines = [_to_look_at(d, folder, doubts[d.object]) for d in desks]
        ui.emit(told, "\n".join([*lines, *again, *later]) or nothing)


def _sampled(
    inspection: "Inspection",
    objects: list[str],
    by: str,
    plan: str | None,
    audit: Path | None,
    overlaps: list[str],
) -> list["Desk"]:
    """Every category that is to be inspected, with its pictures and its table of verdicts."""
    from annotate.inspect.again import drawn_again
    from annotate.inspect.showing import show_all
    from annotate.inspect.suspicion import likely_wrong, read_suspicion
    from annotate.inspect.verdicts import table_of, write_table

    wanted = [one for one in objects if not drawn_again(inspection.work, [one])]
    if objects and not wanted:
        return []
    scores = read_suspicion(audit, inspection.work.images()) if audit else None
    desks = inspection.sample_all(by, wanted, plan=plan, suspicion=scores, overlaps=overlaps)
    for desk in desks:
        show_all(inspection.work, desk)
        write_table(desk, table_of(desk), likely_wrong(inspection.work, desk))
    return desks


def _doubts(inspection: "Inspection", desk: "Desk") -> list[dict[str, Any]]:
    """The likely wrong images of a category that is being inspected, drawn on a sheet."""
    from dataclasses import asdict

    from annotate.inspect.suspicion import MANY, likely_wrong, show_doubts

    found = likely_wrong(inspection.work, desk) if desk.state == "sampled" else []
    drawn = [one for one in found if one.drawn]
    others = [one for one in found if not one.drawn]
    told = [*drawn, *others[: max(MANY - len(drawn), 0)]]
    if told:
        show_doubts(inspection.work, desk, told)
    return [asdict(one) for one in told]


def _to_look_at_again(work: "Work", objects: list[str], by: str) -> list[str]:
    """What is said of images that were sent back and drawn again; they have tables, too."""
    from annotate.inspect.again import drawn_again, write_again
    from annotate.inspect.corrections import picture_of

    lines = []
    for name in dict.fromkeys(one.object for one in drawn_again(work, objects)):
        for one in drawn_again(work, [name]):
            lines.append(
                f"{name} r{one.round}: image {one.image_id} was sent back ({one.reason}) and drawn "
                f"again\n  look at {picture_of(work, one)}"
            )
        command = f"partlab inspect decide {quote(str(work.folder))} --by WHO"
        lines.append(f"  fill in {write_again(work, name, by)}, then: {command}")
    return lines


def _to_look_at(desk: "Desk", folder: Path, doubts: list[dict[str, Any]]) -> str:
    from app.cli._inspect_rounds import decision_line

    if desk.state != "sampled":
        return decision_line(desk)
    lines = [f"{desk.object} r{desk.round}, plan {desk.plan}:"]
    lines += [f"  {rule}" for rule in desk.rules]
    lines += [f"  look at {desk.sheet.parent} (sheet.png shows all {len(desk.cards)})"]
    seen = [(card.image_id, words) for card in desk.cards for words in card.problems]
    lines += [f"  mind image {image}: {words}" for image, words in seen]
    lines += _in_doubt(desk, folder, doubts)
    place = quote(str(folder))
    lines.append(f"  fill in verdicts.csv there, then: partlab inspect decide {place} --by WHO")
    lines.append(f"  or by key in the browser: partlab app {place}")
    return "\n".join(lines)


def _in_doubt(desk: "Desk", folder: Path, doubts: list[dict[str, Any]]) -> list[str]:
    """Likely wrong images first, with why; those that were not drawn count for nothing."""
    if not doubts:
        return []
    lines = [
        f"  likely wrong first, by the audit ({desk.sheet.with_name('doubts.png')} shows them):"
    ]
    lines += [f"    image {one['image_id']}: {one['why']}" for one in doubts if one["drawn"]]
    others = [one for one in doubts if not one["drawn"]]
    if others:
        lines.append(
            "  likely wrong, but not drawn, so that they count for nothing here; once the category "
            "is accepted,\n  one that is bad goes back alone with `partlab inspect send-back`:"
        )
    return lines + [f"    image {one['image_id']}: {one['why']}" for one in others]


def history(
    folder: WorkArg,
    object: Annotated[
        str | None, typer.Argument(metavar="OBJECT", help="Only this object category.")
    ] = None,
    last: Annotated[int, typer.Option(min=0, help="The last so many events; 0 for all.")] = 30,
    json: JsonOpt = False,
) -> None:
    """Who did what when; the hashes before and after each event are in --json.

    Example: partlab inspect history ram-work ram --last 0
    """
    with reported(json) as ui:
        from dataclasses import asdict

        from annotate.work import Work
        from app.cli._inspect_rounds import event_line

        with Work.open(folder) as work:
            if object is not None:
                work.batch(object)
            events = work.events(object)[-last:]
        ui.emit([asdict(event) for event in events], "\n".join(map(event_line, events)))


def rebuild(folder: WorkArg, json: JsonOpt = False) -> None:
    """Make the work's database again from its history and its raw exports.

    Example: partlab inspect rebuild ram-work
    """
    with reported(json) as ui:
        from annotate.studio.acts.ingest import read_export
        from annotate.work import rebuild_work

        count = rebuild_work(folder, read_export)
        ui.emit({"events": count}, f"{folder}: the database again, from {counted(count, 'event')}")
