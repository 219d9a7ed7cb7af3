"""`partlab evaluate table` and `report`: evaluations side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, Ui, reported

_REFERENCES = (
    "Published tables to show beside, with commas: 2,S7; none; else those of the threats and "
    "attacks that were run."
)
EvaluationsArg = Annotated[
    list[Path], typer.Argument(metavar="EVALUATION...", help="Folders that `evaluate` wrote.")
]


def register(group: typer.Typer) -> None:
    """Add both commands to the group `evaluate`."""
    group.command()(table)
    group.command()(report)


def table(evaluations: EvaluationsArg, json: JsonOpt = False) -> None:
    """One's own models ranked, each list of pictures apart, with 95 % intervals.

    Example: partlab evaluate table results/vanilla results/mpm
    """
    with reported(json) as ui:
        from train.evaluate_report import read_measured
        from train.evaluate_report import report as facts_of

        facts = facts_of(read_measured(evaluations))
        ui.emit(facts)
        if not json:
            _tell(ui, facts)


def report(
    evaluations: EvaluationsArg,
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")],
    references: Annotated[str | None, typer.Option(help=_REFERENCES)] = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """A page that opens offline: figures, attacks stage by stage, paired differences, cost.

    Example: partlab evaluate report results/vanilla results/mpm --out report
    """
    with reported(json) as ui:
        from partlab.files import need_new_file
        from train.evaluate_report import read_measured, write_report

        need_new_file(out / "report.html", force=force)
        page = write_report(read_measured(evaluations), out, _tables(references))
        ui.emit({"page": str(page), "facts": str(page.with_name("report.json"))}, f"page: {page}")


def _tables(text: str | None) -> list[str] | None:
    """Names of published tables; [] for none, None where it was not said."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    return [] if names == ["none"] else names


def _tell(ui: Ui, facts: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from train.evaluate_report import words

    console = Console(highlight=False, emoji=False, soft_wrap=True)
    for group in facts["groups"]:
        shown = Table("", "model", title=words.about_list(group), box=None, title_justify="left")
        for one in group["columns"]:
            shown.add_column(words.title(one).replace(", ", "\n"), justify="right")
        for row in group["rows"]:
            cells = [f"{words.share(each)}\n{words.interval(each)}" for each in row["figures"]]
            shown.add_row(words.place(row), facts["models"][row["model"]]["name"], *cells)
        console.print(shown)
        ui.emit(None, f"{words.about_rank(group)} Below each figure: its 95 % interval.")
    for line in (*facts["apart"], *facts["notes"]):
        ui.emit(None, f"- {line}")
