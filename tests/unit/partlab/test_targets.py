"""L-02: pooled targets, equal to a dense one-hot array with average pooling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from partlab.errors import ConfigError
from partlab.parts import Parts
from partlab.targets import CellTargets, crop, pool, pyramid


def dense_way(labels: np.ndarray, side: int, ignore: int) -> tuple[np.ndarray, np.ndarray]:
    """One-hot (K + 1, H, W), then average pooling; the share of valid pixels beside it."""
    layers = labels.reshape(-1, *labels.shape[-2:])
    parts = (layers[None] == np.arange(1, ignore)[:, None, None, None]).sum(1).astype(float)
    number = parts.sum(0)
    parts = np.divide(parts, number, out=np.zeros_like(parts), where=number > 0)
    ground = ((layers == 0).any(0) & (number == 0)).astype(float)
    one_hot = np.concatenate([ground[None], parts])
    step = labels.shape[-1] // side
    pooled = one_hot.reshape(ignore, side, step, side, step).mean(axis=(2, 4))
    valid = pooled.sum(axis=0)
    return np.divide(pooled, valid, out=np.zeros_like(pooled), where=valid > 0), valid


def check(found: CellTargets, labels: np.ndarray, ignore: int) -> None:
    pooled, valid = dense_way(labels, found.side, ignore)
    assert np.allclose(found.dense(np.arange(ignore)), pooled, atol=1e-6)
    assert np.allclose(found.valid.reshape(found.side, found.side), valid, atol=1e-6)
    assert np.array_equal(found.present, np.flatnonzero(pooled.any(axis=(1, 2))))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 7, 200]), st.sampled_from([0, 3]))
def test_pyramid_equals_dense_one_hot_and_average_pooling(seed, ignore, channels):
    rng = np.random.default_rng(seed)
    shape = (channels, 56, 56) if channels else (56, 56)
    blocks = rng.integers(0, ignore + 1, (*shape[:-2], 14, 14))
    labels = np.kron(blocks, np.ones((4, 4), int)).astype(np.uint8)
    labels[..., :10, :10] = rng.integers(0, ignore + 1, (*shape[:-2], 10, 10))
    for found in pyramid(labels, (28, 14, 7), ignore=ignore):
        check(found, labels, ignore)


def test_the_three_resolutions_of_a_224_pixel_image():
    labels = np.random.default_rng(0).choice([0, 5, 3310], (224, 224)).astype(np.uint16)
    found = pyramid(labels, ignore=3311)
    assert [level.side for level in found] == [28, 14, 7]
    for level in found:
        assert level.present.tolist() == [0, 5, 3310]
        assert level.dense().shape == (3, level.side, level.side)
        assert np.allclose(level.dense().sum(axis=0), 1)
        for at, label in enumerate([0, 5, 3310]):
            step = 224 // level.side
            share = (labels == label).reshape(level.side, step, level.side, step).mean((1, 3))
            assert np.allclose(level.dense()[at], share, atol=1e-6)


def test_ignored_pixels_do_not_count():
    labels = np.zeros((4, 4), np.uint8)
    labels[:2] = 9
    labels[2, :2] = 1
    found = pool(labels, 2, ignore=9)
    assert found.valid.tolist() == [0, 0, 1, 1]
    assert found.dense(np.array([0, 1])).tolist() == [[[0, 0], [0.5, 1]], [[0, 0], [0.5, 0]]]
    blank = pool(np.full((4, 4), 9, np.uint8), 2, ignore=9)
    assert len(blank.ids) == 0
    assert not blank.valid.any()
    assert blank.dense().shape == (0, 2, 2)
    assert not blank.dense(np.array([0, 1])).any()


def test_dense_takes_labels_in_any_order():
    labels = np.array([[1, 2], [3, 0]], np.uint8)
    found = pool(labels, 2, ignore=9)
    assert found.dense(np.array([3, 7, 1])).reshape(3, 4).tolist() == [
        [0, 0, 1, 0],
        [0, 0, 0, 0],
        [1, 0, 0, 0],
    ]


def test_sides_that_do_not_nest_are_refused():
    with pytest.raises(ConfigError, match="cannot pool"):
        pyramid(np.zeros((56, 56), np.uint8), (28, 9), ignore=3)
    with pytest.raises(ConfigError, match="cannot pool"):
        pyramid(np.zeros((8, 56), np.uint8), (28,), ignore=3)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 20),
    st.integers(0, 10),
    st.integers(1, 30),
    st.integers(1, 20),
    st.sampled_from([16, 32, 64]),  # powers of two: no centre falls on a pixel's edge
)
def test_crop_equals_pillows_nearest(left, top, width, height, size):
    labels = np.random.default_rng(1).integers(0, 255, (30, 50), dtype=np.uint8)
    box = (left, top, left + width, top + height)
    wanted = PillowImage.fromarray(labels).resize((size, size), PillowImage.NEAREST, box)
    found = crop(labels, (left, top, width, height), size)
    assert np.array_equal(found, np.asarray(wanted))


def test_crop_flips_and_takes_channels():
    labels = np.arange(2 * 4 * 4).reshape(2, 4, 4)
    same = crop(labels, (0, 0, 4, 4), 4, mirrored=range(31))
    assert np.array_equal(same, labels[..., ::-1])
    assert crop(labels, (1, 1, 2, 2), 6).shape == (2, 6, 6)


def test_a_mirrored_picture_has_its_left_wing_on_the_right():
    parts = Parts.of(["bird:left wing", "bird:head", "bird:right wing"])
    labels = np.array([[1, 2, 0, 4]], np.uint8)  # left wing, head, background, ignored
    turned = crop(labels.repeat(4, axis=0), (0, 0, 4, 4), 4, mirrored=parts.mirrored())
    assert turned[0].tolist() == [4, 0, 2, 3]
    assert turned.dtype == np.uint8
