"""What differs between two vocabularies: by id where one became the other, else by name (V-09)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.vocabulary.file import read_vocabulary
from annotate.vocabulary.model import Change, ObjectParts, Part, Vocabulary
from annotate.vocabulary.names import name_key
from annotate.vocabulary.parse import parse
from partlab.coco import find_splits, read_coco
from partlab.errors import UnknownNameError
from partlab.inclusions import outers_of, pairs_of, spelled
from partlab.objects import parts_only, require_objects
from partlab.schema import OURS, Dataset

_WHAT = ("added", "removed", "renamed", "merged", "split", "inclusions_added", "inclusions_removed")


@dataclass(frozen=True)
class ObjectDiff:
    """What happened to one object; parts by name, inclusions as `inner in outer`.

    `split` and `merged` pair the names before with those after; `object_before` differs from
    `object` where the object itself is called otherwise (known by wnid or QID).
    """

    object: str
    object_before: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    merged: tuple[tuple[tuple[str, ...], str], ...] = ()
    split: tuple[tuple[str, tuple[str, ...]], ...] = ()
    inclusions_added: tuple[str, ...] = ()
    inclusions_removed: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """True when nothing differs."""
        return self.object == self.object_before and not any(getattr(self, name) for name in _WHAT)

    def as_json(self) -> dict[str, Any]:
        """Only what differs."""
        told = {name: getattr(self, name) for name in _WHAT if getattr(self, name)}
        was = {} if self.object == self.object_before else {"object_before": self.object_before}
        return {"object": self.object, **was, **told}


@dataclass(frozen=True)
class VocabularyDiff:
    """What differs between two vocabularies, object by object."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[ObjectDiff, ...]
    same: int

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "objects_added": self.added,
            "objects_removed": self.removed,
            "objects_same": self.same,
            "changed": [one.as_json() for one in self.changed],
        }


def open_vocabulary(path: str | Path) -> Vocabulary:
    """A vocabulary file, or the vocabulary of a part data set (folder or COCO file).

    Raises:
        NotFoundError: nothing is there.
        SchemaError: it is neither.
    """
    path = Path(path)
    if path.suffix.lower() in (".yaml", ".yml") or (path.is_file() and path.suffix != ".json"):
        return read_vocabulary(path)
    if (path / "vocabulary.yaml").is_file():
        return read_vocabulary(path / "vocabulary.yaml")
    return vocabulary_of(read_splits(path), path)


def read_splits(path: str | Path, split: str | None = None) -> list[Dataset]:
    """Every split of a part data set, or one.

    Raises:
        NotFoundError: no data set, or no such split.
    """
    splits = find_splits(path)
    if split is not None and split not in splits:
        raise UnknownNameError(f"split of {path}", split, splits)
    chosen = [file for name, file in splits.items() if split in (None, name)]
    # As they are: lint tells of two names alike.
    found = [parts_only(read_coco(file, as_is=True)) for file in chosen]
    for dataset in found:
        require_objects(dataset)
    return found


def vocabulary_of(splits: Sequence[Dataset], path: Path) -> Vocabulary:
    """The objects and parts that the data sets at `path` have.

    Ids are those that the files state, as `inspect export` writes them, else the parts' names.

    Raises:
        SchemaError: a part has no name, or their inclusions go in a circle.
    """
    parts: dict[str, dict[str, dict[str, str]]] = {}
    facts: dict[str, dict[str, str]] = {}
    inclusions: dict[str, list[tuple[str, str]]] = {}
    ids = _stated_ids(splits)
    for split in splits:
        for category in split.categories:
            source = "whole-object" if category.whole_object else "manual"
            id = ids.get(category.object, {}).get(category.part, category.part)
            part = {"id": id, "name": category.part, "source": source}
            parts.setdefault(category.object, {}).setdefault(category.part, part)
            known = {"wnid": category.wnid, "qid": category.qid}
            facts.setdefault(category.object, {}).update({k: v for k, v in known.items() if v})
        for owner, around in split.inclusions.items():
            listed = parts.get(owner, {})
            sound = [pair for pair in pairs_of(around) if listed.keys() >= set(pair)]
            by_id = [(listed[inner]["id"], listed[outer]["id"]) for inner, outer in sound]
            inclusions.setdefault(owner, []).extend(by_id)
    objects = {
        owner: {
            **facts[owner],
            "parts": [*of.values()],
            "inclusions": spelled(inclusions.get(owner, ())),
        }
        for owner, of in parts.items()
    }
    return parse({"name": path.name or "data set", "objects": objects}, path)


