"""Honesty checks and transfer of trained models on a data set's pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from partlab.errors import ConfigError, NotFoundError
from partlab.files import sha256_file
from train.attacks.ball import Ball
from train.evaluate.outcomes import keep_honesty
from train.honesty.check import check_honesty
from train.honesty.finding import Honesty
from train.honesty.transfer import Transfer, transfer_matrix
from train.models.base import Recognizer
from train.models.load import load_model
from train.pictures import open_pictures
from train.runs import read_run, settings_of
from train.samples import eval_batches
from train.settings import DataConfig


class Shown(NamedTuple):
    """What a model is shown: pictures (B, 3, H, W) float in 0…1, and classes (B,)."""

    images: Tensor
    labels: Tensor


def check_run(
    run: str | Path,
    data: str | Path,
    ball: Ball,
    *,
    split: str = "val",
    images: int = 64,
    seed: int = 0,
    checkpoint: str = "best",
    device: str | None = None,
) -> Honesty:
    """`check_honesty` of a run's model on pictures drawn from a split.

    Raises:
        NotFoundError: no such run, checkpoint, data set or split.
        DatasetError: the data set has classes that the model has not, or a damaged picture.
    """
    model = load_model(run, checkpoint=checkpoint, device=device)
    shown = _shown(run, model, data, split, images, seed)
    return check_honesty(model, *shown, ball, seed=seed)


def record_into(
    evaluation: str | Path, run: str | Path, checkpoint: str, found: Honesty | None
) -> None:
    """Keep what was found in the record of an evaluation of the same weights; None only looks.

    Raises:
        NotFoundError, SchemaError, ConfigError, BusyError: as `keep_honesty`.
    """
    weights = Path(run) / f"{checkpoint}.safetensors"
    if not weights.is_file():
        raise NotFoundError(
            f"no weights {weights}", hint="name a run, and --checkpoint best or last"
        )
    keep_honesty(evaluation, sha256_file(weights), found.as_json() if found else None)


def transfer_of_runs(
    runs: Sequence[str | Path],
    data: str | Path,
    ball: Ball,
    *,
    split: str = "val",
    images: int = 200,
    steps: int = 20,
    seed: int = 0,
    device: str | None = None,
) -> Transfer:
    """`transfer_matrix` of several runs' models on the same pictures.

    Raises:
        ConfigError: runs of other classes or other pictures, or one named twice.
        NotFoundError, DatasetError: as `check_run`.
    """
    names = _names(runs)
    models = [load_model(run, device=device) for run in runs]
    _alike(runs, models)
    shown = _shown(runs[0], models[0], data, split, images, seed)
    victims = dict(zip(names, models, strict=True))
    return transfer_matrix(victims, *shown, ball, steps=steps, seed=seed)


def _names(runs: Sequence[str | Path]) -> list[str]:
    """The folders' own names where they differ, else all of their paths."""
    whole = [str(Path(run).resolve()) for run in runs]
    if len(set(whole)) < len(whole):
        twice = next(run for at, run in enumerate(runs) if whole[at] in whole[:at])
        raise ConfigError(f"{twice} is named twice", hint="name each run once")
    short = [Path(run).resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run) for run in runs]


def _alike(runs: Sequence[str | Path], models: Sequence[Recognizer]) -> None:
    """See that all models can be shown the same pictures."""
    first, seen = models[0], _data(runs[0])
    for run, model in zip(runs[1:], models[1:], strict=True):
        if model.classes != first.classes:
            raise ConfigError(
                f"{run} knows other classes than {runs[0]}, or in another order",
                hint="compare models trained on the same classes",
            )
        other = _data(run)
        if (other.size, other.eval_crop) != (seen.size, seen.eval_crop):
            raise ConfigError(
                f"{run} sees pictures of {other.size} pixels (eval_crop {other.eval_crop:g}), "
                f"{runs[0]} of {seen.size} ({seen.eval_crop:g})",
                hint="adversarial images can be tried only on models that see the same pictures",
            )


def _data(run: str | Path) -> DataConfig:
    return settings_of(read_run(run), Path(run)).data


def _shown(
    run: str | Path, model: Recognizer, data: str | Path, split: str, images: int, seed: int
) -> Shown:
    """Pictures drawn from the split without regard to class, the same for every model."""
    if images < 1:
        raise ConfigError(f"{images} images", hint="--images 64")
    config = _data(run)
    cache = Path(run).parent / "label-maps"
    pictures = open_pictures([data], split=split, cache=cache, classes=model.classes)
    if not len(pictures):
        raise NotFoundError(f"{data} has no pictures in its split {split}")
    order = np.random.default_rng(seed).permutation(len(pictures))[:images]
    side = config.size // model.finest_stride
    batches = list(eval_batches(pictures, config, side, len(order), sorted(order.tolist())))
    here = next(model.parameters()).device
    pixels = torch.cat([batch.pixels for batch in batches]).to(here)
    pixels = pixels if pixels.is_floating_point() else pixels.float() / 255
    return Shown(pixels, torch.cat([batch.classes for batch in batches]).to(here))
