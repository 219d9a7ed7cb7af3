"""What a card says of an exported model: what it is, how to feed it, where it comes from."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from partlab.training.runs import read_metrics
from train.models.base import Recognizer
from train.models.flops import flops_of
from train.runs import best_validation, settings_of
from train.settings import DataConfig, TrainConfig


def card_of(
    run: Path,
    described: dict[str, Any],
    model: Recognizer,
    plain: Recognizer,
    checkpoint: str,
) -> dict[str, Any]:
    """The card of `plain`, the inference network of `model`, as a JSON object.

    `described` is the run's config.json.
    """
    config = settings_of(described, run)
    size = config.data.size
    network = {"kind": plain.kind, "weights": "none", "start": None}
    return {
        "what": _what(model, plain, size),
        "partlab": version("partlab"),
        "model": {**config.model.model_dump(mode="json"), **network},
        "targets": config.part.targets,
        "classes": list(plain.classes),
        "parts": list(plain.parts),
        "parameters": sum(each.numel() for each in plain.parameters()),
        "flops": flops_of(plain, size),  # of one picture; a multiply-add is two
        "preprocessing": preprocessing(config.data, plain),
        "training": training(run, described, checkpoint),
        "figures": figures(run, config),
    }


def _what(model: Recognizer, plain: Recognizer, size: int) -> str:
    trained = "" if plain is model else f", trained as {name_of(model)} (its part layers left out)"
    return (
        f"{name_of(plain)}: classifies pictures of {size} x {size} pixels into "
        f"{len(plain.classes):,} object categories{trained}"
    )


def name_of(model: Recognizer) -> str:
    """KIND_BACKBONE, as `create_model` takes it."""
    return f"{model.kind}_{model.body.name}"


def preprocessing(config: DataConfig, plain: Recognizer) -> dict[str, Any]:
    """What is done to a picture before the network sees it, as in validation (E-06)."""
    mean, std = (each.flatten().tolist() for each in (plain.normalise.mean, plain.normalise.std))
    return {
        "size": config.size,
        "shorter_side": round(config.size / config.eval_crop),
        "interpolation": "bicubic",  # with antialiasing, as Pillow does it
        "crop": "centre",
        "colours": "RGB, float32 between 0 and 1",
        "layout": "NCHW",
        "normalisation": {"where": "inside the model", "mean": mean, "std": std},
    }


def training(run: Path, described: dict[str, Any], checkpoint: str) -> dict[str, Any]:
    """Where the weights come from: data by hash, all settings, versions."""
    known = ("recipe", "variant", "data", "val", "pictures", "processes", "torch", "config")
    facts = {key: described[key] for key in known if key in described}
    done = epochs_done(run)
    return {"run": run.resolve().name, "checkpoint": checkpoint, "epochs_done": done, **facts}


def epochs_done(run: Path) -> int:
    """How many epochs a run has come through, by its last validation or else its last line."""
    logged = read_metrics(run)
    validated = [each["epoch"] for each in logged if "val_clean" in each]
    return max(validated or [each["epoch"] for each in logged], default=0)


def figures(run: Path, config: TrainConfig) -> dict[str, Any]:
    """The last validation, and the best one: the one by which `best` was chosen.

    Shares between 0 and 1, on the pictures the best weights were chosen with.
    """
    found = [each for each in read_metrics(run) if config.chosen_by in each]
    if not found:
        return {"chosen_by": None, "best": None, "last": None}
    best = best_validation(found, config)
    return {"chosen_by": config.chosen_by, "best": best, "last": found[-1]}
