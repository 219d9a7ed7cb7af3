"""What a detector's run folder holds besides what every run does (partlab.training.runs).

Its config.json has: its settings (`config`), its classes in the order of their labels, what its
backbone is and came from (`backbone`), and what it was trained on and validated with.
"""

from pathlib import Path
from typing import Any

import torch

from partlab.config import validate
from partlab.training.checkpoints import load_weights
from partlab.training.device import pick_device
from partlab.training.runs import read_run_of, write_config
from train.detection.body import Start, new_network
from train.detection.network import Detector
from train.detection.settings import DetectorConfig

KIND = "detector"


def read_run(run: str | Path) -> dict[str, Any]:
    """The config.json of a detector's run folder.

    Raises:
        NotFoundError: the folder is no run.
        SchemaError: it is a run of another kind, or not one of ours.
    """
    hint = f"train one: partlab train detector {run} DATA --out RUN"
    keys = ("config", "classes", "backbone")
    return read_run_of(KIND, Path(run), keys, "a detector's run", hint)


def settings_of(described: dict[str, Any], run: Path) -> DetectorConfig:
    """The settings of a run whose config.json is `described`.

    Raises:
        ConfigError: it has settings that this version does not know.
    """
    return validate(DetectorConfig, described["config"], str(run / "config.json"))


def write_run(run: Path, description: dict[str, Any]) -> None:
    """Write config.json of a new run."""
    write_config(run, {"kind": KIND, **description})


def load_detector(
    run: str | Path, *, checkpoint: str = "last", device: str | None = None
) -> Detector:
    """A trained detector, in evaluation mode.

    Raises:
        NotFoundError: the folder is no run, or has no such checkpoint (yet).
        SchemaError: it is a run of another kind.
        DatasetError: the weights are damaged.
        ConfigError: no such device.
    """
    run, place = Path(run), pick_device(device)
    described = read_run(run)
    start, config = Start.read(described["backbone"]), settings_of(described, run)
    with torch.random.fork_rng(devices=[]):  # new weights are about to be replaced
        detector = Detector(new_network(start), start, described["classes"], config.model)
    load_weights(detector, run, checkpoint)
    return detector.to(place).eval()
