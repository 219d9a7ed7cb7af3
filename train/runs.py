"""What a recognition run's folder holds besides what every run does (partlab.training.runs).

Its config.json has: its settings (`config`), its classes and part names in the order of the
outputs, and what it was trained on and validated with.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from partlab.config import validate
from partlab.errors import ConfigError
from partlab.training.runs import read_run_of, write_config
from train.settings import TrainConfig

KIND = "recognition"


def read_run(run: str | Path) -> dict[str, Any]:
    """The config.json of a run folder.

    Raises:
        NotFoundError: the folder is no run.
        SchemaError: it is a run of another kind, or not one of ours.
    """
    hint = "train one: partlab train run RECIPE --data DATA --out RUN"
    keys = ("config", "classes", "parts")
    return read_run_of(KIND, Path(run), keys, "a recognition run", hint)


def settings_of(described: Mapping[str, Any], run: Path) -> TrainConfig:
    """The settings of a run whose config.json is `described`.

    Raises:
        ConfigError: it has settings that this version does not know.
    """
    try:
        return validate(TrainConfig, described["config"], str(run / "config.json"))
    except ConfigError as error:
        hint = "it was written by another version of partlab: use it with that one"
        raise ConfigError(error.message, hint=error.hint or hint) from error


def best_validation(
    validations: Sequence[Mapping[str, float]], config: TrainConfig
) -> Mapping[str, float] | None:
    """The one that chose the best checkpoint: the later of equals; None without any."""
    found = [each for each in validations if config.chosen_by in each]
    return max(reversed(found), key=lambda each: each[config.chosen_by], default=None)


def write_run(run: Path, description: dict[str, Any]) -> None:
    """Write config.json of a new run."""
    write_config(run, {"kind": KIND, **description})
