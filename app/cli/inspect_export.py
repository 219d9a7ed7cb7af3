"""`partlab inspect export | inclusions`: the data set of a work; parts inside parts."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli._ui import ForceOpt, JsonOpt, ObjectsArg, Ui, WorkArg, reported
from partlab.counts import counted

if TYPE_CHECKING:
    from partlab.schema import Dataset


def register(group: typer.Typer) -> None:
    """Add these commands to the group `inspect`."""
    group.command()(export)
    group.command()(inclusions)


def export(
    folder: WorkArg,
    objects: ObjectsArg = None,
    *,
    out: Annotated[Path, typer.Option(help="New part data set folder.")],
    include_open: Annotated[
        bool, typer.Option("--include-open", help="Also categories that are not accepted.")
    ] = False,
    human_only: Annotated[
        bool, typer.Option("--human-only", help="Leave out images that a model helped with.")
    ] = False,
    exclude_failed: Annotated[
        bool, typer.Option("--exclude-failed", help="Leave out images that failed inspection.")
    ] = False,
    by_round: Annotated[
        bool, typer.Option("--by-round", help="Each round as a data set: OUT/r1, OUT/r2, …")
    ] = False,
    pictures: Annotated[
        Literal["link", "copy", "none"], typer.Option(help="What happens to the picture files.")
    ] = "link",
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Write the accepted categories as a part data set, with who drew and who inspected them.

    Named object categories alone, if there are any; the rest is counted as left out.

    Example: partlab inspect export ram-work --out rams
    """
    with reported(json) as ui:
        from annotate.data.formats.pictures import Pictures
        from annotate.inspect.build import Wanted
        from annotate.inspect.export import export as write
        from annotate.work import Work
        from app.told import exported

        wanted = Wanted(include_open, human_only, exclude_failed, tuple(objects or ()))
        with Work.open(folder) as work:
            told = write(
                work,
                out,
                wanted,
                by_round=by_round,
                pictures=Pictures(pictures),
                force=force,
            )
        parts = told.get("rounds") or {"": told}
        lines = [line for name, counts in parts.items() for line in exported(out / name, counts)]
        next_ = out / next(iter(parts))
        ui.emit(told, "\n".join([*lines, f"next: partlab data check {quote(str(next_))}"]))


def inclusions(
    source: Annotated[Path, typer.Argument(metavar="WORK|DATA", help="A work, or a data set.")],
    out: Annotated[
        Path | None, typer.Option(help="New folder for OBJECT.txt files of inner:outer lines.")
    ] = None,
    suggested: Annotated[
        bool, typer.Option("--with-suggested", help="Write the suggested ones too.")
    ] = False,
    nested: Annotated[float, typer.Option(help="Share of a mask that makes it lie inside.")] = 0.9,
    share: Annotated[float, typer.Option(help="Share of the objects that makes it a rule.")] = 0.5,
    objects: Annotated[int, typer.Option(help="Objects that must show both parts.")] = 5,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Compare declared inclusions with the masks; suggest those that nobody declared.

    Example: partlab inspect inclusions rams --out including
    """
    with reported(json) as ui:
        from annotate.inspect.dataset import read_all
        from annotate.inspect.inclusions import InclusionSettings, nestings
        from partlab.config import validate

        values: dict[str, Any] = {"nested": nested, "share": share, "objects": objects}
        settings = validate(InclusionSettings, values, "the command line")
        datasets = read_all(source)
        found = nestings(datasets, settings)
        files = _write(datasets, found, out, suggested, force) if out else 0
        _tell(found, files, out, ui)


def _write(datasets: list["Dataset"], found: Any, out: Path, suggested: bool, force: bool) -> int:
    from annotate.inspect.inclusions import with_suggested, write_including
    from partlab.folders import new_folder
    from partlab.inclusions import merged

    declared = merged(dataset.inclusions for dataset in datasets)
    pairs = with_suggested(declared, found) if suggested else declared
    with new_folder(out, force=force, inputs=[d.path for d in datasets]) as folder:
        return write_including(datasets, pairs, folder)


def _tell(found: Any, files: int, out: Path | None, ui: Ui) -> None:
    from dataclasses import asdict

    from app.cli._inspect_rounds import nesting_table, show

    rows = [{**asdict(one), "share": one.share} for one in found]
    if ui.json:
        return ui.emit({"inclusions": rows, "out": out, "files": files})
    if rows:
        show(nesting_table(found))
    words = "" if rows else "no inclusion is declared, and no masks nest"
    return ui.emit(None, f"{out}: {counted(files, 'file')}" if out else words)
