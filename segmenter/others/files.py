"""Files of predictions and runs compared on one data set, and what was found written down."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotate.data.formats.table import read_table
from partlab.coco import find_splits, read_dataset
from partlab.errors import ConfigError
from partlab.files import need_new_file, write_json
from partlab.schema import Dataset
from segmenter.evaluate import EvaluationSettings
from segmenter.others.compare import NOT_SAID, Compared, compare, found_by, split_trained
from segmenter.others.predictions import read_predictions
from segmenter.runs import load_segmenter, read_run

log = logging.getLogger(__name__)
DEFAULT_SPLIT = "val"


def compare_files(
    data: str | Path,
    predictions: Sequence[str],
    runs: Sequence[str],
    out: str | Path,
    *,
    split: str | None = None,
    ids: Path | None = None,
    names: Path | None = None,
    device: str | None = None,
    settings: EvaluationSettings | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Compare files of COCO results and runs on `data`, and write what was found to `out`.

    `predictions` and `runs` are paths, each behind `in-domain=`, `zero-shot=` or `joint=`. A run
    that was trained on a split of this very data set is in-domain where nothing is said. `names`
    is the table of `annotate.data.formats.table`, `ids` as in `read_predictions`.

    Raises:
        ConfigError: there is nothing to compare, or a path says another way of training.
        OutputExistsError: `out` exists, and `force` is off.
        NotFoundError, SchemaError, DatasetError: as the readers and `segmenter.others.compare`.
    """
    if not predictions and not runs:
        raise ConfigError("nothing to compare", hint="give --predictions FILE, or --run RUN")
    need_new_file(out, force=force)
    settings = settings or EvaluationSettings()
    split, truth = _truth(Path(data), split)
    table = read_table(names) if names else None
    models = list(_files(predictions, truth, ids))
    models += [one for run in runs for one in _run(run, truth, device, settings)]
    record: dict[str, Any] = {
        "data": {"path": str(data), "split": split, "fingerprint": truth.fingerprint},
        **compare(models, truth, table=table, settings=settings),
        "file": str(out),
    }
    write_json(out, record)
    return record


def _truth(data: Path, split: str | None) -> tuple[str, Dataset]:
    splits = find_splits(data)
    if split is None and len(splits) > 1 and DEFAULT_SPLIT in splits:
        split = DEFAULT_SPLIT
    return split or next(iter(splits)), read_dataset(data, split)


def _files(given: Sequence[str], truth: Dataset, ids: Path | None) -> Iterator[Compared]:
    for text in given:
        trained, path = split_trained(text)
        found = read_predictions(path, truth, ids)
        for why, count in found.left_out.items():
            log.warning("%s: left out %d predictions %s", path, count, why)
        yield Compared(path.stem, trained, found, path)


def _run(
    text: str, truth: Dataset, device: str | None, settings: EvaluationSettings
) -> Iterator[Compared]:
    trained, run = split_trained(text)
    if trained == NOT_SAID and _trained_here(run, truth):
        trained = "in-domain"
    both = found_by(load_segmenter(run, device=device), truth, settings)
    for way, found in zip(("", " with CF"), both, strict=True):
        yield Compared(f"{run.name}{way}", trained, found, run)


def _trained_here(run: Path, truth: Dataset) -> bool:
    """Whether the run was trained on a file beside the truth's: another split of one data set."""
    path = (read_run(run).get("data") or {}).get("path")
    return bool(path and truth.path and Path(path).parent == truth.path.resolve().parent)
