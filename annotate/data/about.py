"""What a data set says of itself as a whole: the work it was drawn in, its rounds, its effort.

These values stand at its top level, beside those that every writer keeps up itself. A data set
that was joined of several keeps them of each: `partlab.merged` has a record for each source, with
what that one said.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from annotate.data.accepted import OVERLAPS
from annotate.data.effort import Effort
from annotate.data.stale import STALE, stale_in
from partlab.coco import STYLE
from partlab.schema import OURS, Dataset, Raw

log = logging.getLogger(__name__)

MERGED, FILE = "merged", "file"
_KEPT_UP = frozenset({"inclusions", "discards", "broken", "dropped", "images", OVERLAPS, STALE})


def said_of_itself(dataset: Dataset) -> Raw:
    """What a data set says of itself as a whole, without what is kept up elsewhere.

    Of others' values, such as COCO's `info`, the whole is under `file`.
    """
    ours = dataset.top.get(OURS) or {}
    said = {key: value for key, value in ours.items() if key not in _KEPT_UP}
    others = {
        key: value
        for key, value in dataset.top.items()
        if key not in (OURS, STYLE, "licenses") and value is not None
    }
    return said | ({FILE: others} if others else {})


def joined(said: Sequence[tuple[str, Raw]]) -> Raw:
    """The values of a data set joined of others, by source; at the top where all say the same."""
    own = [{k: v for k, v in one.items() if k not in (MERGED, FILE)} for _, one in said]
    alike = own[0] if all(one == own[0] for one in own) else {}
    sources = [
        {"from": where} | {key: value for key, value in one.items() if key not in alike}
        for where, one in said
    ]
    return {MERGED: sources, **alike}


def efforts(datasets: Sequence[Dataset]) -> dict[str, Effort]:
    """What each work took, by its name; splits of one carry the same figures, told once.

    Raises:
        SchemaError: the figures are not what partlab writes.
    """
    found: dict[str, Any] = {}
    for dataset in datasets:
        for name, stated in _stated(said_of_itself(dataset)):
            if stated not in found.values():
                found[_free(name, found)] = stated
    return {name: Effort.from_json(stated) for name, stated in found.items()}


def _stated(said: Raw) -> Iterator[tuple[str, Any]]:
    if "effort" in said:
        work = said.get("work")
        name = work.get("name") if isinstance(work, dict) else None
        yield str(name or said.get("from") or "the work"), said["effort"]
    sources = said.get(MERGED)
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict):  # earlier versions kept their paths alone
            yield from _stated(source)


def _free(name: str, taken: Raw) -> str:
    numbered = (f"{name} ({n})" for n in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def say_lost(dataset: Dataset, where: str, format: str) -> None:
    """Warn of values that a format has no place for."""
    lost = [key for key in said_of_itself(dataset) if key not in ("origin", FILE)]
    if stale := stale_in(dataset):
        lost.append(f"that {', '.join(stale)} was opened again after the export")
    if lost:
        told = "%s: what it says of itself is not carried over, %s has no place for it: %s"
        log.warning(told, where, format, ", ".join(lost))
