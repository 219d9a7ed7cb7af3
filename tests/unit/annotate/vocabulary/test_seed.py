"""Seeding from a real SPARQL engine: the examples of V-01 to V-08, names, inheritance, merging."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from annotate.vocabulary.categories import read_categories
from annotate.vocabulary.seed import Seeding, SeedSettings, seed
from partlab.errors import BackendUnavailableError, ConfigError, DatasetError
from partlab.files import write_json

if TYPE_CHECKING:
    from sparql_engine import SparqlEngine

Seed = Callable[..., Seeding]

WORDNET = {
    "n03481172": {
        "name": ["hammer"],
        "parts": ["hammer-head", "claw"],
        "inherited": [["Grips", "hand tool", 1, "n1"], ["part", "whole", 6, "n2"]],
    },
    "n02412080": {"name": ["ram", "tup"], "parts": ["horn"], "inherited": []},
    "n02012849": {"name": ["crane"], "parts": ["neck"], "inherited": []},
    "n03126707": {"name": ["crane"], "parts": ["hook"], "inherited": []},
    "n01503061": {"name": ["bird"], "parts": [], "inherited": [["bird", "bird", 1, "n3"]]},
    "n04049405": {
        "name": ["racer"],
        "parts": ["wing", "wings"],
        "inherited": [["wheel", "car", 1, "n4"], ["wheels", "vehicle", 3, "n5"]],
    },
}
MAPPING = [
    {"inid": "n03481172", "wnid": "03486255-n", "synset": ["hammer"], "wdid": "Q25294"},
    {"inid": "n02412080", "wnid": "02414726-n", "synset": ["ram", "tup"], "wdid": None},
    {"inid": "n02012849", "wnid": "02015000-n", "synset": ["crane"], "wdid": "Q25365"},
    {"inid": "n03126707", "wnid": "03131967-n", "synset": ["crane"], "wdid": "Q27896"},
    {"inid": "n03532672", "wnid": "03537852-n", "synset": ["guitar"], "wdid": "Q31561",
     "label": "Acoustic Guitar"},
    {"inid": "n03532672", "wnid": "03537852-n", "synset": ["guitar"], "wdid": "Q6607",
     "label": "Guitars"},
]  # fmt: skip


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, Path]:
    write_json(tmp_path / "wordnet.json", WORDNET)
    write_json(tmp_path / "mapping.json", MAPPING)
    return tmp_path / "wordnet.json", tmp_path / "mapping.json"


@pytest.fixture
def propose(sparql_endpoint: "SparqlEngine", tmp_path: Path) -> Seed:
    """`propose("hammer,ram", wordnet=…, max_distance=…)`."""

    def run(names: str, **given: Any) -> Seeding:
        files = {key: given.pop(key) for key in ("wordnet", "mapping") if key in given}
        files |= {key: given.pop(key) for key in ("offline", "refresh") if key in given}
        settings = SeedSettings(**{"endpoint": sparql_endpoint.url, **given})
        return seed(read_categories(names)[0], settings, cache=tmp_path / "cache", **files)

    return run


def parts(seeding: Seeding, object: str) -> list[str]:
    return list(seeding.vocabulary.object(object).names)


def test_hammer_has_the_parts_of_v02_each_with_its_evidence(propose: Seed) -> None:
    hammer = propose("hammer").vocabulary.object("hammer")
    assert hammer.qid == "Q25294"
    assert hammer.aliases == ("mallet",)
    assert set(hammer.names) == {"handle", "striker", "hammerhead"}
    assert hammer.named("handle").source == "wikidata"
    assert hammer.named("handle").evidence == (
        "Q25294 hammer: has part (P527) Q1094 handle, distance 0",
    )
    assert hammer.named("hammerhead").evidence == (
        "Q903 hammerhead: part of (P361) Q25294 hammer, distance 0",
    )


def test_deprecated_and_unknown_values_are_no_parts(propose: Seed) -> None:
    found = propose("hammer,maraca")
    assert "steam chest" not in parts(found, "hammer")
    assert parts(found, "maraca") == ["rattle head", "stick"]


def test_quadrupeds_inherit_over_subclass_and_taxon(propose: Seed) -> None:
    """V-03; the nearest parts first, and the way up is counted."""
    found = propose("ram,elephant")
    assert parts(found, "ram") == ["head", "body", "foot", "tail"]
    assert parts(found, "elephant") == ["elephant trunk", "head", "body", "foot", "tail"]
    head = found.vocabulary.object("ram").named("head")
    assert head.evidence == ("Q19159 quadruped: has part (P527) Q913 head, distance 3",)


@pytest.mark.parametrize(("steps", "has"), [(0, False), (2, False), (3, True)])
def test_max_distance_is_exact(propose: Seed, steps: int, has: bool) -> None:
    found = propose("ram,Q7378", max_distance=steps)
    assert ("head" in parts(found, "ram")) == has
    assert ("head" in parts(found, "elephant")) == (steps >= 2)


def test_classes_too_far_up_are_not_asked_about(
    propose: Seed, sparql_endpoint: "SparqlEngine"
) -> None:
    propose("ram", max_distance=1)
    asked = [query for query in sparql_endpoint.queries if "wdt:P527" in query]
    assert ["wd:Q2929800" in asked[0], "wd:Q7368" in asked[1], len(asked)] == [True, True, 2]


def test_the_shortest_way_up_counts(propose: Seed, sparql_endpoint: "SparqlEngine") -> None:
    sparql_endpoint.triples.claim("Q2929800", "P279", "Q19159")
    head = propose("ram").vocabulary.object("ram").named("head")
    assert head.evidence[0].endswith("distance 1")


def test_a_circle_of_classes_ends(propose: Seed, sparql_endpoint: "SparqlEngine") -> None:
    sparql_endpoint.triples.claim("Q19159", "P279", "Q2929800")
    assert parts(propose("ram"), "ram") == ["head", "body", "foot", "tail"]


def test_general_classes_hand_nothing_down(propose: Seed) -> None:
    assert "cell" not in parts(propose("ram"), "ram")
    assert "cell" in parts(propose("ram", general_classes=()), "ram")
    assert "surface" not in parts(propose("hammer"), "hammer")


def test_taxa_can_be_left_out(propose: Seed) -> None:
    found = propose("ram,elephant", inherit=("P279",))
    assert found.without_parts == ["ram"]
    assert parts(found, "elephant") == ["elephant trunk"]


def test_flatworm_is_its_own_part(propose: Seed) -> None:
    """V-01 (3), V-04: and the user is told."""
    found = propose("flatworm,hammer")
    flatworm = found.vocabulary.object("flatworm")
    assert flatworm.whole_object
    assert flatworm.parts[0].name == "flatworm"
    assert flatworm.parts[0].evidence == ("no parts found in wikidata (Q124900) over 12 steps",)
    assert found.without_parts == ["flatworm"]


def test_guitar_has_what_v08_starts_from(propose: Seed) -> None:
    found = propose("acoustic guitar")
    assert parts(found, "acoustic guitar") == ["sound hole", "fingerboard", "strings"]


# -- names, wnids, QIDs -----------------------------------------------------------------------


def test_a_name_with_two_meanings_is_told_and_the_better_known_is_taken(propose: Seed) -> None:
    """A family name is no class and so no candidate, on however many pages it is."""
    found = propose("hammer,crane")
    hammer, crane = found.resolved.ambiguous
    assert (hammer.chosen, [id for id, _ in hammer.candidates]) == ("Q25294", ["Q25294", "Q906"])
    assert crane.sentence == ("crane: took Q25365 family of birds, may be Q27896 type of machine")
    assert found.vocabulary.object("crane").qid == "Q25365"


def test_the_user_may_choose(propose: Seed) -> None:
    found = propose("crane = Q27896")
    assert (parts(found, "crane"), found.resolved.ambiguous) == (["jib"], [])


@pytest.mark.parametrize("name", ["Hammer", "HAMMER", "tup", "Mallet", "mallet"])
def test_names_are_found_in_any_case_and_by_alias(propose: Seed, name: str) -> None:
    found = propose(name)
    assert found.vocabulary.objects[0].name == name
    assert found.vocabulary.objects[0].qid in ("Q25294", "Q2929800")


def test_qids_are_named_by_label_and_merged_ones_followed(propose: Seed) -> None:
    found = propose("Q31560,q25294")
    assert found.vocabulary.names == ("acoustic guitar", "hammer")
    assert found.vocabulary.objects[0].qid == "Q31561"
    assert found.resolved.notes == ["Q31560 is now Q31561 acoustic guitar"]


def test_what_nobody_knows_is_told_but_does_not_stop(propose: Seed) -> None:
    found = propose("hammer,flibbertigibbet,Q404404")
    assert found.not_found == ["flibbertigibbet"]
    assert found.resolved.notes == ["nothing is said about Q404404"]
    assert found.vocabulary.object("flibbertigibbet").whole_object
    with pytest.raises(DatasetError, match="none of 2 categories was found"):
        propose("flibbertigibbet,gobbledygook")


def test_wnids_by_synset_property(propose: Seed, lists: tuple[Path, Path]) -> None:
    """The mapping gives n02412080's WordNet 3.1 id and no item; Wikidata has the id (P8814)."""
    assert propose("02414726-n").vocabulary.objects[0].name == "ram"
    found = propose("n02412080", mapping=lists[1]).vocabulary.object("ram")
    assert (found.wnid, found.qid) == ("n02412080", "Q2929800")


