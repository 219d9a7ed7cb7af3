"""Weights of a trained recognition model as the start of another (T-07)."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, PositiveInt
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from partlab.config import Config, validate
from partlab.errors import ConfigError, DatasetError, NotFoundError, SchemaError
from partlab.files import read_json
from partlab.training.runs import read_config
from segmenter import weights
from train.models.base import Recognizer
from train.settings import ModelConfig

WEIGHTS = "model.safetensors"
CARD = "card.json"


class _Part(Config):
    """A part of a description; what else stands there is for people."""

    model_config = ConfigDict(extra="ignore")


class _Seen(_Part):
    size: PositiveInt
    shorter_side: PositiveInt


class _Card(_Part):
    """What `train.card` writes that is needed to load a model."""

    model: ModelConfig
    targets: Literal["parts", "objects", "foreground"]
    classes: tuple[str, ...]
    parts: tuple[str, ...]
    preprocessing: _Seen


def take_over(model: Recognizer, start: str | Path) -> None:
    """Fill `model` with all weights of a run folder, an exported folder or a .safetensors file.

    A run's best weights are taken, or its last ones if it was not validated.

    Raises:
        NotFoundError: there is nothing there, or no weights in it yet.
        ConfigError: they belong to another model; the message says what differs.
        DatasetError: the file is damaged, or of a training that diverged.
        SchemaError: the card of an exported model is not one of ours.
    """
    start = Path(start)
    file, facts = _found(start)
    _same("classes", "object categories", model.classes, facts, start)
    _same("parts", "parts", model.parts, facts, start)
    fill(model, read_weights(file), f"the weights of {start}{_named(facts)}")


def read_card(folder: Path) -> dict[str, Any]:
    """The card of an exported model.

    Raises:
        SchemaError: it is not one of ours.
    """
    card: Any = read_json(folder / CARD)
    try:
        validate(_Card, card if isinstance(card, dict) else {}, CARD)
    except ConfigError as error:
        raise SchemaError(
            f"{folder / CARD} does not describe an exported model: {error.message}",
            hint="export it again, with the same version of partlab that reads it",
        ) from error
    found: dict[str, Any] = card
    return found


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
        return start / WEIGHTS, read_card(start)
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
        DatasetError: it is empty, a web page, or damaged.
    """
    weights.need_content(file)
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
    """Whether a file begins as torch's zip archives or bare pickles do.

    The length of a .safetensors header, its first eight bytes, may look like a pickle's first
    two; but then comes the header, a brace.
    """
    with open(file, "rb") as handle:
        begin = handle.read(9)
    bare = begin[:1] == b"\x80" and begin[1:2] in b"\x02\x03\x04\x05" and begin[8:] != b"{"
    return begin[:4] == b"PK\x03\x04" or bare


def fill(model: Recognizer, state: dict[str, Tensor], what: str) -> None:
    """Load all tensors, by name and shape.

    Raises:
        ConfigError, DatasetError: they do not fit, or are no numbers, as `segmenter.weights.fill`.
    """
    weights.fill(
        model,
        state,
        what,
        f"do not fit a {model.kind}_{model.body.name} of {len(model.classes)} classes",
        "use the kind, backbone, levels and targets that they were trained with; an exported "
        "model has no part layers, its run has",
    )
