"""Weights of others: read without running code, renamed as timm names them, and checked."""

import logging
import pickle
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from partlab.errors import ConfigError, DatasetError, NotFoundError

log = logging.getLogger(__name__)

Pairs = Sequence[tuple[str, str | None]]
MEAN, STD = "normalisation.mean", "normalisation.std"
KEYS: dict[str, Pairs] = {
    "timm": (),
    "pinpp": (
        ("segmenter.", ""),
        ("classifer.2.", "fc."),
        *((f"{name}{level}.", None) for name in ("cp", "segmenter_head") for level in (1, 2, 3)),
        ("up_layer1.", None),
        ("up_layer2.", None),
    ),
    "sitawarin": (("0.", "normalisation."), ("1.", "")),
}
"""Prefixes of a release's tensors -> timm's; null for tensors that recognition does not use.

`pinpp` is PartImageNet++'s MPM of ResNet layout (its plain models have timm's own names);
`sitawarin` is the classifier without parts of adv-part-model, whose first layer normalises.
"""
_ENTRIES = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where checkpoints keep their tensors, averaged weights first: those are what was evaluated."""


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a torch file that runs no code.

    Of a training checkpoint the averaged (EMA) weights are taken, which is told in the log.

    Raises:
        NotFoundError: there is no such file.
        DatasetError: it is empty, a web page, damaged, or a pickle of more than tensors.
    """
    if not file.is_file():
        raise NotFoundError(f"no file of weights {file}")
    with open(file, "rb") as handle:
        begin = handle.read(256).lstrip().lower()
    if begin.startswith((b"<!doctype", b"<html")):
        raise DatasetError(
            f"{file} is a web page, not weights", hint="open its address in a browser and download"
        )
    found = _entry(_read(file), file)
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise DatasetError(f"{file} holds no state dict", hint="save model.state_dict()")
    return found


def _read(file: Path) -> Any:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # timm's trainer puts its arguments into each checkpoint; they are plain values.
        with torch.serialization.safe_globals([Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise DatasetError(
            f"{file} is damaged, or holds more than tensors, which may run code when it is read",
            hint="download it again, or have its owner save the state dict alone",
        ) from error


def _entry(found: Any, file: Path) -> Any:
    there = [
        key for key in _ENTRIES if isinstance(found, dict) and isinstance(found.get(key), dict)
    ]
    if not there:
        return found
    if len(there) > 1:
        log.info("%s: %s is taken, not %s", file, there[0], ", ".join(there[1:]))
    return found[there[0]]


def renamed(state: Mapping[str, Tensor], pairs: Pairs) -> tuple[dict[str, Tensor], list[str]]:
    """The state in timm's names (wrappers' `module.` taken off), and the names left out.

    Raises:
        ConfigError: two tensors get one name.
    """
    named: dict[str, Tensor] = {}
    left_out = []
    for key, value in state.items():
        name = key.removeprefix("module.")
        old, new = next((pair for pair in pairs if name.startswith(pair[0])), ("", ""))
        if new is None:
            left_out.append(key)
        elif (name := new + name.removeprefix(old)) in named:
            raise ConfigError(f"two tensors become {name}", hint="correct keys in card.json")
        else:
            named[name] = value
    return named, left_out


def fill(network: nn.Module, state: dict[str, Tensor], file: Path) -> None:
    """Load all tensors, by name and shape.

    Raises:
        ConfigError: some are missing, unknown or of another shape.
        DatasetError: some hold values that are not finite.
    """
    wanted = network.state_dict()
    # Old checkpoints do not count the batches that BatchNorm has seen; nothing here reads that.
    state = {k: v for k, v in wanted.items() if k.endswith(".num_batches_tracked")} | state
    shared = wanted.keys() & state.keys()
    faults = {
        "missing": sorted(wanted.keys() - state.keys()),
        "unknown": sorted(state.keys() - wanted.keys()),
        "of another shape": sorted(k for k in shared if state[k].shape != wanted[k].shape),
    }
    if told := [f"{len(k)} {n} ({', '.join(k[:3])})" for n, k in faults.items() if k]:
        raise ConfigError(
            f"{file} does not fit its card: tensors {'; '.join(told)}",
            hint="check architecture, classes and keys in card.json",
        )
    if wrong := [key for key, value in state.items() if not value.isfinite().all()]:
        raise DatasetError(
            f"{file}: {len(wrong)} tensors hold values that are not finite ({wrong[0]})",
            hint="its training diverged, or the file is damaged: take another one",
        )
    network.load_state_dict(state)
