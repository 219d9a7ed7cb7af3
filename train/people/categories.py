"""The 16 categories that people chose from, and the ImageNet classes that make up each.

Source: the index lists of model-vs-human (Geirhos et al. 2021), 207 of the 1,000 classes.
"""

import torch
from torch import Tensor

from partlab.errors import ConfigError

_RANGES = {
    "airplane": "404",
    "bear": "294-297",
    "bicycle": "444 671",
    "bird": "8 10-16 18-20 22-24 80-83 87-96 98-100 127-133 135-145",
    "boat": "472 554 625 814 914",
    "bottle": "440 720 737 898-899 901 907",
    "car": "436 511 817",
    "cat": "281-286",
    "chair": "423 559 765 857",
    "clock": "409 530 892",
    "dog": "152-191 193-203 205-226 228-241 243-250 252-257 259 261-263 265-268",
    "elephant": "385-386",
    "keyboard": "508 878",
    "knife": "499",
    "oven": "766",
    "truck": "555 569 656 675 717 734 864 867",
}


def _indices(ranges: str) -> tuple[int, ...]:
    ends = [[int(end) for end in one.split("-")] for one in ranges.split()]
    return tuple(index for end in ends for index in range(end[0], end[-1] + 1))


CATEGORIES = {name: _indices(ranges) for name, ranges in _RANGES.items()}
"""Category -> indices of its ImageNet-1K classes, categories in alphabetical order."""
NAMES = tuple(CATEGORIES)


def choose(logits: Tensor) -> list[str]:
    """The category of each row of logits (N, 1000): greatest mean probability; ties go first.

    Raises:
        ConfigError: the model has no 1,000-class head.
    """
    if logits.ndim != 2 or logits.shape[1] != 1000:
        raise ConfigError(
            f"the model has {logits.shape[-1]} classes; the 16 categories of the human "
            "experiments are made of the 1,000 ImageNet classes",
            hint="use a model with the 1,000-class ImageNet head",
        )
    chances = logits.double().softmax(1)
    means = torch.stack([chances[:, list(each)].mean(1) for each in CATEGORIES.values()], 1)
    return [NAMES[place] for place in means.argmax(1).tolist()]
