"""Options of commands that may work on the machines of a Ray cluster."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class EngineKind(StrEnum):
    """Who does it."""

    local = "local"
    ray = "ray"


EngineOpt = Annotated[
    EngineKind, typer.Option(help="Who does it: this machine, or the workers of a Ray cluster.")
]
RayAddressOpt = Annotated[
    str | None, typer.Option(help="The cluster: host:6379, auto; else one on this machine.")
]
RayWorkersOpt = Annotated[
    int | None, typer.Option(min=1, help="How many workers on it; as many as fit.")
]


def for_ray(kind: EngineKind, address: str | None, workers: int | None) -> bool:
    """Whether Ray is asked for.

    Raises:
        ConfigError: it is not, and its options are given.
    """
    from partlab.errors import ConfigError

    if kind is not EngineKind.ray and (address is not None or workers is not None):
        raise ConfigError("--ray-address and --ray-workers are about Ray", hint="add --engine ray")
    return kind is EngineKind.ray


def training(
    kind: EngineKind, address: str | None, workers: int | None
) -> Callable[..., dict[str, Any] | None]:
    """Who trains: `train(work, run, force=…)` gives what `work(force=…)` does.

    Raises:
        ConfigError: as for `for_ray`.
    """
    if not for_ray(kind, address, workers):
        return _here
    from partlab.training.on_ray import RayTraining

    return RayTraining(workers, address)


def _here(work: Callable[..., Any], run: Path, *, force: bool) -> dict[str, Any] | None:
    found: dict[str, Any] | None = work(force=force)
    return found
