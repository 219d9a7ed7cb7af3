"""Trained recognition models from disk: a run folder or an exported one."""

from pathlib import Path
from typing import Any

from partlab.errors import ConfigError, NotFoundError
from partlab.training.device import pick_device
from train.models.base import Recognizer
from train.models.build import build_model
from train.models.start import CARD, WEIGHTS, fill, read_card, read_weights
from train.runs import read_run, settings_of
from train.settings import ModelConfig


def load_model(
    path: str | Path, *, checkpoint: str = "best", device: str | None = None
) -> Recognizer:
    """A trained model, in evaluation mode.

    `path` is a run folder of `partlab train`, whose `checkpoint` is taken (`best` or `last`), or
    a folder that `export_model` wrote. `device` is the best there is unless named.

    Raises:
        NotFoundError: the folder is neither, or has no such checkpoint (yet).
        SchemaError: it is a run of another kind, or its description is not one of ours.
        ConfigError: the weights are of another model, or a pickle; or no such device.
        DatasetError: the weights are damaged.
    """
    path = Path(path)
    place = pick_device(device)
    _look(path)
    exported = (path / CARD).is_file()
    model = _from_card(read_card(path)) if exported else _from_run(read_run(path), path)
    file = path / (WEIGHTS if exported else f"{checkpoint}.safetensors")
    if not file.is_file():
        raise NotFoundError(f"{path} has no checkpoint {file.name}", hint=_way_out(path))
    fill(model, read_weights(file), f"the weights {file}")
    return model.to(place).eval()


def _look(path: Path) -> None:
    """See that this is a folder of either kind."""
    if path.is_file():
        read_weights(path)
        raise ConfigError(
            f"{path} is a file of weights, which does not say what model they are of",
            hint="name the folder that partlab train run or partlab train export wrote",
        )
    if not ((path / CARD).is_file() or (path / "config.json").is_file()):
        raise NotFoundError(
            f"{path} is neither a run nor an exported model (it has no config.json, no {CARD})",
            hint="name the folder that partlab train run or partlab train export wrote",
        )


def _way_out(path: Path) -> str:
    there = sorted(file.stem for file in path.glob("*.safetensors"))
    pickles = sorted(file.name for file in path.glob("*.pt*") if file.name != "state.pt")
    if there:
        return f"there is: {', '.join(there)}"
    if pickles:
        return f"{pickles[0]} is a pickle, which is not read: convert it to .safetensors"
    return "finish the training: run the command that began it again"


def _from_run(described: dict[str, Any], run: Path) -> Recognizer:
    config = settings_of(described, run)
    return build_model(
        _unfilled(config.model),
        described["classes"],
        described["parts"],
        targets=config.part.targets,
        size=config.data.size,
    )


def _unfilled(config: ModelConfig) -> ModelConfig:
    """The same model without where its weights came from: all of them are about to be loaded."""
    return config.model_copy(update={"weights": "none", "start": None})


def _from_card(card: dict[str, Any]) -> Recognizer:
    return build_model(
        _unfilled(ModelConfig.model_validate(card["model"])),
        card["classes"],
        card["parts"],
        targets=card["targets"],
        size=card["preprocessing"]["size"],
    )
