"""Models with the 1,000 classes of ImageNet, by name or folder, for the 16-way experiments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from timm.data import ImageNetInfo
from torch import Tensor, nn

from partlab.errors import ConfigError, NotFoundError
from train.card import preprocessing
from train.evaluate.opened import Opened, open_model
from train.models.build import create_model
from train.settings import DataConfig

PACKAGED = "packaged:"


@dataclass(frozen=True, slots=True)
class Thousand:
    """A model whose logits (N, 1000) are in ImageNet's order.

    `remark` says what is taken on trust; "" if nothing is.
    """

    opened: Opened
    remark: str = ""


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
            hint=f"give {PACKAGED}tf_efficientnet_lite0, a run, an exported model, or a folder "
            "with the card.json of another's weights",
        )
    return _ordered(open_model(path, device="cpu"), model)


def _packaged(backbone: str) -> Thousand:
    names = ImageNetInfo("imagenet-1k").label_names()
    found = create_model(f"vanilla_{backbone}", classes=names, weights="package", gelu=False)
    data, name = DataConfig(), Path(PACKAGED + backbone)
    seen = preprocessing(data, found)
    return Thousand(Opened(found.eval(), found.classes, data, found.kind, name, seen, None))


def _ordered(found: Opened, model: str) -> Thousand:
    """The model in ImageNet's order, which only wnids tell; else its own order is taken."""
    classes: Sequence[str] = found.classes
    if len(classes) != 1000:
        raise ConfigError(
            f"{model} has {len(classes):,} classes; the 16 categories of the human experiments "
            "are made of the 1,000 ImageNet classes",
            hint="use a model with the 1,000-class ImageNet head",
        )
    wnids = ImageNetInfo("imagenet-1k").label_names()
    if list(classes) == wnids:
        return Thousand(found)
    if set(classes) == set(wnids):
        network = _Ordered(found.network, [classes.index(each) for each in wnids])
        return Thousand(replace(found, network=network.eval(), classes=tuple(wnids)))
    remark = f"the classes of {model} are not called by wnid: ImageNet's order is taken for granted"
    return Thousand(found, remark)
