"""`partlab inspect discards | hours`: images that annotators refused, hours worked elsewhere."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotate.inspect.telling import tell_annotators
from app.cli._ui import ME, JsonOpt, NewOpt, Ui, WorkArg, reported
from app.cli._verdict_ways import say_elsewhere
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.inspect.discards import DiscardCase
    from annotate.inspect.service import Inspection


def register(group: typer.Typer) -> None:
    """Add these commands to the group `inspect`."""
    group.command()(discards)
    group.command()(hours)


def discards(
    folder: WorkArg,
    object: Annotated[
        str | None, typer.Argument(metavar="OBJECT", help="Only this object category.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(help="Image id, file name, or the end of one; repeatable."),
    ] = None,
    uphold: Annotated[
        bool | None,
        typer.Option("--uphold/--restore", help="Rightly refused, or to be drawn after all."),
    ] = None,
    note: Annotated[str | None, typer.Option(help="A remark, kept with the review.")] = None,
    by: Annotated[
        str | None, typer.Option(metavar="WHO", help="Your email or name.", show_default=False)
    ] = None,
    new: NewOpt = False,
    anyone: Annotated[
        bool,
        typer.Option("--anyone", help="Also take the word of who draws another category."),
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Add the published figures, marked as such.")
    ] = False,
    json: JsonOpt = False,
) -> None:
    """List refused images and how often they are refused, or review one of them.

    Two inspectors review each image, a third when they disagree: people who draw nothing in this
    work, unless --anyone is given. Nobody reviews what they gave up themselves.

    Example: partlab inspect discards ram-work ram --image 12 --uphold --by ina@example.org
    """
    with reported(json) as ui:
        from annotate.inspect.people import named
        from annotate.inspect.service import Inspection
        from annotate.work import Work

        with Work.open(folder) as work:
            inspection = Inspection(work)
            say_elsewhere(work, [object] if object else ())
            if not image and uphold is None and by is None and note is None:
                return _report(inspection, object, ui, reference=reference)
            by = by or os.environ.get(ME)
            by = None if by is None else named(work, by, new=new)
            return _review(inspection, (object, image or [], uphold), by, note, ui, anyone=anyone)


def _report(inspection: "Inspection", object: str | None, ui: Ui, *, reference: bool) -> None:
    from dataclasses import asdict

    from annotate.inspect.discards import find_cases
    from annotate.inspect.refusals import PUBLISHED, refusals, total, worries
    from app.cli._inspect_rounds import case_lines, refusal_table, show

    rows, cases = refusals(inspection.work, object), find_cases(inspection.work, object)
    every, signs = total(rows), worries(rows)
    if ui.json:
        counted = [{**asdict(r), "rate": r.rate, "restored_share": r.restored_share} for r in rows]
        told: dict[str, Any] = {"cases": [asdict(c) for c in cases], "refusals": counted}
        told |= {"rate": every.rate, "worries": signs}
        return ui.emit(told | {"published": PUBLISHED} if reference else told)
    show(refusal_table([*rows, every]))
    lines = [*case_lines(cases), *(f"look into this: {sign}" for sign in signs)]
    if reference:
        lines.append(f"published: {PUBLISHED['discarded']:,} refused, {PUBLISHED['rate']:.0%}")
    return ui.emit(None, "\n".join(lines))


def _review(
    inspection: "Inspection",
    what: tuple[str | None, list[str], bool | None],
    by: str | None,
    note: str | None,
    ui: Ui,
    *,
    anyone: bool,
) -> None:
    from dataclasses import asdict

    from annotate.inspect.discards import find_case, find_cases, review_discard

    object, images, uphold = what
    missing = {
        "the object category after the work": object,
        "--image ID": images or None,
        "--uphold or --restore": uphold,
        "--by WHO": by,
    }
    lacks = [words for words, value in missing.items() if value is None]
    if object is None or not images or uphold is None or by is None:
        raise ConfigError(
            f"a review of a discarded image lacks {', '.join(lacks)}",
            hint="without --image, --uphold and --restore the command lists what waits",
        )
    work = inspection.work
    known = find_cases(work, object)
    names = dict.fromkeys(find_case(known, object, image).image_id for image in images)
    cases = [
        review_discard(work, object, image, uphold, by, note=note, anyone=anyone) for image in names
    ]
    lines = [_came_of(inspection, case) for case in cases]
    if any(case.state == "restored" for case in cases):
        lines += tell_annotators(inspection.work, [object])
    told = [asdict(case) for case in cases]
    ui.emit(told if len(images) > 1 else told[0], "\n".join(lines))


def _came_of(inspection: "Inspection", case: "DiscardCase") -> str:
    words = f"{case.object} image {case.image_id}: {case.state}"
    if case.disputed:
        words += "; two inspectors disagree, a third decides"
    elif case.state == "waiting":
        words += "; another inspector reviews it"
    elif case.state == "restored":
        words += f"; {case.annotator} is to draw it: {_where(inspection, case)}"
    return words


def _where(inspection: "Inspection", case: "DiscardCase") -> str:
    tasks = inspection.work.tasks(case.object, case.round)
    task = next(task for task in tasks if task.image_id == case.image_id)
    if task.project_id is None:
        return "its task is gone, so run `partlab studio create` first"
    where = f"open task {task.task_id} of project {task.project_id} in Label Studio"
    return f"{where}, take back the refusal, draw, update"


def _number(words: str) -> float:
    """A number with a point or a comma, as many languages write it."""
    try:
        return float(words.replace(",", "."))
    except ValueError:
        raise typer.BadParameter(f"{words!r} is no number: write it like 1.5") from None


def hours(
    folder: WorkArg,
    hours: Annotated[
        float, typer.Argument(metavar="HOURS", help="How many, e.g. 1.5.", parser=_number)
    ],
    *,
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Who worked them.")],
    role: Annotated[str, typer.Option(help="annotator, inspector or other.")] = "inspector",
    note: Annotated[str | None, typer.Option(help="What was done.")] = None,
    json: JsonOpt = False,
) -> None:
    """Note hours that Label Studio did not measure, for the statistics of the work.

    Example: partlab inspect hours ram-work 1.5 --by ina@example.org --note "overlays of ram"
    """
    with reported(json) as ui:
        from annotate.inspect.effort import note_hours
        from annotate.inspect.people import person
        from annotate.work import Work

        with Work.open(folder) as work:
            note_hours(work, person(by), hours, role, note)
        ui.emit(
            {"who": person(by), "hours": hours, "role": role},
            f"{hours:g} hour{'s' * (hours != 1)} of {by} noted",
        )
