"""Labels in results of Label Studio, changed as the vocabulary changed; masks stay as drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Relabelled:
    """A result with its new labels; how many regions were renamed, how many went."""

    result: list[Any]
    renamed: int
    dropped: int


def relabel(result: Any, labels: Mapping[str, str | None]) -> Relabelled:
    """The result with each label replaced; regions whose label is gone are left out.

    `labels` is old -> new, None for gone; labels that are not in it stay, as does everything
    that is no region. What goes with a region (its number, its relations) goes too.
    """
    if not isinstance(result, list):
        return Relabelled(result, 0, 0)
    renamed: set[Any] = set()
    gone: set[Any] = set()
    kept: list[Any] = []
    for place, item in enumerate(result):
        key = _labels_key(item)
        if key is None:
            kept.append(item)
            continue
        before = item["value"][key]
        after = [labels.get(name, name) if isinstance(name, str) else name for name in before]
        after = list(dict.fromkeys(name for name in after if name is not None))
        id = item.get("id", place)
        if before and not after:
            gone.add(id)
        elif after != before:
            renamed.add(id)
            item = {**item, "value": {**item["value"], key: after}}
        kept.append(item)
    kept = [item for item in kept if not _goes(item, gone)]
    return Relabelled(kept, len(renamed - gone), len(gone))


def _labels_key(item: Any) -> str | None:
    """Under which key of its value an item holds labels."""
    if not isinstance(item, dict) or not isinstance(item.get("value"), dict):
        return None
    type = item.get("type")
    if not isinstance(type, str) or not type.endswith("labels"):
        return None
    return type if isinstance(item["value"].get(type), list) else None


def _goes(item: Any, gone: set[Any]) -> bool:
    if not isinstance(item, dict):
        return False
    return any(item.get(end) in gone for end in ("id", "from_id", "to_id") if end in item)
