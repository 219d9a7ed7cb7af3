"""What makes a run this run: everything that decides its weights, and nothing else.

A run that was killed goes on only if all of it is the same; what decides speed may change.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from partlab.errors import OutputExistsError

log = logging.getLogger(__name__)

ANOTHER = "choose another --out, or pass --force to replace it"
_WORDS = {
    "data": "data set",
    "val": "validation set",
    "names": "list of part categories",
    "processes": "number of processes",
}


def refuse_another(run: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Let a run go on only as the run it is.

    `old` is what the folder holds; a key that it lacks, because an older version did not note
    it, is said and let pass.

    Raises:
        OutputExistsError: something that decides the weights has changed; the message says what.
    """
    for key, value in new.items():
        if key in old and old[key] != value:
            raise OutputExistsError(
                f"{run} holds a run with another {_WORDS.get(key, key)}{_told(old[key], value)}",
                hint=_way_out(key, old[key]),
            )
    if unknown := [_WORDS.get(key, key) for key in new if key not in old]:
        log.warning("%s was begun by an older version, which noted no %s: it goes on as if that "
                    "were the same", run, ", no ".join(unknown))  # fmt: skip


def _told(old: Any, new: Any) -> str:
    """Both values, where they are short enough to help."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return f": {'; '.join(_differences(old, new))}"
    if old is None or new is None:
        return (
            f" ({'none' if old is None else 'one'} there, {'none' if new is None else 'one'} now)"
        )
    return f" ({old} there, {new} now)" if isinstance(new, int) else ""


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in dict.fromkeys([*new, *old]):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key} ({a!r} there, {b!r} now)")
    return found


def _way_out(key: str, old: Any) -> str:
    if key != "processes":
        return ANOTHER
    start = f"torchrun --nproc-per-node {old} …" if old > 1 else "without torchrun"
    return f"go on with as many as it was begun with ({start}); or {ANOTHER}"
