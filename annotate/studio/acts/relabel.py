"""Labels in results of Label Studio, changed as the vocabulary changed; masks stay as drawn."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annotate.studio.api.raw import RawAnnotation

Labels = Mapping[str, str | None]
"""Label before -> label now, None where it is gone."""


@dataclass(frozen=True, slots=True)
class Relabelled:
    """A result with its new labels; how many regions were renamed, how many went."""

    result: list[Any]
    renamed: int
    dropped: int


def relabel(result: Any, labels: Labels) -> Relabelled:
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


def changes(
    task: Mapping[str, Any], base: Mapping[str, Any], labels: Labels, now: Collection[str]
) -> Iterator[tuple[str, dict[str, Any], Relabelled]]:
    """What has to change in a task: "annotations" or "predictions", the one, and its result.

    `base` is the task before anything was touched, so that a label is never changed twice.
    What was made or changed since has labels of either version: only those that are gone, not
    among the labels `now`, are replaced.
    """
    old = base if base.get("id") == task["id"] else {}
    gone = {name: to for name, to in labels.items() if name not in now}
    for kind in ("annotations", "predictions"):
        before = {one["id"]: one["result"] for one in old.get(kind) or ()}
        for one in task.get(kind) or ():
            made = relabel(before.get(one["id"]), labels)
            if one["result"] == made.result:
                continue  # nothing to do, or done before
            if one["result"] != before.get(one["id"]):
                made = relabel(one["result"], gone)
            if one["result"] != made.result:
                yield kind, one, made


def relabelled(
    task: Mapping[str, Any], base: Mapping[str, Any], labels: Labels
) -> Iterator[tuple[RawAnnotation, RawAnnotation]]:
    """Annotations that hold what they held before with new labels, and nothing else: old, new."""
    before = {one["id"]: one for one in base.get("annotations") or ()}
    for one in task["annotations"]:
        old = before.get(one["id"])
        if old is None or old["result"] == one["result"]:
            continue
        if one["result"] == relabel(old["result"], labels).result:
            yield RawAnnotation.model_validate(old), RawAnnotation.model_validate(one)


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
