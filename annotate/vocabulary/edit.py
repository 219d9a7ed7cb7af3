"""Changes of a vocabulary: each gives a new version that remembers what became of what (V-07).

An id is never used again in its object, not even after its part is gone, so that a mask drawn
years ago still says which part it meant.
"""

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast, get_args

from annotate.vocabulary.model import (
    Change,
    ObjectParts,
    Operation,
    Part,
    Source,
    Vocabulary,
)
from annotate.vocabulary.names import LONGEST, fault_of, folded, tidy
from partlab.errors import ConfigError, UnknownNameError
from partlab.inclusions import Outer, circles, outers_of, pairs_of, spelled, walk_out, without


@dataclass(frozen=True)
class Editor:
    """Who changes the vocabulary, and why; `at` is ISO 8601 in UTC, now if left out."""

    who: str = ""
    note: str = ""
    at: str = ""

    @property
    def name(self) -> str:
        """Who stands in a record: `who`, or the account's name."""
        return self.who or _user()

    def change(
        self,
        vocabulary: Vocabulary,
        operation: Operation,
        object: str,
        before: Sequence[str],
        after: Sequence[str],
        *notes: str,
    ) -> Change:
        """The record of a change that leads to the vocabulary's next version."""
        begun = vocabulary.objects or vocabulary.changes  # else this one makes the first version
        return Change(
            version=vocabulary.version + 1 if begun else vocabulary.version,
            operation=operation,
            object=object,
            before=tuple(before),
            after=tuple(after),
            who=self.name,
            at=self.at or datetime.now(UTC).isoformat(timespec="seconds"),
            note="; ".join(note for note in (self.note, *notes) if note),
        )


UNSIGNED = Editor()
"""The account that runs the program, now, without a note."""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return ""


def checked_source(name: str) -> Source:
    """The source of this name.

    Raises:
        UnknownNameError: there is no such source.
    """
    for source in get_args(Source):
        if source == name:
            return cast(Source, source)
    raise UnknownNameError("source", name, get_args(Source))


def used_ids(vocabulary: Vocabulary, object: str) -> set[str]:
    """Every id the object's parts have or ever had."""
    found = {id for c in vocabulary.changes if c.object == object for id in (*c.before, *c.after)}
    if object in vocabulary.names:
        for part in vocabulary.object(object).parts:
            found |= {part.id, *part.origin}
    return found


def new_id(name: str, used: Iterable[str]) -> str:
    """An id that reads like the name: `horn`, or `horn-2` once `horn` has been used."""
    taken = set(used)
    number, id = 1, name
    while id in taken:
        number += 1
        id = f"{name}-{number}"
    return id


def find_part(parts: ObjectParts, name: str) -> Part:
    """The part of this name (case, spaces and hyphens aside), or of this id.

    Raises:
        UnknownNameError: the object has none; near names are suggested.
    """
    for part in parts.parts:
        if part.name == name:
            return part
    for part in parts.parts:
        if folded(part.name) == folded(name) or part.id == name:
            return part
    raise UnknownNameError(f"part of {parts.name}", name, parts.names)


def add_parts(
    vocabulary: Vocabulary,
    object: str,
    names: Sequence[str],
    by: Editor = UNSIGNED,
    *,
    source: Source = "manual",
    evidence: Sequence[str] = (),
    new_object: bool = False,
) -> Vocabulary:
    """Give an object more parts. A part that stood for the whole object goes (V-01).

    Raises:
        UnknownNameError: there is no such object, and `new_object` is off.
        ConfigError: the object has a part of that name already.
    """
    if new_object and object not in vocabulary.names:
        old = ObjectParts(name=_name(object))
    else:
        old = vocabulary.object(object)
    whole = old.parts if old.whole_object else ()
    kept = () if whole else old.parts
    changes = []
    if whole:
        why = "it is made of parts after all"
        changes.append(by.change(vocabulary, "remove", old.name, [whole[0].id], [], why))
    added = _new_parts(vocabulary, old.name, kept, names, source, tuple(evidence))
    changes.append(by.change(vocabulary, "add", old.name, [], [part.id for part in added]))
    new = _with(old, (*kept, *added), {} if whole else old.inclusions)
    return vocabulary.replaced([new], *changes)


