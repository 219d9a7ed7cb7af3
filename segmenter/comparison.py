"""Several runs measured on the same images, side by side, with what of it may be luck."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from partlab.errors import ConfigError
from partlab.files import write_json
from partlab.paired import draws, percentiles
from partlab.training.checkpoints import numbers_in
from partlab.training.runs import read_metrics
from segmenter.composite_metrics import Counts
from segmenter.evaluate import Evaluation
from segmenter.evaluation_file import Record, measure_run, name_of
from segmenter.fused.backend import folders
from segmenter.runs import read_run

OVERALL = ("miou", "boundary_iou", "pixel_accuracy", "foreground_pixel_accuracy", "ap", "ap50")
WAY = "with_cf"
Table = NDArray[np.float64]


def compare_runs(
    named: Sequence[str | Path], data: str | Path, *, out: Path | None = None, **how: Any
) -> Record:
    """Evaluate several runs as `measure_run` does, which also keeps each evaluation with its run.

    All scores are those with the category filter. The differences are to the first run, with a
    95 % interval of a paired bootstrap over images. Written to `out`, else to
    `comparison-<data>-<split>.json` in the first run.

    Raises:
        ConfigError: a run is named twice.
        NotFoundError, DatasetError: see `measure_run`.
    """
    runs = [Path(run) for run in named]
    if len({run.resolve() for run in runs}) < len(runs):
        raise ConfigError("a run is named twice", hint="name each run once, then the data")
    for run in runs:  # before the first is measured
        read_run(run)
    both = [measure_run(run, data, **how) for run in runs]
    first = both[0][0]
    record = {
        "data": first["data"],
        "images": first["images"],
        "way": WAY,
        "runs": [_told(run, record) for run, (record, _) in zip(runs, both, strict=True)],
        "differences": _differences([found for _, found in both], [str(run) for run in runs]),
        **{key: _beside([record[key] for record, _ in both]) for key in ("per_object", "per_part")},
    }
    where = first["data"]
    name = f"comparison-{name_of(Path(data), where['split'], where['limit'])}.json"
    record["file"] = str(out or runs[0] / name)
    write_json(Path(record["file"]), record)
    return record


def _told(run: Path, record: Record) -> Record:
    """Scores and cost; a fused run costs what its members cost."""
    owners = folders(run) or [run]
    minutes = [training_minutes(read_metrics(each)) for each in owners]
    numbers = [numbers_in(each, record["checkpoint"]) for each in owners]
    kept = ("run", "backend", "checkpoint", "checkpoint_sha256", "file")
    return {
        **{key: record[key] for key in kept},
        **{key: record[WAY][key] for key in OVERALL},
        "training_minutes": _summed_up(minutes),
        "images_per_second": round(record["images"] / max(record["predicting_seconds"], 1e-9), 2),
        "parameters": _summed_up(numbers),
    }


def _summed_up(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def training_minutes(metrics: Sequence[Mapping[str, Any]]) -> float | None:
    """Wall clock of all sittings of a training, its validation included, from its own metrics.

    Each sitting counts its seconds anew. None if no metrics say so.
    """
    seconds = [float(each["seconds"]) for each in metrics if "seconds" in each]
    ends = [now for now, then in zip_longest(seconds, seconds[1:], fillvalue=0.0) if then < now]
    return round(sum(ends) / 60, 1) if seconds else None


def _beside(columns: Sequence[Sequence[Record]]) -> list[Record]:
    """The same rows of several evaluations as one, `scores` in the order of the runs."""
    return [
        {
            **{key: rows[0][key] for key in ("object", "part", "masks") if key in rows[0]},
            "scores": [row[WAY] for row in rows],
        }
        for rows in zip(*columns, strict=True)
    ]


def _differences(found: Sequence[Evaluation], runs: Sequence[str]) -> list[Record]:
    """Of each run but the first, less the first."""
    same = draws(found[0].images)
    scores = [_scored(each.with_cf.each, same) for each in found]
    return [
        {
            "run": run,
            "less": runs[0],
            **{key: _interval(own[key] - scores[0][key]) for key in own},
        }
        for run, own in zip(runs[1:], scores[1:], strict=True)
    ]


def _interval(values: Table) -> dict[str, float]:
    """Of values whose first is that of all images as they are, and the others of the draws."""
    low, high = percentiles(values[1:])
    return {"value": float(values[0]), "low": low, "high": high}


def _scored(each: Sequence[tuple[Counts, Counts]], same: NDArray[np.int64]) -> dict[str, Table]:
    """Each score of all images once, then of each draw, (1 + draws,)."""
    weights = np.vstack([np.ones(same.shape[1], np.int64), same])
    pixels, outlines = ([one[kind] for one in each] for kind in (0, 1))
    whole = [_summed(pixels, at, weights) for at in range(3)]
    return {
        "miou": _miou(*whole),
        "boundary_iou": _miou(*(_summed(outlines, at, weights) for at in range(3))),
        "pixel_accuracy": _ratio(whole[0].sum(1), whole[2].sum(1)),
        "foreground_pixel_accuracy": _ratio(whole[0][:, 1:].sum(1), whole[2][:, 1:].sum(1)),
    }


def _summed(each: Sequence[Counts], at: int, weights: NDArray[np.int64]) -> Table:
    """Right, found or true pixels (`at`) of each value, in each draw: (draws, values)."""
    rows = np.repeat(np.arange(len(each)), [len(one.values) for one in each])
    values = np.concatenate([one.values for one in each])
    pixels = np.concatenate([one.pixels[at] for one in each])
    size = len(each), int(values.max(initial=0)) + 1
    return np.asarray(weights @ csr_array((pixels, (rows, values)), shape=size), np.float64)


def _miou(common: Table, found: Table, truth: Table) -> Table:
    """Mean over the values that occur in a draw's truth."""
    there = truth > 0
    shares = np.where(there, _ratio(common, found + truth - common), 0.0)
    return _ratio(shares.sum(1), there.sum(1).astype(float))


def _ratio(part: Table, whole: Table) -> Table:
    found: Table = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
    return found
