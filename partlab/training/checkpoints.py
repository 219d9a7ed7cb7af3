"""Weights and training states on disk: whole or not there."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from partlab.errors import DatasetError, NotFoundError
from partlab.files import replacing

STATE = "state.pt"


def save_weights(run: Path, name: str, weights: Mapping[str, Tensor]) -> None:
    """Write a checkpoint, `best` or `last`."""
    state = {key: value.contiguous().cpu() for key, value in weights.items()}
    with replacing(run / f"{name}.safetensors") as scratch:
        save_file(state, scratch)
        scratch.chmod(0o644)  # safetensors lets nobody else read it


def load_weights(network: nn.Module, run: Path, checkpoint: str) -> None:
    """Fill `network` with the weights of a run.

    Raises:
        NotFoundError: the run has no such checkpoint (yet).
        DatasetError: the checkpoint is damaged, or belongs to another run.
    """
    file = run / f"{checkpoint}.safetensors"
    if not file.is_file():
        raise NotFoundError(
            f"{run} has no checkpoint {file.name}",
            hint="finish it: run the command that began it again",
        )
    try:
        network.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise DatasetError(
            f"{file} is damaged or belongs to another run: {first}",
            hint="copy the run folder again, or train it again",
        ) from error


def numbers_in(run: Path, checkpoint: str) -> int | None:
    """How many numbers a checkpoint holds, from its header alone; None without such a file."""
    file = run / f"{checkpoint}.safetensors"
    if not file.is_file():
        return None
    with safe_open(file, "pt") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
    return sum(int(prod(shape)) for shape in shapes)


def save_state(run: Path, state: Mapping[str, Any]) -> None:
    """Write what going on needs."""
    with replacing(run / STATE) as scratch:
        torch.save(dict(state), scratch)


def load_state(run: Path, device: torch.device) -> dict[str, Any] | None:
    """What the last `save_state` wrote; None if there is none.

    Raises:
        DatasetError: the file is damaged.
    """
    if not (run / STATE).exists():
        return None
    try:
        state: dict[str, Any] = torch.load(run / STATE, map_location=device, weights_only=True)
    except Exception as error:  # zip, pickle and torch raise many kinds for a broken file
        raise DatasetError(
            f"{run / STATE} is damaged: {str(error).strip().splitlines()[0]}",
            hint="copy the run folder again; or pass --force to train it from the start",
        ) from error
    return state
