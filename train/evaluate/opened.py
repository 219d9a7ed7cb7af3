"""A model to evaluate, from wherever it comes: a run, an exported model, or others' weights."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from partlab.errors import NotFoundError
from partlab.files import sha256_file, sha256_json
from partlab.images import load_image
from partlab.training.device import pick_device
from train.card import preprocessing, training
from train.crops import Pixels, middle
from train.evaluate.outcomes import Model
from train.models.flops import flops_of
from train.models.foreign import load_foreign
from train.models.load import load_model
from train.models.start import CARD, WEIGHTS, read_card
from train.runs import read_run, settings_of
from train.settings import DataConfig


@dataclass(frozen=True)
class Opened:
    """A network in evaluation mode, and how pictures come to it."""

    network: nn.Module
    classes: tuple[str, ...]
    data: DataConfig
    kind: str
    weights: Path
    preprocessing: dict[str, Any]
    training: dict[str, Any] | None
    card: dict[str, Any] | None = None  # of others' weights: what makes a network of them

    @cached_property
    def sha256(self) -> str:
        """Of the weights, and of the card that says how others' are read (RK-17)."""
        own = sha256_file(self.weights)
        return own if self.card is None else sha256_json([own, self.card])

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.network.parameters()).device

    @property
    def interpolation(self) -> str:
        """How pictures are resized: one of `train.crops.How`."""
        return str(self.preprocessing.get("interpolation", "bicubic"))

    def seen(self, pixels: Pixels) -> Pixels:
        """(size, size, 3): what the network sees of a picture (H, W, 3)."""
        return middle(pixels, self.data, self.interpolation)

    def tensor(self, seen: Sequence[Pixels]) -> Tensor:
        """Pictures as the network sees them, as (n, 3, size, size) float32 in 0…1 beside it."""
        stacked = torch.from_numpy(np.stack(seen).transpose(0, 3, 1, 2).copy())
        return stacked.to(self.device).float() / 255

    def pictures(self, paths: Sequence[Path]) -> Tensor:
        """The pictures in these files, as `tensor` gives them.

        Raises:
            NotFoundError, DatasetError: one is missing or damaged.
        """
        return self.tensor([self.seen(load_image(path)) for path in paths])

    def described(self, name: str, path: Path) -> Model:
        """The record's part about the model (RK-15); takes some forward passes for the latency."""
        return Model(
            name=name,
            path=str(path),
            kind=self.kind,
            classes=self.classes,
            parameters=sum(each.numel() for each in self.network.parameters()),
            flops=flops_of(self.network, self.data.size),
            latency_ms=_latency(self),
            preprocessing=self.preprocessing,
            weights_sha256=self.sha256,
            training=self.training,
        )


def open_model(path: str | Path, *, checkpoint: str = "best", device: str | None = None) -> Opened:
    """What lies in a folder: a run's `checkpoint`, an exported model, or others' weights by card.

    Raises:
        NotFoundError, SchemaError, ConfigError, DatasetError: as `load_model`, `load_foreign`.
    """
    path = Path(path)
    if (path / CARD).is_file() and not (path / "config.json").is_file():
        card = read_any_card(path)
        return _foreign(path, device) if "foreign" in card else _exported(path, device)
    model = load_model(path, checkpoint=checkpoint, device=device)
    described = read_run(path)
    config = settings_of(described, path)
    return Opened(
        model,
        model.classes,
        config.data,
        model.kind,
        path / f"{checkpoint}.safetensors",
        preprocessing(config.data, model),
        training(path, described, checkpoint),
    )


def read_any_card(folder: Path) -> dict[str, Any]:
    """A card of ours or of others."""
    from partlab.files import read_json

    card = read_json(folder / CARD)
    return card if isinstance(card, dict) and "foreign" in card else read_card(folder)


def _exported(path: Path, device: str | None) -> Opened:
    card, model = read_card(path), load_model(path, device=device)
    seen = card["preprocessing"]
    data = _data(seen["size"], seen["shorter_side"])
    facts = seen, card.get("training")
    return Opened(model, model.classes, data, model.kind, path / WEIGHTS, *facts)


def _foreign(path: Path, device: str | None) -> Opened:
    model, card = load_foreign(path).to(pick_device(device)), read_any_card(path)
    seen = {**model.preprocessing, "left_out": list(model.left_out)}
    data = _data(seen["size"], seen["shorter_side"])
    file, kind = path / card["weights"], f"others: {card['architecture']}"
    read = {name: value for name, value in card.items() if name != "training"}
    return Opened(model, model.classes, data, kind, file, seen, card.get("training"), read)


def _data(size: int, shorter: int) -> DataConfig:
    """The settings under which the middle of a picture is cut as the card says."""
    found = DataConfig(size=size)
    same = round(size / found.eval_crop) == shorter
    return found if same else DataConfig(size=size, eval_crop=size / shorter)


@torch.no_grad()
def _latency(opened: Opened) -> float:
    """Milliseconds of one picture alone: the median of five passes, after one."""
    image = torch.zeros(1, 3, opened.data.size, opened.data.size, device=opened.device)
    taken = []
    for _ in range(6):
        began = time.perf_counter()
        opened.network(image)
        if opened.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(1000 * (time.perf_counter() - began))
    return round(median(taken[1:]), 3)


def names_of(paths: list[Path]) -> list[str]:
    """Folder names of models, which results go by.

    Raises:
        NotFoundError: two are called alike, so that one result would replace the other.
    """
    names = [path.resolve().name for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise NotFoundError(
                f"two of the models are in folders called {name}", hint="rename one of the folders"
            )
    return names
