"""New proposals into a vocabulary that people have edited: added, never changed or brought back."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from annotate.vocabulary.edit import Editor, new_id, used_ids
from annotate.vocabulary.model import Change, ObjectParts, Part, Vocabulary
from annotate.vocabulary.names import folded, name_key
from annotate.vocabulary.proposals import NO_PARTS


@dataclass
class Updated:
    """The vocabulary with what is new: `objects` by name, `parts` as `object:part`."""

    vocabulary: Vocabulary
    objects: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)


def updated(old: Vocabulary, proposed: Vocabulary, by: Editor) -> Updated:
    """`old` with the objects and parts of `proposed` that it never had, as its next version.

    A part that was renamed, merged, split or taken out, by a command or by hand, stays so:
    seeding records what it proposes, and proposes nothing twice. An object is known by its
    wnid, else by its name. A whole-object part gives way only if seeding itself put it there.
    """
    told = Updated(old)
    objects: list[ObjectParts] = []
    changes: list[Change] = []
    by_name = {folded(one.name): one for one in old.objects}
    by_wnid = {one.wnid: one for one in old.objects if one.wnid}
    for new in proposed.objects:
        known = by_wnid.get(new.wnid or "") or by_name.get(folded(new.name))
        if known is None:
            objects.append(new)
            changes.append(by.change(old, "add", new.name, (), new.ids))
            told.objects.append(new.name)
        elif fresh := _fresh(old, known, new):
            grown, made = _grown(old, known, fresh, by)
            objects.append(grown)
            changes += made
            told.parts += [f"{known.name}:{part.name}" for part in fresh]
    if objects:
        told.vocabulary = old.replaced(objects, *changes)
    return told


def _fresh(old: Vocabulary, known: ObjectParts, new: ObjectParts) -> list[Part]:
    if known.whole_object and not _only_seeded(known):
        return []  # people found that it cannot be split
    names = {*known.names, *(id for id in used_ids(old, known.name))}
    had = {name_key(name) for name in names}
    return [p for p in new.parts if p.source != "whole-object" and name_key(p.name) not in had]


def _grown(
    old: Vocabulary, known: ObjectParts, fresh: Iterable[Part], by: Editor
) -> tuple[ObjectParts, list[Change]]:
    gone = known.parts if _only_seeded(known) else ()
    used = used_ids(old, known.name)
    added = [part.model_copy(update={"id": new_id(part.name, used)}) for part in fresh]
    changes = [by.change(old, "remove", known.name, (part.id,), ()) for part in gone]
    changes.append(by.change(old, "add", known.name, (), [part.id for part in added]))
    kept = () if gone else known.parts
    return known.model_copy(update={"parts": (*kept, *added)}), changes


def _only_seeded(known: ObjectParts) -> bool:
    return known.whole_object and any(fact.startswith(NO_PARTS) for fact in known.parts[0].evidence)
