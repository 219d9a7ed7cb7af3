"""`partlab vocabulary seed`: a first vocabulary from Wikidata and WordNet."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported
from partlab.counts import counted
from partlab.errors import OutputExistsError

if TYPE_CHECKING:
    from annotate.vocabulary.seed import Seeding, SeedSettings
    from annotate.vocabulary.update import Updated

_SHOWN = 8


def register(group: typer.Typer) -> None:
    """Add this command to the group `vocabulary`."""
    group.command()(seed)


def seed(
    categories: Annotated[
        str,
        typer.Argument(
            metavar="CATEGORIES",
            help="List with one object category a line (name, wnid, QID, or `name = QID`), - for "
            "standard input, or the categories themselves by comma.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The new vocabulary.")] = Path("vocabulary.yaml"),
    source: Annotated[
        str | None,
        typer.Option(help="wikidata, wordnet or both by comma; wikidata and the lists given."),
    ] = None,
    wordnet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="List of WordNet parts, JSON.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="List of wnids and their QIDs, JSON.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="SPARQL endpoint; Wikidata's own.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the names; en.")] = None,
    max_distance: Annotated[
        int | None, typer.Option(min=0, help="Steps up to inherit parts from; 12.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one answer; 60.")] = None,
    contact: Annotated[
        str | None, typer.Option(help="Mail or web address to tell the endpoint who asks.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where answers are kept; ~/.cache/partlab.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use only kept answers.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again for kept answers.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Add what is new to --out; edits stay.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write no vocabulary.")] = False,
    settings: SetOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Propose the parts of each object category, with where each part comes from.

    Parts come from Wikidata (has part, part of, inherited over subclass of and
    parent taxon) and from lists of WordNet parts; an object without any gets
    itself as its only part. Answers are kept, so a second run asks only for what
    is new. Further settings with --set: batch, patience, inherit,
    part_properties, general_classes, general_kinds.

    Example: partlab vocabulary seed hammer,ram,Q7378 --out vocabulary.yaml
    """
    with reported(json) as ui:
        from annotate.vocabulary.categories import read_categories
        from annotate.vocabulary.seed import seed as propose
        from partlab.files import cache_folder

        _may_write(out, force or update or dry_run)
        given = {
            "sources": source.replace(" ", "").split(",") if source else _sources(wordnet),
            "endpoint": endpoint,
            "language": language,
            "max_distance": max_distance,
            "timeout": timeout,
            "contact": contact,
        }
        listed, twice = read_categories(categories)
        seeding = propose(
            listed,
            _settings(given, settings or []),
            wordnet=wordnet,
            mapping=mapping,
            cache=cache or cache_folder() / "sparql",
            offline=offline,
            refresh=refresh,
        )
        seeding.resolved.duplicates[:0] = twice
        added = _written(seeding, out, update=update, dry_run=dry_run)
        told = {**seeding.as_json(), "out": None if dry_run else str(out)}
        if added is not None:
            told |= {"added_objects": added.objects, "added_parts": added.parts}
        ui.emit(told, _text(told, seeding, added))


def _may_write(out: Path, allowed: bool) -> None:
    if out.exists() and not allowed:
        raise OutputExistsError(
            f"{out} already exists",
            hint="--update adds what is new and keeps every edit; --force writes it anew",
        )


def _sources(wordnet: Path | None) -> list[str]:
    return ["wikidata", "wordnet"] if wordnet is not None else ["wikidata"]


def _settings(given: dict[str, Any], overrides: list[str]) -> "SeedSettings":
    from annotate.vocabulary.seed import SeedSettings
    from partlab.config import load_config

    stated = {name: value for name, value in given.items() if value is not None}
    return load_config(SeedSettings, overrides=overrides, base=stated)


def _written(seeding: "Seeding", out: Path, *, update: bool, dry_run: bool) -> "Updated | None":
    from annotate.vocabulary.edit import Editor
    from annotate.vocabulary.file import editing, read_vocabulary, write_vocabulary
    from annotate.vocabulary.seed import SEEDER
    from annotate.vocabulary.update import updated

    with editing(out):
        if update and out.exists():
            added = updated(read_vocabulary(out), seeding.vocabulary, Editor(who=SEEDER))
            if not dry_run and (added.objects or added.parts):
                write_vocabulary(out, added.vocabulary)
            return added
        if not dry_run:
            write_vocabulary(out, seeding.vocabulary)
    return None


def _text(told: dict[str, Any], seeding: "Seeding", added: "Updated | None") -> str:
    by_source = ", ".join(f"{count} {name}" for name, count in told["sources"].items())
    lines = [f"{counted(told['objects'], 'object')}, {counted(told['parts'], 'part')}: {by_source}"]
    lines[0] += f"; {told['in_both_sources']} in both sources" if told["in_both_sources"] else ""
    several = [one.sentence for one in seeding.resolved.ambiguous]
    lines += _some("ambiguous, write `name = ID` to choose another", several, one_a_line=True)
    lines += _some("not found anywhere", told["not_found"])
    lines += _some("without parts, so the object itself is the part", told["without_parts"])
    lines += _some("named twice, kept once", told["duplicates"])
    lines += _some("to know", told["notes"], one_a_line=True)
    lines += _some("no answer in time about", told["unanswered"])
    if added is not None:
        lines += _some("new objects", added.objects) + _some("new parts", added.parts)
    kept = counted(told["from_cache"], "answer")
    lines.append(f"{counted(told['requests'], 'request')}, {kept} from the cache")
    if added is not None and not (added.objects or added.parts):
        lines.append("nothing new: the vocabulary stays as it is")
    else:
        lines.append(f"written to {told['out']}" if told["out"] else "nothing written (--dry-run)")
    return "\n".join(lines)


def _some(what: str, items: list[str], *, one_a_line: bool = False) -> list[str]:
    if not items:
        return []
    more = f"and {len(items) - _SHOWN} more (--json lists them)" if len(items) > _SHOWN else ""
    shown = [*items[:_SHOWN], *([more] if more else [])]
    if one_a_line:
        return [f"{what} ({len(items)}):", *(f"    {one}" for one in shown)]
    return [f"{what} ({len(items)}): {', '.join(shown)}"]
