"""Parts of things in Wikidata: has part(s) and part of, inherited from what the thing is a kind of.

Inheritance goes up subclass of (P279), and parent taxon (P171), by which animals and plants are
linked; never instance of (P31), which says what a name is ("taxon", "dog breed") and not what
the thing looks like. It ends at classes so general that their parts (cell, section) are noise.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from annotate.vocabulary.proposals import Proposal
from annotate.vocabulary.sources.answers import Rows
from annotate.vocabulary.sources.sparql import ENTITY, Endpoint, Question, literal

GENERAL = (
    "Q35120",  # entity
    "Q488383",  # object
    "Q223557",  # physical object
    "Q4406616",  # concrete object
    "Q8205328",  # artificial physical object
    "Q7184903",  # abstract object
    "Q151885",  # concept
    "Q16887380",  # group
    "Q58778",  # system
    "Q7239",  # organism
    "Q28877",  # goods
    "Q2424752",  # product
)
PARTS = ("P527", "P2670")  # has part(s), has part(s) of the class
INHERIT = ("P279", "P171")  # subclass of, parent taxon
SYNSET = "P8814"  # WordNet 3.1 synset ID
PART_OF = "P361"
_QID = re.compile(r"Q[1-9]\d*")

_PREFIXES = """PREFIX wd: <http://www.wikidata.org/entity/>
PREFIX wdt: <http://www.wikidata.org/prop/direct/>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX skos: <http://www.w3.org/2004/02/skos/core#>
PREFIX schema: <http://schema.org/>
PREFIX wikibase: <http://wikiba.se/ontology#>
PREFIX owl: <http://www.w3.org/2002/07/owl#>
"""


@dataclass(frozen=True, slots=True)
class Item:
    """What is said about one item; `known` is False where Wikidata has no such item."""

    qid: str
    label: str = ""
    aliases: tuple[str, ...] = ()
    description: str = ""
    known: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that a name may mean; `pages` counts its Wikipedia pages and the like."""

    qid: str
    exact: bool  # the name is its label, not an alias
    pages: int
    description: str = ""


