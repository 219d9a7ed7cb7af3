"""Which pictures come next: each of the three reasons decides where the others are equal."""

import numpy as np
from colour_segmenter import COLOURS, INCLUSIONS, NAMES, ColourSegmenter
from colour_segmenter import draw as drawing

from partlab.parts import Parts
from segmenter.loop.choose import Look, choose, look


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def ids(looks: list[Look], n: int = 10, **known: object) -> list[int]:
    return [one.image_id for one in choose(looks, n, **known)]  # type: ignore[arg-type]


def test_a_picture_the_segmenter_is_unsure_of_comes_first() -> None:
    looks = [Look(1, {"cat:head": 0.97}), Look(2, {"cat:head": 0.55}), Look(3, {"cat:head": 0.8})]
    assert ids(looks) == [2, 3, 1]
    assert [round(one.uncertainty, 2) for one in choose(looks, 3)] == [0.99, 0.72, 0.19]


def test_a_rare_part_comes_first() -> None:
    looks = [Look(i, {f"cat:{part}": 0.6}) for i, part in enumerate(("head", "ear", "tail"))]
    found = choose(looks, 3, masks={"cat:head": 100, "cat:ear": 3, "cat:tail": 40})
    assert [one.rarest for one in found] == ["cat:ear", "cat:tail", "cat:head"]


def test_a_part_that_is_hardly_there_makes_no_picture_rare() -> None:
    looks = [Look(1, {"cat:head": 0.6, "cat:ear": 0.05}), Look(2, {"cat:head": 0.6})]
    found = choose(looks, 2, masks={"cat:head": 50, "cat:ear": 1})
    assert {one.image_id: one.rarest for one in found} == {1: "cat:head", 2: "cat:head"}


def test_each_choice_is_unlike_those_before_and_what_is_drawn() -> None:
    a, b, c = unit(1, 0, 0), unit(0, 1, 0), unit(0.1, 1, 0)
    looks = [Look(1, {"x:y": 0.5}, a), Look(2, {"x:y": 0.5}, b), Look(3, {"x:y": 0.5}, c)]
    assert ids(looks, 2) == [1, 2], "3 is like 2"
    assert ids(looks, 1, drawn=[a]) == [2]
    assert ids(looks, 1, drawn=[a, b]) == [3]


def test_the_same_pictures_in_any_order_give_the_same_choice() -> None:
    rng = np.random.default_rng(0)
    looks = [Look(i, {"x:y": float(rng.random())}, unit(*rng.random(4))) for i in range(20)]
    assert ids(looks, 8) == ids(looks[::-1], 8)
    assert len({*ids(looks, 99)}) == 20, "every picture once, and no more than there are"


def test_nothing_to_choose_from_is_no_error() -> None:
    assert choose([], 5) == []


def test_what_is_not_known_at_all_is_unsure_and_rare() -> None:
    (only,) = choose([Look(1, {})], 1, masks={"cat:head": 5})
    assert (only.uncertainty, only.rarity, only.rarest) == (1.0, 1.0, None)


def test_a_look_tells_the_best_score_of_each_part_of_the_object(tmp_path) -> None:
    segmenter = ColourSegmenter(Parts.of(NAMES, INCLUSIONS), COLOURS)
    cat, nothing = drawing(tmp_path / "a.png", "cat", 3), drawing(tmp_path / "b.png", None)
    found = look(segmenter, [7, 8], [cat, nothing], ["cat", "cat"])
    assert found[0].scores.keys() == {"cat:head", "cat:ear"}
    assert all(score > 0.3 for score in found[0].scores.values())
    assert found[1].scores == {"cat:head": 0.0, "cat:ear": 0.0}