def _new_parts(
    vocabulary: Vocabulary,
    object: str,
    kept: Sequence[Part],
    names: Sequence[str],
    source: Source,
    evidence: tuple[str, ...],
    origin: tuple[str, ...] = (),
    remark: str = "",
) -> list[Part]:
    used, taken = used_ids(vocabulary, object), {folded(part.name) for part in kept}
    made = []
    for name in map(_name, names):
        if folded(name) in taken:
            raise ConfigError(f"{object} has a part {name!r} already")
        id = new_id(name, used)
        used.add(id)
        taken.add(folded(name))
        part = Part(id=id, name=name, source=source, evidence=evidence, origin=origin)
        made.append(part.model_copy(update={"remark": remark}))
    if not made:
        raise ConfigError("no part is named")
    return made


def _name(name: str) -> str:
    name = tidy(name)
    if not name:
        raise ConfigError("a name has no letters")
    if fault := fault_of(name):
        raise ConfigError(f"{name[:LONGEST]!r} cannot be a name: {fault}")
    return name


def remove_part(
    vocabulary: Vocabulary, object: str, part: str, by: Editor = UNSIGNED
) -> Vocabulary:
    """Take a part away; what lay inside it now lies in what it lay in.

    Raises:
        UnknownNameError: no such object or part.
        ConfigError: it is the object's last part.
    """
    old = vocabulary.object(object)
    gone = find_part(old, part)
    if len(old.parts) == 1:
        raise ConfigError(
            f"{gone.name!r} is the last part of {object}",
            hint="add its other parts first; an object that cannot be split keeps one part",
        )
    kept = tuple(one for one in old.parts if one.id != gone.id)
    new = _with(old, kept, without(old.inclusions, {gone.id}))
    return vocabulary.replaced([new], by.change(vocabulary, "remove", object, [gone.id], []))


def rename_part(
    vocabulary: Vocabulary, object: str, part: str, to: str, by: Editor = UNSIGNED
) -> Vocabulary:
    """Another name for the same part; its id stays.

    Raises:
        UnknownNameError: no such object or part.
        ConfigError: another part has that name, or the part has it already.
    """
    old, to = vocabulary.object(object), _name(to)
    one = find_part(old, part)
    if one.name == to:
        raise ConfigError(f"that part of {object} is called {to!r} already")
    if any(folded(other.name) == folded(to) for other in old.parts if other.id != one.id):
        raise ConfigError(
            f"{object} has another part {to!r}",
            hint="to make the two one, use partlab vocabulary merge",
        )
    parts = tuple(
        part.model_copy(update={"name": to}) if part.id == one.id else part for part in old.parts
    )
    change = by.change(
        vocabulary, "rename", object, [one.id], [one.id], f"{one.name!r} became {to!r}"
    )
    return vocabulary.replaced([_with(old, parts, old.inclusions)], change)


def split_part(
    vocabulary: Vocabulary,
    object: str,
    part: str,
    into: Sequence[str],
    by: Editor = UNSIGNED,
    *,
    source: Source = "function-or-shape",
) -> Vocabulary:
    """Several parts in place of one, each knowing where it came from (V-07).

    The pieces lie in what the part lay in; what lay in the part has to be declared anew.

    Raises:
        UnknownNameError: no such object or part.
        ConfigError: fewer than two names, or one that another part has.
    """
    old = vocabulary.object(object)
    one = find_part(old, part)
    if len(into) < 2:
        raise ConfigError("a split needs two names or more", hint="as in --into joint,handle")
    kept = [other for other in old.parts if other.id != one.id]
    why = (f"split from {one.name}",)
    made = _new_parts(vocabulary, object, kept, into, source, why, (one.id,), one.remark)
    at = old.ids.index(one.id)
    pairs = list(pairs_of(old.inclusions))
    around = outers_of(one.id, old.inclusions)
    inclusions = spelled(
        [pair for pair in pairs if one.id not in pair]
        + [(piece.id, outer) for piece in made for outer in around]
    )
    lost = [inner for inner, outer in pairs if outer == one.id]
    told = f"say again in which piece {', '.join(lost)} lies" if lost else ""
    new = _with(old, (*old.parts[:at], *made, *old.parts[at + 1 :]), inclusions)
    ids = [piece.id for piece in made]
    return vocabulary.replaced([new], by.change(vocabulary, "split", object, [one.id], ids, told))


