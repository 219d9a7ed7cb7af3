"""Lists of WordNet parts and mappings to Wikidata: their format, faults, and the real ones."""

import json
from pathlib import Path

import pytest

from annotate.vocabulary.categories import Category
from annotate.vocabulary.proposals import Proposal, parts_of
from annotate.vocabulary.seed import Seeding, SeedSettings, seed
from annotate.vocabulary.sources.wordnet import lexicon, read_wordnet
from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_json, write_json

LISTS = Path(__file__).resolve().parents[5] / "shared" / "data" / "lists"
REAL = pytest.mark.skipif(not LISTS.is_dir(), reason=f"no lists in {LISTS}")


def test_parts_come_with_owner_distance_and_id(tmp_path: Path) -> None:
    one = {"name": ["hammer"], "parts": ["head"], "inherited": [["handle", "hand tool", 1, "n9"]]}
    write_json(tmp_path / "list.json", {"n03481172": one})
    wordnet = read_wordnet(tmp_path / "list.json")
    assert wordnet.parts("n03481172", 1) == [
        Proposal("head", "wordnet", 0, "WordNet: head is part of hammer, distance 0"),
        Proposal("handle", "wordnet", 1, "WordNet: handle (n9) is part of hand tool, distance 1"),
    ]
    assert [one.name for one in wordnet.parts("n03481172", 0)] == ["head"]
    assert wordnet.parts("n00000000", 9) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "not a list of WordNet parts"),
        ({"n1": {"parts": []}}, "n1.name"),
        ({"n1": {"name": []}}, "n1.name"),
        ({"n1": {"name": ["x"], "inherited": [["a", "b"]]}}, "n1.inherited.0"),
        ({"n1": "x"}, "n1"),
    ],
)
def test_a_wrong_list_is_one_sentence(content: object, words: str, tmp_path: Path) -> None:
    write_json(tmp_path / "list.json", content)
    with pytest.raises(SchemaError, match=words) as caught:
        read_wordnet(tmp_path / "list.json")
    assert "\n" not in caught.value.message


def test_a_wrong_mapping_is_one_sentence(tmp_path: Path) -> None:
    write_json(tmp_path / "mapping.json", [{"wdid": "Q1"}])
    with pytest.raises(SchemaError, match=r"mapping of wnids to QIDs: 0\.inid"):
        lexicon(mapping=tmp_path / "mapping.json")
    (tmp_path / "mapping.json").write_text("{")
    with pytest.raises(SchemaError, match="not valid JSON"):
        lexicon(mapping=tmp_path / "mapping.json")
    with pytest.raises(NotFoundError):
        lexicon(mapping=tmp_path / "none.json")


def test_order_of_parts_is_distance_then_authority() -> None:
    """V-01: at one distance Wikidata goes first; names of the object itself are no parts."""
    found = parts_of(
        "Rams",
        [
            Proposal("tail", "wordnet", 1, "w1"),
            Proposal("body", "wikidata", 1, "d1"),
            Proposal("cell", "wikidata", 9, "d9"),
            Proposal("horn", "wordnet", 0, "w0"),
            Proposal("ram", "wordnet", 0, "w0"),
        ],
    )
    assert [part.name for part in found] == ["horn", "body", "tail", "cell"]


def test_an_alias_joins_only_what_wikidata_does_not_name_itself() -> None:
    found = parts_of(
        "guitar",
        [
            Proposal("neck", "wikidata", 0, "d0", aliases=("fingerboard", "stalk")),
            Proposal("fingerboard", "wikidata", 0, "d1"),
            Proposal("stalks", "wordnet", 2, "w2"),
        ],
    )
    assert [(part.name, len(part.evidence)) for part in found] == [("neck", 2), ("fingerboard", 1)]


def test_other_languages_have_no_english_plurals() -> None:
    both = [Proposal(name, "wikidata", 0, name) for name in ("Reif", "Reifs")]
    assert len(parts_of("Rad", both, "de")) == 2
    assert len(parts_of("Rad", both, "en")) == 1


@pytest.fixture(scope="module")
def thousand() -> Seeding:
    """The 1,000 ImageNet classes by the WordNet list."""
    counts = read_json(LISTS / "pinpp_part_counts.json")
    return seed(
        [Category(wnid=wnid) for wnid in counts],
        SeedSettings(sources=("wordnet",)),
        wordnet=LISTS / "wn30_imagenet_parts.json",
        mapping=LISTS / "imagenet_wikidata.json",
    )


@REAL
def test_real_list_examples(thousand: Seeding) -> None:
    """V-02, V-03, V-08 as far as WordNet knows them."""
    one = thousand.vocabulary.object
    assert set(one("hammer").names) == {"hammerhead", "head", "handle"}
    assert {"horn", "head", "tail", "belly", "vertebrate foot"} <= set(one("ram").names)
    assert one("ram").names[0] == "horn"
    assert {"fingerboard", "string"} <= set(one("acoustic guitar").names)
    assert one("acoustic guitar").qid == "Q31561"


@REAL
def test_real_list_as_a_whole(thousand: Seeding) -> None:
    vocabulary = thousand.vocabulary
    assert len(vocabulary.objects) == 1000
    assert all(one.parts for one in vocabulary.objects)
    facts = {fact for one in vocabulary.objects for part in one.parts for fact in part.evidence}
    assert not [fact for fact in facts if "part of whole" in fact or "part of organism" in fact]
    assert sum(one.qid is not None for one in vocabulary.objects) == 976
    assert len(thousand.without_parts) == 174
    assert len(thousand.resolved.ambiguous) == 29
    assert set(vocabulary.names) >= {"crane", "crane (n03126707)", "maillot", "maillot (tank suit)"}


@REAL
def test_every_animal_has_its_head(thousand: Seeding) -> None:
    """The default distance reaches from any category to `animal` (V-03)."""
    listed = json.loads((LISTS / "wn30_imagenet_parts.json").read_text())
    animals = [
        wnid
        for wnid, one in listed.items()
        if any(p[:2] == ["head", "animal"] for p in one["inherited"])
    ]
    by_wnid = {one.wnid: one for one in thousand.vocabulary.objects}
    assert len(animals) == 398
    assert all("head" in by_wnid[wnid].names for wnid in animals)
