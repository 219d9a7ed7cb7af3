"""Outlines cover exactly the pixels of their mask, drawn as COCO draws polygons."""

import numpy as np
import pytest

from annotate.data.formats.outlines import joined, outlines
from partlab.masks import decode, from_segmentation


def drawn(rings: list[list[tuple[int, int]]], size: tuple[int, int]) -> np.ndarray:
    polygons = [[float(c) for point in ring for c in point] for ring in rings]
    return decode(from_segmentation(polygons, *size))


def ringed() -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[3:12, 4:20] = True
    mask[5:9, 8:15] = False
    mask[6, 10] = True  # a piece in the hole
    mask[12, 20] = True  # touches at a corner
    return mask


def test_pieces_and_holes_are_rings_of_their_own() -> None:
    rings = outlines(ringed())
    assert sorted(len(ring) for ring in rings) == [4, 4, 4, 4]
    assert {(4, 3), (20, 3), (20, 12), (4, 12)} in [set(ring) for ring in rings]


def test_one_ring_of_all_covers_the_same_pixels() -> None:
    mask = ringed()
    assert (drawn([joined(outlines(mask))], mask.shape) == mask).all()


@pytest.mark.parametrize("seed", range(12))
def test_any_mask_comes_back_to_the_pixel(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((random.integers(1, 24), random.integers(1, 24))) < random.random()
    mask[0, 0] = True
    assert (drawn([joined(outlines(mask))], mask.shape) == mask).all()


def test_nothing_has_no_outline() -> None:
    assert outlines(np.zeros((3, 4), bool)) == []
