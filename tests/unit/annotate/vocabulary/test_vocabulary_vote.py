"""Volunteers' votes: authority, quorum, ties, spellings, and what is told about bad ballots."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.vocabulary.edit import Editor
from annotate.vocabulary.model import ObjectParts, Part, Vocabulary
from annotate.vocabulary.names import name_key
from annotate.vocabulary.vote import Ballot, Tie, VoteRule, read_ballots, vote
from partlab.errors import ConfigError, NotFoundError, SchemaError

USUAL = VoteRule()
QUADRUPED = ("head", "body", "foot", "tail")


def farm() -> Vocabulary:
    known = tuple(Part(id=p, name=p, source="wikidata", evidence=("P527",)) for p in QUADRUPED)
    worm = Part(id="flatworm", name="flatworm", source="whole-object")
    guess = Part(id="fleece", name="fleece", source="wordnet")
    ram = ObjectParts(name="ram", parts=(*known, guess), inclusions={})
    return Vocabulary(objects=(ram, ObjectParts(name="flatworm", parts=(worm,))))


def ballots(part: str, yes: int, no: int = 0, object: str = "ram", silent: int = 0) -> list[Ballot]:
    cast = [Ballot(f"v{n}@x.org", object, part, n < yes) for n in range(yes + no)]
    return cast + [Ballot(f"s{n}@x.org", object, "", False) for n in range(silent)]


def decisions(cast: list[Ballot], rule: VoteRule = USUAL) -> dict[str, str]:
    return {outcome.part: outcome.decision for outcome in vote(farm(), cast, rule).outcomes}


def test_ten_volunteers_give_the_ram_its_horn() -> None:
    """V-03, V-10: 8 of 10 say so; what Wikidata knows stays, though nobody voted on it."""
    result = vote(farm(), ballots("horn", 8, 2), VoteRule(), Editor("ann", at="2026"))
    ram = result.vocabulary.object("ram")
    assert ram.names == (*QUADRUPED, "fleece", "horn")
    assert ram.named("horn").source == "volunteers"
    assert ram.named("horn").evidence == ("8 of 10 volunteers",)
    assert result.vocabulary.version == 2
    (change,) = result.vocabulary.changes
    assert (change.operation, change.after, change.who) == ("add", ("horn",), "ann")
    assert result.notes == ()


def test_the_same_ballots_twice_change_nothing_more() -> None:
    cast = [*ballots("horn", 8, 2), *ballots("head", 9, 1)]
    once = vote(farm(), cast).vocabulary
    assert vote(once, cast).vocabulary == once
    assert once.object("ram").named("head").evidence == ("P527", "9 of 10 volunteers")


def test_silence_counts_against_a_suggestion_only() -> None:
    assert decisions(ballots("horn", 3, silent=7))["horn"] == "not added"
    assert decisions(ballots("horn", 6, silent=4))["horn"] == "added"
    assert decisions(ballots("fleece", 0, 4, silent=6))["fleece"] == "removed"
    assert decisions(ballots("tail", 0, 4, silent=6))["tail"] == "listed"
    assert set(decisions(ballots("", 0, silent=9)).values()) == {"listed"}


def test_what_wikidata_says_goes_only_by_a_majority_of_no() -> None:
    """V-01: the order of authority."""
    for tie in ("keep", "drop", "ask"):
        assert decisions(ballots("tail", 5, 5), VoteRule(tie=tie))["tail"] == "listed"
    result = vote(farm(), ballots("tail", 4, 6))
    assert "tail" not in result.vocabulary.object("ram").names
    assert result.vocabulary.changes[0].before == ("tail",)


@pytest.mark.parametrize(
    ("tie", "suggested", "listed"),
    [("keep", "added", "listed"), ("drop", "not added", "removed"), ("ask", "tie", "tie")],
)
def test_ties(tie: Tie, suggested: str, listed: str) -> None:
    assert decisions(ballots("horn", 5, 5), VoteRule(tie=tie))["horn"] == suggested
    assert decisions(ballots("fleece", 5, 5), VoteRule(tie=tie))["fleece"] == listed


def test_quorum_and_share() -> None:
    assert decisions(ballots("horn", 2))["horn"] == "no quorum"
    assert decisions(ballots("horn", 3))["horn"] == "added"
    assert decisions(ballots("horn", 2), VoteRule(quorum=2))["horn"] == "added"
    assert decisions(ballots("fleece", 0, 2, silent=8))["fleece"] == "no quorum"
    exactly = VoteRule(share=0.7, tie="drop")  # 0.7 * 10 is not 7 in floating point
    assert decisions(ballots("horn", 7, 3), exactly)["horn"] == "not added"
    assert decisions(ballots("horn", 8, 2), exactly)["horn"] == "added"
    assert decisions(ballots("fleece", 4, 6), exactly)["fleece"] == "listed"
    for wrong in ({"quorum": 0}, {"share": 0.4}, {"share": 1.0}):
        with pytest.raises(ConfigError):
            VoteRule(**wrong)  # type: ignore[arg-type]


def test_one_vote_a_voter_and_part_and_the_last_counts() -> None:
    cast = [*ballots("horn", 4), Ballot("V0@X.org", "Ram", "Horns", False)]
    result = vote(farm(), cast)
    (outcome,) = [one for one in result.outcomes if one.part == "horn"]
    assert (outcome.yes, outcome.no, outcome.voters) == (3, 1, 4)
    assert result.notes == ("V0@X.org voted twice on ram:Horns, changing it",)


def test_spellings_are_one_part() -> None:
    names = ["Horn", "horns", "horn", "horn ", "HORN"]
    cast = [Ballot(f"v{n}", "ram", name.strip(), True) for n, name in enumerate(names)]
    cast += [Ballot(f"v{n}", "ram", "Feet", True) for n in range(5)]
    result = vote(farm(), cast)
    assert result.vocabulary.object("ram").names == (*QUADRUPED, "fleece", "horn")
    (foot,) = [one for one in result.outcomes if one.part == "foot"]
    assert (foot.yes, foot.spellings) == (5, ("Feet",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Side Mirror", "side_mirrors"),
        ("foot", "feet"),
        ("leaf", "leaves"),
        ("brush", "brushes"),
        ("body", "bodies"),
        ("knife", "knives"),
        ("windscreen-wiper", "windscreen wipers"),
        ("box", "boxes"),
        ("lens", "lenses"),
        ("tomato", "tomatoes"),
        ("shoe", "shoes"),
        ("toe", "toes"),
        ("Fuß", "FUSS"),
    ],
)
def test_names_that_are_one(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


def test_names_that_are_two() -> None:
    different = ["glass", "glove", "lens", "bus", "pancreas", "axis", "axe", "tie", "toe", "tooth"]
    different += ["len", "shop", "photo", "torso", "base", "bass", "vase", "canoe", "hose"]
    assert len({name_key(name) for name in different}) == len(different)


def test_unknown_objects_are_told_with_near_names() -> None:
    result = vote(farm(), [*ballots("horn", 9, object="rom"), *ballots("x", 1, object="Zebra")])
    assert result.vocabulary == farm()
    assert result.notes == (
        "no object category 'rom'; did you mean ram? 9 votes not counted",
        "no object category 'Zebra'; 1 vote not counted",
    )


def test_the_whole_object_gives_way_to_parts_and_comes_back() -> None:
    """V-01 rule 3, V-04."""
    parts = vote(farm(), ballots("tail", 9, object="flatworm")).vocabulary
    assert parts.object("flatworm").names == ("tail",)
    assert not parts.object("flatworm").whole_object
    whole = vote(parts, ballots("tail", 0, 9, object="flatworm")).vocabulary
    assert whole.object("flatworm").whole_object
    assert whole.object("flatworm").names == ("flatworm",)
    against = vote(farm(), ballots("flatworm", 0, 9, object="flatworm")).vocabulary
    assert against.object("flatworm").whole_object


def test_inclusions_go_with_their_parts() -> None:
    parts = tuple(Part(id=name, name=name) for name in ("eye", "head", "body"))
    ram = ObjectParts(name="ram", parts=parts, inclusions={"eye": "head", "head": "body"})
    result = vote(Vocabulary(objects=(ram,)), ballots("head", 0, 9))
    assert result.vocabulary.object("ram").inclusions == {"eye": "body"}


def test_a_renamed_parts_id_is_not_a_name() -> None:
    """`horn` was renamed `antler`; a vote for `horn` suggests a new part."""
    stag = ObjectParts(name="stag", parts=(Part(id="horn", name="antler"),))
    result = vote(Vocabulary(objects=(stag,)), ballots("horn", 9, object="stag"))
    assert result.vocabulary.object("stag").names == ("antler", "horn")
    assert result.vocabulary.object("stag").named("horn").id == "horn-2"


PARTS = st.sampled_from(["head", "tails", "fleece", "horn", "Horns", "beard", ""])


@given(
    st.lists(st.builds(Ballot, st.sampled_from("abcdefgh"), st.just("ram"), PARTS, st.booleans())),
    st.sampled_from(["keep", "drop", "ask"]),
)
def test_any_ballots_give_a_sound_vocabulary(cast: list[Ballot], tie: Tie) -> None:
    result = vote(farm(), cast, VoteRule(tie=tie))
    Vocabulary.model_validate(result.vocabulary.model_dump())
    assert result.vocabulary.object("ram").parts
    for outcome in result.outcomes:
        assert outcome.yes + outcome.no <= outcome.voters
        there = outcome.part in result.vocabulary.object("ram").names
        listed = outcome.part in farm().object("ram").names
        expected = {"added": True, "removed": False, "listed": True, "not added": False}
        assert there == expected.get(outcome.decision, listed)


def test_ballot_files(tmp_path: Path) -> None:
    path = tmp_path / "ballots.csv"
    path.write_bytes(
        "\ufeffVoter; Object ;part;VOTE\n"
        "ann;ram;horn;Yes\n"
        "ben;ram;Hörner;n\n"
        "\n"
        "cid;ram;;\n"
        "dan;ram;horn;maybe\n"
        "eve;;horn;yes\n"
        "fay;ram;horn\n".encode()
    )
    found, faults = read_ballots(path)
    assert found == [
        Ballot("ann", "ram", "horn", True),
        Ballot("ben", "ram", "Hörner", False),
        Ballot("cid", "ram", "", False),
    ]
    assert [fault.removeprefix(f"{path} ") for fault in faults] == [
        "line 6: the vote 'maybe' is neither yes nor no; not counted",
        "line 7: no object; not counted",
        "line 8: no vote; not counted",
    ]


def test_cells_of_two_lines_and_tabs_between_cells(tmp_path: Path) -> None:
    path = tmp_path / "ballots.csv"
    path.write_text('voter\tobject\tpart\tvote\nann\tram\t"left\nhorn"\tyes\n', "utf-8")
    assert read_ballots(path) == ([Ballot("ann", "ram", "left horn", True)], [])


def test_suggestions_become_names_that_labels_can_have() -> None:
    made = vote(farm(), [*ballots("ear: left/inner", 3), *ballots("$ear", 3)])
    assert made.vocabulary.object("ram").names == (*QUADRUPED, "fleece", "ear left inner")
    assert len(made.notes) == 3
    assert made.notes[0] == (
        "ram: '$ear' cannot be a part: it starts with '$', which Label Studio replaces; "
        "the vote of v0@x.org is not counted"
    )


@pytest.mark.parametrize("written", ["head:", "Head/", ":heads"])
def test_signs_that_names_cannot_have_do_not_hide_a_listed_part(written: str) -> None:
    result = vote(farm(), ballots(written, 3))
    assert result.vocabulary.object("ram").names == (*QUADRUPED, "fleece")
    assert result.vocabulary.object("ram").named("head").evidence[-1] == "3 of 3 volunteers"
    mixed = vote(farm(), [*ballots("fleece", 0, 3), Ballot("late", "ram", "fleece:", True)])
    (fleece,) = [one for one in mixed.outcomes if one.part == "fleece"]
    assert (fleece.yes, fleece.no, fleece.decision) == (1, 3, "removed")
    assert "fleece" not in mixed.vocabulary.object("ram").names


def test_names_that_differ_in_a_sign_only_are_voted_on_apart() -> None:
    """By hand a file may hold both; each vote is for the one that it names."""
    parts = (Part(id="a", name="left:right"), Part(id="b", name="left right"))
    both = Vocabulary(objects=(ObjectParts(name="ram", parts=parts),))
    assert vote(both, ballots("left right", 0, 3)).vocabulary.object("ram").ids == ("a",)
    assert vote(both, ballots("left:right", 0, 3)).vocabulary.object("ram").ids == ("b",)


def test_an_object_is_no_part_of_itself() -> None:
    result = vote(farm(), ballots("Rams", 3))
    assert result.vocabulary == farm()
    assert result.notes[0] == (
        "ram: 'Rams' cannot be a part: it is the object itself; the vote of v0@x.org is not counted"
    )


def test_votes_confirm_a_part_only_with_a_quorum_and_once() -> None:
    """What decides nothing changes nothing; the last vote's count stands alone."""
    few = [*ballots("head", 1, silent=1), *ballots("fleece", 2, silent=8)]
    assert vote(farm(), ballots("head", 1, silent=1)).vocabulary == farm()
    assert vote(farm(), few).vocabulary.object("ram").named("fleece").evidence == ()
    twice = vote(vote(farm(), ballots("head", 9, 1)).vocabulary, ballots("head", 2, 1)).vocabulary
    assert twice.object("ram").named("head").evidence == ("P527", "2 of 3 volunteers")


def test_files_that_hold_no_ballots(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_ballots(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(SchemaError, match="no column voter"):
        read_ballots(tmp_path / "empty.csv")
    (tmp_path / "other.csv").write_text("voter,object,vote\na,b,yes\n")
    with pytest.raises(SchemaError, match="no column part"):
        read_ballots(tmp_path / "other.csv")
    (tmp_path / "picture.csv").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(SchemaError, match="not UTF-8"):
        read_ballots(tmp_path / "picture.csv")
    (tmp_path / "nul.csv").write_bytes(b"voter,object,part,vote\na,ram,h\0rn,yes\n")
    read_ballots(tmp_path / "nul.csv")
