"""`partlab inspect honeypots`: what annotators made of pictures whose masks are known."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import JsonOpt, WorkArg, reported, stdout

if TYPE_CHECKING:
    from annotate.inspect.checked import Checked
    from annotate.inspect.honeypots import Drift

BAR = 0.7


def register(group: typer.Typer) -> None:
    """Add this command to the group `inspect`."""
    group.command()(honeypots)


def honeypots(
    folder: WorkArg,
    objects: Annotated[
        list[str] | None,
        typer.Argument(metavar="OBJECT", help="Only these object categories."),
    ] = None,
    bar: Annotated[
        float, typer.Option(min=0, max=1, help="Least mean overlap (IoU) of a good answer.")
    ] = BAR,
    json: JsonOpt = False,
) -> None:
    """Show how well each annotator draws pictures whose masks are known, and who gets worse.

    They were mixed in by `partlab studio create --honeypots`; annotators are not told.

    Example: partlab inspect honeypots ram-work --bar 0.75
    """
    with reported(json) as ui:
        from annotate.inspect.checked import check_annotators
        from annotate.work import Work

        with Work.open(folder) as work:
            found = check_annotators(work, objects or (), bar=bar)
        ui.emit({"bar": bar, "annotators": [one.as_json() for one in found]})
        for piece in [] if json else [_answers(found, bar), _parts(found), *_alarms(found)]:
            stdout.print(piece, markup=False)


def _answers(found: "Sequence[Checked]", bar: float) -> Any:
    from app.cli._tables import _table

    columns = ("object", "known", "IoU", f"under\n{bar:g}", "given\nup", "first → last")
    table = _table("Known pictures, as they were drawn", "annotator", *columns)
    table.columns[0].no_wrap = True  # names stay whole, other columns give way
    table.columns[1].justify = "left"
    for one in found:
        record, count = one.record, len(one.record.answers)
        table.add_row(
            record.annotator,
            one.object or "all",
            f"{count}",
            f"{record.overlap:.2f}",
            f"{one.failed} ({one.failed / count:.0%})",
            f"{one.refused}",
            _drift(record.drift),
        )
    return table


def _drift(drift: "Drift") -> str:
    return f"{drift.first:.2f} → {drift.last:.2f}" + (" falls" if drift.alarm else "")


def _parts(found: "Sequence[Checked]") -> Any:
    from app.cli._tables import _table

    table = _table("Overlap by part, lowest first", "annotator", "part", "IoU")
    table.columns[1].justify = "left"
    for one in found:
        if one.object is None:
            for name, overlap in sorted(one.record.per_part.items(), key=lambda item: item[1]):
                table.add_row(one.record.annotator, name, f"{overlap:.2f}")
    return table


def _alarms(found: "Sequence[Checked]") -> Iterator[str]:
    for one in found:
        if one.object is None and (number := one.record.drift.alarm) is not None:
            answers = one.record.answers
            yield (
                f"{one.record.annotator} has become worse: certain from known picture {number} of "
                f"{len(answers)} on ({answers[number - 1].at})"
            )
