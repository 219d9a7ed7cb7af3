"""Files of weights: read without running code, and filled into networks by name and shape."""

import logging
import warnings
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from partlab.counts import counted
from partlab.errors import ConfigError, DatasetError, NotFoundError

log = logging.getLogger(__name__)

_ENTRIES = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where checkpoints keep their tensors, averaged weights first: those are what was evaluated."""


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a torch file that runs no code.

    Of a training checkpoint the averaged (EMA) weights are taken, which is told in the log.

    Raises:
        NotFoundError: there is no such file.
        DatasetError: it is empty, a web page, damaged, or a pickle of more than tensors.
    """
    need_content(file)
    found = _entry(_read(file), file)
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise DatasetError(f"{file} holds no state dict", hint="save model.state_dict()")
    return found


def need_content(file: Path) -> None:
    """See that a file of weights is there, and no page that a server sent in its place (RK-16).

    Raises:
        NotFoundError: there is no such file.
        DatasetError: it is empty, or a web page.
    """
    if not file.is_file():
        raise NotFoundError(f"no weights file {file}")
    with open(file, "rb") as handle:
        begin = handle.read(256).lstrip().lower()
    if not begin:
        raise DatasetError(f"{file} is empty", hint="copy or download it again")
    if begin.startswith((b"<!doctype", b"<html")):
        raise DatasetError(
            f"{file} is a web page, not weights", hint="open its address in a browser and download"
        )


def _read(file: Path) -> Any:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # timm's trainer puts its arguments into each checkpoint; they are plain values.
        with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's protocol: what fails is told below
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a broken file
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


def fill(
    network: nn.Module, state: Mapping[str, Tensor], what: str, misfit: str, hint: str
) -> None:
    """Load all tensors, by name and shape; errors begin with `what` the weights are.

    `misfit` says what they do not fit, and `hint` what to do about it: `does not fit its card`.

    Raises:
        ConfigError: some are missing, unknown or of another shape.
        DatasetError: some hold values that are not finite.
    """
    wanted = network.state_dict()
    # Old checkpoints do not count the batches that BatchNorm has seen; nothing here reads that.
    state = {k: v for k, v in wanted.items() if k.endswith(".num_batches_tracked")} | dict(state)
    faults = {
        "missing": [key for key in wanted if key not in state],
        "unknown": [key for key in state if key not in wanted],
        "of another shape": [
            key for key in wanted if key in state and state[key].shape != wanted[key].shape
        ],
    }
    if told := [
        f"{counted(len(k), 'tensor')} {n} ({', '.join(k[:3])})" for n, k in faults.items() if k
    ]:
        raise ConfigError(f"{what} {misfit}: {', '.join(told)}", hint=hint)
    need_finite(state, what)
    network.load_state_dict(state)


def need_finite(state: Mapping[str, Tensor], what: str) -> None:
    """See that no weight is infinite or NaN.

    Raises:
        DatasetError: some are.
    """
    if wrong := [key for key, value in state.items() if not value.isfinite().all()]:
        raise DatasetError(
            f"{what}: {counted(len(wrong), 'tensor holds', 'tensors hold')} values that are not "
            f"finite ({wrong[0]})",
            hint="its training diverged, or the file is damaged: take another one",
        )