def test_wnids_by_mapping_and_several_items_for_one(
    propose: Seed, lists: tuple[Path, Path]
) -> None:
    """Of several items the one called like the synset goes first, whatever the order."""
    found = propose("n03481172,n03532672", mapping=lists[1])
    assert found.vocabulary.object("hammer").wnid == "n03481172"
    assert found.vocabulary.object("guitar").qid == "Q6607"
    assert [one.name for one in found.resolved.ambiguous] == ["guitar"]


def test_two_things_of_one_name_get_two_names(propose: Seed, lists: tuple[Path, Path]) -> None:
    found = propose("n02012849,n03126707", wordnet=lists[0], mapping=lists[1],
                    sources=("wikidata", "wordnet"))  # fmt: skip
    assert found.vocabulary.names == ("crane", "crane (n03126707)")
    assert parts(found, "crane") == ["beak", "neck"]
    assert parts(found, "crane (n03126707)") == ["jib", "hook"]
    assert "two things" in found.resolved.notes[0]


def test_one_thing_named_in_three_ways_is_kept_once(
    propose: Seed, lists: tuple[Path, Path]
) -> None:
    found = propose("hammer,Q25294,n03481172", mapping=lists[1])
    assert found.vocabulary.names == ("hammer",)
    assert found.resolved.duplicates == ["hammer", "hammer"]
    without_files = propose("mallet,Q25294")
    assert without_files.vocabulary.names == ("mallet",)
    assert without_files.resolved.duplicates == ["hammer"]


