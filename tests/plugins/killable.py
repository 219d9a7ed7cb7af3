"""Runs of the engine in processes of their own, to be killed."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from colour_segmenter import backend  # noqa: F401  (registers itself)

from partlab.errors import PartlabError
from pseudolabel.engine import label_images
from pseudolabel.settings import Settings

SHARD = 7


def settings() -> Settings:
    return Settings(shard_size=SHARD, batch_size=3)


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a store but the empty lock file."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def shards(out: Path) -> int:
    return len(list(out.glob("shards/part-*.parquet")))


def label(images: Path, run: Path, out: Path, workers: int, pause: float = 0.0) -> None:
    os.environ["COLOUR_SEGMENTER_PAUSE"] = str(pause)
    try:
        label_images(images, run, out, settings(), workers=workers)
    except PartlabError as error:
        raise SystemExit(f"{error.message} ({error.hint})") from error


def _label(*args: Any) -> None:
    multiprocessing.set_start_method("fork", force=True)  # for its workers, as in a plain process
    label(*args)


def started(*args: Any) -> Any:
    """`label(*args)` in a new process; torch is loaded only once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pseudolabel.engine", "torch.utils.data"])
    process = context.Process(target=_label, args=args)
    process.start()
    return process


def killed_when(process: Any, moment: Callable[[], bool]) -> bool:
    """Send `kill -9` as soon as `moment()` holds; False if the run ended before.

    Does not wait for the workers of the killed process, which live a few seconds longer.
    """
    until = time.monotonic() + 60
    while alive(process) and not moment():
        assert time.monotonic() < until, "the moment never came"
        time.sleep(0.001)
    killed = alive(process)
    if killed:
        os.kill(process.pid, signal.SIGKILL)
    while alive(process):
        time.sleep(0.001)
    return killed


def alive(process: Any) -> bool:
    """Whether the process itself lives (`is_alive` also waits for its children)."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
