"""Checkpoints of others, read by a small card beside the weights (X-02, RK-15, RK-16).

`card.json`: `{"foreign": 1, "architecture": TIMM NAME, "weights": FILE, "classes": [NAME...],
"mean": [3], "std": [3], "size": int, "crop_pct": share, "interpolation": NAME, "gelu": bool,
"keys": KEY MAP | [[OLD, NEW]...]}`.
NEW is a prefix, or null for tensors that recognition does not use. `crop_pct` (0.875) and
`interpolation` ("bicubic"; "bilinear" with the keys of a release that used it) are timm's words.
These, `gelu` (false), `keys` ("timm") and `training`, an object of facts to be shown, may be left
out. Nothing is taken from the name of the architecture (RK-15).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import timm
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from partlab.config import Config, validate
from partlab.errors import ConfigError, NotFoundError, UnknownNameError
from partlab.files import read_json
from segmenter.weights import fill, read_state
from train.crops import How
from train.models.backbones import replace_relu
from train.models.foreign_weights import BILINEAR, KEYS, MEAN, STD, renamed

Three = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]


class Card(Config):
    """What stands beside the weights of others; unknown fields are refused."""

    foreign: Literal[1]
    architecture: str
    weights: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    mean: Three
    std: tuple[Positive, Positive, Positive]
    size: PositiveInt
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 0.875
    interpolation: How | None = None
    gelu: bool = False
    keys: str | tuple[tuple[str, str | None], ...] = "timm"
    training: dict[str, Any] | None = None

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What is done to a picture before the network sees it; timm cuts its sides off, too."""
        usual = "bilinear" if self.keys in BILINEAR else "bicubic"
        return {
            "mean": list(self.mean),
            "std": list(self.std),
            "size": self.size,
            "shorter_side": math.floor(self.size / self.crop_pct),
            "interpolation": self.interpolation or usual,
        }


class Foreign(nn.Module):
    """A timm network with its normalisation inside: pixels (N, 3, H, W) in 0..1 to logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, card: Card, left_out: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.classes: tuple[str, ...] = card.classes
        self.preprocessing: dict[str, Any] = card.preprocessing
        self.left_out = tuple(left_out)
        self.register_buffer("mean", torch.tensor(card.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(card.std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, classes) of pixels (N, 3, H, W) in 0..1."""
        logits: Tensor = self.network((pixels - self.mean) / self.std)
        return logits


def load_foreign(path: str | Path) -> Foreign:
    """The model that a folder's card.json describes, in eval mode; `left_out` names what is not.

    Raises:
        NotFoundError: there is no card or no file of weights.
        UnknownNameError: timm has no such architecture, or there is no such key map.
        ConfigError: a field of the card is missing or wrong, or the weights do not fit it.
        DatasetError: the file is no weights, or holds values that are not finite.
    """
    folder = Path(path)
    card = read_foreign_card(folder)
    network = timm.create_model(card.architecture, num_classes=len(card.classes))
    if card.gelu:
        replace_relu(network, card.architecture)
    file = folder / card.weights
    pairs = KEYS[card.keys] if isinstance(card.keys, str) else card.keys
    state, left_out = renamed(read_state(file), pairs)
    for key, ours in ((MEAN, card.mean), (STD, card.std)):
        _same_normalisation(state.pop(key, None), ours, key, file)
    hint = "check architecture, classes and keys in card.json"
    fill(network, state, str(file), "does not fit its card", hint)
    return Foreign(network, card, left_out).eval()


def read_foreign_card(folder: Path) -> Card:
    """The card of a folder, its fields checked.

    Raises:
        NotFoundError, UnknownNameError, ConfigError: as `load_foreign`.
    """
    file = folder / "card.json"
    if not file.is_file():
        raise NotFoundError(f"{folder} has no card.json", hint="describe the weights in one")
    found = read_json(file)
    if not isinstance(found, dict):
        raise ConfigError(f"{file} is no JSON object", hint="see the guide for its fields")
    card = validate(Card, found, str(file))
    if len(set(card.classes)) < len(card.classes):
        twice = next(each for each in card.classes if card.classes.count(each) > 1)
        raise ConfigError(f"{file} names the class {twice!r} twice", hint="call classes by wnid")
    if not timm.is_model(card.architecture):
        raise UnknownNameError("architecture", card.architecture, timm.list_models())
    if isinstance(card.keys, str) and card.keys not in KEYS:
        raise UnknownNameError("key map", card.keys, KEYS)
    return card


def _same_normalisation(theirs: Tensor | None, ours: Three, key: str, file: Path) -> None:
    """Weights that bring their own mean and deviation must have the card's."""
    if theirs is not None and not torch.allclose(theirs.flatten(), torch.tensor(ours), atol=1e-6):
        raise ConfigError(
            f"{file} normalises with {key.split('.')[1]} {theirs.flatten().tolist()}, its card "
            f"says {list(ours)}",
            hint="put the values of the weights into card.json",
        )
