"""Which part lies in which: one or several outer parts, and nothing in itself (M-03, M-04)."""

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partlab.composite import Layer, flatten, paint_order
from partlab.errors import SchemaError
from partlab.inclusions import (
    circles,
    is_inclusions,
    merged,
    outers_of,
    pairs_of,
    related,
    spelled,
    walk_out,
    without,
)
from partlab.masks import area, encode
from partlab.parts import Parts

DOORS = {"mirror": ["front door", "back door"], "front door": "body", "back door": "body"}
PARTS = "abcdef"
some_pairs = st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from(PARTS)), max_size=12)
sound_pairs = st.lists(  # what comes later in the alphabet lies in what comes earlier
    st.tuples(st.sampled_from(PARTS), st.sampled_from(PARTS)).filter(lambda two: two[0] > two[1]),
    max_size=12,
)


def is_sorted_out(pairs: list[tuple[str, str]]) -> bool:
    """Whether no part lies in itself, by the standard library."""
    graph: dict[str, set[str]] = {}
    for inner, outer in pairs:
        graph.setdefault(inner, set()).add(outer)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return False
    return True


def test_one_outer_part_is_a_text_and_several_are_a_list() -> None:
    assert spelled([("horn", "head"), ("horn", "head")]) == {"horn": "head"}
    assert spelled(pairs_of(DOORS)) == DOORS
    assert outers_of("mirror", DOORS) == ("front door", "back door")
    assert outers_of("body", DOORS) == ()


def test_what_a_file_may_say() -> None:
    assert is_inclusions(DOORS)
    for wrong in (None, [], {"a": []}, {"a": None}, {"a": ["b", 1]}, {"a": {"b": "c"}}):
        assert not is_inclusions(wrong)


@given(some_pairs)
def test_every_pair_comes_back_from_the_spelling(pairs: list[tuple[str, str]]) -> None:
    found = list(pairs_of(spelled(pairs)))
    assert sorted(found) == sorted(set(pairs))
    assert spelled(found) == spelled(pairs)


@given(some_pairs)
def test_what_lies_around_a_part_is_all_that_can_be_reached(pairs: list[tuple[str, str]]) -> None:
    around = spelled(pairs)
    for part in PARTS:
        walk = walk_out(part, around)
        reached = {part}
        for _ in PARTS:
            reached |= {outer for inner, outer in pairs if inner in reached}
        assert set(walk) == reached - {part}
        assert len(set(walk)) == len(walk)
        assert all(related(part, outer, around) and related(outer, part, around) for outer in walk)


@given(some_pairs)
def test_circles_are_found_if_and_only_if_there_are_any(pairs: list[tuple[str, str]]) -> None:
    found = circles(spelled(pairs))
    assert bool(found) != is_sorted_out(pairs)
    for circle in found:
        assert circle[0] == circle[-1]
        assert set(pairwise(circle)) <= set(pairs)


def test_a_circle_is_walked_once_and_named_once() -> None:
    assert walk_out("a", {"a": "b", "b": "c", "c": "a"}) == ("b", "c")
    assert walk_out(1, {1: 1}) == ()
    assert circles({"eye": "head", "head": "body"}) == []
    assert circles({"x": "a", "a": "b", "b": "a", "y": "x"}) == [("a", "b", "a")]
    assert circles({"a": "a", "p": "q", "q": "p"}) == [("a", "a"), ("p", "q", "p")]
    assert circles({"x": ["body", "a"], "a": "x"}) == [("x", "a", "x")]


def test_a_long_way_out_is_no_trouble() -> None:
    chain = {n: n + 1 for n in range(3000)}
    assert circles(chain) == []
    assert circles(chain | {3000: 0}) == [(*range(3001), 0)]


@given(sound_pairs, st.sets(st.sampled_from(PARTS)))
def test_without_some_parts_the_others_lie_in_each_other_as_before(
    pairs: list[tuple[str, str]], gone: set[str]
) -> None:
    around, left = spelled(pairs), without(spelled(pairs), gone)
    for part in set(PARTS) - gone:
        assert set(walk_out(part, left)) == set(walk_out(part, around)) - gone
    assert not gone & {part for pair in pairs_of(left) for part in pair}


def test_data_sets_together_put_a_part_into_all_that_any_of_them_does() -> None:
    assert merged([{"a": {"x": "y"}}, {"a": {"z": "y"}, "b": {"x": "z"}, "c": {}}]) == {
        "a": {"x": "y", "z": "y"},
        "b": {"x": "z"},
    }
    one, other = {"car": {"mirror": "front door"}}, {"car": {"mirror": "back door"}}
    assert merged([one, other, one]) == {"car": {"mirror": ["front door", "back door"]}}
    with pytest.raises(SchemaError, match="put a:x into itself: x in y in x"):
        merged([{"a": {"x": "y"}}, {"a": {"y": "x"}}])
    assert merged([{"a": {"x": "x"}}]) == {"a": {"x": "x"}}  # that data set's own fault


@settings(deadline=None)
@given(sound_pairs, st.data())
def test_an_inner_part_lies_above_all_its_outer_ones(
    pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Whatever the scores, the sizes, the order, and which of the parts are drawn (P-05)."""
    parts = Parts.of([f"o:{part}" for part in PARTS], {"o": spelled(pairs)})
    layers = [
        Layer(label, encode(mask), score)
        for label, score, mask in data.draw(
            st.lists(
                st.tuples(
                    st.integers(0, len(PARTS) - 1),
                    st.sampled_from([0.2, 0.5, 1.0]),
                    st.lists(st.booleans(), min_size=6, max_size=6).map(
                        lambda bits: np.array(bits).reshape(2, 3)
                    ),
                ),
                max_size=8,
            )
        )
    ]
    order = [layers[position] for position in paint_order(layers, parts.parents)]
    seen = [layer for layer in order if area(layer.rle)]  # nothing lies around no pixels
    for place, layer in enumerate(seen):
        above = {one.label for one in seen[place:]}
        assert not above & set(parts.ancestors.get(layer.label, ()))
    drawn = flatten(layers, (2, 3), parts.parents)
    assert (flatten(layers[::-1], (2, 3), parts.parents) == drawn).all()


def test_a_mirror_is_seen_on_either_door_and_on_both() -> None:
    parts = Parts.of(["car:mirror", "car:back door", "car:front door", "car:body"], {"car": DOORS})

    def wide(*columns: int) -> np.ndarray:
        mask = np.zeros((1, 4), bool)
        mask[:, list(columns)] = True
        return mask

    doors = [Layer(1, encode(wide(2, 3)), 0.9), Layer(2, encode(wide(0, 1)), 0.6)]
    for at in ([1], [2], [1, 2]):
        layers = [Layer(0, encode(wide(*at)), 0.3), *doors]
        found = flatten(layers, (1, 4), parts.parents)
        assert [n for n in range(4) if found[0, n] == 1] == at
