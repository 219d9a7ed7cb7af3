"""One label per pixel (B3, B4, P-05): one rule, whatever the order of the input."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from partlab.composite import Layer, flatten, paint_order, stack
from partlab.masks import decode, encode

SIZE = (5, 6)
MASK = arrays(bool, SIZE)
SCORE = st.sampled_from([0.5, 0.6, 0.9, 1.0])
LAYER = st.builds(
    lambda label, mask, score: Layer(label, encode(mask), score), st.integers(0, 5), MASK, SCORE
)
LAYERS = st.lists(LAYER, max_size=7)
PARENTS = st.dictionaries(st.integers(0, 5), st.integers(0, 5), max_size=4).map(
    lambda found: {inner: outer for inner, outer in found.items() if inner < outer}  # no circles
)


def full(label: int, score: float = 1.0, pixels: int = 30) -> Layer:
    mask = np.zeros(SIZE, bool)
    mask.flat[:pixels] = True
    return Layer(label, encode(mask), score)


def top(*layers: Layer, parents: dict[int, int] | None = None) -> int:
    """The label of the first pixel, 0-based."""
    return int(flatten(layers, SIZE, parents or {})[0, 0]) - 1


@given(LAYERS, PARENTS, st.randoms())
def test_the_order_of_the_input_does_not_matter(
    layers: list[Layer], parents: dict[int, int], random: object
) -> None:
    shuffled = list(layers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert (flatten(layers, SIZE, parents) == flatten(shuffled, SIZE, parents)).all()
    pad = 7
    one = stack(layers, SIZE, parents, channels=7, pad=pad)
    two = stack(shuffled, SIZE, parents, channels=7, pad=pad)
    assert (one == two).all()


def test_equal_scores_areas_and_labels_still_have_one_order() -> None:
    """Seen in the multi form, where the topmost layer takes the first channel."""
    mask = np.zeros((2, *SIZE), bool)
    mask[0, 0, 0:2] = mask[1, 0, 1:3] = True
    one, two = (Layer(0, encode(each)) for each in mask)
    size = {"channels": 2, "pad": 2}
    assert (stack([one, two], SIZE, {}, **size) == stack([two, one], SIZE, {}, **size)).all()


@given(LAYERS, PARENTS)
def test_every_covered_pixel_has_a_label_that_covers_it(
    layers: list[Layer], parents: dict[int, int]
) -> None:
    flat = flatten(layers, SIZE, parents)
    covered = np.zeros(SIZE, bool)
    right = flat == 0
    for layer in layers:
        mask = decode(layer.rle)
        covered |= mask
        right |= mask & (flat == layer.label + 1)
    assert ((flat > 0) == covered).all()
    assert right.all()


@given(LAYERS, PARENTS)
def test_an_included_part_never_lies_under_the_part_around_it(
    layers: list[Layer], parents: dict[int, int]
) -> None:
    flat = flatten(layers, SIZE, parents)
    for child in layers:
        outer = parents.get(child.label)
        assert not (decode(child.rle) & (flat == (-1 if outer is None else outer + 1))).any()


@given(LAYERS)
def test_between_unrelated_parts_the_higher_score_wins(layers: list[Layer]) -> None:
    order = [layers[position].score for position in paint_order(layers, {})]
    assert order == sorted(order)


def test_ties_go_to_the_smaller_area_then_the_lower_label() -> None:
    assert top(full(0, pixels=30), full(1, pixels=10)) == 1
    assert top(full(4), full(2), full(3)) == 2
    assert top(full(0, 0.5), full(1, 0.6)) == 1
    assert top(full(0, 0.5, pixels=5), full(1, 0.6)) == 1


def test_human_masks_stand_above_detections() -> None:
    assert top(full(0), full(1, 0.99, pixels=5)) == 0


def test_a_weak_child_stays_on_its_parent_and_rises_with_it() -> None:
    """Horn (0) in head (1): the pair stands as high as the head against the body (2)."""
    horn, head, body = full(0, 0.5, 10), full(1, 0.9), full(2, 0.7, 20)
    assert top(horn, head, body, parents={0: 1}) == 0
    assert top(horn, head, body) == 1


def test_deeper_children_lie_higher() -> None:
    eye, head, body = full(0, 0.5), full(1, 0.6), full(2, 0.9)
    assert top(body, head, eye, parents={0: 1, 1: 2}) == 0


def test_a_circle_of_inclusions_still_ends() -> None:
    assert top(full(0), full(1), parents={0: 1, 1: 0}) in (0, 1)


@given(LAYERS, PARENTS)
def test_the_first_channel_and_the_flat_map_agree_on_top(
    layers: list[Layer], parents: dict[int, int]
) -> None:
    """The `multi` form with enough channels keeps every layer whole."""
    pad = 7
    stacked = stack(layers, SIZE, parents, channels=max(len(layers), 1), pad=pad)
    for layer in layers:
        mask = decode(layer.rle)
        assert any((channel[mask] == layer.label + 1).all() for channel in stacked)
    used = [channel for channel in stacked if not (channel == pad).all()]
    assert not any((channel == pad).any() for channel in used)
    flat = flatten(layers, SIZE, parents)
    covers = np.zeros(SIZE, bool)
    for channel in used:
        covers |= channel > 0
    assert ((flat > 0) == covers).all()


def test_too_few_channels_lose_the_lowest_layer() -> None:
    stacked = stack([full(0, 0.5), full(1, 0.9)], SIZE, {}, channels=1, pad=3)
    assert (stacked == 2).all()


def test_no_layers() -> None:
    assert (flatten([], SIZE, {}) == 0).all()
    assert (stack([], SIZE, {}, channels=2, pad=9) == 9).all()
