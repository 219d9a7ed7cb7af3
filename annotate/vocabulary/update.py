"""New proposals into a vocabulary that people have edited: added, never changed or brought back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from annotate.vocabulary.edit import Editor, new_id, used_ids
from annotate.vocabulary.model import Change, ObjectParts, Part, Vocabulary
from annotate.vocabulary.names import folded, free_name, name_key
from annotate.vocabulary.proposals import NO_PARTS, whole_object
from partlab.parts import join_name


@dataclass
class Updated:
    """The vocabulary with what is new: `objects` by name, `parts` as `object:part`."""

    vocabulary: Vocabulary
    objects: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)


def updated(old: Vocabulary, proposed: Vocabulary, by: Editor) -> Updated:
    """`old` with the objects and parts of `proposed` that it never had, as its next version.

    A part that was renamed, merged, split or taken out, by a command or by hand, stays so:
    seeding records what it proposes, and proposes nothing twice. An object is known by its wnid,
    else by its QID, else by its name; another thing of that name gets a longer one. A
    whole-object part gives way only if seeding itself put it there.
    """
    told = Updated(old)
    objects: list[ObjectParts] = []
    changes: list[Change] = []
    known = _Known(old.objects)
    taken = {folded(name) for name in old.names}
    for new in proposed.objects:
        if (one := known.take(new)) is None:
            named = _named(new, free_name(new.name, (*new.aliases, new.wnid, new.qid), taken))
            taken.add(folded(named.name))
            objects.append(named)
            changes.append(by.change(old, "add", named.name, (), named.ids))
            told.objects.append(named.name)
        elif fresh := _fresh(used := _ever(old, one, new), one, new):
            grown, made = _grown(old, one, fresh, used, by)
            objects.append(grown)
            changes += made
            told.parts += [join_name(one.name, part.name) for part in fresh]
    if objects:
        told.vocabulary = old.replaced(objects, *changes)
    return told


class _Known:
    """Objects by wnid, QID and name, each to be taken once."""

    def __init__(self, objects: Sequence[ObjectParts]) -> None:
        self._by: tuple[dict[str | None, ObjectParts], ...] = (
            {one.wnid: one for one in objects},
            {one.qid: one for one in objects},
            {folded(one.name): one for one in objects},
        )
        self._taken: set[str] = set()

    def take(self, new: ObjectParts) -> ObjectParts | None:
        """The object that is the same thing, if any is left."""
        for by, key in zip(self._by, (new.wnid, new.qid, folded(new.name)), strict=True):
            one = by.get(key) if key else None
            if one and one.name not in self._taken and not _differ(one, new):
                self._taken.add(one.name)
                return one
        return None


def _differ(one: ObjectParts, other: ObjectParts) -> bool:
    """Whether their ids say that they are two things; the wnid goes first."""
    if one.wnid and other.wnid:
        return one.wnid != other.wnid
    return bool(one.qid and other.qid) and one.qid != other.qid


def _named(new: ObjectParts, name: str) -> ObjectParts:
    if name == new.name:
        return new
    parts = (whole_object(name, new.parts[0].evidence[0]),) if new.whole_object else new.parts
    return new.model_copy(update={"name": name, "parts": parts})


def _ever(old: Vocabulary, known: ObjectParts, new: ObjectParts) -> set[str]:
    """Every id it had, also under the name that a hand changed."""
    before = set() if new.name in old.names else used_ids(old, new.name)
    return before | used_ids(old, known.name)


def _fresh(used: set[str], known: ObjectParts, new: ObjectParts) -> list[Part]:
    if known.whole_object and not _only_seeded(known):
        return []  # people found that it cannot be split
    had = {name_key(name) for name in {*known.names, *used}}
    return [p for p in new.parts if p.source != "whole-object" and name_key(p.name) not in had]


def _grown(
    old: Vocabulary, known: ObjectParts, fresh: Iterable[Part], used: set[str], by: Editor
) -> tuple[ObjectParts, list[Change]]:
    gone = known.parts if _only_seeded(known) else ()
    added = [part.model_copy(update={"id": new_id(part.name, used)}) for part in fresh]
    changes = [by.change(old, "remove", known.name, (part.id,), ()) for part in gone]
    changes.append(by.change(old, "add", known.name, (), [part.id for part in added]))
    kept = () if gone else known.parts
    return known.model_copy(update={"parts": (*kept, *added)}), changes


def _only_seeded(known: ObjectParts) -> bool:
    return known.whole_object and any(fact.startswith(NO_PARTS) for fact in known.parts[0].evidence)
