"""Weights of a trained recognition model as the start of another (T-07)."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from partlab.errors import ConfigError, DatasetError, NotFoundError
from partlab.files import read_json
from partlab.training.runs import read_config
from train.models.base import Recognizer

WEIGHTS = "model.safetensors"
CARD = "card.json"


def take_over(model: Recognizer, start: str | Path) -> None:
    """Fill `model` with all weights of a run folder, an exported folder or a .safetensors file.

    A run's best weights are taken, or its last ones if it was not validated.

    Raises:
        NotFoundError: there is nothing there, or no weights in it yet.
        ConfigError: they belong to another model; the message says what differs.
        DatasetError: the file is damaged.
    """
    start = Path(start)
    file, facts = _found(start)
    _same("classes", "object categories", model.classes, facts, start)
    _same("parts", "parts", model.parts, facts, start)
    fill(model, read_weights(file), f"the weights of {start}{_named(facts)}")


def _named(facts: dict[str, Any]) -> str:
    """What the description beside the weights says they are of."""
    settings = facts.get("model") or facts.get("config", {}).get("model", {})
    if not {"kind", "backbone"} <= settings.keys():
        return ""
    return f" (a {settings['kind']}_{settings['backbone']})"


def _found(start: Path) -> tuple[Path, dict[str, Any]]:
    """The file of weights, and what stands beside it of the model."""
    if start.is_file():
        return start, {}
    if (start / CARD).is_file():
        return start / WEIGHTS, read_json(start / CARD)
    for name in ("best", "last"):
        if (file := start / f"{name}.safetensors").is_file():
            return file, read_config(start) or {}
    raise NotFoundError(
        f"{start} holds no weights to start from",
        hint="name a run folder of partlab train, an exported model, or a .safetensors file",
    )


def _same(key: str, what: str, ours: tuple[str, ...], facts: dict[str, Any], start: Path) -> None:
    """See that both models name the same things, in the same order, where both name some."""
    theirs = facts.get(key)
    if not theirs or not ours or list(ours) == theirs:
        return
    if len(theirs) != len(ours):
        raise ConfigError(f"{start} is a model of {len(theirs)} {what}, not {len(ours)}")
    place = next(i for i, name in enumerate(ours) if name != theirs[i])
    raise ConfigError(
        f"{start} is a model of other {what}: number {place} is {theirs[place]!r}, "
        f"not {ours[place]!r}"
    )


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file; nothing that could run code is opened.

    Raises:
        NotFoundError: there is no such file.
        ConfigError: it is a pickle.
        DatasetError: it is damaged.
    """
    if not file.is_file():
        raise NotFoundError(f"no file {file}")
    if is_pickle(file):
        raise ConfigError(
            f"{file} is a pickle, which may run code when it is read; models are .safetensors",
            hint="if you trust it, convert it once: safetensors.torch.save_file("
            "torch.load(FILE, weights_only=True), NEW)",
        )
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise DatasetError(
            f"{file} is damaged: {str(error).strip().splitlines()[0]}",
            hint="copy it again, or export or train it again",
        ) from error


def is_pickle(file: Path) -> bool:
    """Whether a file begins as torch's zip archives or bare pickles do."""
    with open(file, "rb") as handle:
        begin = handle.read(4)
    return begin == b"PK\x03\x04" or (begin[:1] == b"\x80" and begin[1:2] in b"\x02\x03\x04\x05")


def fill(model: Recognizer, state: dict[str, Tensor], what: str) -> None:
    """Load all tensors, by name and shape.

    Raises:
        ConfigError: some are missing, too many or of another shape; the message names one.
    """
    wanted = model.state_dict()
    faults = {
        "missing": [key for key in wanted if key not in state],
        "unknown": [key for key in state if key not in wanted],
        "of another shape": [
            key for key in wanted if key in state and state[key].shape != wanted[key].shape
        ],
    }
    if any(faults.values()):
        told = ", ".join(f"{len(k)} tensors {n} ({k[0]})" for n, k in faults.items() if k)
        raise ConfigError(
            f"{what} do not fit a {model.kind}_{model.body.name} of {len(model.classes)} classes: "
            f"{told}",
            hint="use the kind, backbone, levels and targets that they were trained with; an "
            "exported model has no part layers, its run has",
        )
    with torch.no_grad():
        model.load_state_dict(state)
