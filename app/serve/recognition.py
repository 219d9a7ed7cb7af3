"""A recognition model behind two batchers: answers in one, attacks in another.

An attack takes many passes and moves gradients through the network, so it has a copy of its own:
who classifies never waits for it.
"""

import copy
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.serve.batcher import Batcher
from app.serve.served import Kind, Told, version_of
from app.serve.settings import ServeSettings
from segmenter.protocol import Pixels
from train.attacks.ball import Ball
from train.attacks.evaluation import search
from train.evaluate.album import part_names
from train.evaluate.opened import Opened

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pgd:
    """PGD within `ball`, away from the class `label` (an index)."""

    label: int
    ball: Ball
    steps: int
    seed: int


@dataclass(frozen=True, slots=True)
class Explained:
    """What the network says of one picture as it sees it.

    probabilities: (C,) of the classes.
    cells: (h, w) uint16 each, fine to coarse: 0 is background, n is `part_names[n - 1]`.
    """

    probabilities: Vector
    cells: tuple[NDArray[np.uint16], ...]


@dataclass(frozen=True, slots=True)
class Attacked:
    """What an attack found about one picture, all of it as the network sees it.

    exact: (3, size, size) float32 in 0…1, the found point.
    seen: (size, size, 3) uint8: that point rounded towards the clean picture, so that it lies in
        the ball too.
    steps: until the network first erred; -1 if it does not on `exact`.
    """

    exact: Vector
    seen: Pixels
    steps: int


class RecognitionModel:
    """A network that names what a picture shows."""

    kind: Kind = "recognition"

    def __init__(self, name: str, opened: Opened, settings: ServeSettings, told: Told) -> None:
        self.name, self.opened = name, opened
        self.version = version_of(opened.sha256, opened.preprocessing)
        limits = settings.batch
        self.batcher = Batcher(name, self._look, limits, partial(told, name))
        self.attacker: Batcher | None = None
        if settings.attack:
            one = limits.model_copy(update={"images": 1})
            label = f"{name} under attack"
            self.attacker = Batcher(label, self._attack, one, partial(told, label))
        self.batchers = tuple(each for each in (self.batcher, self.attacker) if each)

    @property
    def classes(self) -> tuple[str, ...]:
        """By output."""
        return self.opened.classes

    @cached_property
    def part_names(self) -> tuple[str, ...]:
        """What its part outputs tell apart, without background; () if it has none."""
        return names_of_parts(self.opened.network)

    @cached_property
    def _victim(self) -> Any:
        """The network's copy, made for the first attack: who never attacks keeps one network."""
        return copy.deepcopy(self.opened.network).requires_grad_(False)

    def about(self) -> dict[str, Any]:
        """What it is and knows."""
        return {
            "name": self.name,
            "version": self.version,
            "kind": self.kind,
            "classes": list(self.classes),
            "weights_sha256": self.opened.sha256,
            "preprocessing": self.opened.preprocessing,
            "training": self.opened.training,
        }

    def seen(self, pixels: Pixels) -> Pixels:
        """(size, size, 3): what the network sees of a picture."""
        return self.opened.seen(pixels)

    def classify(self, seen: Pixels) -> Future[Any]:
        """(C,) probabilities."""
        return self.batcher.submit(seen, pixels=seen.shape[0] ** 2, key="classify")

    def embed(self, seen: Pixels) -> Future[Any]:
        """(D,) what the classifier reads."""
        return self.batcher.submit(seen, pixels=seen.shape[0] ** 2, key="embed")

    def explain(self, seen: Pixels) -> Future[Any]:
        """`Explained`; only of a network with part outputs."""
        return self.batcher.submit(seen, pixels=seen.shape[0] ** 2, key="explain")

    def attack(self, seen: Pixels, how: Pgd) -> Future[Any]:
        """`Attacked`; only where the server allows attacks."""
        assert self.attacker is not None
        return self.attacker.submit((seen, how), pixels=seen.shape[0] ** 2)

    def warm_up(self) -> None:
        """Classify grey."""
        side = self.opened.data.size
        self._look("classify", [np.full((side, side, 3), 128, np.uint8)])

    @torch.inference_mode()
    def _look(self, key: str, seen: list[Pixels]) -> Sequence[Any]:
        images = self.opened.tensor(seen)
        if key == "explain":
            return explained(self.opened.network, images)
        if key == "embed":
            found = _features(self.opened.network, images)
        else:
            logits: Any = self.opened.network(images)
            found = logits.float().softmax(1)
        return list(found.float().cpu().numpy())

    def _attack(self, _: None, asked: list[tuple[Pixels, Pgd]]) -> Sequence[Attacked]:
        return [attacked(self.opened, self._victim, seen, how) for seen, how in asked]


def attacked(opened: Opened, victim: Any, seen: Pixels, how: Pgd) -> Attacked:
    """What PGD finds about one picture as the network sees it; `victim` is the one it attacks."""
    clean = opened.tensor([seen])
    label = torch.tensor([how.label], device=clean.device)
    found = search(victim, clean, label, how.ball, steps=how.steps, seed=how.seed)
    exact = found.points[0].cpu().numpy().astype(np.float32)
    return Attacked(exact, _towards(exact, seen), int(found.steps[0]))


def corrupted(seen: Pixels, corruption: str, severity: int, seed: int) -> Pixels:
    """What the network sees, corrupted; errors are those of `corrupt`."""
    from train.corruptions.generate import corrupt

    return corrupt(seen, corruption, severity, f"served {seed}")


def names_of_parts(network: Any) -> tuple[str, ...]:
    """What a network's part outputs tell apart, without background; () if it has none."""
    return tuple(part_names(network)) if getattr(network, "part_channels", 0) else ()


def explained(network: Any, images: torch.Tensor) -> list[Explained]:
    """Classes and part cells of each picture (n, 3, size, size); of networks with part outputs."""
    found = network(images, parts=True)
    likeliest = [each.argmax(1).cpu().numpy().astype(np.uint16) for each in found.parts]
    probabilities = found.logits.float().softmax(1).cpu().numpy()
    cells = zip(*likeliest, strict=True)
    return [Explained(*each) for each in zip(probabilities, cells, strict=True)]


def _features(network: Any, images: torch.Tensor) -> torch.Tensor:
    """(n, D): timm's pooled features, of our models and of others'."""
    if hasattr(network, "embedded"):
        own: torch.Tensor = network.embedded(network.normalise(images))
        return own
    body, pixels = network.network, (images - network.mean) / network.std
    found: torch.Tensor = body.forward_head(body.forward_features(pixels), pre_logits=True)
    return found.flatten(1)


def _towards(exact: Vector, seen: Pixels) -> Pixels:
    """(size, size, 3): colours in 0…1 as whole numbers, each rounded to the clean one's side."""
    colours = exact.transpose(1, 2, 0).astype(np.float64) * 255
    away = colours - seen
    near = np.round(away)  # float32 of a whole number is a hair off
    whole = np.where(np.abs(away - near) < 1e-3, near, np.trunc(away))
    return np.asarray((seen + whole).clip(0, 255), np.uint8)
