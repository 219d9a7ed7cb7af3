"""Weights that the authors released, by the names of their tensors (N-08).

Their checkpoints are `state_dict` of a `DistributedDataParallel` around a classifier around
segmentation-models-pytorch's network: `module._base_model.encoder.conv1.weight`. Ours have the same
tensors under shorter names.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from partlab.errors import ConfigError
from train.models.base import Recognizer
from train.models.start import fill, read_weights

_COMMON = (
    ("_base_model.encoder.", "backbone."),
    ("_base_model.decoder.", "decoder."),
    ("_base_model.segmentation_head.", "segmentation_head."),
    ("_base_model.classification_head.", "judge."),
)
_KINDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "pooling": (*_COMMON, ("core_model.", "judge.")),
    "wbbox": (("core_model.0.", "judge.0.mix."), *_COMMON, ("core_model.", "judge.")),
    "2heads_e": _COMMON,
    "vanilla": (("_base_model.", "backbone."),),
}
_LEFT_OUT = ("bg_conf_thres", "grid", "part_to_class_mat", "feature_extactor.")
"""Buffers that nothing learnt; what they say is computed here."""


def ours(state: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """The tensors of a released checkpoint by the names of our `kind`.

    Raises:
        ConfigError: there is no key map for this kind, or a tensor has no place in it.
    """
    if kind not in _KINDS:
        raise ConfigError(
            f"released weights cannot be read as a model of kind {kind!r}",
            hint=f"the kinds are {', '.join(_KINDS)}",
        )
    found = {}
    for name, tensor in state.items():
        own = name.removeprefix("module.")
        if own.startswith(_LEFT_OUT):
            continue
        found[_renamed(own, kind)] = tensor
    return found


def _renamed(name: str, kind: str) -> str:
    if name in ("mean", "std"):
        return f"normalise.{name}"
    for theirs, own in _KINDS[kind]:
        if name.startswith(theirs):
            return own + name.removeprefix(theirs)
    raise ConfigError(
        f"the tensor {name!r} has no place in a model of kind {kind!r}",
        hint="read the weights as the kind that they were trained as",
    )


def fill_released(model: Recognizer, file: str | Path) -> None:
    """Fill a model with a released checkpoint, converted to .safetensors.

    Its kind, encoder, classes and settings have to be those of the checkpoint; classes and parts
    are in the authors' order.

    Raises:
        NotFoundError, ConfigError, DatasetError: as `read_weights`, `ours` and `fill`.
    """
    state = ours(read_weights(Path(file)), model.kind)
    for name in ("normalise.mean", "normalise.std"):
        if name in state:
            state[name] = state[name].reshape(-1, 1, 1)
    fill(model, state, f"the released weights {file}")
