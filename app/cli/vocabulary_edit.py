"""`partlab vocabulary add | remove | rename | merge | split | include`: each a new version."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._ui import JsonOpt, ObjectArg, Ui, reported

if TYPE_CHECKING:
    from annotate.vocabulary.edit import Editor
    from annotate.vocabulary.model import Vocabulary

FileArg = Annotated[Path, typer.Argument(metavar="VOCABULARY", help="The vocabulary's file.")]
PartArg = Annotated[str, typer.Argument(metavar="PART", help="Name of the part.")]
WhoOpt = Annotated[str, typer.Option(help="Who decided it; the account's name if left out.")]
NoteOpt = Annotated[str, typer.Option(help="Why.")]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `vocabulary`."""
    for command in (add, remove, rename, merge, split, include):
        group.command()(command)


def add(
    file: FileArg,
    object: ObjectArg,
    parts: Annotated[list[str], typer.Argument(metavar="PART...", help="Names of new parts.")],
    new: Annotated[bool, typer.Option("--new", help="The object category is new too.")] = False,
    source: Annotated[
        str, typer.Option(help="wikidata, wordnet, volunteers, function-or-shape or manual.")
    ] = "manual",
    evidence: Annotated[list[str] | None, typer.Option(help="What supports it.")] = None,
    who: WhoOpt = "",
    note: NoteOpt = "",
    json: JsonOpt = False,
) -> None:
    """Give an object more parts; with --new, a file that is not there yet is begun.

    Example: partlab vocabulary add vocabulary.yaml ram horn --source volunteers
    """
    with reported(json) as ui:
        from annotate.vocabulary.edit import add_parts, checked_source

        kind, facts = checked_source(source), evidence or ()
        _edit(
            ui,
            file,
            lambda old, by: add_parts(
                old, object, parts, by, source=kind, evidence=facts, new_object=new
            ),
            who,
            note,
            begin=new,
        )


def remove(
    file: FileArg,
    object: ObjectArg,
    part: PartArg,
    who: WhoOpt = "",
    note: NoteOpt = "",
    json: JsonOpt = False,
) -> None:
    """Take a part away; its id is never used again.

    Example: partlab vocabulary remove vocabulary.yaml "acoustic guitar" strings
    """
    with reported(json) as ui:
        from annotate.vocabulary.edit import remove_part

        _edit(ui, file, lambda old, by: remove_part(old, object, part, by), who, note)


def rename(
    file: FileArg,
    object: ObjectArg,
    part: PartArg,
    to: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    who: WhoOpt = "",
    note: NoteOpt = "",
    json: JsonOpt = False,
) -> None:
    """Call a part differently; it stays the same part.

    Example: partlab vocabulary rename vocabulary.yaml car tyre wheel
    """
    with reported(json) as ui:
        from annotate.vocabulary.edit import rename_part

        _edit(ui, file, lambda old, by: rename_part(old, object, part, to, by), who, note)


def merge(
    file: FileArg,
    object: ObjectArg,
    parts: Annotated[list[str], typer.Argument(metavar="PART PART...", help="Two or more.")],
    into: Annotated[str, typer.Option(metavar="NAME", help="What they are together.")],
    who: WhoOpt = "",
    note: NoteOpt = "",
    json: JsonOpt = False,
) -> None:
    """Make one part of several.

    Example: partlab vocabulary merge vocabulary.yaml car window windscreen --into window
    """
    with reported(json) as ui:
        from annotate.vocabulary.edit import merge_parts

        _edit(ui, file, lambda old, by: merge_parts(old, object, parts, into, by), who, note)


def split(
    file: FileArg,
    object: ObjectArg,
    part: PartArg,
    into: Annotated[str, typer.Option(metavar="A,B,...", help="The pieces, by comma.")],
    source: Annotated[
        str, typer.Option(help="Who says so: function-or-shape, volunteers, manual, ...")
    ] = "function-or-shape",
    who: WhoOpt = "",
    note: NoteOpt = "",
    json: JsonOpt = False,
) -> None:
    """Make several parts of one; each remembers where it came from.

    Example: partlab vocabulary split vocabulary.yaml maraca stick --into joint,handle
    """
    with reported(json) as ui:
        from annotate.vocabulary.edit import checked_source, split_part

        names, kind = [name for name in into.split(",") if name.strip()], checked_source(source)
        _edit(
            ui,
            file,
            lambda old, by: split_part(old, object, part, names, by, source=kind),
            who,
            note,
        )


def include(
    file: FileArg,
    object: ObjectArg,
    inner: Annotated[str, typer.Argument(metavar="INNER", help="The part that lies inside.")],
    outer: Annotated[str, typer.Argument(metavar="OUTER", help="The part it lies in.")],
    no_longer: Annotated[bool, typer.Option("--not", help="It does not lie there.")] = False,
    who: WhoOpt = "",
    note: NoteOpt = "",
    json: JsonOpt = False,
) -> None:
    """Declare that one part lies inside another, and may overlap it; --not takes that back.

    A part may lie in several, as a mirror in the front door and in the back door: declare each.

    Example: partlab vocabulary include vocabulary.yaml ram horn head
    """
    with reported(json) as ui:
        from annotate.vocabulary.edit import exclude_part, include_part

        edit = exclude_part if no_longer else include_part
        _edit(ui, file, lambda old, by: edit(old, object, inner, outer, by), who, note)


def _edit(
    ui: Ui,
    file: Path,
    edit: "Callable[[Vocabulary, Editor], Vocabulary]",
    who: str,
    note: str,
    *,
    begin: bool = False,
) -> None:
    """Read, change, write; then say what changed. `begin` takes a missing file for an empty one."""
    from annotate.vocabulary.diff import diff
    from annotate.vocabulary.edit import Editor
    from annotate.vocabulary.file import editing, read_vocabulary, write_vocabulary
    from app.cli._vocabulary import diff_text

    with editing(file):
        old = read_vocabulary(file, missing_ok=begin)
        new = edit(old, Editor(who, note))
        write_vocabulary(file, new)
    found, news = diff(old, new), new.changes[len(old.changes) :]
    notes = [change.note for change in news if change.note and change.operation != "rename"]
    told = [*diff_text(found).splitlines()[:-1], *notes, *_say_again(file, old, new)]
    text = "\n".join([*told, f"version {new.version} written to {file}"])
    ui.emit({"file": file, "version": new.version, "notes": notes, **found.as_json()}, text)


def _say_again(file: Path, old: "Vocabulary", new: "Vocabulary") -> list[str]:
    """The commands that declare anew what a split took away."""
    from annotate.vocabulary.diff import left_alone

    (*_, last) = new.changes
    if last.operation != "split":
        return []
    first, *others = (new.object(last.object).part(id).name for id in last.after)
    words = ["partlab", "vocabulary", "include", str(file), last.object]
    return [
        f"    {shlex.join([*words, inner, first])}    (or {', '.join(others)})"
        for _, inner, _ in left_alone(old, new)
    ]
