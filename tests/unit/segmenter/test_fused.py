"""Several segmenters as one run: the rule, the folder, and that it is used like any other."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_segmenter import HEAD, TAIL, Scripted, dataset, drawings_of
from typer.testing import CliRunner

from app.cli.main import app
from partlab.errors import ConfigError, DatasetError, NotFoundError
from partlab.files import read_json, write_json
from partlab.schema import Dataset
from pseudolabel.engine import label_images
from segmenter.evaluate import EvaluationSettings, evaluate
from segmenter.evaluation_file import evaluate_run
from segmenter.fused.fuse import fuse_runs
from segmenter.fused.segmenter import FusedConfig, FusedSegmenter, together
from segmenter.runs import load_segmenter
from segmenter.tuning.tune import calibrated
from segmenter.tuning.tuned import Tuned


def _pets(folder: Path) -> Dataset:
    owners = [("cat", "dog")[at % 2] for at in range(40)]
    return dataset(folder, [(o, {f"{o}:head": HEAD, f"{o}:tail": TAIL}) for o in owners])


def _one_good_part(data: Dataset, good: str, other: str, score: float) -> Scripted:
    """It finds one part where it is, and the other somewhere else, as surely."""
    right, wrong = {"head": (HEAD, TAIL), "tail": (TAIL, HEAD)}[good], score
    return Scripted(
        {
            image.id: [
                (right[0], {f"{image.object}:{good}": score}),
                (right[0], {f"{image.object}:{other}": wrong}),
            ]
            for image in data.images
        }
    )


def test_each_is_trusted_for_the_part_it_is_good_at(tmp_path: Path) -> None:
    """Raw scores name the wrong one: who shouts loudest is no better."""
    data = _pets(tmp_path)
    heads = _one_good_part(data, "head", "tail", 0.6)
    tails = _one_good_part(data, "tail", "head", 0.9)
    members = [Tuned(each, calibrated(each, data)) for each in (heads, tails)]
    how = EvaluationSettings(score_threshold=0)
    alone = [evaluate(each, data, how).with_cf.pixels.miou or 0 for each in (heads, tails)]
    loud = evaluate(FusedSegmenter([heads, tails], FusedConfig()), data, how).with_cf.pixels.miou
    both = evaluate(FusedSegmenter(members, FusedConfig()), data, how).with_cf.pixels.miou
    assert both == pytest.approx(1.0)
    assert max(*alone, loud or 0) < 0.8


def test_of_two_masks_that_are_alike_the_surer_stays(tmp_path: Path) -> None:
    near = (HEAD[0] + 1, *HEAD[1:])
    script = [{1: [(HEAD, {"cat:head": 0.5})]}, {1: [(near, {"cat:head": 0.7, "cat:tail": 0.1})]}]
    picture = [np.full((48, 60, 3), 1, np.uint8)]
    found = [Scripted(each).predict(picture)[0] for each in script]
    one = together(found, 0.5)
    assert one.scores.tolist() == pytest.approx([0.7])
    assert one.masks == found[1].masks
    assert len(together(found, 1.0)) == 2
    other = Scripted({1: [(near, {"cat:tail": 0.4})]}).predict(picture)[0]
    assert together([found[0], other], 0.5).labels.tolist() == [0, 1]
    nothing = Scripted({}).predict(picture)[0]
    assert len(together([nothing, nothing], 0.5)) == 0


@pytest.fixture
def colour() -> Any:
    return importlib.import_module("colour_segmenter")


@pytest.fixture
def runs(colour: Any, tmp_path: Path) -> list[Path]:
    """One is blind for heads, the other for bodies."""
    found = []
    for name, at in (("no-heads", 2), ("no-bodies", 1)):
        colours = colour.COLOURS.copy()
        colours[at] = (1, 2, 3)
        folder = tmp_path / "runs" / name
        found.append(colour.write_colour_run(folder, colour.NAMES, colours, colour.INCLUSIONS))
    return found


@pytest.fixture
def drawings(colour: Any, tmp_path: Path) -> Path:
    return drawings_of(colour, tmp_path / "drawings")


def test_a_fused_run_is_used_like_any_other(
    runs: list[Path], drawings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs" / "both"
    words = ["segmenter", "fuse", *map(str, runs), str(drawings), "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "mIoU" in done.stdout
    kept = read_json(out / "config.json")
    assert [each["run"] for each in kept["members"]] == [str(run.resolve()) for run in runs]
    both = evaluate_run(out, drawings)["with_cf"]
    for run in runs:
        alone = evaluate_run(run, drawings, settings=EvaluationSettings(composite_threshold=0.1))
        assert both["miou"] > alone["with_cf"]["miou"] + 0.1
        assert both["ap"] > alone["with_cf"]["ap"]
    listed = CliRunner().invoke(app, ["segmenter", "list", str(out)]).stdout.splitlines()
    assert listed[-1] == f"run {out}: fused, 5 parts"
    for run in runs:
        (run / "best.safetensors").unlink()  # it holds copies
    assert len(load_segmenter(out).predict([np.zeros((9, 9, 3), np.uint8)])) == 1
    done_store = label_images(drawings, out, tmp_path / "store", split="val", workers=0)
    assert done_store is not None
    assert done_store.store.manifest.backend == "fused"
    assert done_store.store.manifest.counts["labelled"] == 12
    assert CliRunner().invoke(app, words).exit_code != 0  # it is there already


def test_weights_that_were_exchanged_are_refused(
    runs: list[Path], drawings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "both"
    fuse_runs(runs, drawings, out)
    (out / "members" / "1" / "best.safetensors").write_bytes(b"other")
    with pytest.raises(DatasetError, match="not the weights that were fused"):
        load_segmenter(out)
    (out / "best.safetensors").write_bytes(b"cut")
    with pytest.raises((DatasetError, NotFoundError), match="damaged"):
        load_segmenter(out, tuned=False)


def test_runs_that_cannot_be_fused_leave_nothing(
    runs: list[Path], drawings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "both"
    with pytest.raises(ConfigError, match="two runs"):
        fuse_runs([runs[0]], drawings, out)
    with pytest.raises(ConfigError, match="two runs"):
        fuse_runs([runs[0], runs[0]], drawings, out)
    config = json.loads((runs[1] / "config.json").read_text())
    write_json(runs[1] / "config.json", config | {"names": config["names"][:-1]})
    with pytest.raises(ConfigError, match="other part categories"):
        fuse_runs(runs, drawings, out)
    assert not out.exists()


def test_a_fused_run_is_not_trained(drawings: Path, tmp_path: Path) -> None:
    words = ["segmenter", "train", str(drawings), "--split", "val", "--backend", "fused"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "partlab segmenter fuse" in done.stderr


def test_several_segmenters_are_fused_before_they_label(runs: list[Path], tmp_path: Path) -> None:
    named = [word for run in runs for word in ("--segmenter", str(run))]
    words = ["pseudolabel", str(tmp_path), *named, "--out", str(tmp_path / "store")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "partlab segmenter fuse" in done.stderr
