"""Parts by WordNet's meronyms, from a list; and lists that lead from WordNet to Wikidata.

A list of parts is JSON: `{"n03481172": {"name": ["hammer"], "parts": ["head"], "inherited":
[["handle", "hand tool", 1, "n03485997"]]}}`, an inherited part being (part, from, distance,
id). A mapping is a JSON list of `{"inid": wnid, "wnid": WordNet 3.1 id, "synset": names,
"wdid": QID, "label": …}`, with several rows where it does not decide.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from annotate.vocabulary.names import folded, name_key
from annotate.vocabulary.proposals import Proposal
from partlab.config import Config
from partlab.errors import SchemaError
from partlab.files import read_json

GENERAL = ("whole", "object", "organism", "living thing", "physical entity", "entity")
"""Kinds of things too general to inherit parts from (cell, section)."""


class Meronyms(Config):
    """One category of a list of parts."""

    name: tuple[str, ...] = Field(min_length=1)
    parts: tuple[str, ...] = ()
    inherited: tuple[tuple[str, str, int, str], ...] = ()


@dataclass(frozen=True)
class WordNet:
    """A list of parts, by wnid."""

    meronyms: Mapping[str, Meronyms]
    general: Sequence[str] = GENERAL

    def parts(self, wnid: str, max_distance: int) -> list[Proposal]:
        """The parts a category has or inherits over at most `max_distance` steps."""
        if wnid not in self.meronyms:
            return []
        one = self.meronyms[wnid]
        own = [(part, one.name[0], 0, "") for part in one.parts]
        return [
            _proposal(part, owner, distance, id)
            for part, owner, distance, id in (*own, *one.inherited)
            if distance <= max_distance
            and owner not in self.general
            and folded(part) != folded(owner)
        ]


def _proposal(part: str, owner: str, distance: int, id: str) -> Proposal:
    which = f"{part} ({id})" if id else part
    evidence = f"WordNet: {which} is part of {owner}, distance {distance}"
    return Proposal(part.replace("_", " "), "wordnet", distance, evidence)


class _Row(Config, extra="ignore"):
    inid: str
    wnid: str | None = None
    synset: tuple[str, ...] = ()
    wdid: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Lexicon:
    """What leads from names to wnids, and from wnids to synsets and QIDs."""

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    synsets: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)  # QID, label

    def wnids(self, name: str, *, synonyms: bool = False) -> list[str]:
        """The categories whose first name this is, or any name with `synonyms`."""
        wanted = folded(name)
        return [
            wnid
            for wnid, names in self.names.items()
            if wanted in map(folded, names if synonyms else names[:1])
        ]

    def wnids_of_item(self, qid: str) -> list[str]:
        """The categories whose first item this is."""
        return [wnid for wnid, qids in self.items.items() if [id for id, _ in qids[:1]] == [qid]]


def read_wordnet(path: str | Path, general: Sequence[str] = GENERAL) -> WordNet:
    """Read a list of parts.

    Raises:
        NotFoundError: no such file.
        SchemaError: it is not such a list; the sentence names the category.
    """
    kind = TypeAdapter(dict[str, Meronyms])
    return WordNet(_validated(kind, path, "list of WordNet parts"), general)


def lexicon(wordnet: WordNet | None = None, mapping: str | Path | None = None) -> Lexicon:
    """Names, synsets and items of a list of parts and of a mapping file.

    Where the mapping gives several items for one wnid, the one whose label is the earliest of
    the synset's names goes first.

    Raises:
        NotFoundError: no such file.
        SchemaError: it is not such a mapping.
    """
    rows: list[_Row] = []
    if mapping is not None:
        rows = _validated(TypeAdapter(list[_Row]), mapping, "mapping of wnids to QIDs")
    names = {wnid: one.name for wnid, one in wordnet.meronyms.items()} if wordnet else {}
    by_wnid: dict[str, list[_Row]] = {}
    for row in rows:
        by_wnid.setdefault(row.inid, []).append(row)
    names = {wnid: some[0].synset for wnid, some in by_wnid.items() if some[0].synset} | names
    return Lexicon(
        names=names,
        synsets={row.inid: row.wnid for row in rows if row.wnid},
        items={wnid: _likeliest_first(some) for wnid, some in by_wnid.items()},
    )


def _likeliest_first(rows: Iterable[_Row]) -> tuple[tuple[str, str], ...]:
    def place(row: _Row) -> int:
        names = [name_key(name) for name in row.synset]
        label = name_key(row.label or "")
        return names.index(label) if label in names else len(names)

    return tuple((row.wdid, row.label or "") for row in sorted(rows, key=place) if row.wdid)


def _validated(kind: TypeAdapter[Any], path: str | Path, what: str) -> Any:
    values = read_json(path)
    try:
        return kind.validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise SchemaError(f"{path} is not a {what}: {where}: {problem['msg']}") from None
