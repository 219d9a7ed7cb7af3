"""One object for names, owners, inclusions and mirrors of part categories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partlab.errors import ConfigError, UnknownNameError
from partlab.parts import Parts, mirror_name, split_name

CAR = Parts.of(["car:left_mirror", "car:right_mirror", "car:hood", "dog:left ear", "dog:tail"])


def swapped(*names: str, pairs: list[tuple[str, str]] | None = None) -> list[str]:
    parts = Parts.of(names)
    return [names[label] for label in parts.mirrored(pairs or [])]


def test_labels_are_positions_and_objects_come_in_order() -> None:
    assert CAR.objects == ("car", "dog")
    assert CAR.labels_of("dog") == (3, 4)
    assert CAR.labels_of("dog", "car") == (3, 4, 0, 1, 2)
    assert CAR.labels_of() == ()
    assert CAR.label["dog:tail"] == 4
    with pytest.raises(UnknownNameError, match="unknown object category 'dgo'") as caught:
        CAR.labels_of("dgo")
    assert caught.value.hint == "did you mean dog?"


def test_a_part_is_called_by_its_full_name_or_its_own() -> None:
    parts = Parts.of(["car:hood", "cat:head", "dog:head"])
    assert parts.called("cat:head") == (1,)
    assert parts.called("head") == (1, 2)
    with pytest.raises(UnknownNameError, match="unknown part category 'haed'") as caught:
        parts.called("haed")
    assert "head" in str(caught.value.hint)


def test_a_part_may_hold_colons_an_object_may_not() -> None:
    assert split_name("car:door:handle") == ("car", "door:handle")
    assert split_name("car") == ("car", "")


def test_inclusions_become_parents_and_ancestors_by_label() -> None:
    inner = {"ram": {"eye": "head", "head": "body", "wing": "body"}, "fox": {"eye": "head"}}
    parts = Parts.of(["ram:body", "ram:eye", "ram:head", "fox:eye"], inner)
    assert parts.parents == {1: (2,), 2: (0,)}
    assert parts.ancestors == {1: (2, 0), 2: (0,)}


def test_matching_is_by_name() -> None:
    other = Parts.of(["dog:tail", "car:hood", "cat:tail"])
    assert CAR.matched(other) == {2: 1, 4: 0}


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        ("car:left mirror", "car:right mirror"),
        ("car:left_mirror", "car:right_mirror"),
        ("car:front-left-door", "car:front-right-door"),
        ("car:front_left_door", "car:front_right_door"),
        ("car:Left mirror", "car:Right mirror"),
        ("bird:LeftWing", "bird:RightWing"),
        ("bird:wingLeft", "bird:wingRight"),
        ("bird:LEFT_WING", "bird:RIGHT_WING"),
        ("bird:wing (left)", "bird:wing (right)"),
        ("left bank:roof", "left bank:roof"),  # the object is no side
        ("shop:leftover", "shop:leftover"),
        ("cat:copyright", "cat:copyright"),
        ("cat:leye", "cat:leye"),
        ("cat", "cat"),
    ],
)
def test_words_are_split_at_spaces_underscores_hyphens_and_capitals(
    name: str, mirrored: str
) -> None:
    assert mirror_name(name) == mirrored
    assert mirror_name(mirrored) == name


def test_left_and_right_swap_only_where_the_object_has_both() -> None:
    names = ["a:left_x", "a:right_x", "b:left_x", "a:y"]
    assert swapped(*names) == ["a:right_x", "a:left_x", "b:left_x", "a:y"]
    assert Parts.of(names).one_sided() == ("b:left_x",)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["left", "right", "x", "Left", "LEFT"])),
        unique=True,
        max_size=8,
    )
)
def test_mirroring_twice_changes_nothing(pairs: list[tuple[str, str]]) -> None:
    parts = Parts.of(f"{owner}:{word}_ear" for owner, word in pairs)
    twins = parts.mirrored()
    assert [twins[twin] for twin in twins] == list(range(len(parts)))


def test_names_that_only_look_like_sides_are_told_and_not_swapped() -> None:
    parts = Parts.of(["cat:leye", "cat:reye", "cat:L ear", "cat:R ear", "cat:leg",
                      "cat:leftpaw", "cat:rightpaw", "dog:leg", "dog:reg", "cat:left ear",
                      "cat:right ear"])  # fmt: skip
    assert parts.mirrored() == (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9)
    assert parts.likely_pairs() == (
        ("cat:leye", "cat:reye"),
        ("cat:L ear", "cat:R ear"),
        ("cat:leftpaw", "cat:rightpaw"),
        ("dog:leg", "dog:reg"),
    )
    assert parts.likely_pairs([("leye", "reye"), ("dog:leg", "dog:reg")]) == (
        ("cat:L ear", "cat:R ear"),
        ("cat:leftpaw", "cat:rightpaw"),
    )


def test_given_pairs_hold_for_every_object_that_has_both_and_win() -> None:
    names = ["cat:leye", "cat:reye", "dog:leye", "dog:reye", "dog:left x", "dog:right x"]
    assert swapped(*names, pairs=[("reye", "leye")]) == [
        "cat:reye", "cat:leye", "dog:reye", "dog:leye", "dog:right x", "dog:left x",
    ]  # fmt: skip
    assert swapped(*names, pairs=[("dog:left x", "dog:leye")])[2:] == [
        "dog:left x", "dog:reye", "dog:leye", "dog:right x",
    ]  # fmt: skip


def test_a_pair_that_names_nothing_or_contradicts_another_is_refused() -> None:
    parts = Parts.of(["cat:leye", "cat:reye", "cat:nose"])
    with pytest.raises(UnknownNameError, match="unknown part 'reyes'"):
        parts.mirrored([("leye", "reyes")])
    with pytest.raises(ConfigError, match="'cat:leye' stands in two pairs"):
        parts.mirrored([("leye", "reye"), ("cat:leye", "cat:nose")])


def test_the_repr_is_short() -> None:
    assert repr(Parts.of(f"o{i}:p" for i in range(5000))) == "Parts(5,000 parts of 5,000 objects)"
