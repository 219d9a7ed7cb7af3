"""What there is: backends and their state, run folders and their scores."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from partlab.errors import NotFoundError, PartlabError
from partlab.training.runs import read_metrics
from segmenter.protocol import backends
from segmenter.runs import best_score, read_run

_NEEDS = {"torchvision": "torchvision", "detectron2": "detectron2"}


def list_backends() -> list[dict[str, str]]:
    """Each registered backend and whether what it needs is installed; imports none."""
    return [
        {"name": name, "state": "ready" if find_spec(_NEEDS.get(name, "torch")) else "missing"}
        for name in backends.names()
    ]


def list_runs(folder: str | Path) -> list[dict[str, Any]]:
    """The run folders directly under `folder` (or `folder` itself), by name.

    Raises:
        NotFoundError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotFoundError(f"no folder {folder}", hint="name the folder that holds your runs")
    places = [folder, *sorted(folder.iterdir())]
    return [_summary(run) for run in places if _is_run(run)]


def _is_run(run: Path) -> bool:
    try:
        return bool(read_run(run))
    except PartlabError:
        return False


def _summary(run: Path) -> dict[str, Any]:
    description = read_run(run)
    best = best_score(run)
    return {
        "run": str(run),
        "backend": description["backend"],
        "parts": len(description["names"]),
        "epoch": max((record["epoch"] for record in read_metrics(run)), default=0),
        "epochs": description["config"].get("train", {}).get("epochs"),
        "best_val_ap50": best,
        "score": "no validation yet" if best is None else f"best validation AP50 {100 * best:.1f}",
    }
