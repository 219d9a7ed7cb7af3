"""P-04: how often an epoch shows what; class balance; processes; label maps shuffled in a class."""

from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partlab.errors import ConfigError
from partlab.parts import Parts
from train.pictures import PLAIN, Pictures
from train.sampling import drawn, epoch_plan, partners
from train.settings import DataConfig


def index(class_of, source) -> Pictures:
    """Pictures that are never opened."""
    rows = np.arange(len(class_of), dtype=np.int32)
    names = tuple(f"c{at:03}" for at in range(max(class_of) + 1))
    return Pictures(
        names,
        Parts.of([f"{name}:part" for name in names]),
        np.array(class_of, np.int32),
        np.array(source, np.uint8),
        (),
        np.zeros(len(rows), np.int16),
        rows,
    )


@st.composite
def some(draw):
    n = draw(st.integers(1, 60))
    class_of = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    source = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    return index(class_of, source)


weights = st.floats(0, 3).map(lambda w: round(w, 2))


@settings(max_examples=150, deadline=None)
@given(some(), weights, weights, weights, st.integers(0, 50), st.integers(0, 9))
def test_a_picture_comes_as_often_as_its_weight(pictures, human, pseudo, plain, seed, epoch):
    config = DataConfig(human=human, pseudo=pseudo, plain=plain)
    each = np.array([human, pseudo, plain])[pictures.source]
    if not each.any():
        with pytest.raises(ConfigError, match="no picture has a weight above 0"):
            drawn(pictures, config, seed=seed, epoch=epoch)
        return
    chosen = drawn(pictures, config, seed=seed, epoch=epoch)
    counts = np.bincount(chosen % len(pictures), minlength=len(pictures))
    assert (np.floor(each) <= counts).all()
    assert (counts <= np.ceil(each)).all()
    assert len(np.unique(chosen)) == len(chosen)  # a second showing has a position of its own
    assert len(drawn(pictures, config, seed=seed, epoch=epoch + 1)) == len(chosen)
    for source in range(3):
        mine = pictures.source == source
        assert abs(counts[mine].sum() - each[mine].sum()) <= 0.5 + 1e-9


@settings(max_examples=150, deadline=None)
@given(some(), st.integers(0, 50), st.integers(0, 9))
def test_balanced_classes_differ_by_one_and_the_total_stays(pictures, seed, epoch):
    config = DataConfig(human=1.5, pseudo=1, plain=0.5, balance=True)
    chosen = drawn(pictures, config, seed=seed, epoch=epoch) % len(pictures)
    total = np.array([1.5, 1, 0.5])[pictures.source].sum()
    counts = np.bincount(pictures.class_of[chosen], minlength=5)
    counts = counts[np.unique(pictures.class_of)]
    assert counts.max() - counts.min() <= 1
    assert len(chosen) == round(total)


@settings(max_examples=100, deadline=None)
@given(some(), st.integers(1, 5), st.integers(1, 3), st.integers(0, 9))
def test_processes_share_an_epoch(pictures, batch, world, epoch):
    config = DataConfig()
    plans = []
    for rank in range(world):
        try:
            plans.append(
                epoch_plan(pictures, config, batch, seed=1, epoch=epoch, rank=rank, world=world)
            )
        except ConfigError:
            assert len(pictures) < batch * world
            return
    assert {len(plan) for plan in plans} == {len(pictures) // (batch * world)}
    assert {len(one) for plan in plans for one in plan} == {batch}
    seen = [at for plan in plans for one in plan for at in one]
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(len(pictures)))


def test_pictures_of_small_weight_take_turns():
    pictures = index([0] * 40, [1] * 40)
    config = DataConfig(pseudo=0.3)
    shown = [drawn(pictures, config, seed=3, epoch=epoch) % 40 for epoch in range(20)]
    counts = np.bincount(np.concatenate(shown), minlength=40)
    assert counts.sum() == 20 * 12
    assert (counts >= 4).all()
    assert (counts <= 8).all()  # 6 on average; independent draws would spread from 1 to 11


def test_epochs_and_seeds_differ_and_the_same_are_the_same():
    pictures = index([0, 1] * 32, [0] * 64)

    def plan(seed: int, epoch: int) -> list[list[int]]:
        return epoch_plan(pictures, DataConfig(), 8, seed=seed, epoch=epoch)

    assert plan(1, 2) == plan(1, 2)
    assert plan(1, 2) != plan(1, 3)
    assert plan(1, 2) != plan(2, 2)
    assert plan(1, 0)[0] != sorted(plan(1, 0)[0])


def test_weights_count_within_a_class_when_classes_are_balanced():
    pictures = index([0] * 90 + [1] * 10, [0] * 50 + [1] * 40 + [0] * 10)
    config = DataConfig(human=1, pseudo=0.25, balance=True)
    chosen = drawn(pictures, config, seed=0, epoch=0) % 100
    counts = np.bincount(chosen, minlength=100)
    assert len(chosen) == 70
    assert counts[:90].sum() == counts[90:].sum() == 35
    assert abs(counts[:50].sum() - 35 * 50 / 60) < 1  # as 50 : 40 / 4
    assert set(counts[90:]) == {3, 4}


def test_an_epoch_smaller_than_a_batch_is_refused():
    pictures = index([0] * 10, [0] * 10)
    with pytest.raises(ConfigError, match="shows 10 pictures, fewer than one batch of 8 in each"):
        epoch_plan(pictures, DataConfig(), 8, seed=0, epoch=0, world=2)


def test_weights_that_meet_no_picture_are_refused():
    with pytest.raises(ConfigError, match="no picture has a weight above 0") as caught:
        epoch_plan(index([0], [2]), DataConfig(plain=0), 1, seed=0, epoch=0)
    assert "1 class-only" in str(caught.value.hint)


@settings(max_examples=100, deadline=None)
@given(some(), st.integers(0, 99))
def test_each_picture_gets_the_map_of_another_of_its_class(pictures, seed):
    found = partners(pictures, seed)
    mapped = pictures.source != PLAIN
    assert (found[~mapped] == np.flatnonzero(~mapped)).all()
    assert (pictures.class_of[found] == pictures.class_of).all()
    assert mapped[found[mapped]].all()
    assert len(set(found.tolist())) == len(found)
    assert (pictures.source[found] == pictures.source).all()  # so that losses are told rightly
    group = pictures.class_of * 3 + pictures.source
    size = np.bincount(group[mapped], minlength=15)[group]
    own = found == np.arange(len(found))
    assert (own[mapped] == (size[mapped] == 1)).all()
    assert (found == partners(pictures, seed)).all()


def test_a_picture_alone_in_its_class_is_said(caplog):
    partners(index([0, 0, 1], [0, 0, 0]), 0)
    assert "1 picture is the only one of its class and keeps its map" in caplog.text


def test_an_epoch_of_a_million_is_planned_fast():
    rng = np.random.default_rng(0)
    pictures = index(rng.integers(0, 1000, 1_200_000), rng.integers(0, 3, 1_200_000))
    config = DataConfig(human=2, pseudo=0.5, plain=0.25, balance=True)
    start = process_time()
    epoch_plan(pictures, config, 64, seed=0, epoch=5, rank=3, world=8)
    assert process_time() - start < 4  # about 1 on an idle core