def _stated_ids(splits: Sequence[Dataset]) -> dict[str, dict[str, str]]:
    """Object -> part name -> part id, of objects where every part states an id of its own."""
    found: dict[str, dict[str, str]] = {}
    for category in (category for split in splits for category in split.categories):
        stated = category.raw.get(OURS, {}).get("part_id")
        found.setdefault(category.object, {}).setdefault(category.part, stated)
    return {
        owner: ids
        for owner, ids in found.items()
        if all(isinstance(id, str) and id for id in ids.values())
        and len(set(ids.values())) == len(ids)
    }


def diff(before: Vocabulary, after: Vocabulary) -> VocabularyDiff:
    """What must happen to `before` so that it becomes `after`."""
    grown = is_continued(before, after)
    news = after.changes[len(before.changes) :] if grown else ()
    pairs = _pairs(before.objects, after.objects)
    matched = {id(old) for old, _ in pairs} | {id(new) for _, new in pairs}
    found = [
        _object_diff(old, new, [c for c in news if c.object == new.name], by_id=grown)
        for old, new in pairs
    ]
    changed = tuple(one for one in found if not one.empty)
    return VocabularyDiff(
        added=tuple(one.name for one in after.objects if id(one) not in matched),
        removed=tuple(one.name for one in before.objects if id(one) not in matched),
        changed=changed,
        same=len(found) - len(changed),
    )


def is_continued(before: Vocabulary, after: Vocabulary) -> bool:
    """Whether `after` came out of `before` by recorded changes (or none)."""
    recorded = len(before.changes)
    return before.version <= after.version and after.changes[:recorded] == before.changes


_KNOWN_BY: tuple[Callable[[ObjectParts], str | None], ...] = (
    lambda one: one.name,
    lambda one: one.wnid,
    lambda one: one.qid,
    lambda one: name_key(one.name),
)


def _pairs(
    before: Sequence[ObjectParts], after: Sequence[ObjectParts]
) -> list[tuple[ObjectParts, ObjectParts]]:
    """Objects that are the same: by name, else wnid, else QID, else the name's key."""
    left, right = dict(enumerate(before)), dict(enumerate(after))
    found: dict[int, ObjectParts] = {}
    for key in _KNOWN_BY:
        places = {key(one): place for place, one in left.items() if key(one)}
        for place, new in list(right.items()):
            if (old := places.pop(key(new), None)) is not None:
                found[place] = left.pop(old)
                del right[place]
    return [(found[place], after[place]) for place in sorted(found)]


