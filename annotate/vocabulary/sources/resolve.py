"""Which Wikidata item and which WordNet category each name, wnid or QID means.

What the files say goes first (a wnid's item, a name's wnid), then the WordNet synset property,
then labels and aliases. Where several things fit, one is taken by a fixed rule and all are told.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from annotate.vocabulary.categories import Category
from annotate.vocabulary.names import folded, free_name
from annotate.vocabulary.proposals import part_name
from annotate.vocabulary.sources.wikidata import Item, Wikidata
from annotate.vocabulary.sources.wordnet import Lexicon


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """A category that may mean several things: the id taken, if any, and all with their words."""

    name: str
    chosen: str
    candidates: tuple[tuple[str, str], ...]

    @property
    def sentence(self) -> str:
        """For people: what was taken, and what else there is."""
        others = [f"{id} {words}".strip() for id, words in self.candidates if id != self.chosen]
        more = f" or {len(others) - 4} others" if len(others) > 4 else ""
        rest = " or ".join(others[:4]) + more
        if not self.chosen:
            return f"{self.name}: none taken, may be {rest}"
        words = dict(self.candidates)[self.chosen]
        return f"{self.name}: took {self.chosen} {words}, may be {rest}".replace(" ,", ",")

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        candidates = [{"id": id, "words": words} for id, words in self.candidates]
        return {"name": self.name, "chosen": self.chosen or None, "candidates": candidates}


@dataclass
class Resolved:
    """The categories with all that is known of them, and what the user has to be told."""

    categories: list[Category]
    ambiguous: list[Ambiguity] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def resolve(
    categories: Iterable[Category], lexicon: Lexicon, wikidata: Wikidata | None
) -> Resolved:
    """Find item and wnid of each category; with `wikidata` None only by the files.

    The same thing named twice in different ways is kept once; two things of one name get
    longer names.
    """
    told = Resolved([])
    found = [_by_files(one, lexicon, told) for one in categories]
    if wikidata is not None:
        found = _by_synset(found, wikidata, told)
        found = _by_name(found, wikidata, told)
        found = _described(found, wikidata, told)
    found = [_wnid_at_last(one, lexicon, told) for one in found]
    told.categories = _distinct(_without_twins(found, told), told)
    return told


def _by_files(one: Category, lexicon: Lexicon, told: Resolved) -> Category:
    wnid = one.wnid or _only(lexicon.wnids(one.name) if one.name else [])
    wnid = wnid or _only(lexicon.wnids_of_item(one.qid) if one.qid else [])
    wnid = wnid or _only([w for w, synset in lexicon.synsets.items() if synset == one.synset])
    items = lexicon.items.get(wnid or "", ())
    one = _with_names(replace(one, wnid=wnid), lexicon)
    if len(items) > 1 and not one.qid:
        told.ambiguous.append(Ambiguity(one.shown, items[0][0], items))
    return replace(
        one,
        qid=one.qid or (items[0][0] if items else None),
        synset=one.synset or lexicon.synsets.get(wnid or ""),
    )


def _with_names(one: Category, lexicon: Lexicon) -> Category:
    names = lexicon.names.get(one.wnid or "", ())
    return _named(one, [part_name(name.replace("_", " ")) for name in names])


def _named(one: Category, names: Sequence[str]) -> Category:
    """The category with further names; the first one counts if it has none yet."""
    name = one.name or next(iter(names), "")
    others = {folded(alias): alias for alias in reversed((*one.aliases, *names))}
    others.pop(folded(name), None)
    return replace(one, name=name, aliases=tuple(reversed(others.values())))


def _only(found: Sequence[str]) -> str | None:
    return found[0] if len(found) == 1 else None


def _by_synset(found: list[Category], wikidata: Wikidata, told: Resolved) -> list[Category]:
    open_ones = {one.synset for one in found if one.synset and not one.qid}
    items = wikidata.of_synsets(sorted(open_ones)) if open_ones else {}
    return [
        _taken(one, [(qid, "") for qid in items.get(one.synset or "", ())], told)
        if not one.qid
        else one
        for one in found
    ]


def _by_name(found: list[Category], wikidata: Wikidata, told: Resolved) -> list[Category]:
    open_ones = [one for one in found if one.name and not one.qid]
    names = dict.fromkeys(name for one in open_ones for name in (one.name, *one.aliases))
    candidates = wikidata.candidates(names) if names else {}

    def likely(one: Category) -> list[tuple[str, str]]:
        some = next((c for n in (one.name, *one.aliases) if (c := candidates.get(n))), [])
        return [(each.qid, each.description) for each in some]

    return [one if one.qid else _taken(one, likely(one), told) for one in found]


def _taken(one: Category, items: Sequence[tuple[str, str]], told: Resolved) -> Category:
    if len(items) > 1:
        told.ambiguous.append(Ambiguity(one.shown, items[0][0], tuple(items)))
    return replace(one, qid=items[0][0]) if items else one


def _described(found: list[Category], wikidata: Wikidata, told: Resolved) -> list[Category]:
    doubtful = {
        id for one in told.ambiguous for id, words in one.candidates if id[0] == "Q" and not words
    }
    items = wikidata.describe(dict.fromkeys([*(o.qid for o in found if o.qid), *sorted(doubtful)]))
    told.ambiguous = [_in_words(one, items) for one in told.ambiguous]
    return [_with_item(one, items[one.qid], told) if one.qid else one for one in found]


def _in_words(one: Ambiguity, items: dict[str, Item]) -> Ambiguity:
    def words(id: str) -> str:
        return ", ".join(filter(None, (items[id].label, items[id].description)))

    return replace(one, candidates=tuple((id, said or words(id)) for id, said in one.candidates))


def _with_item(one: Category, item: Item, told: Resolved) -> Category:
    if not item.known:
        told.notes.append(f"nothing is said about {one.qid}")
    if item.qid != one.qid:
        told.notes.append(f"{one.qid} is now {item.qid} {item.label}".strip())
    names = [part_name(name) for name in (item.label or item.qid, *item.aliases)]
    return _named(replace(one, qid=item.qid), names)


def _wnid_at_last(one: Category, lexicon: Lexicon, told: Resolved) -> Category:
    """By the item that was found, else by any of a synset's names."""
    if one.wnid:
        return one
    found = lexicon.wnids_of_item(one.qid) if one.qid else []
    found = found or lexicon.wnids(one.name) or lexicon.wnids(one.name, synonyms=True)
    if len(found) > 1:
        candidates = tuple((wnid, ", ".join(lexicon.names.get(wnid, ()))) for wnid in found)
        told.ambiguous.append(Ambiguity(one.shown, "", candidates))
    return _with_names(replace(one, wnid=_only(found)), lexicon)


def _without_twins(found: list[Category], told: Resolved) -> list[Category]:
    kept: list[Category] = []
    for one in found:
        if any(_same(one, other) for other in kept):
            told.duplicates.append(one.shown)
        else:
            kept.append(one)
    return kept


def _same(one: Category, other: Category) -> bool:
    if one.wnid and other.wnid:
        return one.wnid == other.wnid
    return bool(one.qid) and one.qid == other.qid


def _distinct(found: list[Category], told: Resolved) -> list[Category]:
    """Names that are each used once: `crane`, then `crane (n03126707)`."""
    taken: set[str] = set()
    named = []
    for one in found:
        name = free_name(one.name, (*one.aliases, one.wnid, one.qid, one.synset), taken)
        if name != one.name:
            told.notes.append(f"{one.name} stands for two things: one is called {name!r}")
        taken.add(folded(name))
        named.append(replace(one, name=name))
    return named
