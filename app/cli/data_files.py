"""`partlab data import | export | check | reuse`: files in, files out, and what is wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli._ui import ForceOpt, JsonOpt, Ui, reported
from partlab.counts import counted
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.data.check import Report

Pictures = Literal["link", "copy", "none"]
PicturesOpt = Annotated[Pictures, typer.Option(help="What happens to the picture files.")]
DataArg = Annotated[Path, typer.Argument(help="Part data set: folder or COCO file.")]
SplitOpt = Annotated[str | None, typer.Option("--split", help="Only this split.")]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `data`."""
    group.command("import")(import_)
    group.command("export")(export)
    group.command("check")(check)
    group.command("reuse")(reuse)


def import_(
    source: Annotated[Path, typer.Argument(help="Folder, file or zip in another format.")],
    out: Annotated[
        Path | None, typer.Option(help="New part data set folder; with --dry-run not needed.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="The source's format; guessed when left out (docs/guide/formats.md lists them)."
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures, if not the format's own.")
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            help="Table (.csv: category, object, part) of what each category is; for label maps "
            "without parts.json also their list of parts."
        ),
    ] = None,
    object: Annotated[
        str | None, typer.Option(help="Object of the categories that name none.")
    ] = None,
    background: Annotated[
        list[str] | None,
        typer.Option(metavar="N[,N]", help="Label maps: value that is no part (repeatable)."),
    ] = None,
    offset: Annotated[
        int, typer.Option(help="Label maps: what to add to a value to get its part's id.")
    ] = 0,
    unite: Annotated[
        bool, typer.Option("--unite", help="Make categories of one name (head, Head) one.")
    ] = False,
    pictures: PicturesOpt = "link",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; print a table for --names to edit.")
    ] = False,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Turn another format into a part data set; broken records are kept and counted.

    Example: partlab data import PartImageNetPP --format pinpp --images imagenet --out pinpp
    """
    with reported(json) as ui:
        from annotate.data.convert import import_source, propose_names
        from annotate.data.formats import Source
        from annotate.data.formats.pictures import Pictures
        from annotate.data.formats.table import as_csv

        about = Source(source, images, names, object, _values(background), offset, unite)
        if dry_run:
            rows = propose_names(about, format)
            return ui.emit({"names": rows}, as_csv(rows).rstrip())
        if out is None:
            raise ConfigError("--out is missing", hint="say where to write: --out FOLDER")
        told = import_source(about, out, format=format, pictures=Pictures(pictures), force=force)
        taken = f"taken for {told['title']} ({told['format']}), written to {out}"
        lines = [_counts(told), taken, *_published(told), f"next: partlab data check {out}"]
        return ui.emit(told, "\n".join(lines))


def _published(told: dict[str, Any]) -> list[str]:
    """What the authors say is in it, beside what was read."""
    if not (known := told["published"]):
        return []
    rows = [f"  {what}: {found:,} of {stated:,}" for what, found, stated in known["rows"]]
    return [f"read, of what is published ({known['source']}):", *rows]


def _values(background: list[str] | None) -> frozenset[int] | None:
    words = [word for text in background or () for word in text.split(",")]
    try:
        return frozenset(map(int, words)) if words else None
    except ValueError:
        raise ConfigError(f"--background takes numbers, not {','.join(words)!r}") from None


def export(
    data: DataArg,
    out: Annotated[Path, typer.Option(help="New folder.")],
    format: Annotated[str, typer.Option(help="Its format (docs/guide/formats.md lists them).")],
    split: SplitOpt = None,
    pictures: PicturesOpt = "link",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; say what the format cannot hold.")
    ] = False,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Write a part data set in another format; what that cannot hold is said beforehand.

    Example: partlab data export world --split train --format prepared --out prepared
    """
    with reported(json) as ui:
        from annotate.data.convert import export_folder
        from annotate.data.formats.pictures import Pictures

        how = Pictures(pictures)
        told = export_folder(
            data,
            out,
            format=format,
            split=split,
            pictures=how,
            dry_run=dry_run,
            force=force,
        )
        if dry_run:
            kept = "" if told["losses"] else "\nnothing is lost"
            ui.emit(told, f"{_counts(told)}{kept}\nnothing written (--dry-run)")
        else:
            ui.emit(told, f"{_counts(told)}\nformat {format}, written to {out}")


def _counts(told: dict[str, Any]) -> str:
    return "\n".join(split_line(name, n) for name, n in told["splits"].items())


def split_line(name: str, n: dict[str, Any]) -> str:
    """What one split holds."""
    line = f"{name}: {counted(n['images'], 'image')}, {counted(n['annotations'], 'mask')}, "
    line += counted(n["categories"], "part category", "part categories")
    line += f" of {counted(n['objects'], 'object')}"
    line += f", {counted(n['discards'], 'discard')}" if n["discards"] else ""
    return line + (f", {counted(n['broken'], 'broken record')} kept aside" if n["broken"] else "")


