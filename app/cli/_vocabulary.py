"""Vocabularies as tables and words for people."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from partlab.counts import counted
from partlab.inclusions import outers_of

if TYPE_CHECKING:
    from rich.table import Table

    from annotate.vocabulary.diff import ObjectDiff, VocabularyDiff
    from annotate.vocabulary.lint import LintReport
    from annotate.vocabulary.model import Change, ObjectParts, Vocabulary
    from annotate.vocabulary.vote import Result

_SIGNS = {"added": "+", "removed": "-", "inclusions_added": "+", "inclusions_removed": "-"}


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        right = column in ("parts", "yes", "no", "of", "version")
        table.add_column(column, justify="right" if right else "left", vertical="top")
    return table


def overview(vocabulary: "Vocabulary") -> "Table":
    """One row an object; a star marks objects that are their own part, ≺ reads `lies in`."""
    title = f"{vocabulary.name}, version {vocabulary.version}"
    table = _table(title, "object", "parts", "names", "from")
    for one in vocabulary.objects:
        names = [_part_name(one, part.id) for part in one.parts]
        sources = ", ".join(dict.fromkeys(part.source for part in one.parts))
        count = "whole" if one.whole_object else str(len(one.parts))
        table.add_row(_safe(one.name), count, _safe(", ".join(names)), sources)
    return table


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _part_name(one: "ObjectParts", id: str) -> str:
    outers = _around(one, id)
    return one.part(id).name + (f" (in {outers})" if outers else "")


def _around(one: "ObjectParts", id: str) -> str:
    """The names of what a part lies in."""
    return ", ".join(one.part(outer).name for outer in outers_of(id, one.inclusions))


def one_object(one: "ObjectParts", changes: Iterable["Change"]) -> "list[Table]":
    """The parts of one object with evidence and lineage, and what was changed when."""
    known = [f"{name} {value}" for name, value in (("wnid", one.wnid), ("QID", one.qid)) if value]
    known += [f"also {', '.join(one.aliases)}"] if one.aliases else []
    known += ["the whole object is its one part"] if one.whole_object else []
    known += [one.remark] if one.remark else []
    title = "; ".join([one.name, *known])
    table = _table(_safe(title), "part", "id", "from", "evidence", "made from", "lies in")
    for part in one.parts:
        facts = [*part.evidence, *([f"remark: {part.remark}"] if part.remark else [])]
        row = [part.name, part.id, part.source, "\n".join(facts), ", ".join(part.origin)]
        table.add_row(*map(_safe, [*row, _around(one, part.id)]))
    tables = [table]
    history = _table("changes", "version", "change", "before", "after", "who", "when", "note")
    for change in changes:
        ids = [", ".join(change.before), ", ".join(change.after)]
        row = [change.operation, *ids, change.who, change.at[:16].replace("T", " "), change.note]
        history.add_row(str(change.version), *map(_safe, row))
    return [*tables, history] if history.row_count else tables


def lint_text(report: "LintReport", limit: int) -> str:
    """Problems by rule, as `partlab data check` tells its findings."""
    told = report.as_json(limit or None)
    lines = []
    for rule, of in told["rules"].items():
        lines.append(f"{of['severity']}: {rule} x {of['count']} - {of['meaning']}")
        lines += [f"    {one['object']}: {one['message']}" for one in of["problems"]]
        hidden = of["count"] - len(of["problems"])
        lines += [f"    and {hidden} more (--limit 0 shows all)"] if hidden else []
        lines.append(f"    hint: {of['hint']}")
    lines += [f"not measured: {why}" for why in told["unmeasured"]]
    seen = "" if told["images"] is None else f", {counted(told['images'], 'image')}"
    total = f"{counted(told['objects'], 'object')}, {counted(told['parts'], 'part')}{seen}"
    kinds = ("error", "warning", "note")
    counts = ", ".join(counted(told[f"{kind}s"], kind) for kind in kinds)
    return "\n".join([*lines, f"{total}: {counts}"])


def diff_text(found: "VocabularyDiff") -> str:
    """What differs, one block an object."""
    lines = [f"+ object {name}" for name in found.added]
    lines += [f"- object {name}" for name in found.removed]
    for one in found.changed:
        was = "" if one.object == one.object_before else f" (before: {one.object_before})"
        lines += [f"{one.object}{was}", *(f"  {line}" for line in _object_lines(one))]
    differ = len(found.changed) + len(found.added) + len(found.removed)
    return "\n".join(
        [
            *lines,
            f"{counted(differ, 'object differs', 'objects differ')}, {found.same} stayed the same",
        ]
    )


def _object_lines(one: "ObjectDiff") -> list[str]:
    lines = [f"~ {before} is now called {after}" for before, after in one.renamed]
    lines += [f"~ {before} was split into {_listed(after)}" for before, after in one.split]
    lines += [f"~ {_listed(before)} became one: {after}" for before, after in one.merged]
    for what in ("added", "removed", "inclusions_added", "inclusions_removed"):
        lines += [f"{_SIGNS[what]} {name}" for name in getattr(one, what)]
    return lines


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def vote_table(result: "Result") -> "Table":
    """Each part with its votes and what became of it."""
    table = _table("Votes", "object", "part", "yes", "no", "of", "decision", "also written")
    for one in result.outcomes:
        counts = [str(one.yes), str(one.no), str(one.voters)]
        also = ", ".join(one.spellings)
        table.add_row(_safe(one.object), _safe(one.part), *counts, one.decision, _safe(also))
    return table


def object_json(one: "ObjectParts") -> dict[str, Any]:
    """An object for programs."""
    return {**one.model_dump(mode="json"), "whole_object": one.whole_object}
