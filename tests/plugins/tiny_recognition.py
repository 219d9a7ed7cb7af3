"""A recognition training of seconds: a drawn world, 32 pixels, 80,000 weights.

Run as a script by `torchrun` too: `tiny_recognition.py DATA RUN METHOD [die STEP]`.
"""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from annotate.world import WorldConfig, make_world
from partlab.progress import Silent, listening
from train.recipes import changed, recipe
from train.settings import TrainConfig
from train.train import train_model

WORLD = WorldConfig(images=20, pool=4, heldout=4, size=48, objects=("cat", "ram"))
TINY = [
    "model.backbone=small_resnet8",
    "data.size=32",
    "train.batch_size=4",
    "train.epochs=3",
    "train.warmup_epochs=1",
    "attack.warmup_epochs=0",
    "train.workers=0",
    "train.checkpoint_steps=3",
    "val.steps=2",
]
METHODS = ("none", "pgd", "trades", "awp", "nfgsm", "free")


def world(folder: Path, seed: int = 0) -> Path:
    make_world(folder, WORLD.model_copy(update={"seed": seed}))
    return folder


def config(*overrides: str, kind: str = "mpm") -> TrainConfig:
    return changed(recipe("small_at", kind=kind), [*TINY, *overrides])


def train(data: Path, run: Path, *overrides: str, kind: str = "mpm", **given: Any) -> Path:
    train_model(data, run, config=config(*overrides, kind=kind), device="cpu", **given)
    return run


class Stopped(Exception):
    """Stands for the moment a run dies."""


class DiesAt(Silent):
    """Ends a training before its step, here or (with a signal) as `kill -9` does."""

    def __init__(self, step: int, *, killed: bool = False) -> None:
        self.step, self.killed = step, killed

    def track(self, items: Iterable[Any], what: str, total: int | None = None) -> Iterator[Any]:
        for item in items:
            if what.startswith("training") and item == self.step:
                if self.killed:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise Stopped
            yield item


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    _, place, out, method, *die = sys.argv
    with listening(DiesAt(int(die[1]), killed=True) if die else Silent()):
        train(Path(place), Path(out), f"attack.method={method}", "train.ema=0.9")