def check(
    data: Annotated[
        Path | None,
        typer.Argument(metavar="DATA", help="Part data set: folder or COCO file."),
    ] = None,
    split: SplitOpt = None,
    images: Annotated[bool, typer.Option(help="Open the picture files too.")] = True,
    fix: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write a copy with the safe repairs, and check that."),
    ] = None,
    drop_unusable: Annotated[
        bool,
        typer.Option("--drop-unusable", help="With --fix: take away masks that hold no pixels."),
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Examples of each kind; 0 for all.")] = 3,
    human_only: Annotated[
        bool, typer.Option("--human-only", help="A mask that a model helped with is an error.")
    ] = False,
    pictures: PicturesOpt = "link",
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Find what is wrong with a part data set; ends with code 5 when there are errors.

    Example: partlab data check world --fix world-fixed
    """
    with reported(json) as ui:
        from annotate.data.check import check_folder
        from annotate.data.checks.settings import CheckSettings

        data = _checked_data(data, fix)
        if drop_unusable and not fix:
            raise ConfigError("--drop-unusable changes files", hint="say where to: --fix OUT")
        if fix and human_only:
            raise ConfigError("--fix cannot mend what --human-only finds", hint="use one of them")
        if fix is not None:
            report = _fixed(
                ui, data, fix, split, limit, images, pictures, force, drop_unusable=drop_unusable
            )
        else:
            settings = CheckSettings(human_only=human_only)
            report = check_folder(data, split, pictures=images, settings=settings)
            ui.emit(report.as_json(limit or None), _report_text(report, limit))
    if report.errors:
        raise typer.Exit(5)


def _checked_data(data: Path | None, fix: Path | None) -> Path:
    """The data set, unless --fix took it, or the option behind it, for the folder that it needs."""
    if fix is not None and str(fix).startswith("-"):
        raise ConfigError(
            f"--fix is followed by {fix}, and not by the folder that it writes the mended copy to",
            hint="name a new folder: --fix OUT",
        )
    if data is None and fix is not None:
        raise ConfigError(
            f"no data set is named: --fix took {fix} as the folder that it writes to",
            hint=f"partlab data check {fix} --fix OUT",
        )
    if data is None:
        raise ConfigError("no data set is named", hint="partlab data check DATA")
    return data


def _fixed(
    ui: Ui,
    data: Path,
    out: Path,
    split: str | None,
    limit: int,
    look: bool,
    pictures: Pictures,
    force: bool,
    *,
    drop_unusable: bool,
) -> "Report":
    from annotate.data.fix import fix_folder
    from annotate.data.formats.pictures import Pictures as How

    if split is not None:
        raise ConfigError("--fix copies every split", hint="leave out --split")
    repair = fix_folder(
        data, out, look=look, drop_unusable=drop_unusable, pictures=How(pictures), force=force
    )
    done = [f"repaired {count} x {kind}" for kind, count in repair.repaired.most_common()]
    if drop_unusable:
        done.append(f"took away {counted(repair.dropped, 'mask')} without pixels (partlab.dropped)")
    text = "\n".join([*(done or ["nothing to repair"]), f"written to {out}; what remains there:"])
    left = repair.remaining
    result = {
        "repaired": dict(repair.repaired),
        "dropped": repair.dropped,
        "out": out,
        "remaining": left.as_json(limit or None),
    }
    ui.emit(result, f"{text}\n{_report_text(left, limit)}")
    return left


def _report_text(report: "Report", limit: int) -> str:
    told = report.as_json(limit or None)
    lines = []
    for kind, of in told["kinds"].items():
        fixable = f", --fix repairs {of['fixable']}" if of["fixable"] else ""
        lines.append(f"{of['severity']}: {kind} x {of['count']} - {of['meaning']}{fixable}")
        lines += [f"    {found['file']}: {found['message']}" for found in of["findings"]]
        hidden = of["count"] - len(of["findings"])
        lines += [f"    and {hidden} more (--limit 0 shows all)"] if hidden else []
        lines.append(f"    hint: {of['hint']}")
    total = f"{counted(told['images'], 'image')}, {counted(told['annotations'], 'mask')}"
    found = f"{counted(told['errors'], 'error')}, {counted(told['warnings'], 'warning')}"
    return "\n".join([*lines, f"{total}: {found}"])


def reuse(
    data: DataArg,
    required: Annotated[
        Path | None,
        typer.Option(help='JSON: class or supercategory -> parts it needs: {"ram": ["horn"]}.'),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(help="Supercategory to leave out (repeatable); the published four if none."),
    ] = None,
    min_images: Annotated[int, typer.Option(min=0, help="Annotated images a class needs.")] = 100,
    json: JsonOpt = False,
) -> None:
    """Which classes of an older part data set are good enough to keep, with a reason for each.

    Example: partlab data reuse partimagenet --min-images 100
    """
    with reported(json) as ui:
        from annotate.data.reuse import judge_folder

        told = judge_folder(data, required=required, drop=drop, min_images=min_images)
        lines = [f"{c['class']}: {c['reason']}" for c in told["excluded"]]
        kept = f"kept {len(told['kept'])} of {len(told['kept']) + len(lines)} classes"
        ui.emit(told, "\n".join([*lines, kept]))
