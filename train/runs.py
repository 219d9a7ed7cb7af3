"""What a recognition run's folder holds besides what every run does (partlab.training.runs).

Its config.json has: its settings (`config`), its classes and part names in the order of the
outputs, and what it was trained on and validated with.
"""

from pathlib import Path
from typing import Any

from partlab.errors import NotFoundError, SchemaError
from partlab.training.runs import read_config, write_config

KIND = "recognition"


def read_run(run: str | Path) -> dict[str, Any]:
    """The config.json of a run folder.

    Raises:
        NotFoundError: the folder is no run.
        SchemaError: it is a run of another kind, or not one of ours.
    """
    run = Path(run)
    found = read_config(run)
    if found is None:
        raise NotFoundError(
            f"{run} is not a recognition run (it has no config.json)",
            hint="train one: partlab train run RECIPE --data DATA --out RUN",
        )
    if found.get("kind", "segmenter") != KIND:
        kind = found.get("kind", "segmenter")
        raise SchemaError(f"{run} is a run of another kind: {kind}, not {KIND}")
    if not {"config", "classes", "parts"} <= found.keys():
        raise SchemaError(f"{run / 'config.json'} does not describe a recognition run")
    return found


def write_run(run: Path, description: dict[str, Any]) -> None:
    """Write config.json of a new run."""
    write_config(run, {"kind": KIND, **description})
