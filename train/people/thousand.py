"""Models with the 1,000 classes of ImageNet, by name or folder, for the 16-way experiments."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timm.data import ImageNetInfo
from torch import Tensor, nn
from torchvision import transforms

from partlab.errors import ConfigError, NotFoundError
from train.evaluate.opened import open_model
from train.models.build import create_model

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
            hint=f"give {PACKAGED}tf_efficientnet_lite0, a run, an exported model, or a folder "
            "with the card.json of another's weights",
        )
    found = open_model(path, device="cpu")
    sides = found.preprocessing["size"], found.preprocessing["shorter_side"]
    return _ordered(found.network, found.classes, sides, model)


def _packaged(backbone: str) -> Thousand:
    names = ImageNetInfo("imagenet-1k").label_names()
    found = create_model(f"vanilla_{backbone}", classes=names, weights="package", gelu=False)
    return Thousand(found.eval(), 224, 256)


def _ordered(
    network: nn.Module, classes: Sequence[str], sides: tuple[int, int], model: str
) -> Thousand:
    """The model in ImageNet's order, which only wnids tell; else its own order is taken."""
    if len(classes) != 1000:
        raise ConfigError(
            f"{model} has {len(classes):,} classes; the 16 categories of the human experiments "
            "are made of the 1,000 ImageNet classes",
            hint="use a model with the 1,000-class ImageNet head",
        )
    wnids = ImageNetInfo("imagenet-1k").label_names()
    if list(classes) == wnids:
        return Thousand(network, *sides)
    if set(classes) == set(wnids):
        return Thousand(_Ordered(network, [classes.index(each) for each in wnids]), *sides)
    remark = f"the classes of {model} are not called by wnid: ImageNet's order is taken for granted"
    return Thousand(network, *sides, remark)