def _object_diff(
    old: ObjectParts, new: ObjectParts, news: Sequence[Change], *, by_id: bool
) -> ObjectDiff:
    became = {id: after for id, after in follow(old.ids, news).items() if after != (id,)}
    became = {id: tuple(one for one in after if one in new.ids) for id, after in became.items()}
    told = {id for change in news for id in (*change.before, *change.after)}
    same = dict(_same(old.parts, new.parts, told, by_id=by_id))
    sources = {id: [b for b, after in became.items() if id in after] for id in new.ids}
    merged = {id: [*_itself(id, same, sources), *sources[id]] for id in new.ids}
    merged = {id: before for id, before in merged.items() if len(before) > 1}
    in_merge = {id for before in merged.values() for id in before}
    come = [id for id in new.ids if id not in same.values() and not sources[id]]
    gone = [id for id in old.ids if id not in same and not became.get(id)]
    inner_before, inner_after = _inclusions(old, new, same), _inclusions(new, new, {})

    def names(parts: ObjectParts, ids: Iterable[str]) -> tuple[str, ...]:
        return tuple(parts.part(id).name for id in ids)

    return ObjectDiff(
        object=new.name,
        object_before=old.name,
        added=names(new, come),
        removed=names(old, gone),
        renamed=tuple(
            pair
            for pair in zip(names(old, same), names(new, same.values()), strict=True)
            if pair[0] != pair[1]
        ),
        merged=tuple((names(old, before), new.part(id).name) for id, before in merged.items()),
        split=tuple(
            (old.part(id).name, names(new, after))
            for id, after in became.items()
            if after and id not in same and id not in in_merge
        ),
        inclusions_added=tuple(sorted(inner_after - inner_before)),
        inclusions_removed=tuple(sorted(inner_before - inner_after)),
    )


def _itself(id: str, same: Mapping[str, str], sources: Mapping[str, list[str]]) -> list[str]:
    """The old part that lives on in `id`, where others were merged into it."""
    return [old for old, new in same.items() if new == id and old not in sources[id]]


def left_alone(before: Vocabulary, after: Vocabulary) -> Iterator[tuple[str, str, str]]:
    """Object, part and what it lay in, of parts that now lie in nothing, or in no piece of that.

    Parts that are gone, or one with what they lay in, are left out. `after` came out of `before`.
    """
    for new in after.objects:
        if new.name in before.names:
            old, news = before.object(new.name), after.changes[len(before.changes) :]
            now = follow(old.ids, [change for change in news if change.object == new.name])
            for inner, outer in pairs_of(old.inclusions):
                pieces = now[outer]
                for id in now[inner]:
                    around = set(outers_of(id, new.inclusions))
                    lost = not around or (len(pieces) > 1 and around.isdisjoint(pieces))
                    if lost and id in new.ids and id not in pieces:
                        yield new.name, new.part(id).name, old.part(outer).name


def _same(
    old: Sequence[Part], new: Sequence[Part], told: set[str], *, by_id: bool
) -> Iterator[tuple[str, str]]:
    """Ids of parts that are one part in both.

    Ids only mean something within one history; there, `told` are those whose fate is recorded.
    """
    left, right = {part.id: part for part in old}, {part.id: part for part in new}
    if by_id:
        for id in [id for id in left if id in right]:
            yield id, id
            del left[id], right[id]
    for key in (str, name_key):
        by_name = {key(part.name): id for id, part in right.items()}
        for id in [id for id in left if id not in told]:
            if (found := by_name.pop(key(left[id].name), None)) is not None:
                yield id, found
                del left[id], right[found]


def _inclusions(parts: ObjectParts, new: ObjectParts, same: Mapping[str, str]) -> set[str]:
    """`inner in outer`, in the new vocabulary's words where it has them."""

    def name(id: str) -> str:
        return new.part(same[id]).name if id in same else parts.part(id).name

    return {f"{name(inner)} in {name(outer)}" for inner, outer in pairs_of(parts.inclusions)}


def follow(ids: Sequence[str], changes: Sequence[Change]) -> dict[str, tuple[str, ...]]:
    """Part ids of one object -> the ids they became through its changes, in order.

    A removed part leads to nothing, a split one to its pieces, merged ones to the whole.
    """
    now: dict[str, tuple[str, ...]] = {id: (id,) for id in ids}
    for change in changes:
        if change.operation in ("split", "merge", "remove"):
            for id, afters in now.items():
                now[id] = tuple(
                    dict.fromkeys(
                        after
                        for one in afters
                        for after in (change.after if one in change.before else (one,))
                    )
                )
    return now