@dataclass(frozen=True, slots=True)
class _Links:
    """A class: its parts as (property, item), and the classes above."""

    parts: tuple[tuple[str, str], ...] = ()
    above: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wikidata:
    """Questions to Wikidata, or to any endpoint whose triples have its shape."""

    endpoint: Endpoint
    language: str = "en"
    inherit: Sequence[str] = INHERIT
    part_properties: Sequence[str] = PARTS
    general: Sequence[str] = GENERAL

    @property
    def languages(self) -> tuple[str, ...]:
        """Labels are taken in the language, else the one for all languages, else English."""
        return tuple(dict.fromkeys((self.language.lower(), "mul", "en")))

    def of_synsets(self, synsets: Iterable[str]) -> dict[str, list[str]]:
        """QIDs for WordNet 3.1 synset ids such as `01443405-n`."""
        text = f"SELECT ?key ?item WHERE {{ VALUES ?key {{ KEYS }} ?item wdt:{SYNSET} ?key }}"
        keys = {literal(synset): synset for synset in synsets}
        answers = self._ask("synsets", text, keys)
        return {keys[key]: sorted(set(_qids(rows)), key=_number) for key, rows in answers.items()}

    def candidates(self, names: Iterable[str]) -> dict[str, list[Candidate]]:
        """Classes that have the name as label or alias, the likeliest first.

        Labels go before aliases, then the item on more pages, then the older one.
        """
        names = list(names)
        text = f"""SELECT ?key ?item ?exact ?pages ?description WHERE {{
  VALUES ?key {{ KEYS }}
  {{ ?item rdfs:label ?key BIND("yes" AS ?exact) }}
  UNION {{ ?item skos:altLabel ?key BIND("no" AS ?exact) }}
  FILTER EXISTS {{ ?item wdt:P279|wdt:P171 ?above }}
  OPTIONAL {{ ?item wikibase:sitelinks ?pages }}
  OPTIONAL {{ ?item schema:description ?description
    FILTER(LANG(?description) = "{self.languages[0]}") }}
}}"""
        terms = {name: self._spellings(name) for name in names}
        answers = self._ask("names", text, [term for some in terms.values() for term in some])
        return {name: _ranked(answers[term] for term in terms[name]) for name in names}

    def _spellings(self, name: str) -> list[str]:
        cases = (name, name.lower(), name[:1].upper() + name[1:], name.lower().capitalize())
        return [literal(case, tag) for case in dict.fromkeys(cases) for tag in self.languages]

    def describe(self, qids: Iterable[str]) -> dict[str, Item]:
        """Labels, aliases and descriptions; an item that was merged is described by its heir."""
        languages = ", ".join(f'"{tag}"' for tag in self.languages)
        text = f"""SELECT ?key ?kind ?value (LANG(?value) AS ?language) WHERE {{
  VALUES ?key {{ KEYS }}
  {{ ?key rdfs:label ?value BIND("label" AS ?kind) }}
  UNION {{ ?key skos:altLabel ?value BIND("alias" AS ?kind) }}
  UNION {{ ?key schema:description ?value BIND("description" AS ?kind) }}
  UNION {{ ?key owl:sameAs ?value BIND("heir" AS ?kind) }}
  FILTER(isIRI(?value) || LANG(?value) IN ({languages}))
}}"""
        qids = list(qids)
        found = self._by_qid("labels", text, qids)
        heirs = {qid: heir for qid in qids if (heir := _heir(found[qid]))}
        found |= self._by_qid("labels", text, set(heirs.values()) - set(found))
        described = {qid: heirs.get(qid, qid) for qid in qids}
        return {qid: self._item(real, found[real]) for qid, real in described.items()}

    def _item(self, qid: str, rows: Rows) -> Item:
        def said(kind: str) -> list[str]:
            order = {tag: place for place, tag in enumerate(self.languages)}
            some = [row for row in rows if row.get("kind") == kind and "value" in row]
            some.sort(key=lambda row: (order.get(row.get("language", ""), 9), row["value"]))
            return [row["value"] for row in some]

        labels, descriptions = said("label"), said("description")
        return Item(
            qid,
            label=(labels or [""])[0],
            aliases=tuple(dict.fromkeys((*labels[1:], *said("alias")))),
            description=(descriptions or [""])[0],
            known=bool(rows),
        )

    def parts(self, qids: Iterable[str], max_distance: int) -> dict[str, list[Proposal]]:
        """For each item the parts it has or inherits over at most `max_distance` steps."""
        qids = list(qids)
        links = self._links(qids, max_distance)
        reached = {qid: self._distances(qid, links, max_distance) for qid in qids}
        classes = {one for above in reached.values() for one in above if links[one].parts}
        named = classes | {part for one in classes for _, part in links[one].parts}
        items = self.describe(named)
        return {
            qid: [
                _proposal(property, items[part], items[one], distance)
                for one, distance in above.items()
                for property, part in links[one].parts
            ]
            for qid, above in reached.items()
        }

    def _links(self, qids: Iterable[str], max_distance: int) -> dict[str, _Links]:
        """Parts and classes above, asked level by level, so that distances are exact."""
        links: dict[str, _Links] = {}
        level = set(qids)
        for _ in range(max_distance + 1):
            known = self._by_qid("parts", self._links_text(), level)
            links |= {qid: self._link(rows) for qid, rows in known.items()}
            above = {up for qid in level for up in links[qid].above}
            level = above - set(links) - set(self.general)
            if not level:
                break
        return links

    def _links_text(self) -> str:
        unions = [
            f'{{ ?key wdt:{name} ?other BIND("{name}" AS ?link) }}'
            for name in dict.fromkeys((*self.part_properties, *self.inherit))
        ]
        unions.append(f'{{ ?other wdt:{PART_OF} ?key BIND("{PART_OF}" AS ?link) }}')
        joined = "\n  UNION ".join(unions)
        return f"SELECT ?key ?link ?other WHERE {{\n  VALUES ?key {{ KEYS }}\n  {joined}\n}}"

    def _link(self, rows: Rows) -> _Links:
        pairs = sorted(
            {(row.get("link", ""), qid) for row in rows if (qid := _qid(row.get("other", "")))},
            key=lambda pair: (pair[0] == PART_OF, _number(pair[1])),
        )
        return _Links(
            parts=tuple(pair for pair in pairs if pair[0] not in self.inherit),
            above=tuple(dict.fromkeys(qid for link, qid in pairs if link in self.inherit)),
        )

    def _distances(self, qid: str, links: Mapping[str, _Links], limit: int) -> dict[str, int]:
        """Every class the item is, with the steps to it, nearest first."""
        distances, level = {qid: 0}, [qid]
        for step in range(1, limit + 1):
            above = dict.fromkeys(up for one in level for up in links[one].above if up in links)
            level = [up for up in above if up not in distances]
            distances |= dict.fromkeys(level, step)
        return distances

    def _by_qid(self, what: str, text: str, qids: Iterable[str]) -> dict[str, Rows]:
        keys = {f"wd:{qid}": qid for qid in sorted(qids, key=_number)}
        return {keys[key]: rows for key, rows in self._ask(what, text, keys).items()}

    def _ask(self, what: str, text: str, keys: Iterable[str]) -> dict[str, Rows]:
        return self.endpoint.ask(Question(what, _PREFIXES + text), list(keys))


def _proposal(property: str, part: Item, owner: Item, distance: int) -> Proposal:
    name = part.label or part.qid
    small, large = f"{part.qid} {name}", f"{owner.qid} {owner.label}".strip()
    if property == PART_OF:
        fact = f"{small}: part of ({PART_OF}) {large}"
    else:
        fact = f"{large}: has part ({property}) {small}"
    return Proposal(name, "wikidata", distance, f"{fact}, distance {distance}", part.aliases)


def _ranked(answers: Iterable[Rows]) -> list[Candidate]:
    found: dict[str, Candidate] = {}
    for row in (row for rows in answers for row in rows):
        if qid := _qid(row.get("item", "")):
            pages = int(row["pages"]) if row.get("pages", "").isdigit() else 0
            one = Candidate(qid, row.get("exact") == "yes", pages, row.get("description", ""))
            if qid not in found or (one.exact and not found[qid].exact):
                found[qid] = one
    return sorted(found.values(), key=lambda one: (not one.exact, -one.pages, _number(one.qid)))


def _heir(rows: Rows) -> str | None:
    return next((_qid(row.get("value", "")) for row in rows if row.get("kind") == "heir"), None)


def _qids(rows: Rows) -> Iterator[str]:
    for row in rows:
        if qid := _qid(row.get("item", "")):
            yield qid


def _qid(iri: str) -> str | None:
    """The QID of an item's address; None for unknown values, properties and lexemes."""
    name = iri.removeprefix(ENTITY)
    return name if name != iri and _QID.fullmatch(name) else None


def _number(qid: str) -> int:
    return int(qid[1:])
