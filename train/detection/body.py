"""The backbone of a detector: a recognition model's network without its classifier (G-05)."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from partlab.errors import ConfigError, NotFoundError, UnknownNameError
from segmenter.backbone import load_backbone_weights, normalisation
from train.models.backbones import replace_relu

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What the backbone is: timm's `name`, with GELU or not, the colours it knows.

    `pretrained`: it came with weights. `source` is where from, `sha256` of the file of weights.
    """

    name: str
    gelu: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pretrained: bool
    source: str
    sha256: str | None

    def as_json(self) -> dict[str, Any]:
        """For a run's config.json."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def read(cls, found: dict[str, Any]) -> "Start":
        """What `as_json` wrote."""
        return cls(**{**found, "mean": tuple(found["mean"]), "std": tuple(found["std"])})


def open_start(
    model: str | Path, weights: str = "none", *, checkpoint: str = "best"
) -> tuple[Start, nn.Module]:
    """The backbone of a run, of an exported model, of others' weights, or a network of timm's.

    `weights` is for the last alone, see `segmenter.backbone.load_backbone_weights`.

    Raises:
        NotFoundError: it is none of them.
        ConfigError: the network takes pictures of one size only; else as `open_model` and
            `load_backbone_weights`.
    """
    path = Path(model)
    if path.exists():
        return _of_model(path, checkpoint)
    if timm.is_model(str(model)):
        return _of_timm(str(model), weights)
    raise NotFoundError(
        f"{model} is neither a run, nor an exported model, nor a network of timm's",
        hint=UnknownNameError("network", str(model), timm.list_models()).hint,
    )


def _need_any_size(name: str) -> None:
    if timm.get_pretrained_cfg(name).fixed_input_size:
        raise ConfigError(
            f"backbone {name!r} takes pictures of one size only, a detector has any",
            hint="start from a convolutional one, such as resnet50 or convnext_tiny",
        )


def _of_model(path: Path, checkpoint: str) -> tuple[Start, nn.Module]:
    from partlab.files import sha256_file
    from train.evaluate.opened import open_model
    from train.models.base import Recognizer
    from train.models.foreign import read_foreign_card

    opened = open_model(path, checkpoint=checkpoint, device="cpu")
    model: Any = opened.network
    if isinstance(model, Recognizer):
        if not model.body.features.indices:
            raise ConfigError(
                f"{path} is a model of kind {model.kind!r}, whose encoder is no network of timm's",
                hint="a detector starts from a model of kind vanilla or mpm",
            )
        network, name, gelu = model.backbone, model.body.name, model.body.gelu
        mean, std = model.normalise.mean, model.normalise.std
    else:
        card = read_foreign_card(path)
        network, name, gelu = model.network, card.architecture, card.gelu
        mean, std = model.mean, model.std
    _need_any_size(name)
    log.info("backbone %s of %s", name, path)
    colours = tuple(mean.flatten().tolist()), tuple(std.flatten().tolist())
    return Start(name, gelu, *colours, True, str(path), sha256_file(opened.weights)), network


def _of_timm(name: str, weights: str) -> tuple[Start, nn.Module]:
    _need_any_size(name)
    network = timm.create_model(name, pretrained=False)
    load_backbone_weights(network, name, weights)
    if weights == "none":
        log.warning(
            "backbone %s begins with random weights; others: --set model.weights=timm", name
        )
    mean, std = normalisation(name)
    return Start(name, False, tuple(mean), tuple(std), weights != "none", weights, None), network


def new_network(start: Start) -> nn.Module:
    """The same network with random weights, for those of a detector to be loaded into."""
    network: nn.Module = timm.create_model(start.name, pretrained=False)
    if start.gelu:
        replace_relu(network, start.name)
    return network


class Body(nn.Module):
    """Feature maps of a timm classification network from `first_stride` on, fine to coarse.

    The network's own layers with their own names, less the classifier and what comes after the
    last map. Maps have `widths` channels and lie at `strides`.

    Raises:
        ConfigError: the network gives no such maps.
    """

    def __init__(self, network: Any, name: str, first_stride: int) -> None:
        super().__init__()
        last = {stage["reduction"]: at for at, stage in enumerate(_stages(network))}
        chosen = [last[stride] for stride in sorted(last) if stride >= first_stride]
        if len(chosen) < 2 or not hasattr(network, "prune_intermediate_layers"):
            raise ConfigError(
                f"backbone {name!r} has no two feature maps at stride {first_stride} or more",
                hint="use one that has, such as resnet50, or lower model.first_stride",
            )
        self.places = list(network.prune_intermediate_layers(chosen, prune_norm=True))
        self.network = network
        self.strides = [stride for stride in sorted(last) if stride >= first_stride]
        self.widths = self._widths()

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Maps (B, widths[i], H / strides[i], W / strides[i]) of normalised pictures."""
        maps: list[Tensor] = self.network.forward_intermediates(
            pixels, indices=self.places, output_fmt="NCHW", intermediates_only=True
        )
        return maps

    @torch.no_grad()
    def _widths(self) -> list[int]:
        """By trying: what a network says of its features is not always what it gives."""
        mode = self.network.training
        maps = self.network.eval().forward_intermediates(
            torch.zeros(1, 3, 64, 64), indices=self.places, output_fmt="NCHW",
            intermediates_only=True,
        )  # fmt: skip
        self.network.train(mode)
        return [each.shape[1] for each in maps]


def _stages(network: Any) -> Sequence[dict[str, Any]]:
    info = getattr(network, "feature_info", None) or []
    found: Sequence[dict[str, Any]] = getattr(info, "info", info)
    return found
