"""Make one run of several: calibrated on the same images apart, then tuned as a whole."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from partlab.errors import ConfigError
from partlab.files import exclusive, read_lines, sha256_file, write_lines
from partlab.training.runs import claim_run
from segmenter.evaluation_file import truth_of
from segmenter.fused.backend import WEIGHTS, write_scales
from segmenter.fused.segmenter import FusedConfig
from segmenter.origin import RunFolder
from segmenter.runs import load_segmenter, read_run, write_run
from segmenter.tuning.tune import calibrated, need_unseen, tune_run

NAME = "fused"
_KEPT = ("config.json", WEIGHTS)


def fuse_runs(
    named: Sequence[str | Path],
    data: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    device: str | None = None,
    config: FusedConfig | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write the run `out`, which holds copies of the runs' best weights; what its tuning found.

    Each run's scores are calibrated for each part on `data`, then those of all together.

    Raises:
        ConfigError: fewer than two runs, a run named twice, or runs with different parts.
        DatasetError: no images or masks, or images that a run was trained on.
        NotFoundError: no such run, checkpoint, data set or split.
        OutputExistsError: `out` holds something else.
    """
    runs, out, data = [Path(run) for run in named], Path(out), Path(data)
    described = _described(runs)
    split, truth = truth_of(data, split, None)
    for run in runs:
        RunFolder(run).weights_sha256("best")
        need_unseen(run, truth)
    claim_run(out, force=force, inputs=[data, *runs])
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out):
        for at, run in enumerate(runs):
            _copy(run, out / "members" / str(at))
        write_scales(
            out,
            [calibrated(load_segmenter(run, device=device, tuned=False), truth) for run in runs],
        )
        write_lines(out / "train_images.txt", _seen(runs))
        write_run(out, _description(runs, described, config or FusedConfig()))
        return tune_run(out, data, split=split, device=device)


def _described(runs: Sequence[Path]) -> list[dict[str, Any]]:
    if len({run.resolve() for run in runs}) < max(len(runs), 2):
        raise ConfigError(
            "fusing takes two runs or more, each named once",
            hint="partlab segmenter fuse RUN RUN DATA --out RUN",
        )
    found = [read_run(run) for run in runs]
    for run, each in zip(runs, found, strict=True):
        if any(each.get(key) != found[0].get(key) for key in ("names", "inclusions")):
            raise ConfigError(
                f"{run} has other part categories or inclusions than {runs[0]}",
                hint="train both on the same data set",
            )
        if each["backend"] == NAME:
            raise ConfigError(f"{run} is fused already", hint="name the runs it was made of")
    return found


def _copy(run: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*_KEPT, "metrics.jsonl"):
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)


def _seen(runs: Sequence[Path]) -> list[str]:
    lists = [run / "train_images.txt" for run in runs]
    return sorted({name for file in lists if file.is_file() for name in read_lines(file)})


def _description(
    runs: Sequence[Path], described: Sequence[dict[str, Any]], config: FusedConfig
) -> dict[str, Any]:
    members = [
        {
            "run": str(run.resolve()),
            "backend": each["backend"],
            "checkpoint_sha256": sha256_file(run / WEIGHTS),
        }
        for run, each in zip(runs, described, strict=True)
    ]
    return {
        "backend": NAME,
        "config": config.model_dump(mode="json"),
        "names": described[0]["names"],
        "inclusions": described[0].get("inclusions"),
        "data": described[0].get("data"),
        "members": members,
    }
