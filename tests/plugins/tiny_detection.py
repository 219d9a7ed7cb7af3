"""A detector of seconds: 48 pixels, 80,000 weights in its backbone, two classes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from train.attacks.ball import Ball
from train.detection.attack import Shown
from train.detection.body import Start, open_start
from train.detection.network import Detector
from train.detection.settings import DetectorConfig, DetectorModel
from train.detection.train import detector_settings, train_detector

MODEL = DetectorModel(
    image_size=48, channels=16, box_features=16, proposals=20, rois=16, anchor=4, frozen_stride=0
)
TINY = [
    "model.image_size=48",
    "model.channels=16",
    "model.box_features=16",
    "model.proposals=20",
    "model.rois=8",
    "model.anchor=4",
    "train.batch_size=4",
    "train.warmup_steps=2",
    "train.checkpoint_steps=3",
    "train.epochs=1",
    "train.workers=0",
    "train.lr=1e-3",
]
BALL = Ball("linf", 4 / 255)


def config(*overrides: str) -> DetectorConfig:
    return detector_settings("small", None, [*TINY, *overrides])


def train(model: Path | str, data: Path, run: Path, *overrides: str, **given: Any) -> Path:
    train_detector(model, data, run, config=config(*overrides), device="cpu", **given)
    return run


def opened(model: Path | str = "small_resnet8") -> tuple[Start, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return open_start(model)


def fresh(model: Path | str = "small_resnet8", settings: DetectorModel = MODEL) -> Detector:
    start, network = opened(model)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Detector(network, start, ("cat", "ram"), settings)


def planted(count: int = 2, side: int = 64, pixels: int = 64) -> Shown:
    """Noise with a bright square of class 1 + n % 2 in each picture, whose box is known."""
    random = torch.Generator().manual_seed(3)
    images = 0.3 * torch.rand(count, 3, pixels, pixels, generator=random)
    targets = []
    for number in range(count):
        x, y = 8 + 6 * number, 12
        images[number, number % 3, y : y + 24, x : x + 20] += 0.5
        box = torch.tensor([[x, y, x + 20, y + 24]], dtype=torch.float32)
        targets.append(
            {"boxes": box, "labels": torch.tensor([1 + number % 2]), "unsure": torch.zeros(0, 0)}
        )
    images[:, :, side:], images[:, :, :, side:] = 0, 0
    return Shown(images, [(side, side)] * count, targets)


def learnt(steps: int = 60) -> Detector:
    """A detector that has seen the planted squares for a while."""
    detector, shown = fresh(), planted(4)
    optimizer = torch.optim.AdamW(detector.parameters(), 3e-3)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        for _ in range(steps):
            optimizer.zero_grad()
            losses: list[Tensor] = list(detector(*shown).values())
            torch.stack(losses).sum().backward()
            optimizer.step()
    return detector.eval()
