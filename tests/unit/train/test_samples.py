"""Pictures and label maps go through crop, flip and resize together."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional as TF

from train.crops import cut, training_view
from train.settings import DataConfig


@pytest.mark.parametrize("size", [(40, 60), (61, 33), (50, 50)])
def test_a_cut_is_torchvisions(size):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    for _ in range(10):
        view, box = training_view(size, DataConfig(size=32), rng)
        left, top, width, height = box
        ours = cut(pixels, box, view, 32)
        theirs = TF.resized_crop(
            Image.fromarray(pixels),
            top,
            left,
            height,
            width,
            [32, 32],
            TF.InterpolationMode.BICUBIC,
        )
        theirs = TF.hflip(theirs) if view.flip else theirs
        assert np.array_equal(ours, np.asarray(theirs))
