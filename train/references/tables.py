"""The published tables (A14) with the list, training data and size that each was measured on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partlab.errors import UnknownNameError

LISTS = {
    "1947323ed29b7974422b2716858474dca3f4ff6df247d3d67e818a6d71e35e8b": "ImageNet-1K, 10 K list",
}
"""sha256 of a published list file -> what the tables call it (E-02)."""

_AUTOATTACK = {
    "linf": "linf-4/255",
    "linf x2": "linf-8/255",
    "l1": "l1-75",
    "l2": "l2-2",
    "average": "average of four",
}
_CORRUPTIONS = {"elastic": "elastic_transform", "jpeg": "jpeg_compression"}


@dataclass(frozen=True, slots=True)
class Reference:
    """One published row; a figure that was not published is none.

    So are list, training data and size (side in pixels) where their source does not state them;
    what could only be inferred is not stated.
    """

    name: str
    figures: dict[str, float | None]
    source: str
    list: str | None
    training_data: str | None
    size: int | None

    def comparable_with(
        self, list: str, training_data: str | None, size: int | None
    ) -> tuple[bool, str]:
        """Whether a row of one's own may be compared with this one, and if not why (X-05).

        What is not stated, here or there, makes two rows not comparable.
        """
        told = {
            "list": (self.list, list),
            "training data": (self.training_data, training_data),
            "size": (self.size, size),
        }
        reasons = [_unlike(what, *each) for what, each in told.items()]
        apart = "; ".join(reason for reason in reasons if reason)
        return not apart, f"not comparable: {apart}" if apart else ""


def _unlike(what: str, theirs: Any, ours: Any) -> str:
    """Why this keeps a published row from standing beside one's own; "" if it does not."""
    if not theirs:
        return f"its {what} is not stated"
    if ours is None:
        return f"its {what} is {theirs}, ours is not stated"
    return "" if theirs == ours else f"its {what} is {theirs}, not {ours}"


def tables() -> list[str]:
    """Names of the published tables, in the order of the paper."""
    return [*_tables()]


def condition(table: str, column: str) -> tuple[str, str] | None:
    """Threat and attack of a column, as evaluations call them; None where they have no such.

    Attacked columns are by AutoAttack with the bounds of E-01 and E-04. Those of Table 3 are
    types of corruption, `corruption:fog`, each the mean of five severities, and `corruption` is
    the mean of the 15 (G-01).
    """
    if table == "3":
        name = _CORRUPTIONS.get(column, column.replace(" ", "_"))
        return ("corruption" if column == "mean" else f"corruption:{name}"), "clean"
    if column == "clean":
        return "clean", "clean"
    return (_AUTOATTACK[column], "autoattack") if column in _AUTOATTACK else None


def references(table: str) -> list[Reference]:
    """The rows of a published table, for example "2" or "S4".

    Raises:
        UnknownNameError: there is no such table.
    """
    if table not in (known := _tables()):
        raise UnknownNameError("published table", table, known)
    found = known[table]
    shared = {key: found[key] for key in ("list", "training_data", "size")}
    differ = found.get("rows_differ", {})
    return [
        Reference(
            name,
            dict(zip(found["columns"], row, strict=True)),
            found["source"],
            **{**shared, **differ.get(name, {})},
        )
        for name, row in found["rows"].items()
    ]


def _tables() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Path(__file__).with_name("tables.json").read_text("utf-8"))
    return read
