"""`partlab train show`: how recognition runs went, in words, a picture and a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, Ui, reported
from partlab.errors import ConfigError
from partlab.files import need_new_file

if TYPE_CHECKING:
    from train.report import Summary

_PAGE = (".html", ".htm")


def register(group: typer.Typer) -> None:
    """Add this command to the group `train`."""
    group.command()(show)


def show(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder, or page (.html); RUN itself. Asked for with several runs."),
    ] = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """How recognition runs went: facts here, curves as a picture and an HTML page.

    Works while a run is going on. Of several runs, side by side, also the settings that differ.

    Example: partlab train show runs/vanilla runs/mpm --out runs/both
    """
    with reported(json) as ui:
        page = _place(runs, out, force)
        from train.report import run_summary

        read = [run_summary(run) for run in runs]
        drawn = _draw(read, page) if any(run.history.step for run in read) else None
        ui.emit(_facts(read, drawn))
        if not json:
            _tell(ui, read, drawn)


def _place(runs: Sequence[Path], out: Path | None, force: bool) -> Path:
    """Where the page goes; in its own run's folder it is always made anew."""
    whole = [run.resolve() for run in runs]
    if twice := [run for at, run in enumerate(runs) if whole[at] in whole[:at]]:
        raise ConfigError(f"{twice[0]} is named twice", hint="name each run once")
    if out is None:
        if len(runs) > 1:
            raise ConfigError(
                "several runs have no folder in common for their page",
                hint="say where to: --out DIR, or --out both.html",
            )
        return runs[0] / "curves.html"
    if out.suffix.lower() in (".png", ".svg", ".pdf", ".json"):
        raise ConfigError(
            f"--out {out} is neither a folder nor a page",
            hint=f"--out {out.with_suffix('.html')}; the picture is written beside it as .png",
        )
    page = out if out.suffix.lower() in _PAGE else out / "curves.html"
    for path in (page, page.with_suffix(".png")):
        need_new_file(path, force=force)
    return page


def _draw(runs: "Sequence[Summary]", page: Path) -> dict[str, Path]:
    from train.report import write_curves, write_page

    picture = write_curves(runs, page.with_suffix(".png"))
    return {"picture": picture, "page": write_page(runs, page)}


def _facts(runs: "Sequence[Summary]", drawn: dict[str, Path] | None) -> dict[str, Any]:
    from train.report.summary import differing
    from train.report.words import warnings

    facts: dict[str, Any] = {"runs": [run.as_json() for run in runs]}
    if len(runs) > 1:
        facts["differing_settings"] = differing(runs)
        facts["warnings"] = warnings(runs)
    return {**facts, "picture": None, "page": None, **(drawn or {})}


def _tell(ui: Ui, runs: "Sequence[Summary]", drawn: dict[str, Path] | None) -> None:
    from train.report import words
    from train.report.summary import short_names

    names = short_names([run.run for run in runs])
    if len(runs) == 1:
        facts = words.facts(runs[0])
        wide = max(len(name) for name, _ in facts) + 1
        ui.emit(None, "\n".join(f"{name + ':':<{wide}} {cell}" for name, cell in facts))
    else:
        _print_table(runs, names)
    for line in _remarks(runs, names, drawn):
        ui.emit(None, line)


def _print_table(runs: "Sequence[Summary]", names: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from train.report import words

    columns, rows = words.table(runs)
    table = Table("run", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for name, cells in zip(names, rows, strict=True):
        table.add_row(name, *cells)
    narrow = Console(highlight=False, emoji=False)
    width = None if narrow.is_terminal else 200  # a pipe tells no width
    Console(highlight=False, emoji=False, width=width).print(table, markup=False)


def _remarks(
    runs: "Sequence[Summary]", names: Sequence[str], drawn: dict[str, Path] | None
) -> list[str]:
    from train.report import words
    from train.report.summary import differing

    unlike = differing(runs).items()
    lines = [f"{name}: {' | '.join(map(words.setting, values))}" for name, values in unlike]
    lines += [f"note: {sentence}" for sentence in words.warnings(runs)]
    for run, name in zip(runs, names, strict=True):
        lead = "note: " if len(runs) == 1 else f"note, {name}: "
        lines += [lead + sentence for sentence in words.notes(run)]
    if drawn:
        lines.append(words.about_best(runs))
        return [*lines, f"picture: {drawn['picture']}", f"open:    {drawn['page']}"]
    return [*lines, "There are no curves to draw yet; look again in a while."]
