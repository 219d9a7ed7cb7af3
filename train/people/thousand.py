"""Models with the 1,000 classes of ImageNet, by name or folder, for the 16-way experiments."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import ImageNetInfo
from torch import Tensor, nn
from torchvision import transforms

from partlab.errors import ConfigError, NotFoundError
from partlab.files import read_json
from segmenter.backbone import load_backbone_weights
from train.models.backbones import build_backbone
from train.models.foreign import load_foreign
from train.models.load import load_model
from train.models.start import CARD
from train.runs import read_run, settings_of

PACKAGED = "packaged:"


@dataclass(frozen=True, slots=True)
class Thousand:
    """A model from pixels (N, 3, H, W) in 0..1 to logits (N, 1000) in ImageNet's order.

    `remark` says what is taken on trust; "" if nothing is.
    """

    network: nn.Module
    size: int
    resized: int
    remark: str = ""

    def transform(self, picture: Any) -> Tensor:
        """Pixels (3, H, W) of an RGB picture: short side resized, bicubic, centre cut out."""
        steps = transforms.Compose(
            [
                transforms.Resize(self.resized, transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(self.size),
                transforms.ToTensor(),
            ]
        )
        pixels: Tensor = steps(picture)
        return pixels


class _Ordered(nn.Module):
    """A model whose logits are put in ImageNet's order of classes."""

    def __init__(self, network: nn.Module, order: list[int]) -> None:
        super().__init__()
        self.network, self.order = network, order

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)
        return logits[:, self.order]


def load_thousand(model: str) -> Thousand:
    """`packaged:tf_efficientnet_lite0`, a folder with another's card, a run or an exported model.

    The centre cut has the model's size, of a picture whose short side is size / 0.875, or
    size / `eval_crop` of a run.

    Raises:
        NotFoundError: it is none of these.
        ConfigError: it has not 1,000 classes, or its weights do not fit.
        UnknownNameError: timm has no such packaged network.
    """
    if model.startswith(PACKAGED):
        return _packaged(model.removeprefix(PACKAGED))
    path = Path(model)
    if not path.exists():
        raise NotFoundError(
            f"no model {model}",
            hint="give packaged:tf_efficientnet_lite0, a run, an exported model or a folder with "
            "the card.json of another's weights",
        )
    card = read_json(path / CARD) if (path / CARD).is_file() else {}
    if isinstance(card, dict) and "foreign" in card:
        foreign = load_foreign(path)
        return _ordered(foreign, foreign.classes, foreign.preprocessing["size"], 0.875, model)
    found = load_model(path, device="cpu")
    size, share = _cut(path, card)
    return _ordered(found, found.classes, size, share, model)
