"""From one version of a vocabulary to a later one: what becomes of every part drawn so far."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from annotate.vocabulary.diff import is_continued
from annotate.vocabulary.edit import Editor
from annotate.vocabulary.model import Change, ObjectParts, Vocabulary
from partlab.errors import ConfigError, StateError
from partlab.inclusions import pairs_of, spelled

_BY_HAND = "by hand"


@dataclass(frozen=True)
class Moves:
    """What became of one object's parts since a version they were drawn with.

    `parts` are those drawn ones that there still are, as they are called now: merged ones are
    one, removed ones left out, split ones as they were. `merged` is old id -> the id of the part
    it lies in now. `split` and `removed` say of ids that are gone why, `added` names parts nobody
    could have drawn.
    """

    parts: ObjectParts
    merged: Mapping[str, str] = field(default_factory=dict)
    split: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    added: Sequence[str] = ()

    @property
    def undrawn(self) -> str:
        """What nobody could have drawn yet, in words."""
        new = "is a new part" if len(self.added) == 1 else "are new parts"
        added = [f"{', '.join(self.added)} {new}"] if self.added else []
        return "; ".join([*self.split.values(), *added])

    @property
    def to_draw(self) -> str:
        """Why people have to go over what they drew, in words."""
        return "; ".join(filter(None, (self.undrawn, *self.removed.values())))


def settle(old: Vocabulary, new: Vocabulary, by: Editor) -> Vocabulary:
    """The new version with edits by hand recorded like the others.

    A name changed under its id is a rename; parts that only came, or only went, were added or
    removed. Where some came and others went, only the commands can say what became what.

    Raises:
        StateError: `new` was not made from `old`.
        ConfigError: what was done by hand has two meanings.
    """
    if not is_continued(old, new):
        raise StateError(
            f"version {new.version} of vocabulary {new.name!r} was not made from the work's "
            f"version {old.version}",
            hint="copy the vocabulary.yaml of the work, and change the copy",
        )
    changes: list[Change] = []
    news = new.changes[len(old.changes) :]
    base = new.model_copy(update={"version": max(old.version, new.version)})
    if new.version > old.version:  # the changes by hand belong to the version the file states
        base = new.model_copy(update={"version": new.version - 1})
    for parts in new.objects:
        if parts.name in old.names:
            changes += _by_hand(base, old.object(parts.name), parts, news, by)
    seen = old.hash != new.hash
    version = base.version + 1 if changes or seen or new.version > old.version else new.version
    return new.model_copy(update={"version": version, "changes": (*new.changes, *changes)})


def _by_hand(
    base: Vocabulary, old: ObjectParts, new: ObjectParts, recorded: Iterable[Change], by: Editor
) -> list[Change]:
    about = [change for change in recorded if change.object == new.name]
    expected = _ids_after(old, about)
    gone = [id for id in expected if id not in new.ids]
    come = [id for id in new.ids if id not in expected]
    if gone and come:
        raise ConfigError(
            f"in {new.name}, {', '.join(gone)} went and {', '.join(come)} came: is that a new "
            "name, a split or another part?",
            hint="take it back, then use partlab vocabulary rename, split, merge, remove or add",
        )
    changes = [by.change(base, "remove", new.name, [id], [], _BY_HAND) for id in gone]
    changes += [by.change(base, "add", new.name, [], come, _BY_HAND)] if come else []
    told = {id for change in about if change.operation == "rename" for id in change.before}
    for id in [id for id in old.ids if id in new.ids and id not in told]:
        before, after = old.part(id).name, new.part(id).name
        if before != after:
            words = f"{before!r} became {after!r}"
            changes.append(by.change(base, "rename", new.name, [id], [id], words, _BY_HAND))
    return changes


def _ids_after(old: ObjectParts, changes: Iterable[Change]) -> dict[str, None]:
    """The ids an object should have after the recorded changes."""
    ids = dict.fromkeys(old.ids)
    for change in changes:
        for id in change.before:
            ids.pop(id, None)
        ids |= dict.fromkeys(change.after)
    return ids


def moves_between(old: Vocabulary, new: Vocabulary, object: str) -> Moves:
    """What became of the parts of an object.

    Raises:
        UnknownNameError: one of the two does not have it.
        StateError: `new` did not come out of `old` by recorded changes.
    """
    before, after = old.object(object), new.object(object)
    if before == after:
        return Moves(after)
    if not is_continued(old, new):
        raise StateError(f"version {new.version} was not made from version {old.version}")
    news = [change for change in new.changes[len(old.changes) :] if change.object == object]
    now: dict[str, str] = {id: id for id in before.ids}
    split: dict[str, str] = {}
    removed: dict[str, str] = {}
    for change in news:
        for id in [id for id, at in now.items() if at in change.before]:
            if change.operation == "merge":
                now[id] = change.after[0]
            elif change.operation == "split":
                del now[id]
                words = " and ".join(_named(after, change.after))
                split[id] = f"{before.part(id).name} is now {words}"
            elif change.operation == "remove":
                del now[id]
                removed[id] = f"{before.part(id).name} is no longer a part"
    pieces = {id for change in news if change.operation == "split" for id in change.after}
    known = pieces.union(now.values())
    return Moves(
        parts=_as_drawn(before, after, now, split),
        merged={id: at for id, at in now.items() if at != id},
        split=split,
        removed=removed,
        added=tuple(part.name for part in after.parts if part.id not in known),
    )


def _as_drawn(
    before: ObjectParts, after: ObjectParts, now: Mapping[str, str], split: Iterable[str]
) -> ObjectParts:
    """The parts that are there still, then those that were split."""
    parts = [part for part in after.parts if part.id in now.values()]
    taken = {part.name for part in parts}
    for part in map(before.part, split):
        name = f"{part.name} (before)" if part.name in taken else part.name
        parts.append(part.model_copy(update={"name": name}))
    ids = {part.id for part in parts}
    old = [pair for pair in pairs_of(before.inclusions) if {*pair} & {*split}]
    moved = [(now.get(inner, inner), now.get(outer, outer)) for inner, outer in old]
    pairs = [pair for pair in (*pairs_of(after.inclusions), *moved) if {*pair} <= ids]
    inclusions = spelled(pair for pair in pairs if pair[0] != pair[1])
    return after.model_copy(update={"parts": tuple(parts), "inclusions": inclusions})


def _named(parts: ObjectParts, ids: Iterable[str]) -> list[str]:
    """Names of parts, or their ids where they are gone again."""
    return [parts.part(id).name if id in parts.ids else id for id in ids]
