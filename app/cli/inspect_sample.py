"""`partlab inspect sample | decide | status | history | rebuild`: rounds of categories."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import JsonOpt, ObjectArg, ObjectsArg, Ui, WorkArg, reported
from partlab.errors import ConfigError, PartlabError

if TYPE_CHECKING:
    from annotate.inspect.desk import Desk
    from annotate.inspect.plan import Plan
    from annotate.inspect.service import Inspection

ByOpt = Annotated[str, typer.Option("--by", metavar="WHO", help="Your email or name.")]
NewOpt = Annotated[
    bool, typer.Option("--new-inspector", help="Another person, though the name looks known.")
]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `inspect`."""
    group.command()(sample)
    group.command()(decide)
    group.command()(status)
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
    studio: Annotated[
        bool, typer.Option("--studio", help="Also make an inspection project in Label Studio.")
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Draw the images of submitted categories to inspect, and render their masks.

    Example: partlab inspect sample ram-work ram --by ina@example.org
    """
    with reported(json) as ui:
        from annotate.inspect.people import named
        from annotate.inspect.service import Inspection
        from annotate.work import Work

        with Work.open(folder) as work:
            inspection, by = Inspection(work), named(work, by, new=new)
            desks = _sampled(inspection, objects or [], by, plan, audit, ui)
            projects = _opened(inspection, [d.object for d in desks]) if studio else {}
        told = [{**_desk_json(d), "project": projects.get(d.object)} for d in desks]
        lines = [_to_look_at(d, folder, projects.get(d.object)) for d in desks]
        ui.emit(told, "\n".join(lines) or "no object category waits for inspection")


def _sampled(
    inspection: "Inspection",
    objects: list[str],
    by: str,
    plan: str | None,
    audit: Path | None,
    ui: Ui,
) -> list["Desk"]:
    """Every category asked for; where none is named, all that are ready and not their own."""
    from annotate.inspect.plan import get_plan
    from annotate.inspect.suspicion import read_suspicion
    from annotate.inspect.verdicts import write_table

    chosen = get_plan(plan) if plan else None
    wanted = objects or inspection.ready()
    scores = read_suspicion(audit, inspection.work.images()) if audit else None
    desks, faults = [], []
    for name in wanted:
        try:
            _not_too_late(inspection, name, chosen, audit)
            desk = inspection.sample(name, by, plan=chosen, suspicion=scores)
        except PartlabError as error:
            faults.append(error)
            continue
        write_table(desk, desk.sheet.with_name("verdicts.csv"))
        desks.append(desk)
    pass_on(faults, stop=bool(objects) or not desks)
    return desks


def _not_too_late(
    inspection: "Inspection", name: str, chosen: "Plan | None", audit: Path | None
) -> None:
    batch = inspection.work.batch(name)
    if batch.state != "sampled" or (chosen is None and audit is None):
        return
    plan = inspection.cards(name).plan
    if audit is not None or (chosen is not None and chosen.name != plan):
        raise ConfigError(
            f"{name} round {batch.round} is drawn already, by the plan {plan}: "
            "--plan and --audit come too late",
            hint="leave them out to see what was drawn",
        )


def pass_on(faults: list[PartlabError], *, stop: bool) -> None:
    """One fault stops a category that was asked for; where all were meant, it is said."""
    import logging

    if stop and faults:
        raise faults[0]
    for fault in faults:
        logging.getLogger(__name__).warning("left out: %s", fault.message)


def _opened(inspection: "Inspection", objects: list[str]) -> dict[str, Any]:
    from dataclasses import asdict

    from annotate.inspect.project import open_inspection
    from annotate.studio.client import Studio

    with Studio.from_env() as studio:
        open_ = [name for name in objects if inspection.cards(name).state == "sampled"]
        return {name: asdict(open_inspection(inspection, studio, name)) for name in open_}


def _desk_json(desk: "Desk") -> dict[str, Any]:
    from dataclasses import asdict

    table = desk.sheet.with_name("verdicts.csv")
    return {**asdict(desk), "due": [card.image_id for card in desk.due], "table": table}


def _to_look_at(desk: "Desk", folder: Path, project: dict[str, Any] | None) -> str:
    if desk.state != "sampled":
        return _decision(desk)
    lines = [f"{desk.object} r{desk.round}, plan {desk.plan}:"]
    lines += [f"  {rule}" for rule in desk.rules]
    lines += [f"  look at {desk.sheet.parent} (sheet.png shows all {len(desk.cards)})"]
    seen = [(card.image_id, words) for card in desk.cards for words in card.problems]
    lines += [f"  mind image {image}: {words}" for image, words in seen]
    if project:
        lines.append(f"  or in Label Studio at {project['url']}; then --from-studio")
    command = f"partlab inspect decide {quote(str(folder))} {quote(desk.object)} --by WHO"
    table = desk.sheet.with_name("verdicts.csv")
    lines.append(f"  fill in {table.name} there, then: {command} --verdicts {quote(str(table))}")
    return "\n".join(lines)


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
    json: JsonOpt = False,
) -> None:
    """Say which drawn images pass; the category is accepted or rejected as the plan says.

    Example: partlab inspect decide ram-work ram --by ina@example.org --image 12 --fail
    --reason outline --pass-rest
    """
    with reported(json) as ui:
        from annotate.inspect.people import named
        from annotate.inspect.service import Inspection
        from annotate.work import Work

        with Work.open(folder) as work:
            inspection = Inspection(work)
            work.batch(object)
            _one_way(image is not None or pass_rest, verdicts is not None, from_studio)
            passed = _verdict(passes, fails)
            _about_one(image, passes or fails, reason, note)
            if from_studio:
                _no_name(by)
                told = _read_back(inspection, object)
                return _tell_desk(inspection.cards(object), folder, ui, told)
            if by is None:
                raise ConfigError("nobody is named", hint="say who you are with --by")
            by = named(work, by, new=new)
            if verdicts is not None:
                told = _by_table(inspection, object, verdicts, by)
            else:
                told = _by_hand(inspection, object, image, passed, (reason, note), pass_rest, by)
            return _tell_desk(inspection.cards(object, told.pop("round")), folder, ui, told)


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


def _by_table(inspection: "Inspection", object: str, table: Path, by: str) -> dict[str, Any]:
    from annotate.inspect.verdicts import decide_all, read_table

    rulings = read_table(table)
    desk, given = decide_all(inspection, object, rulings, by)
    left = sum(not ruling.stands(desk.card(ruling.image)) for ruling in rulings)
    waiting = left if desk.state == "sampled" else 0
    told = {"given": given, "known": len(rulings) - given - left, "not_needed": left - waiting}
    return {**told, "waiting": waiting, "round": desk.round}


def _by_hand(
    inspection: "Inspection",
    object: str,
    image: str | None,
    passed: bool | None,
    words: tuple[str | None, str | None],
    rest: bool,
    by: str,
) -> dict[str, Any]:
    if (image is None) != (passed is None) or (image is None and not rest):
        raise ConfigError(
            "no verdict is given",
            hint="--image with --pass or --fail, --pass-rest, --verdicts, or --from-studio",
        )
    given, desk = 0, inspection.being_inspected(object)
    if image is not None and passed is not None:
        reason, note = words
        desk = inspection.decide(object, image, passed, by, reason=reason, note=note)
        given += 1
    for card in desk.due if rest else []:
        desk = inspection.decide(object, card.image_id, True, by)
        given += 1
    return {"given": given, "not_needed": 0, "round": desk.round}


def _read_back(inspection: "Inspection", object: str) -> dict[str, Any]:
    from annotate.inspect.readback import read_inspection
    from annotate.studio.client import Studio

    with Studio.from_env() as studio:
        told = read_inspection(inspection, studio, object)
    found = {"given": told.taken, "known": told.known, "waiting": told.waiting}
    return {**found, "refused": told.refused}


def _tell_desk(desk: "Desk", folder: Path, ui: Ui, told: dict[str, Any]) -> None:
    lines = [f"{told['given']} verdict{'s' * (told['given'] != 1)} taken"]
    if told.get("not_needed"):
        lines[0] += f", {told['not_needed']} not needed by the plan"
    if told.get("waiting") and desk.due:
        verb = "waits" if told["waiting"] == 1 else "wait"
        lines[0] += f", {told['waiting']} {verb} until image {desk.due[0].image_id} has one"
    lines += told.get("refused", [])
    lines.append(_decision(desk))
    if desk.due:
        lines += [f"  due: image {card.image_id}  {card.overlay}" for card in desk.due]
    elif desk.state == "rejected":
        command = f"partlab studio create {quote(str(folder))}"
        lines.append(f"next: {command}  (the whole category, a new round)")
    elif desk.state == "accepted":
        command = f"partlab inspect export {quote(str(folder))} --out DATA"
        lines.append(f"next: {command}  (all that is accepted)")
    ui.emit({**_desk_json(desk), **told}, "\n".join(lines))


def _decision(desk: "Desk") -> str:
    state = desk.state if desk.decision != "continue" else "not decided yet"
    return f"{desk.object} r{desk.round}: {state}, {desk.bad} of {desk.seen} inspected images bad"


def status(folder: WorkArg, objects: ObjectsArg = None, json: JsonOpt = False) -> None:
    """Where each object category stands: round, state, verdicts, discards that wait.

    Example: partlab inspect status ram-work
    """
    with reported(json) as ui:
        from dataclasses import asdict

        from annotate.inspect.service import Inspection
        from annotate.work import Work

        with Work.open(folder) as work:
            found = Inspection(work).status(objects or [])
        if json:
            return ui.emit([asdict(row) for row in found])
        from app.cli._inspect_rounds import show, standings

        return show(standings(found))


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
        from annotate.studio.ingest import read_export
        from annotate.work import rebuild_work

        count = rebuild_work(folder, read_export)
        ui.emit({"events": count}, f"{folder}: the database again, from {count} events")
