"""From one version of a vocabulary to a later one: what becomes of every part drawn so far."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from annotate.vocabulary.diff import is_continued
from annotate.vocabulary.edit import Editor
from annotate.vocabulary.model import Change, ObjectParts, Vocabulary
from partlab.errors import ConfigError, StateError

_BY_HAND = "by hand"


@dataclass(frozen=True)
class Moves:
    """What becomes of one object's parts.

    `parts` is old id -> new id, None where the part is gone; ids that stay are left out.
    `labels` is what annotators read before -> what they read now, None where it is gone.
    `split` and `removed` say of the ids that are gone why, `added` names parts nobody could
    have drawn yet.
    """

    object: str
    parts: dict[str, str | None] = field(default_factory=dict)
    labels: dict[str, str | None] = field(default_factory=dict)
    split: dict[str, str] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing drawn has to change (the interface may)."""
        return not self.parts and not self.added and all(a == b for a, b in self.labels.items())


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


def moves_between(old: Vocabulary, new: Vocabulary) -> dict[str, Moves]:
    """What becomes of the parts of every object that both versions have.

    Raises:
        StateError: `new` did not come out of `old` by recorded changes.
    """
    if not is_continued(old, new):
        raise StateError(f"version {new.version} was not made from version {old.version}")
    news = new.changes[len(old.changes) :]
    return {
        parts.name: _moves(
            old.object(parts.name), parts, [c for c in news if c.object == parts.name]
        )
        for parts in new.objects
        if parts.name in old.names
    }


def _moves(old: ObjectParts, new: ObjectParts, news: Iterable[Change]) -> Moves:
    now: dict[str, str | None] = {id: id for id in old.ids}
    split: dict[str, str] = {}
    removed: dict[str, str] = {}
    for change in news:
        for id in [id for id, at in now.items() if at is not None and at in change.before]:
            if change.operation == "merge":
                now[id] = change.after[0]
            elif change.operation == "split":
                now[id] = None
                split[id] = f"{old.part(id).name} is now {' and '.join(_named(new, change.after))}"
            elif change.operation == "remove":
                now[id] = None
                removed[id] = f"{old.part(id).name} is no longer a part"
    reached = set(now.values())
    pieces = {id for c in news if c.operation == "split" for id in c.after}
    labels = {old.part(id).name: new.part(at).name if at else None for id, at in now.items()}
    changed = {part.id: labels[part.name] for part in old.parts if labels[part.name] != part.name}
    by_id = {id: to for id, to in changed.items() if id not in labels}  # ids are labels too
    return Moves(
        object=new.name,
        parts={id: at for id, at in now.items() if at != id},
        labels=by_id | labels,
        split=split,
        removed=removed,
        added=tuple(p.name for p in new.parts if p.id not in reached and p.id not in pieces),
    )


def _named(parts: ObjectParts, ids: Iterable[str]) -> list[str]:
    """Names of parts, or their ids where they are gone again."""
    return [parts.part(id).name if id in parts.ids else id for id in ids]
