"""Run folders: what a trained segmenter is on disk.

runs/seg-…/
  config.json          backend, its settings, part names, inclusions, data set hash
  metrics.jsonl        one line per logging step, epoch and validation
  best.safetensors     weights with the best validation score
  last.safetensors     weights of the last finished epoch
  state.pt             what resuming needs besides (optimiser, random states, position)
"""

import json
import os
from pathlib import Path
from typing import Any

from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_json, write_json, write_lines
from segmenter.protocol import Segmenter, backends


def load_segmenter(
    run: str | Path, *, checkpoint: str = "best", device: str | None = None
) -> Segmenter:
    """Load a trained segmenter from its run folder.

    Raises:
        NotFoundError: the folder is no run, or has no checkpoint yet.
        SchemaError: its config.json is not one of ours.
        BackendUnavailableError: its backend is not installed here.
    """
    backend: Any = backends.get(read_run(run)["backend"])
    segmenter: Segmenter = backend.load(Path(run), checkpoint=checkpoint, device=device)
    return segmenter


def read_run(run: str | Path) -> dict[str, Any]:
    """The config.json of a run folder: backend, config, names, inclusions."""
    run = Path(run)
    if not (run / "config.json").is_file():
        raise NotFoundError(
            f"{run} is not a segmenter run (it has no config.json)",
            hint="train one: partlab segmenter train DATA --out RUN; "
            "list them: partlab segmenter list",
        )
    found = read_json(run / "config.json")
    if not isinstance(found, dict) or not {"backend", "config", "names"} <= found.keys():
        raise SchemaError(f"{run / 'config.json'} does not describe a segmenter run")
    return found


def write_run(run: Path, description: dict[str, Any]) -> None:
    """Write config.json of a new run."""
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / "config.json", description)


def append_metrics(run: Path, record: dict[str, Any]) -> None:
    """Add one line to metrics.jsonl, flushed to disk."""
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as handle:
        handle.write(json.dumps(record) + "\n")
        handle.flush()
        os.fsync(handle.fileno())


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """All lines of metrics.jsonl; a last line cut short by a crash is left out."""
    try:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def trim_metrics(run: Path, step: int) -> None:
    """Drop what was logged after `step`: those steps are about to be done again."""
    kept = [record for record in read_metrics(run) if record["step"] <= step]
    write_lines(run / "metrics.jsonl", (json.dumps(record) for record in kept))


def best_score(run: Path) -> float | None:
    """Best validation AP50 (0…1) logged so far; None without validation."""
    return max((m["val_ap50"] for m in read_metrics(run) if "val_ap50" in m), default=None)
