"""A first vocabulary from Wikidata and WordNet, each part with its source and evidence (V-01)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from annotate.vocabulary.categories import Category
from annotate.vocabulary.edit import Editor
from annotate.vocabulary.model import ObjectParts, Vocabulary
from annotate.vocabulary.proposals import NO_PARTS, Proposal, parts_of, whole_object
from annotate.vocabulary.sources.answers import Answers
from annotate.vocabulary.sources.resolve import Resolved, resolve
from annotate.vocabulary.sources.sparql import Endpoint
from annotate.vocabulary.sources.wikidata import GENERAL, INHERIT, PARTS, Wikidata
from annotate.vocabulary.sources.wordnet import GENERAL as GENERAL_KINDS
from annotate.vocabulary.sources.wordnet import Lexicon, WordNet, lexicon, read_wordnet
from partlab.config import Config
from partlab.counts import counted
from partlab.errors import ConfigError, DatasetError

SEEDER = "partlab vocabulary seed"


class SeedSettings(Config):
    """Where parts come from, and how far up they are inherited.

    `max_distance` counts steps: subclass of, parent taxon, WordNet hypernym. 12 reaches from
    any ImageNet category to `animal`, whose head it is; the kinds in `general_classes` (QIDs)
    and `general_kinds` (WordNet) hand nothing down. `timeout` and `patience` are in seconds.
    """

    sources: tuple[Literal["wikidata", "wordnet"], ...] = Field(("wikidata",), min_length=1)
    endpoint: str = "https://query.wikidata.org/sparql"
    language: str = Field("en", pattern=r"^[A-Za-z]{2,12}(-[A-Za-z0-9]+)*$")
    max_distance: int = Field(12, ge=0)
    timeout: float = Field(60.0, gt=0)
    contact: str = ""
    batch: int = Field(100, ge=1)
    patience: float = Field(300.0, ge=0)
    inherit: tuple[str, ...] = INHERIT
    part_properties: tuple[str, ...] = PARTS
    general_classes: tuple[str, ...] = GENERAL
    general_kinds: tuple[str, ...] = GENERAL_KINDS


@dataclass
class Seeding:
    """A vocabulary, and what has to be told about how it came to be."""

    vocabulary: Vocabulary
    resolved: Resolved
    not_found: list[str] = field(default_factory=list)
    without_parts: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    requests: int = 0
    from_cache: int = 0

    def as_json(self) -> dict[str, Any]:
        """Counts and lists for `--json`."""
        parts = [part for one in self.vocabulary.objects for part in one.parts]
        both = sum(len({fact.startswith("WordNet:") for fact in p.evidence}) == 2 for p in parts)
        return {
            "objects": len(self.vocabulary.objects),
            "parts": len(parts),
            "sources": dict(Counter(part.source for part in parts)),
            "in_both_sources": both,
            "without_parts": self.without_parts,
            "not_found": self.not_found,
            "ambiguous": [one.as_json() for one in self.resolved.ambiguous],
            "duplicates": self.resolved.duplicates,
            "notes": self.resolved.notes,
            "unanswered": self.unanswered,
            "requests": self.requests,
            "from_cache": self.from_cache,
        }


def seed(
    categories: Iterable[Category],
    settings: SeedSettings,
    *,
    wordnet: str | Path | None = None,
    mapping: str | Path | None = None,
    cache: str | Path | None = None,
    offline: bool = False,
    refresh: bool = False,
) -> Seeding:
    """Propose parts for each category; one without any gets itself as its part (V-04).

    `wordnet` is a list of parts and `mapping` a list of wnids and QIDs (see `wordnet.py`);
    `cache` is a folder for answers: without it `offline` has nothing to go by.

    Raises:
        ConfigError: the source wordnet has no list.
        NotFoundError, SchemaError: a file is missing or wrong.
        BackendUnavailableError: the endpoint cannot be asked, and the answers are not stored.
        DatasetError: none of the categories was found in any source.
    """
    if "wordnet" in settings.sources and wordnet is None:
        raise ConfigError(
            "the source wordnet needs a list of parts", hint="name it with --wordnet FILE"
        )
    listed = read_wordnet(wordnet, settings.general_kinds) if wordnet is not None else None
    words = lexicon(listed, mapping)
    sources = _Sources(listed if "wordnet" in settings.sources else None, words, settings)
    if "wikidata" not in settings.sources:
        return sources.seed(list(categories), None)
    answers = Answers(cache) if cache is not None else None
    try:
        with Endpoint(
            settings.endpoint,
            answers=answers,
            timeout=settings.timeout,
            contact=settings.contact,
            batch=settings.batch,
            offline=offline,
            refresh=refresh,
            patience=settings.patience,
        ) as endpoint:
            seeding = sources.seed(list(categories), _wikidata(endpoint, settings))
            seeding.requests, seeding.from_cache = endpoint.requests, endpoint.from_cache
            seeding.unanswered = endpoint.unanswered
            return seeding
    finally:
        if answers is not None:
            answers.close()


def _wikidata(endpoint: Endpoint, settings: SeedSettings) -> Wikidata:
    return Wikidata(
        endpoint,
        settings.language,
        settings.inherit,
        settings.part_properties,
        settings.general_classes,
    )


@dataclass(frozen=True)
class _Sources:
    wordnet: WordNet | None
    lexicon: Lexicon
    settings: SeedSettings

    def seed(self, categories: Sequence[Category], wikidata: Wikidata | None) -> Seeding:
        resolved = resolve(categories, self.lexicon, wikidata)
        not_found = [one.name for one in resolved.categories if not self._found(one, wikidata)]
        if len(not_found) == len(resolved.categories):
            raise DatasetError(
                f"none of {counted(len(not_found), 'category', 'categories')} was found, such as "
                f"{not_found[0]!r}",
                hint="write the item beside the name, as `hammer = Q25294`; wnids need --mapping",
            )
        qids = {one.qid: None for one in resolved.categories if one.qid}
        far = self.settings.max_distance
        inherited = wikidata.parts(qids, far) if wikidata is not None else {}
        objects = [self._object(one, inherited) for one in resolved.categories]
        by = Editor(who=SEEDER)
        vocabulary = Vocabulary(language=self.settings.language, objects=tuple(objects))
        before = vocabulary.model_copy(update={"version": 0})  # seeding leads to version 1
        changes = tuple(by.change(before, "add", one.name, (), one.ids) for one in objects)
        return Seeding(
            vocabulary.model_copy(update={"changes": changes}),
            resolved,
            not_found,
            without_parts=[one.name for one in objects if one.whole_object],
        )

    def _found(self, one: Category, wikidata: Wikidata | None) -> bool:
        in_list = self.wordnet is not None and one.wnid in self.wordnet.meronyms
        return in_list or (wikidata is not None and one.qid is not None)

    def _object(self, one: Category, inherited: dict[str, list[Proposal]]) -> ObjectParts:
        proposals = list(inherited.get(one.qid or "", ()))
        if self.wordnet is not None and one.wnid:
            proposals += self.wordnet.parts(one.wnid, self.settings.max_distance)
        parts = parts_of(one.name, proposals, self.settings.language)
        return ObjectParts(
            name=one.name,
            wnid=one.wnid,
            qid=one.qid,
            aliases=one.aliases,
            parts=parts or (whole_object(one.name, self._why(one)),),
        )

    def _why(self, one: Category) -> str:
        asked = {"wikidata": one.qid, "wordnet": one.wnid}
        named = [f"{source} ({asked[source] or 'not found'})" for source in self.settings.sources]
        return f"{NO_PARTS} {' or '.join(named)} over {self.settings.max_distance} steps"
