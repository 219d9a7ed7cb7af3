"""A training of something that is no segmenter: points told apart, plainly or under attack.

Run as a script by `torchrun` too: `tiny_training.py RUN [attack] [die STEP]`.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import Dataset

from partlab.training.batches import Batches
from partlab.training.loop import Loop, Score
from partlab.training.process import Group, Process
from partlab.training.schedule import learning_rate
from partlab.training.settings import LoopConfig

CONFIG = LoopConfig(epochs=3, batch_size=4, lr=0.02, checkpoint_steps=4, workers=0)
POINTS = 48


class Points(Dataset[Any]):
    """Points of three classes; where exactly one lies is drawn anew in each epoch."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, position = key
        kind = position % 3
        noise = np.random.default_rng((epoch, position)).normal(0, 0.4, 4)
        return torch.tensor(noise + np.eye(4)[kind], dtype=torch.float32), kind


def collate(samples: list[Any]) -> tuple[Tensor, Tensor]:
    return torch.stack([x for x, _ in samples]), torch.tensor([y for _, y in samples])


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)
    )


class Drift:
    """Where attacks begin: each process has its own, that goes on from step to step."""

    def __init__(self) -> None:
        self.value = torch.zeros(4)

    def after(self) -> None:
        self.value = 0.9 * self.value + 0.02 * torch.randn(4)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


def attacked(bare: nn.Module, x: Tensor, y: Tensor, drift: Drift) -> Tensor:
    """Two steps of PGD through the bare network, its norms as in prediction."""
    bare.eval()
    with torch.no_grad():
        bare(x)  # some attacks look at the clean picture first
    moved = x + torch.empty_like(x).uniform_(-0.1, 0.1) + drift.value
    for _ in range(2):
        moved.requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(bare(moved), y), moved)
        moved = (moved.detach() + 0.1 * slope.sign()).clamp(x - 0.1, x + 0.1)
    bare.train()
    return moved


def loop(run: Path, group: Group, config: LoopConfig = CONFIG, *, attack: bool = False) -> Loop:
    here = group.process
    torch.manual_seed(config.seed)
    bare = network()
    average = AveragedModel(bare, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    model = group.parallel(bare, one_norm=False)
    drift = Drift()

    def after(_step: int) -> None:
        average.update_parameters(bare)
        drift.after()

    def plan(epoch: int) -> list[list[int]]:
        order = np.random.default_rng((config.seed, epoch)).permutation(POINTS)
        mine = order[here.rank :: here.world]
        return mine.reshape(-1, config.batch_size).tolist()

    def step(batch: tuple[Tensor, Tensor], _number: int) -> dict[str, Tensor]:
        x, y = batch
        if attack:
            x = attacked(bare, x, y, drift)
        scores = model(x)
        return {"class": F.cross_entropy(scores, y), "size": 0.01 * scores.square().mean()}

    def validate() -> Score | None:
        average.module.eval()
        x, y = collate([Points()[9, at] for at in here.share(list(range(POINTS)))])
        with torch.inference_mode():
            right = int((average.module(x).argmax(1) == y).sum())
        found = sum(group.gather(right)) / POINTS
        return Score(found, {"accuracy": found}, f"accuracy {found:.2f}") if here.leads else None

    return Loop(
        run=run,
        config=config,
        group=group,
        network=bare,
        optimizer=torch.optim.SGD(bare.parameters(), lr=config.lr, momentum=0.9),
        batches=Batches(Points(), plan, collate, config.workers),
        step=step,
        device=torch.device("cpu"),
        rate=lambda step, total: learning_rate(step, total, config.lr, warmup_steps=2),
        validate=validate,
        after=after,
        kept={"average": average},
        own={"drift": drift},
        weights=average.module if attack else None,
    )


def train(run: Path, *, attack: bool = False, die: int | None = None) -> None:
    """Train into `run`; `die` kills this process at that step, without a word."""
    run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with Process.current().joined() as group:
        made = loop(run, group, attack=attack)
        inner = made.step

        def step(batch: Any, number: int) -> Any:
            if number == die:
                os.kill(os.getpid(), signal.SIGKILL)
            return inner(batch, number)

        made.step = step
        made.train()


def same(one: Path, other: Path) -> None:
    """Both runs ended with the same weights, to the last bit."""
    for name in ("last", "best"):
        a, b = (load_file(run / f"{name}.safetensors") for run in (one, other))
        assert a.keys() == b.keys()
        assert [key for key in a if not torch.equal(a[key], b[key])] == []


if __name__ == "__main__":
    words = sys.argv[2:]
    train(
        Path(sys.argv[1]),
        attack="attack" in words,
        die=int(words[words.index("die") + 1]) if "die" in words else None,
    )