def test_language_with_fallback(propose: Seed) -> None:
    """`foot` has no English label, only one for all languages; `elephant` no German one."""
    assert parts(propose("ram"), "ram")[2] == "foot"
    german = propose("Q7378", language="DE")
    assert parts(german, "elephant") == ["elephant trunk", "Kopf", "Körper", "Fuß", "Schwanz"]
    with pytest.raises(ValueError, match="language"):
        SeedSettings(language='de") } DROP')


# -- two sources ------------------------------------------------------------------------------


def test_a_part_in_both_sources_is_one_part_by_the_higher_authority(
    propose: Seed, lists: tuple[Path, Path]
) -> None:
    """V-01: spelling aside (hammer-head) and by Wikidata's alias (grip, in the plural)."""
    found = propose("hammer", wordnet=lists[0], sources=("wikidata", "wordnet"))
    hammer = found.vocabulary.object("hammer")
    assert set(hammer.names) == {"handle", "striker", "hammerhead", "claw"}
    assert hammer.named("hammerhead").source == "wikidata"
    assert hammer.named("hammerhead").evidence == (
        "Q903 hammerhead: part of (P361) Q25294 hammer, distance 0",
        "WordNet: hammer-head is part of hammer, distance 0 (there called 'hammer-head')",
    )
    assert "Grips" in hammer.named("handle").evidence[1]
    assert hammer.named("claw").source == "wordnet"
    assert found.as_json()["in_both_sources"] == 2


