"""Published figures beside one's own: marked as references, never ranked with them (A14, X-05)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from train.evaluate_report.figures import TYPES, average, corruptions
from train.evaluate_report.reading import Condition, Measured
from train.references import LISTS, Reference, condition, references, tables

Facts = dict[str, Any]


def beside(found: Sequence[Measured], named: Sequence[str] | None) -> list[Facts]:
    """A block for each published table, and for each data that rows of a table were trained on.

    Args:
        named: tables to show whole; None: the columns of threats and attacks that were
            evaluated here, of every table that has an attacked or corrupted one of these.

    Returns:
        `columns` (names, threat, attack), `rows` (name, percent by column), where the figures
        come from, and `comparable`: with which models, or why not.

    Raises:
        UnknownNameError: there is no such table.
    """
    every = named is not None
    blocks = []
    for table in tables() if named is None else dict.fromkeys(named):
        by_source: dict[tuple[Any, ...], list[Reference]] = defaultdict(list)
        for row in references(table):
            by_source[row.list, row.training_data, row.size].append(row)
        columns = _columns(found, table, list(references(table)[0].figures), every)
        if every or any(one["threat"] != "clean" for one in columns):
            blocks += [_block(found, table, rows, columns) for rows in by_source.values()]
    return blocks


def _columns(found: Sequence[Measured], table: str, names: list[str], every: bool) -> list[Facts]:
    told = [(name, condition(table, name)) for name in names]
    return [
        {"column": name, "threat": what[0] if what else None, "attack": what[1] if what else None}
        for name, what in told
        if every or (what and any(_measured(each, *what) for each in found))
    ]


def _measured(each: Measured, threat: str, attack: str) -> bool:
    """Whether an evaluation has a figure of this."""
    if threat.startswith("corruption"):
        whole = [name for name, found in corruptions(each).items() if len(found) == 5]
        return threat.partition(":")[2] in whole or (threat == "corruption" and len(whole) == TYPES)
    asked = Condition(threat, attack)
    return asked in each.outcomes or (threat == "average of four" and bool(average(each, attack)))


def _block(
    found: Sequence[Measured], table: str, rows: list[Reference], columns: list[Facts]
) -> Facts:
    first = rows[0]
    return {
        "reference": True,
        "table": table,
        "source": first.source,
        "list": first.list,
        "training_data": first.training_data,
        "size": first.size,
        "columns": columns,
        "rows": [
            {"name": row.name, "percent": [row.figures[one["column"]] for one in columns]}
            for row in rows
        ],
        "comparable": _comparable(found, first, columns),
    }


def _comparable(found: Sequence[Measured], row: Reference, columns: list[Facts]) -> list[Facts]:
    """Models by what is to be said of them beside such a row."""
    said: dict[str, list[str]] = defaultdict(list)
    for each in found:
        _, why = row.comparable_with(_list(each), _training(each), each.size)
        asked = [(one["threat"], one["attack"]) for one in columns if one["threat"] != "clean"]
        if not any(threat and _measured(each, threat, attack) for threat, attack in asked):
            also = "what it was measured under was not run here"
            why = f"{why}; {also}" if why else f"not comparable: {also}"
        said[why].append(each.name)
    return [{"models": names, "ok": not why, "why": why} for why, names in said.items()]


def _list(each: Measured) -> str:
    """As the tables call it, where it is a published one by its hash."""
    return LISTS.get(each.list["sha256"], str(each.list["name"]))


def _training(each: Measured) -> str | None:
    """What a card says of the training data: its name, or a hash with what was counted."""
    told = each.model.get("training") or {}
    data = told.get("data")
    if isinstance(data, str) and len(data) == 64:
        return f"data {data[:8]} ({told.get('pictures', 'not described')})"
    return None if data is None else str(data)
