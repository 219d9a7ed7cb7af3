"""Findings of a data set that belong together: one kind, about the same part or two parts."""

from collections.abc import Mapping
from dataclasses import dataclass

from annotate.data.check import Report
from annotate.data.checks.kinds import KINDS
from partlab.schema import Category, Finding


@dataclass(frozen=True, slots=True)
class Group:
    """Findings of one kind; `about` names the part, or the smaller and the larger of two.

    `pair` is object, inner and outer part where declaring an inclusion would settle them.
    """

    kind: str
    severity: str
    meaning: str
    hint: str
    about: str
    pair: tuple[str, str, str] | None
    findings: tuple[Finding, ...]

    @property
    def images(self) -> tuple[int, ...]:
        """Ids of the images, each once, in order."""
        ids = (one.image_id for one in self.findings)
        return tuple(dict.fromkeys(id for id in ids if id is not None))


def grouped(report: Report, categories: Mapping[int, Category]) -> list[Group]:
    """Kinds in the order of the report; within each the most frequent first."""
    groups = []
    for kind, found in report.by_kind.items():
        own: dict[tuple[int | None, int | None], list[Finding]] = {}
        for one in found:
            own.setdefault((one.category_id, one.other_category_id), []).append(one)
        ranked = sorted(own.values(), key=lambda findings: -len(findings))
        groups += [_group(kind, findings, categories) for findings in ranked]
    return groups


def _group(kind: str, found: list[Finding], categories: Mapping[int, Category]) -> Group:
    first = found[0]
    ids = (first.category_id, first.other_category_id)
    names = [categories[id].name for id in ids if id is not None and id in categories]
    return Group(
        kind, first.severity, KINDS[kind].meaning, first.hint, " over ".join(dict.fromkeys(names)),
        pair_of(first, categories), tuple(found),
    )  # fmt: skip


def pair_of(one: Finding, categories: Mapping[int, Category]) -> tuple[str, str, str] | None:
    """Object, inner and outer part of two parts of one object that overlap undeclared."""
    small = categories.get(one.category_id or 0)
    large = categories.get(one.other_category_id or 0)
    if not one.kind.endswith("overlap") or small is None or large is None:
        return None
    return (small.object, small.part, large.part) if small.object == large.object else None
