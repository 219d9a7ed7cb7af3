"""What a segmenter's run folder holds besides what every run does (partlab.training.runs).

Its config.json has: backend, its settings (`config`), part names, inclusions, and what it was
trained on and validated with. train_images.txt lists the pictures it saw.
"""

from pathlib import Path
from typing import Any

from partlab.errors import NotFoundError, SchemaError
from partlab.training.runs import read_config, read_metrics, write_config
from segmenter.protocol import Segmenter, backends
from segmenter.tuning.file import read_tuning
from segmenter.tuning.tuned import Tuned

KIND = "segmenter"


def load_segmenter(
    run: str | Path, *, checkpoint: str = "best", device: str | None = None, tuned: bool = True
) -> Segmenter:
    """Load a trained segmenter from its run folder; its scores calibrated if it was tuned.

    Raises:
        NotFoundError: the folder is no run, or has no checkpoint yet.
        SchemaError: its config.json is not one of ours, or its tuning belongs to other weights.
        BackendUnavailableError: its backend is not installed here.
    """
    backend: Any = backends.get(read_run(run)["backend"])
    segmenter: Segmenter = backend.load(Path(run), checkpoint=checkpoint, device=device)
    tuning = read_tuning(Path(run), checkpoint) if tuned else None
    return segmenter if tuning is None else Tuned(segmenter, tuning.scale(segmenter.parts))


def read_run(run: str | Path) -> dict[str, Any]:
    """The config.json of a run folder: backend, config, names, inclusions."""
    run = Path(run)
    found = read_config(run)
    if found is None:
        raise NotFoundError(
            f"{run} is not a segmenter run (it has no config.json)",
            hint="train one: partlab segmenter train DATA --out RUN; "
            "list them: partlab segmenter list",
        )
    if found.get("kind", KIND) != KIND:
        raise SchemaError(f"{run} is a run of another kind: {found['kind']}, not {KIND}")
    if not {"backend", "config", "names"} <= found.keys():
        raise SchemaError(f"{run / 'config.json'} does not describe a segmenter run")
    return found


def write_run(run: Path, description: dict[str, Any]) -> None:
    """Write config.json of a new run."""
    write_config(run, {"kind": KIND, **description})


def best_score(run: Path) -> float | None:
    """Best validation AP50 (0…1) logged so far; None without validation."""
    return max((m["val_ap50"] for m in read_metrics(run) if "val_ap50" in m), default=None)
