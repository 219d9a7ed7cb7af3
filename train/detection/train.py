"""From a recognition model and data on disk to a detector: what `partlab train detector` does."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from partlab.config import load_config
from partlab.errors import ConfigError
from partlab.schema import Dataset
from partlab.training.process import Process
from partlab.training.runs import claim_run, read_metrics
from segmenter.train import read_splits
from train.detection.boxes import with_rectangles
from train.detection.settings import DetectorConfig, recipe

log = logging.getLogger(__name__)

Place = str | Path


def train_detector(
    model: Place,
    data: Place,
    run: Place,
    *,
    recipe: str | None = None,
    split: str = "train",
    val_split: str = "val",
    checkpoint: str = "best",
    config: DetectorConfig | None = None,
    config_file: Place | None = None,
    overrides: Sequence[str] = (),
    device: str | None = None,
    force: bool = False,
) -> dict[str, Any] | None:
    """Train a detector on the backbone of `model`, or go on with an unfinished run.

    `model` is a run of `partlab train run` (its `checkpoint`), an exported model, a folder with
    others' weights and a card, or the name of a network of timm's. Settings: `recipe` or `config`
    < `config_file` < `overrides` (`a.b=c`). Returns what was done; under `torchrun` only in the
    first process.

    Raises:
        NotFoundError: no such model, no data set, or no such split.
        ConfigError: an unknown setting, a recipe and a config; or as `fit`.
        OutputExistsError: `run` holds something else, the model or the data.
        BusyError: another process is training into `run`.
        DatasetError: there is nothing to find in the data.
    """
    data, run = Path(data), Path(run)
    if recipe and config:
        raise ConfigError("a recipe and a config were given", hint="leave one of them out")
    settings = detector_settings(recipe or config, config_file, overrides)
    train, val = (_boxes(each) for each in read_splits(data, split, val_split))
    assert train is not None
    from train.detection.body import open_start
    from train.detection.fit import fit

    start, network = open_start(model, settings.model.weights, checkpoint=checkpoint)
    if Process.current().leads and (force or not (run / "config.json").exists()):
        claim_run(run, force=force, inputs=[data, Path(model), train.image_root])
    fit(network, start, train, val, run, settings, device=device)
    return _done(run, settings) if Process.current().leads else None


def _boxes(data: Dataset | None) -> Dataset | None:
    return None if data is None else with_rectangles(data)


def detector_settings(
    base: str | DetectorConfig | None, config_file: Place | None, overrides: Sequence[str]
) -> DetectorConfig:
    """The settings a training would use; see `train_detector` for their order and errors."""
    found = recipe(base) if isinstance(base, str) else base or DetectorConfig()
    return load_config(DetectorConfig, config_file, overrides, base=found.model_dump())


def _done(run: Path, settings: DetectorConfig) -> dict[str, Any]:
    from train.detection.runs import read_run

    described = read_run(run)
    scores = [each for each in read_metrics(run) if "val_ap" in each]
    last = scores[-1] if scores else {}
    return {
        "run": str(run),
        "backbone": described["backbone"],
        "method": settings.attack.method,
        "epochs": settings.train.epochs,
        "images": described["images"],
        "classes": len(described["classes"]),
        "val_ap": last.get("val_ap"),
        "val_ap50": last.get("val_ap50"),
    }