def merge_parts(
    vocabulary: Vocabulary,
    object: str,
    parts: Sequence[str],
    into: str,
    by: Editor = UNSIGNED,
) -> Vocabulary:
    """One part in place of several. Named like one of them, it is that one, grown.

    Raises:
        UnknownNameError: no such object or part.
        ConfigError: fewer than two parts, or the name of a part that is not among them.
    """
    old, into = vocabulary.object(object), _name(into)
    ones = list(dict.fromkeys(find_part(old, part) for part in parts))
    if len(ones) < 2:
        raise ConfigError("a merge needs two parts or more")
    ids = [one.id for one in ones]
    same = next((one for one in ones if folded(one.name) == folded(into)), None)
    others = [one for one in old.parts if one.id not in ids]
    if any(folded(one.name) == folded(into) for one in others):
        raise ConfigError(
            f"{object} has another part {into!r}", hint="name it among the parts to merge"
        )
    whole = Part(
        id=same.id if same else new_id(into, used_ids(vocabulary, object)),
        name=into,
        source=same.source if same else ones[0].source,
        evidence=tuple(dict.fromkeys(fact for one in ones for fact in one.evidence)),
        origin=(*(same.origin if same else ()), *(id for id in ids if not same or id != same.id)),
        remark="; ".join(dict.fromkeys(one.remark for one in ones if one.remark)),
    )
    first = min(old.ids.index(id) for id in ids)
    listed = [*others[:first], whole, *others[first:]]
    new = _with(old, listed, _merged(old.inclusions, ids, whole.id))
    return vocabulary.replaced([new], by.change(vocabulary, "merge", object, ids, [whole.id]))


def _merged(inclusions: Mapping[str, Outer], ids: Sequence[str], whole: str) -> dict[str, Outer]:
    """The inclusions with one id in place of several; it lies in what all of them lay in."""
    around = {id: walk_out(id, inclusions) for id in ids}
    common = [
        one
        for one in around[ids[0]]
        if one not in ids and all(one in each for each in around.values())
    ]
    nearest = [one for one in common if not any(one in walk_out(o, inclusions) for o in common)]
    kept = [(inner, outer) for inner, outer in pairs_of(inclusions) if inner not in ids]
    return spelled(
        [(inner, whole if outer in ids else outer) for inner, outer in kept]
        + [(whole, outer) for outer in nearest]
    )


def include_part(
    vocabulary: Vocabulary, object: str, inner: str, outer: str, by: Editor = UNSIGNED
) -> Vocabulary:
    """Declare that one part lies in another, and may overlap it (M-04).

    It goes on lying in what it lay in: a mirror in the front door and in the back door.

    Raises:
        UnknownNameError: no such object or part.
        ConfigError: it lies there already, or the inclusions would go in a circle.
    """
    old, ids = _inner_and_outer(vocabulary, object, inner, outer)
    if ids in pairs_of(old.inclusions):
        raise ConfigError(f"in {object}, {inner} lies in {outer} already")
    inclusions = spelled([*pairs_of(old.inclusions), ids])
    if found := circles(inclusions):
        words = " in ".join(old.part(id).name for id in found[0])
        raise ConfigError(
            f"the inclusions of {object} would go in a circle: {words}",
            hint="name the inner part first, as in: include ram horn head",
        )
    change = by.change(vocabulary, "include", object, [], ids)
    return vocabulary.replaced([_with(old, old.parts, inclusions)], change)


def exclude_part(
    vocabulary: Vocabulary, object: str, inner: str, outer: str, by: Editor = UNSIGNED
) -> Vocabulary:
    """Declare no longer that one part lies in another.

    Raises:
        UnknownNameError: no such object or part.
        ConfigError: that is not declared.
    """
    old, ids = _inner_and_outer(vocabulary, object, inner, outer)
    if ids not in pairs_of(old.inclusions):
        raise ConfigError(f"in {object}, {inner} is not declared to lie in {outer}")
    inclusions = spelled(pair for pair in pairs_of(old.inclusions) if pair != ids)
    change = by.change(vocabulary, "exclude", object, [], ids)
    return vocabulary.replaced([_with(old, old.parts, inclusions)], change)


def _inner_and_outer(
    vocabulary: Vocabulary, object: str, inner: str, outer: str
) -> tuple[ObjectParts, tuple[str, str]]:
    old = vocabulary.object(object)
    return old, (find_part(old, inner).id, find_part(old, outer).id)


def _with(old: ObjectParts, parts: Sequence[Part], inclusions: Mapping[str, Outer]) -> ObjectParts:
    """The object with other parts, checked anew."""
    values = {name: getattr(old, name) for name in type(old).model_fields}
    return ObjectParts(**{**values, "parts": tuple(parts), "inclusions": inclusions})