def test_wordnet_alone(propose: Seed, lists: tuple[Path, Path]) -> None:
    found = propose("hammer,n02412080", wordnet=lists[0], sources=("wordnet",), endpoint="http://x")
    assert parts(found, "hammer") == ["hammer-head", "claw", "Grips"]
    assert parts(found, "ram") == ["horn"]
    assert found.requests == 0


def test_plurals_are_one_part_and_the_nearest_says_so(
    propose: Seed, lists: tuple[Path, Path]
) -> None:
    racer = propose("racer", wordnet=lists[0], sources=("wordnet",)).vocabulary.object("racer")
    assert racer.names == ("wing", "wheel")
    assert racer.named("wheel").evidence == ("WordNet: wheel (n4) is part of car, distance 1",)


def test_what_is_called_like_the_object_is_no_part(propose: Seed, lists: tuple[Path, Path]) -> None:
    found = propose("bird,ram", wordnet=lists[0], sources=("wordnet",))
    assert found.without_parts == ["bird"]


def test_an_ambiguous_wnid_is_told(propose: Seed, lists: tuple[Path, Path]) -> None:
    found = propose("crane,ram", wordnet=lists[0], sources=("wordnet",))
    assert found.not_found == ["crane"]
    assert found.resolved.ambiguous[0].sentence == (
        "crane: none taken, may be n02012849 crane or n03126707 crane"
    )


def test_wordnet_without_its_list(propose: Seed) -> None:
    with pytest.raises(ConfigError, match="list of parts"):
        propose("hammer", sources=("wordnet",))


# -- requests ---------------------------------------------------------------------------------


def test_the_answers_serve_a_second_run_and_an_offline_one(
    propose: Seed, sparql_endpoint: "SparqlEngine"
) -> None:
    first = propose("hammer,ram,maraca,Q31560,crane")
    count = len(sparql_endpoint.requests)
    assert first.requests == count <= 10
    again = propose("crane,hammer,maraca")
    assert (again.requests, len(sparql_endpoint.requests)) == (0, count)
    sparql_endpoint.stop()
    try:
        offline = propose("hammer,ram,maraca,Q31560,crane", offline=True)
        assert offline.vocabulary.hash == first.vocabulary.hash
        with pytest.raises(BackendUnavailableError, match="not stored"):
            propose("elephant", offline=True)
    finally:
        sparql_endpoint.start_again()


def test_batches_change_nothing(propose: Seed, sparql_endpoint: "SparqlEngine") -> None:
    names = "hammer,ram,maraca,Q31560,crane,flatworm,elephant"
    whole = propose(names)
    sparql_endpoint.most_keys = 3
    assert propose(names, batch=7, refresh=True).vocabulary.hash == whole.vocabulary.hash


def test_what_was_not_answered_is_told(propose: Seed, sparql_endpoint: "SparqlEngine") -> None:
    sparql_endpoint.poison = "wd:Q7368"
    found = propose("ram,hammer")
    assert found.unanswered == ["wd:Q7368"]
    assert found.without_parts == ["ram"]


def test_every_proposal_is_on_record(propose: Seed) -> None:
    """So that ids are never used again, and nothing that was taken out is proposed twice."""
    vocabulary = propose("hammer,flatworm").vocabulary
    assert vocabulary.version == 1
    assert [(c.version, c.operation, c.object) for c in vocabulary.changes] == [
        (1, "add", "hammer"),
        (1, "add", "flatworm"),
    ]
    assert vocabulary.changes[0].after == vocabulary.object("hammer").ids
