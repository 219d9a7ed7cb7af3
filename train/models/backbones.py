"""timm networks as backbones: any with three resolutions; a table of the tested ones."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import timm
import torch
from torch import nn

from partlab.errors import ConfigError, UnknownNameError
from segmenter.backbone import normalisation
from train.models.base import Body, Features
from train.models.small import WIDTHS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tested:
    """Where a tested backbone's pretrained weights come from, besides a file and none."""

    weights: tuple[str, ...] = ("timm",)


BACKBONES = {
    "resnet18": Tested(),
    "resnet50": Tested(),
    "resnext50_32x4d": Tested(),
    "convnext_tiny": Tested(),
    "convnextv2_atto": Tested(),
    "swin_tiny_patch4_window7_224": Tested(),
    "pvt_v2_b0": Tested(),
    "tf_efficientnet_lite0": Tested(("package", "timm")),
    "tf_efficientnetv2_b0": Tested(),
    "regnety_004": Tested(),
    "mobilenetv3_small_100": Tested(),
    "mobilenetv4_conv_small": Tested(),
    **{f"small_resnet{width}": Tested(()) for width in WIDTHS},
}
"""Every one is tested with every kind; others of timm's work where timm gives their features."""

_ACTIVATIONS = ("torch.nn.modules.activation", "timm.layers.activations")
_GATES = {"sigmoid", "hardsigmoid", "hardsigmoidme", "tanh", "softmax", "multiheadattention"}


def build_backbone(
    name: str, classes: int, *, gelu: bool = True, size: int | None = None
) -> tuple[Any, Body]:
    """A new timm classification network and what is known of it.

    `gelu` puts GELU in place of every ReLU (MD-01), in networks that have no other activation.
    `size` is the side of the pictures in pixels; only networks made for one size need it.

    Raises:
        UnknownNameError: timm has no such network.
        ConfigError: it has no feature maps at three resolutions, or cannot take this size.
    """
    if not timm.is_model(name):
        raise UnknownNameError("backbone", name, timm.list_models())
    network = _created(name, classes, size)
    if gelu:
        replace_relu(network, name)
    features = _features(network, name, size)
    mean, std = normalisation(name)
    return network, Body(name, features, tuple(mean), tuple(std), _classifier(network), gelu)


def _created(name: str, classes: int, size: int | None) -> Any:
    fixed = timm.get_pretrained_cfg(name).fixed_input_size
    options = {"img_size": size} if fixed and size is not None else {}
    try:
        return timm.create_model(name, pretrained=False, num_classes=classes, **options)
    except Exception as error:  # timm's networks raise many kinds
        sized = f" for pictures of {size} pixels" if options else ""
        raise ConfigError(f"backbone {name!r} cannot be built{sized}: {_first(error)}") from error


def _features(network: Any, name: str, size: int | None) -> Features:
    """Found by trying: what a network says of its features is not always what it gives."""
    indices = _last_three(network, name)
    config = network.pretrained_cfg
    side = size or (config["input_size"][-1] if config.get("fixed_input_size") else 64)
    network.eval()
    try:
        with torch.no_grad():
            _, maps = network.forward_intermediates(
                torch.zeros(1, 3, side, side), indices=list(indices), output_fmt="NCHW"
            )
    except Exception as error:  # as above
        raise ConfigError(
            f"backbone {name!r} gives no features of pictures of {side} pixels: {_first(error)}",
            hint="choose another size, or another backbone",
        ) from error
    network.train()
    _nested(name, side, [each.shape[-1] for each in maps], max(_strides(network)))
    channels = tuple(each.shape[1] for each in maps)
    return Features(indices, channels, tuple(side // each.shape[-1] for each in maps))


def _nested(name: str, side: int, sides: Sequence[int], coarsest: int) -> None:
    """Cells of part outputs must lie in one another, and pixels in them."""
    finest = sides[0]
    if side % finest or any(finest % each for each in sides):
        cells = ", ".join(map(str, sides))
        raise ConfigError(
            f"backbone {name!r} divides pictures of {side} pixels into {cells} cells a side, "
            "which do not lie in one another",
            hint=f"choose a size that is a multiple of {coarsest}: "
            f"--set data.size={max(round(side / coarsest), 1) * coarsest}",
        )


def _strides(network: Any) -> list[int]:
    info = getattr(network, "feature_info", None) or []
    return [one["reduction"] for one in getattr(info, "info", info)]


def four_resolutions(network: Any, body: Body, size: int | None) -> Body:
    """The same with the features of its last four resolutions (Mask2Former).

    Raises:
        ConfigError: it has not as many.
    """
    places = {stride: place for place, stride in enumerate(_strides(network))}
    if len(places) < 4:
        raise ConfigError(
            f"backbone {body.name!r} has no feature maps at four resolutions",
            hint="use one that has, for example resnet50",
        )
    before = sorted(places.values())[-4]
    side = size or 64
    training = network.training
    with torch.no_grad():
        _, (found,) = network.eval().forward_intermediates(
            torch.zeros(1, 3, side, side), indices=[before], output_fmt="NCHW"
        )
    network.train(training)
    channels, stride = found.shape[1], side // found.shape[-1]
    old = body.features
    features = Features((before, *old.indices), (channels, *old.channels), (stride, *old.strides))
    return replace(body, features=features)


def _last_three(network: Any, name: str) -> tuple[int, ...]:
    """Places of the last three resolutions among timm's intermediates, fine to coarse."""
    strides = _strides(network)
    last = {stride: place for place, stride in enumerate(strides)}
    if len(last) < 3 or not hasattr(network, "forward_intermediates"):
        raise ConfigError(
            f"backbone {name!r} has no feature maps at three resolutions",
            hint=f"use one that has, for example {', '.join(list(BACKBONES)[:6])}",
        )
    return tuple(sorted(last.values())[-3:])


def _classifier(network: Any) -> tuple[str, ...]:
    found = network.pretrained_cfg["classifier"]
    return (found,) if isinstance(found, str) else tuple(found)


def replace_relu(network: nn.Module, name: str) -> None:
    """Put GELU in place of every ReLU of a network that has no other activation (MD-01).

    Others keep what they have: there ReLU is a part of something else (attention, squeezing).
    """
    kinds = {type(module) for module in network.modules()} - {nn.Module}
    acting = {kind for kind in kinds if kind.__module__.startswith(_ACTIVATIONS)}
    acting = {kind for kind in acting if kind.__name__.lower() not in _GATES}
    if acting != {nn.ReLU}:
        if not all("gelu" in kind.__name__.lower() for kind in acting):
            log.info("backbone %s keeps its own activations", name)
        return
    for module in list(network.modules()):
        for child, found in module.named_children():
            if type(found) is nn.ReLU:
                setattr(module, child, nn.GELU())


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
