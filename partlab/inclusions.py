"""Which part lies in which (M-03, M-04): one inner part in one or more outer ones.

A mirror lies in the front door, in the back door, or where they meet in both. Where there is one
outer part it is written as a text, as it always was; several are a list:

    {"ram": {"horn": "head"}, "car": {"mirror": ["front door", "back door"]}}

Nothing else knows the two spellings: `pairs_of` reads them and `spelled` writes them. What goes
along the inclusions takes labels as well as names.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from partlab.errors import SchemaError

T = TypeVar("T", bound=Hashable)
Outer = str | list[str]
"""The part around another one, or the list of several."""
Inclusions = dict[str, dict[str, Outer]]
"""Per object category: inner (smaller) part -> outer (larger) part or parts (M-04)."""


def outers_of(inner: T, around: Mapping[T, T | Sequence[T]]) -> tuple[T, ...]:
    """The parts that are said to lie directly around `inner`."""
    outer: Any = around.get(inner, ())
    return tuple(outer) if isinstance(outer, list | tuple) else (outer,)


def pairs_of(around: Mapping[T, T | Sequence[T]]) -> Iterator[tuple[T, T]]:
    """Each inner part with each of its outer ones, in the order of the file."""
    return ((inner, outer) for inner in around for outer in outers_of(inner, around))


def spelled(pairs: Iterable[tuple[str, str]]) -> dict[str, Outer]:
    """Inner part -> its outer part, or the list where it has several; a pair counts once."""
    found: dict[str, list[str]] = {}
    for inner, outer in dict.fromkeys(pairs):
        found.setdefault(inner, []).append(outer)
    return {inner: outers[0] if len(outers) == 1 else outers for inner, outers in found.items()}


def is_inclusions(value: Any) -> bool:
    """Whether a value from a file has the form {inner: outer} or {inner: [outer, …]}."""
    return isinstance(value, dict) and all(
        isinstance(outer, str)
        or (isinstance(outer, list) and outer and all(isinstance(one, str) for one in outer))
        for outer in value.values()
    )


def walk_out(start: T, around: Mapping[T, T | Sequence[T]]) -> tuple[T, ...]:
    """All that lies around `start`, by name or by label, nearest first; a circle is walked once."""
    found = [start]
    for one in found:  # grows while it is walked
        found += [outer for outer in dict.fromkeys(outers_of(one, around)) if outer not in found]
    return tuple(found[1:])


def related(a: T, b: T, around: Mapping[T, T | Sequence[T]]) -> bool:
    """Whether one of two parts lies in the other, maybe through others."""
    return b in walk_out(a, around) or a in walk_out(b, around)


def circles(around: Mapping[T, T | Sequence[T]]) -> list[tuple[T, ...]]:
    """Inclusions that lead back to where they began, the first part again at the end.

    There are none if and only if the list is empty; of circles that share links, not all are in it.
    """
    found: list[tuple[T, ...]] = []
    done: set[T] = set()
    for start in around:
        path, ways = [start], [iter(outers_of(start, around))]
        while path and start not in done:
            for outer in ways[-1]:
                if outer in path:
                    found.append((*path[path.index(outer) :], outer))
                elif outer not in done:
                    path.append(outer)
                    ways.append(iter(outers_of(outer, around)))
                    break
            else:
                ways.pop()
                done.add(path.pop())
    return found


def without(around: Mapping[str, Outer], gone: Collection[str]) -> dict[str, Outer]:
    """The inclusions when some parts are gone: what lay in one lies in what is around that.

    There must be no circle.
    """

    def left(inner: str) -> Iterator[str]:
        for outer in outers_of(inner, around):
            yield from left(outer) if outer in gone else (outer,)

    return spelled((inner, outer) for inner in around if inner not in gone for outer in left(inner))


def merged(inclusions: Iterable[Inclusions]) -> Inclusions:
    """The inclusions of several data sets together: a part lies in all that any puts it into.

    Raises:
        SchemaError: each is sound, and together a part lies in itself.
    """
    given = list(inclusions)
    owners = dict.fromkeys(owner for each in given for owner, pairs in each.items() if pairs)
    found = {
        owner: spelled(pair for each in given for pair in pairs_of(each.get(owner, {})))
        for owner in owners
    }
    for owner, pairs in found.items():
        if (loops := circles(pairs)) and not any(circles(each.get(owner, {})) for each in given):
            raise SchemaError(
                f"together the data sets put {owner}:{loops[0][0]} into itself: "
                f"{' in '.join(loops[0])}",
                hint="make the inclusions of the data sets agree",
            )
    return found
