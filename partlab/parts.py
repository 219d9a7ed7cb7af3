"""Part categories: their names, whose they are, which lies in which, what a mirror makes of them.

A data set, a segmenter and a vocabulary each have one `Parts`. A label is a 0-based position in
`names`; a name is `object:part`, its object what stands before the first colon.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from partlab.errors import ConfigError, UnknownNameError
from partlab.inclusions import Inclusions, pairs_of, walk_out

_SIDES = {"left": "right", "right": "left"}
_BETWEEN = re.compile(r"[\s_\-‐‑–/]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W_]+")


def split_name(name: str) -> tuple[str, str]:
    """(object, part) of `object:part`; a name without a colon is an object without a part."""
    owner, _, part = name.partition(":")
    return owner, part


def join_name(owner: str, part: str) -> str:
    """`object:part`."""
    return f"{owner}:{part}"


def folded(name: str) -> str:
    """The name without what a reader does not hear: case, underscores, hyphens, spaces."""
    return _BETWEEN.sub(" ", unicodedata.normalize("NFKC", name).casefold()).strip()


@dataclass(frozen=True)
class Parts:
    """Part categories in the order of their labels, and the inclusions among them."""

    names: tuple[str, ...]
    inclusions: Inclusions = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str], inclusions: Inclusions | None = None) -> "Parts":
        """Parts of any sequence of names."""
        return cls(tuple(names), inclusions or {})

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Parts({self.summary})"

    @property
    def summary(self) -> str:
        """How many parts and objects, in words."""
        return f"{len(self.names):,} parts of {len(self.objects):,} objects"

    @cached_property
    def objects(self) -> tuple[str, ...]:
        """Object categories, in the order their first part appears."""
        return tuple(self.by_object)

    @cached_property
    def by_object(self) -> Mapping[str, tuple[int, ...]]:
        """Labels of each object category."""
        labels: dict[str, list[int]] = {}
        for label, name in enumerate(self.names):
            labels.setdefault(split_name(name)[0], []).append(label)
        return {owner: tuple(own) for owner, own in labels.items()}

    @cached_property
    def label(self) -> Mapping[str, int]:
        """Label of each name; of a name that occurs twice the first."""
        return {name: at for at, name in reversed(list(enumerate(self.names)))}

    def labels_of(self, *objects: str) -> tuple[int, ...]:
        """Labels of the parts that these object categories have, object by object.

        Raises:
            UnknownNameError: there is no such object category; near names are suggested.
        """
        for owner in objects:
            if owner not in self.by_object:
                raise UnknownNameError("object category", owner, self.objects)
        return tuple(label for owner in objects for label in self.by_object[owner])

    def called(self, name: str) -> tuple[int, ...]:
        """Labels of the part `object:part`, or of all parts called so: `head`.

        Raises:
            UnknownNameError: there is no such part; near names are suggested.
        """
        if name in self.label:
            return (self.label[name],)
        found = tuple(at for at, full in enumerate(self.names) if split_name(full)[1] == name)
        if not found:
            bare = (split_name(full)[1] for full in self.names)
            raise UnknownNameError("part category", name, {*self.names, *bare})
        return found

    @cached_property
    def parents(self) -> Mapping[int, tuple[int, ...]]:
        """Label of an included part -> labels of the parts around it."""
        found: dict[int, list[int]] = {}
        for owner, around in self.inclusions.items():
            for pair in pairs_of(around):
                inner, outer = (self.label.get(join_name(owner, part)) for part in pair)
                if inner is not None and outer is not None:
                    found.setdefault(inner, []).append(outer)
        return {inner: tuple(outers) for inner, outers in found.items()}

    @cached_property
    def ancestors(self) -> Mapping[int, tuple[int, ...]]:
        """Label of an included part -> labels of all parts around it, nearest first."""
        return {label: walk_out(label, self.parents) for label in self.parents}

    def matched(self, other: "Parts") -> Mapping[int, int]:
        """Own label -> the other's label, for the names that both have."""
        return {at: other.label[name] for at, name in enumerate(self.names) if name in other.label}

    def mirrored(self, pairs: Sequence[tuple[str, str]] = ()) -> tuple[int, ...]:
        """For each label the one it becomes in a mirrored picture.

        `left` and `right` change places wherever they are a word of the part's name (split at
        spaces, `_`, `-` and capitals), if the object has the other part too. `pairs` of full
        names, or of bare part names for every object that has both, add to that and win over it.

        Raises:
            UnknownNameError: a pair names a part that nothing has.
            ConfigError: a part stands in two pairs.
        """
        given = self._given(pairs)
        twins = {at: twin for at in range(len(self)) if (twin := self._twin(at)) is not None}
        free = {at: twin for at, twin in twins.items() if twin not in given}
        return tuple(given.get(at, free.get(at, at)) for at in range(len(self)))

    def one_sided(self, pairs: Sequence[tuple[str, str]] = ()) -> tuple[str, ...]:
        """Names with `left` or `right` in them whose object lacks the other side."""
        given = self._given(pairs)
        return tuple(
            name
            for at, name in enumerate(self.names)
            if at not in given and mirror_name(name) != name and self._twin(at) is None
        )

    def likely_pairs(self, pairs: Sequence[tuple[str, str]] = ()) -> tuple[tuple[str, str], ...]:
        """Names that look like two sides but cannot be known to be: `leye` and `reye`."""
        given = self._given(pairs)
        found = []
        for at, name in enumerate(self.names):
            owner, part = split_name(name)
            for twin in _guesses(part):
                other = self.label.get(join_name(owner, twin))
                if other is not None and not {at, other} & given.keys():
                    found.append((name, self.names[other]))
        return tuple(found)

    def _twin(self, label: int) -> int | None:
        twin = mirror_name(self.names[label])
        return self.label.get(twin) if twin != self.names[label] else None

    def _given(self, pairs: Sequence[tuple[str, str]]) -> dict[int, int]:
        given: dict[int, int] = {}
        for a, b in (both for pair in pairs for both in self._full(*pair)):
            for one, other in ((a, b), (b, a)):
                if given.setdefault(self.label[one], self.label[other]) != self.label[other]:
                    raise ConfigError(f"{one!r} stands in two pairs of mirrored parts")
        return given

    def _full(self, a: str, b: str) -> list[tuple[str, str]]:
        """A pair of full names, or of bare ones for each object that has both parts."""
        owners = [""] if ":" in a else [f"{owner}:" for owner in self.objects]
        found = [(o + a, o + b) for o in owners if {o + a, o + b} <= self.label.keys()]
        if not found:
            known = self.names if ":" in a else {split_name(name)[1] for name in self.names}
            raise UnknownNameError("part", b if a in known else a, known)
        return found


def mirror_name(name: str) -> str:
    """The name of the same part in a mirrored picture: `car:LeftWing` -> `car:RightWing`."""
    owner, part = split_name(name)
    return join_name(owner, _WORD.sub(_other_side, part)) if part else name


def _other_side(word: re.Match[str]) -> str:
    text = word.group()
    other = _SIDES.get(text.lower())
    if other is None:
        return text
    return other.upper() if text.isupper() else other.title() if text[0].isupper() else other


def _guesses(part: str) -> list[str]:
    """Names with an `r` where a word begins with `l`, or `right` where `left` is inside one."""
    guesses = [
        part[: at.start()] + new + part[at.end() :]
        for old, new in (("(?<![a-zA-Z])l", "r"), ("(?<![a-z])L", "R"), ("left", "right"))
        for at in re.finditer(old, part)
    ]
    return [guess for guess in guesses if guess != _WORD.sub(_other_side, part)]
