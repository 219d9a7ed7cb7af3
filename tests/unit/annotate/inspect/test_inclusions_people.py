"""Inclusions as declared and as drawn (M-04, ST-02)."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.data.formats import Source
from annotate.data.formats.pinpp import PinppLayout
from annotate.inspect.inclusions import (
    InclusionSettings,
    nestings,
    with_suggested,
    write_including,
)
from annotate.world import WorldConfig, make_world
from partlab.coco import read_coco, write_coco
from partlab.errors import SchemaError
from partlab.masks import encode, inside
from partlab.schema import Annotation, Category, Dataset, Image, Inclusions

Box = tuple[int, int, int, int]  # left, top, width, height
HEAD, HORN, EYE, BODY = 1, 2, 3, 4


def data(
    *shown: dict[int, Box], inclusions: Inclusions | None = None, object_id: int = 1
) -> Dataset:
    """Rams: for each image the boxes of its parts."""
    names = {HEAD: "head", HORN: "horn", EYE: "eye", BODY: "body"}
    categories = [Category.new(id, "ram", name, wnid="n02412080") for id, name in names.items()]
    images = [Image.new(n, f"{n}.png", (40, 30), object="ram") for n, _ in enumerate(shown, 1)]
    masks = []
    for number, parts in enumerate(shown, 1):
        for category, (left, top, width, height) in parts.items():
            mask = np.zeros((30, 40), bool)
            mask[top : top + height, left : left + width] = True
            masks.append(
                Annotation.new(len(masks) + 1, number, category, encode(mask), object_id=object_id)
            )
    return Dataset(images, masks, categories, inclusions or {})


NESTED: dict[int, Box] = {HEAD: (5, 5, 12, 12), HORN: (6, 6, 4, 4), BODY: (17, 5, 20, 20)}
APART: dict[int, Box] = {HEAD: (5, 5, 12, 12), HORN: (5, 1, 4, 4), BODY: (17, 5, 20, 20)}


def states(dataset: Dataset, **settings: float) -> dict[tuple[str, str], str]:
    found = nestings([dataset], InclusionSettings(**settings))  # type: ignore[arg-type]
    return {(one.inner, one.outer): one.state for one in found}


def test_a_declared_inclusion_that_is_drawn_so_holds() -> None:
    (one,) = nestings([data(NESTED, NESTED, APART, inclusions={"ram": {"horn": "head"}})])
    assert (one.inner, one.outer, one.state) == ("horn", "head", "holds")
    assert (one.both, one.nested, one.share) == (3, 2, 2 / 3)
    assert (one.inner_area, one.outer_area) == (16, 144)
    assert one.inside == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("dataset", "state"),
    [
        (data(APART, APART, NESTED, inclusions={"ram": {"horn": "head"}}), "doubtful"),
        (data(NESTED, inclusions={"ram": {"head": "horn"}}), "swapped"),
        (data(NESTED, inclusions={"ram": {"eye": "head"}}), "unseen"),
    ],
)
def test_a_declared_inclusion_can_be_wrong(dataset: Dataset, state: str) -> None:
    assert next(iter(states(dataset).values())) == state


def test_data_sets_that_contradict_each_other_are_refused() -> None:
    """One of the two would be judged as if nobody had declared the other."""
    one, other = {"ram": {"horn": "head"}}, {"ram": {"head": "horn"}}
    with pytest.raises(SchemaError, match="put ram:horn into itself: horn in head in horn"):
        nestings([data(NESTED, inclusions=one), data(NESTED, inclusions=other)])


def test_what_nests_undeclared_is_suggested() -> None:
    assert states(data(*[NESTED] * 4, APART)) == {("horn", "head"): "suggested"}
    assert states(data(*[NESTED] * 4)) == {}  # four objects are too few
    assert states(data(*[NESTED] * 4, *[APART] * 5)) == {}  # under half of them


def test_two_masks_of_the_same_pixels_do_not_nest() -> None:
    """That is one part drawn twice, which `partlab data check` finds."""
    assert states(data(*[{HEAD: (5, 5, 12, 12), HORN: (5, 5, 12, 12)}] * 6)) == {}


def test_a_part_that_lies_in_either_of_two_holds_in_both() -> None:
    """Where it lies in the other declared one, an image says nothing against this one."""
    in_body: dict[int, Box] = {**APART, HORN: (20, 8, 4, 4)}
    both = {"ram": {"horn": ["head", "body"]}}
    mostly_head = data(*[NESTED] * 5, in_body, inclusions=both)
    assert set(states(mostly_head).values()) == {"holds"}
    one = {"ram": {"horn": "body"}}
    assert states(data(*[NESTED] * 5, in_body, inclusions=one))["horn", "body"] == "doubtful"
    never = states(data(*[NESTED] * 5, inclusions=both))
    assert never == {("horn", "head"): "holds", ("horn", "body"): "unseen"}
    nowhere = states(data(APART, APART, in_body, inclusions=both))
    assert nowhere == {("horn", "head"): "doubtful", ("horn", "body"): "doubtful"}


def test_what_nests_in_a_second_part_is_suggested_beside_the_declared() -> None:
    in_body: dict[int, Box] = {**APART, HORN: (20, 8, 4, 4)}
    declared = {"ram": {"horn": "head"}}
    found = nestings([data(*[in_body] * 5, NESTED, inclusions=declared)])
    assert with_suggested(declared, found) == {"ram": {"horn": ["head", "body"]}}
    assert declared == {"ram": {"horn": "head"}}


def test_an_inclusion_through_another_part_needs_no_suggestion() -> None:
    nested = {**NESTED, EYE: (7, 7, 2, 2)}
    declared = {"ram": {"eye": "horn", "horn": "head"}}
    assert set(states(data(*[nested] * 5, inclusions=declared)).values()) == {"holds"}


def test_parts_of_two_objects_do_not_nest() -> None:
    """M-06: the horn of one ram in front of the head of another says nothing."""
    first, second = data(*[{HEAD: NESTED[HEAD]}] * 6), data(*[{HORN: NESTED[HORN]}] * 6)
    others = [a.changed(id=100 + a.id, object_id=2) for a in second.annotations]
    both = Dataset(first.images, [*first.annotations, *others], first.categories)
    assert states(both) == {}


def test_of_two_outer_parts_the_smaller_is_suggested() -> None:
    nested = {**NESTED, EYE: (7, 7, 2, 2)}
    dataset = data(*[nested] * 5)
    pairs = with_suggested({}, nestings([dataset]))["ram"]
    assert pairs == {"eye": "horn", "horn": "head"}


def test_the_dictionary_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """`including/<wnid>.txt` with `small:large` lines, as the release has it (C1)."""
    dataset = data(NESTED, inclusions={"ram": {"horn": "head", "eye": ["head", "horn"]}})
    assert write_including([dataset], dataset.inclusions, tmp_path / "including") == 1
    text = (tmp_path / "including" / "n02412080.txt").read_text()
    assert text == "horn:head\neye:head\neye:horn\n"
    write_coco(dataset, tmp_path / "json" / "n02412080.json")
    (read,) = PinppLayout().read(Source(tmp_path)).values()
    assert list(read.inclusions.values()) == [{"horn": "head", "eye": ["head", "horn"]}]


def test_an_object_called_like_a_path_stays_in_the_folder(tmp_path: Path) -> None:
    found = {"../evil": {"horn": "head"}, "cow": {}}
    assert write_including([], found, tmp_path / "including") == 1
    (only,) = tmp_path.rglob("*.txt")
    assert only.parent == tmp_path / "including"
    with pytest.raises(SchemaError, match="several object categories"):
        write_including([], {"a/b": {"x": "y"}, "a_b": {"x": "y"}}, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_inclusions_of_the_drawn_world_are_found_again(tmp_path: Path) -> None:
    """Every declared one holds or is doubtful at worst, none is swapped; undeclared, most are
    suggested, and nothing else is."""
    config = WorldConfig(images=0, pool=0, heldout=140, size=128, seed=1)
    make_world(tmp_path / "world", config)
    world = read_coco(tmp_path / "world" / "annotations" / "heldout.json")
    assert {one.state for one in nestings([world])} <= {"holds", "doubtful", "unseen"}
    truth = {(o, i, u) for o, pairs in world.inclusions.items() for i, u in pairs.items()}
    holding = {(n.object, n.inner, n.outer) for n in nestings([world]) if n.state == "holds"}
    undeclared = Dataset(world.images, world.annotations, world.categories)
    settings = InclusionSettings(objects=3)
    found = {(n.object, n.inner, n.outer) for n in nestings([undeclared], settings)}
    seen = {(n.object, n.inner, n.outer) for n in nestings([world]) if n.both >= 3}
    assert found >= holding & seen
    assert {f for f in found if f not in truth} == set()


Grid = st.lists(st.booleans(), min_size=30, max_size=30)


@given(a=Grid, b=Grid)
def test_the_share_inside_is_that_of_the_pixels(a: list[bool], b: list[bool]) -> None:
    first, second = (np.array(one).reshape(5, 6) for one in (a, b))
    share = inside([encode(first)], [encode(second)])[0, 0]
    expected = (first & second).sum() / first.sum() if first.any() else 0.0
    assert share == pytest.approx(expected)
