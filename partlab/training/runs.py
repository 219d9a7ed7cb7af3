"""Run folders: what any training leaves on disk.

runs/…/
  config.json          what kind of run it is, its settings, and what decided its weights
  metrics.jsonl        one line per logging step, epoch and validation
  best.safetensors     weights with the best validation score
  last.safetensors     weights of the last finished epoch
  state.pt             what going on needs besides (optimiser, position)
"""

import json
import os
from collections.abc import Collection, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from partlab.errors import NotFoundError, SchemaError
from partlab.files import (
    cannot_write,
    exclusive,
    read_json,
    write_json,
    write_lines,
)
from partlab.folders import claim_folder, foreign_in, need_own
from partlab.progress import event


def read_config(run: Path) -> dict[str, Any] | None:
    """The config.json of a run folder; None if it is no run (yet).

    Raises:
        SchemaError: it is not a JSON object.
    """
    if not (run / "config.json").is_file():
        return None
    found = read_json(run / "config.json")
    if not isinstance(found, dict):
        raise SchemaError(f"{run / 'config.json'} does not describe a run")
    return found


def read_run_of(
    kind: str, run: Path, keys: Collection[str], what: str, hint: str
) -> dict[str, Any]:
    """The config.json of a run folder of this kind, which has these keys.

    `what` is what people call such a run, `hint` says how one is made.

    Raises:
        NotFoundError: the folder is no run.
        SchemaError: it is a run of another kind, or not one of ours.
    """
    found = read_config(run)
    if found is None:
        raise NotFoundError(f"{run} is not {what} (it has no config.json)", hint=hint)
    if (other := found.get("kind", "segmenter")) != kind:
        raise SchemaError(f"{run} is a run of another kind: {other}, not {kind}", hint=hint)
    if not set(keys) <= found.keys():
        raise SchemaError(f"{run / 'config.json'} does not describe {what}")
    return found


def claim_run(
    run: Path, *, force: bool, inputs: Iterable[Path | None], early: Iterable[str] = ()
) -> None:
    """Make the folder of a new run, or of one that was killed before it wrote its config.json.

    `early` are files that a run writes before that. `force` clears the folder of a run, unless
    another process is writing to it; what is no run, such as pictures, it spares.

    Raises:
        OutputExistsError: it holds something else, or one of the `inputs`.
        BusyError: another process is writing to it.
    """
    ours = {".lock", *early}
    if force and read_config(run) is None:
        need_own(run, "run", ours, hint="choose another --out; --force replaces runs alone")
    if force or foreign_in(run, ours):
        with exclusive(run) if (run / ".lock").is_file() else nullcontext():
            claim_folder(run, force=force, inputs=inputs)


def write_config(run: Path, description: dict[str, Any]) -> None:
    """Write config.json of a new run."""
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / "config.json", description)


def append_metrics(run: Path, record: dict[str, Any]) -> None:
    """Add one line to metrics.jsonl, flushed to disk, and tell whoever listens.

    Raises:
        PartlabError: it cannot be written.
    """
    file = run / "metrics.jsonl"
    try:
        with open(file, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(record) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise cannot_write(file, error) from error
    event("metrics", run=str(run), **record)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """All whole lines of metrics.jsonl; what is no line of ours, or cut short, is left out."""
    return scan_metrics(run)[0]


def scan_metrics(run: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines of metrics.jsonl, and how many are not whole."""
    try:
        text = (run / "metrics.jsonl").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return [], 0
    lines = text.splitlines()
    found = [record for record in map(_record, lines) if record is not None]
    return found, len(lines) - len(found)


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    ours = isinstance(record, dict) and all(type(record.get(k)) is int for k in ("step", "epoch"))
    return record if ours else None


def trim_metrics(run: Path, step: int) -> None:
    """Drop what was logged after `step`: those steps are about to be done again."""
    logged = read_metrics(run)
    kept = [record for record in logged if record["step"] <= step]
    if len(kept) < len(logged):
        write_lines(run / "metrics.jsonl", (json.dumps(record) for record in kept))


def mean_loss(run: Path, epoch: int) -> float:
    """Mean of the losses logged in an epoch; 0 if there are none."""
    losses: list[float] = [
        m["loss"] for m in read_metrics(run) if m["epoch"] == epoch and "loss" in m
    ]
    return sum(losses) / max(len(losses), 1)
