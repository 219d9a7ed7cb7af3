"""P-04: how often an epoch shows what; class balance; processes; label maps shuffled in a class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partlab.errors import ConfigError
from partlab.parts import Parts
from train.pictures import Pictures
from train.sampling import drawn, epoch_plan
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
        assert counts[mine].sum() == np.rint(each[mine].sum())


@settings(max_examples=150, deadline=None)
@given(some(), st.integers(0, 50), st.integers(0, 9))
def test_balanced_classes_differ_by_one_and_the_total_stays(pictures, seed, epoch):
    config = DataConfig(human=1.5, pseudo=1, plain=0.5, balance=True)
    chosen = drawn(pictures, config, seed=seed, epoch=epoch) % len(pictures)
    total = np.array([1.5, 1, 0.5])[pictures.source].sum()
    counts = np.bincount(pictures.class_of[chosen])
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
