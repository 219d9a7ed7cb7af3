"""Overlaps of parts that an inspection accepted by name, as a data set keeps them (M-02).

They stand in the data set's own values, `partlab.overlaps`: per object category the pairs of parts,
smaller and larger. Whoever writes a data set anew takes them along.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from partlab.errors import SchemaError
from partlab.parts import join_name
from partlab.schema import OURS, Dataset

OVERLAPS = "overlaps"
Pairs = dict[str, list[tuple[str, str]]]
"""Per object category: (smaller part, larger part), by name."""


def stated_overlaps(ours: Any, where: object) -> Pairs:
    """The accepted pairs in a data set's own values.

    Raises:
        SchemaError: they are of another form.
    """
    stated = ours.get(OVERLAPS, {}) if isinstance(ours, dict) else {}
    if not isinstance(stated, dict) or not all(map(_are_pairs, stated.values())):
        raise SchemaError(
            f"{where}: the {OVERLAPS} under {OURS!r} are not of the form "
            "object: [[inner, outer], …]"
        )
    return {owner: [(small, large) for small, large in pairs] for owner, pairs in stated.items()}


def _are_pairs(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(p, str) for p in pair)
        for pair in value
    )


def accepted_overlaps(dataset: Dataset) -> Pairs:
    """The pairs of parts whose overlap an inspection accepted.

    Raises:
        SchemaError: the data set states them in another form.
    """
    return stated_overlaps(dataset.top.get(OURS), dataset.path or "the data set")


def accepted_pairs(dataset: Dataset) -> set[frozenset[int]]:
    """Those pairs as category ids; a pair of which the data set lacks a part is left out.

    Raises:
        SchemaError: as `accepted_overlaps`.
    """
    ids = {category.name: category.id for category in dataset.categories}
    named = [
        {join_name(owner, part) for part in pair}
        for owner, pairs in accepted_overlaps(dataset).items()
        for pair in pairs
    ]
    return {frozenset(ids[name] for name in pair) for pair in named if ids.keys() >= pair}


def with_accepted(dataset: Dataset, pairs: Mapping[str, Any]) -> Dataset:
    """The data set with these accepted overlaps in place of its own."""
    ours = {k: value for k, value in (dataset.top.get(OURS) or {}).items() if k != OVERLAPS}
    ours |= {OVERLAPS: dict(pairs)} if pairs else {}
    return replace(dataset, top={**dataset.top, OURS: ours})
