"""`partlab vocabulary show | lint | diff`: look at vocabularies, change nothing."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli._ui import JsonOpt, reported, stdout

VocabularyArg = Annotated[
    Path, typer.Argument(metavar="VOCABULARY", help="A vocabulary's file, or a part data set.")
]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `vocabulary`."""
    group.command()(show)
    group.command()(lint)
    group.command()(diff)


def show(
    vocabulary: VocabularyArg,
    object: Annotated[
        str | None, typer.Argument(metavar="OBJECT", help="Only this one, with evidence.")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """The parts of every object, or all about one: sources, evidence, lineage, changes.

    Example: partlab vocabulary show vocabulary.yaml ram
    """
    with reported(json) as ui:
        from annotate.vocabulary.diff import open_vocabulary
        from app.cli._vocabulary import object_json, one_object, overview

        found = open_vocabulary(vocabulary)
        chosen = [found.object(object)] if object else list(found.objects)
        changes = [change for change in found.changes if object in (None, change.object)]
        told = {
            "objects": [*map(object_json, chosen)],
            "changes": [c.model_dump() for c in changes],
        }
        ui.emit({"name": found.name, "version": found.version, **told})
        for table in (
            [] if json else one_object(chosen[0], changes) if object else [overview(found)]
        ):
            stdout.print(table)


def lint(
    vocabulary: VocabularyArg,
    data: Annotated[
        Path | None, typer.Option(help="Part data set to measure overlaps and cover on.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Only this split of it.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Examples of each rule; 0 for all.")] = 3,
    overlap: Annotated[float, typer.Option(min=0, max=1, help="Share that is too much.")] = 0.5,
    json: JsonOpt = False,
) -> None:
    """Find what breaks the rules of choosing parts; ends with code 5 when there are errors.

    Example: partlab vocabulary lint vocabulary.yaml --data world
    """
    with reported(json) as ui:
        from annotate.vocabulary.diff import open_vocabulary, read_splits
        from annotate.vocabulary.lint import lint as check
        from annotate.vocabulary.measure import MeasureSettings, lint_data
        from app.cli._vocabulary import lint_text

        found = open_vocabulary(vocabulary)
        report = check(found)
        if data is not None:
            how = MeasureSettings(overlap=overlap)
            report = lint_data(report, found, read_splits(data, split), how)
        ui.emit(report.as_json(limit or None), lint_text(report, limit))
    if report.count("error"):
        raise typer.Exit(5)


def diff(
    before: VocabularyArg,
    after: Annotated[Path, typer.Argument(metavar="OTHER", help="The other one.")],
    json: JsonOpt = False,
) -> None:
    """What differs between two vocabularies: parts, names, splits, merges, inclusions.

    Example: partlab vocabulary diff vocabulary.yaml partimagenet
    """
    with reported(json) as ui:
        from annotate.vocabulary.diff import diff as compare
        from annotate.vocabulary.diff import open_vocabulary
        from app.cli._vocabulary import diff_text

        found = compare(open_vocabulary(before), open_vocabulary(after))
        ui.emit(found.as_json(), diff_text(found))
