"""DeepLabV3+ of segmentation-models-pytorch over any of its encoders (MD-11)."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import timm
from torch import Tensor, nn

from partlab.errors import BackendUnavailableError, ConfigError, UnknownNameError
from segmenter.backbone import load_backbone_weights, normalisation
from train.models.backbones import replace_relu
from train.models.base import Body, Features
from train.models.small import WIDTHS
from train.settings import ModelConfig

STRIDE = 16
"""Pixels of a cell of the encoder's last features: the last stage is dilated instead."""
RATES = (12, 24, 36)
_SMALL = tuple(f"small_resnet{width}" for width in WIDTHS)


class Segmented(NamedTuple):
    """What a segmenter says of pictures (B, 3, S, S)."""

    bottleneck: Tensor  # (B, E, S/16, S/16), the encoder's last features
    decoded: Tensor  # (B, D, S/4, S/4), the decoder's
    masks: Tensor  # (B, part channels, S, S), logits


class DeepLab(nn.Module):
    """An encoder, a decoder with atrous pooling, and a layer that gives part logits."""

    def __init__(self, encoder: nn.Module, channels: int, width: int) -> None:
        super().__init__()
        heads = _library("segmentation_models_pytorch.base")
        decoders = _library("segmentation_models_pytorch.decoders.deeplabv3.decoder")
        self.encoder = encoder
        self.decoder = decoders.DeepLabV3PlusDecoder(
            encoder_channels=encoder.out_channels,
            encoder_depth=5,
            out_channels=width,
            atrous_rates=RATES,
            output_stride=STRIDE,
            aspp_separable=True,
            aspp_dropout=0.5,
        )
        self.segmentation_head = heads.SegmentationHead(
            width, channels, kernel_size=1, upsampling=4
        )
        heads.initialization.initialize_decoder(self.decoder)
        heads.initialization.initialize_head(self.segmentation_head)


class SmallEncoder(nn.Module):
    """One of our small networks, whose last features have cells of 16 pixels as they are."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.model = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4))
        self.out_channels = [3, *self.model.feature_info.channels()]

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """The picture and the features of strides 2, 4, 8 and 16."""
        return [pixels, *self.model(pixels)]


def build_deeplab(config: ModelConfig, channels: int, size: int | None) -> tuple[DeepLab, Body]:
    """A segmenter of `channels` channels on the encoder `config.backbone`, with its weights.

    Raises:
        BackendUnavailableError: segmentation-models-pytorch is not installed.
        UnknownNameError: neither it nor timm has such a network.
        ConfigError: DeepLabV3+ cannot be put on this encoder, or not for pictures of `size`
            pixels; or the weights do not fit it.
    """
    if size is not None and size % STRIDE:
        raise ConfigError(
            f"DeepLabV3+ cannot divide pictures of {size} pixels into cells of {STRIDE}",
            hint=f"choose a multiple: --set data.size={max(round(size / STRIDE), 1) * STRIDE}",
        )
    encoder = _encoder(config.backbone)
    own = config.backbone.removeprefix("tu-")
    if config.gelu:
        replace_relu(encoder, own)
    _fill(encoder, own, config.weights)
    network = DeepLab(encoder, channels, config.decoder)
    mean, std = normalisation(own) if timm.is_model(own) else normalisation("")
    wide: Sequence[int] = encoder.out_channels
    features = Features((), (wide[2], wide[-1]), (4, STRIDE))
    return network, Body(config.backbone, features, tuple(mean), tuple(std), (), config.gelu)


def _encoder(name: str) -> Any:
    if name in _SMALL:
        _library("segmentation_models_pytorch")
        return SmallEncoder(name)
    library = _library("segmentation_models_pytorch.encoders")
    own = name.removeprefix("tu-")
    if name in library.get_encoder_names():
        asked = name
    elif timm.is_model(own):
        asked = f"tu-{own}"
    else:
        known = [*library.get_encoder_names(), *timm.list_models(), *_SMALL]
        raise UnknownNameError("encoder", name, known)
    try:
        return library.get_encoder(asked, weights=None, output_stride=STRIDE)
    except Exception as error:  # its encoders raise many kinds
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"DeepLabV3+ cannot be put on the encoder {name!r}: {first}",
            hint="use one whose last stage can be dilated, such as resnet50 or tu-resnet18",
        ) from error


def _fill(encoder: nn.Module, name: str, weights: str) -> None:
    """Weights of a classification network of timm, by the names of its tensors."""
    if weights == "none":
        return
    if not timm.is_model(name):
        raise ConfigError(
            f"there are no weights {weights!r} for the encoder {name!r}, which timm has not",
            hint="use an encoder of timm, such as resnet50, or weights=none",
        )
    network = timm.create_model(name, pretrained=False)
    load_backbone_weights(network, name, weights)
    body: nn.Module = getattr(encoder, "model", encoder)
    state, wanted = network.state_dict(), body.state_dict()
    lacking = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
    if lacking:
        raise ConfigError(
            f"weights {weights!r} do not fit the encoder {name!r}: {len(lacking)} of "
            f"{len(wanted)} tensors are not there, {lacking[0]} first",
            hint=f"use timm's network of the same name: --set model.backbone=tu-{name}",
        )
    body.load_state_dict({key: state[key] for key in wanted})


def _library(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise BackendUnavailableError(
            "segmentation-models-pytorch is not installed, which has DeepLabV3+",
            hint="pip install 'partlab[part-models]'",
        ) from None
