"""The published tables (A14) with the list, training data and size that each was measured on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partlab.errors import UnknownNameError


@dataclass(frozen=True, slots=True)
class Reference:
    """One published row; a figure that was not published is none."""

    name: str
    figures: dict[str, float | None]
    source: str
    list: str
    training_data: str
    size: int | None

    def comparable_with(self, list: str, training_data: str, size: int) -> tuple[bool, str]:
        """Whether a row of one's own may be compared with this one, and if not why (X-05)."""
        ours = {"list": list, "training data": training_data, "size": size}
        theirs = {"list": self.list, "training data": self.training_data, "size": self.size}
        reasons = [
            f"{what} is {theirs[what] or 'not stated'}, not {mine}"
            for what, mine in ours.items()
            if theirs[what] != mine
        ]
        return not reasons, "not comparable: " + "; ".join(reasons) if reasons else ""


def references(table: str) -> list[Reference]:
    """The rows of a published table, for example "2" or "S4".

    Raises:
        UnknownNameError: there is no such table.
    """
    tables: dict[str, Any] = json.loads(Path(__file__).with_name("tables.json").read_text("utf-8"))
    if table not in tables:
        raise UnknownNameError("published table", table, tables)
    found = tables[table]
    facts = [found[key] for key in ("source", "list", "training_data", "size")]
    return [
        Reference(name, dict(zip(found["columns"], row, strict=True)), *facts)
        for name, row in found["rows"].items()
    ]
