"""Parts that sources propose for one object, made into its list of parts (V-01)."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from annotate.vocabulary.model import Part, Source
from annotate.vocabulary.names import folded, name_key, tidy

AUTHORITY: tuple[Source, ...] = ("wikidata", "wordnet")
"""Who is believed first about a part's name (V-01)."""


NO_PARTS = "no parts found in"
"""How the evidence of a whole-object part begins that seeding proposed."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One source says that the object, or a kind of thing it is, has this part.

    `distance` counts the steps up from the object to that kind; 0 is the object itself.
    """

    name: str
    source: Source
    distance: int
    evidence: str
    aliases: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """Smaller is better: authority, then distance."""
        return AUTHORITY.index(self.source), self.distance


def parts_of(object: str, proposals: Iterable[Proposal], language: str = "en") -> tuple[Part, ...]:
    """One part for each name, nearest first, with the evidence of every source.

    Names that differ in case, hyphens or (in English) plural are one part, named as the highest
    authority does; so is a name that the Wikidata item of another one has as its alias. What is
    called like the object itself is no part of it.
    """
    key = name_key if language == "en" else folded
    groups: dict[str, list[Proposal]] = {}
    for one in sorted(proposals, key=lambda one: one.rank):
        groups.setdefault(key(one.name), []).append(one)
    _join_aliases(groups, key)
    groups.pop(key(object), None)
    nearest = sorted(groups.values(), key=lambda group: min(one.distance for one in group))
    return tuple(_part(group) for group in nearest)


def whole_object(object: str, why: str) -> Part:
    """The part that is the object itself (V-01 rule 3, V-04)."""
    return Part(id=object, name=object, source="whole-object", evidence=(why,))


def _join_aliases(groups: dict[str, list[Proposal]], key: Callable[[str], str]) -> None:
    """What Wikidata gives as another name of a part joins that part."""
    for name, group in list(groups.items()):
        others = {key(alias) for one in group if one.source == "wikidata" for alias in one.aliases}
        for other in sorted(others - {name}):
            if all(one.source != "wikidata" for one in groups.get(other, ())):
                group += groups.pop(other, [])


def _part(group: Sequence[Proposal]) -> Part:
    best = min(group, key=lambda one: one.rank)
    nearest = {source: min((o.distance for o in group if o.source == source), default=0)
               for source in AUTHORITY}  # fmt: skip
    evidence = [
        one.evidence if one.name == best.name else f"{one.evidence} (there called {one.name!r})"
        for one in group
        if one.distance == nearest[one.source]
    ]
    name = part_name(best.name)
    return Part(id=name, name=name, source=best.source, evidence=tuple(dict.fromkeys(evidence)))


def part_name(name: str) -> str:
    """A name without the signs that part categories (`object:part`) and folders are told by."""
    return tidy(re.sub(r"[:/\\\\]+", " ", name))
