"""The end of the quickstart: a vanilla model and an MPM, trained and tested under attack.

Both see the same pictures, people's and pseudo-labelled ones, in the same order and begin with
the same weights; MPM also learns from the part masks. They train side by side, each on half of
the cores.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from app.training import maps_of_stores
from partlab.errors import PartlabError
from partlab.files import read_json, write_json
from partlab.workers import end_with_parent

KINDS = ("vanilla", "mpm")
RECIPE = "small_at"
SETTINGS = ("train.epochs=12", "attack.warmup_epochs=6", "train.workers=0", "val.steps=5")
STEPS = 20


def train_both(world: Path, store: Path, folder: Path, overrides: Sequence[str] = ()) -> None:
    """Train both kinds into `folder`; what is finished already is left as it is.

    In processes of their own, so a script that calls this needs `if __name__ == "__main__":`.

    Raises:
        PartlabError: a training failed or was killed.
    """
    settings = [*SETTINGS, *overrides]
    places = [world, *maps_of_stores([store], folder / "label-maps")]
    context = get_context("spawn")
    with _logs(context) as queue:
        pool = ProcessPoolExecutor(
            len(KINDS), context, initializer=_begin, initargs=(queue, max(_cores() // 2, 1))
        )
        try:
            with pool:
                list(pool.map(_train, KINDS, [places] * 2, [folder] * 2, [settings] * 2))
        except BrokenProcessPool:
            raise PartlabError(
                f"a training in {folder} was killed, perhaps for want of memory",
                hint="the same command goes on with it",
            ) from None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _logs(context: Any) -> Iterator[Any]:
    """What the processes log is told here."""
    queue = context.Queue()
    listener = QueueListener(queue, _Relay())
    listener.start()
    try:
        yield queue
    finally:
        listener.stop()


class _Relay(logging.Handler):
    def handle(self, record: logging.LogRecord) -> bool:
        logging.getLogger(record.name).handle(record)
        return True


def _begin(queue: Any, threads: int) -> None:
    import torch

    end_with_parent()
    torch.set_num_threads(threads)
    root = logging.getLogger()
    root.handlers = [QueueHandler(queue)]
    root.setLevel(logging.INFO)


def _train(kind: str, places: list[Path], folder: Path, settings: list[str]) -> None:
    from train.train import train_model

    named, handler = _Named(kind), logging.getLogger().handlers[0]
    handler.addFilter(named)
    try:
        train_model(
            places, folder / kind, recipe=RECIPE, model=kind, overrides=settings, device="cpu"
        )
    finally:
        handler.removeFilter(named)


class _Named(logging.Filter):
    """Says which of the two a sentence is about."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def filter(self, record: logging.LogRecord) -> bool:
        """Let all pass, named."""
        record.msg, record.args = f"{self.kind}: {record.getMessage()}", ()
        return True


def attack_both(world: Path, folder: Path) -> dict[str, Any]:
    """Clean and PGD accuracy of both on the held-out pictures, and whether they differ."""
    file = folder / "robustness.json"
    if not file.is_file():
        write_json(file, _attacked(world, folder))
    found: dict[str, Any] = read_json(file)
    return found


def _attacked(world: Path, folder: Path) -> dict[str, Any]:
    from train.exam import examine

    verdicts = [
        examine(
            folder / kind,
            world,
            split="heldout",
            steps=STEPS,
            checkpoint="last",  # chosen on nothing
        )
        for kind in KINDS
    ]
    vanilla, mpm = verdicts
    return {
        "pictures": len(vanilla.clean),
        "attack": f"PGD-{STEPS}, l-infinity 4/255",
        "clean": _compared(vanilla.clean, mpm.clean),
        "robust": _compared(vanilla.robust, mpm.robust),
    }


def _compared(first: Any, second: Any) -> dict[str, float]:
    from train.paired import Paired

    pair = Paired.of(first, second)
    return {"vanilla": pair.first / pair.n, "mpm": pair.second / pair.n, "p": pair.p}
