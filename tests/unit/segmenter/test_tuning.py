"""Calibrated scores, thresholds for label maps, and a run that keeps both."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_segmenter import HEAD, TAIL, Scripted, dataset, drawings_of
from typer.testing import CliRunner

from app.cli.main import app
from partlab.errors import DatasetError, SchemaError
from partlab.files import write_lines
from partlab.schema import Dataset
from pseudolabel.engine import label_images
from pseudolabel.settings import Settings, Thresholds
from segmenter.evaluate import EvaluationSettings, evaluate
from segmenter.evaluation_file import evaluate_run
from segmenter.origin import RunFolder
from segmenter.predictor import PredictionSettings, Predictor
from segmenter.runs import load_segmenter
from segmenter.tuning.file import read_tuning
from segmenter.tuning.looked import look
from segmenter.tuning.scale import Scale, fit_scale, reliability
from segmenter.tuning.tune import tune, tune_run
from segmenter.tuning.tuned import Tuned


def test_calibration_finds_the_shares_that_are_there_and_holds_rare_parts_to_all() -> None:
    random = np.random.default_rng(0)
    scores = random.uniform(0.02, 0.98, 4000)
    labels = np.repeat([0, 1], 2000)
    share = np.where(labels == 0, scores**2, np.sqrt(scores))
    added = (random.random(4000) < share).astype(float)
    scale, common = fit_scale(scores, labels, added, 3)
    said = scale.of(scores.astype(np.float32), labels)
    assert reliability(said.astype(float), added).error < 0.03 < reliability(scores, added).error
    assert (scale.slopes[2], scale.offsets[2]) == common
    few = np.r_[np.arange(200), 3999]
    held, all_of_them = fit_scale(scores[few], labels[few], added[few], 2)
    away = abs(held.offsets[1] - all_of_them[1])
    assert away < abs(scale.offsets[1] - all_of_them[1])


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=20), st.floats(0.05, 0.95))
@settings(max_examples=50, deadline=None)
def test_no_mask_is_lost_by_asking_for_fewer(scores: list[float], threshold: float) -> None:
    scale = Scale(np.array([0.3, 2.0]), np.array([1.0, -2.0]))
    raw = np.array(scores, np.float32)
    for label in (0, 1):
        said = scale.of(raw, np.full(len(raw), label))
        assert (raw[said >= np.float32(threshold)] >= scale.lowest(threshold) - 1e-6).all()
        assert (np.argsort(said, kind="stable") == np.argsort(raw, kind="stable")).all() or len(
            set(raw.tolist())
        ) < len(raw)


def _pets(folder: Path, images: int = 8) -> Dataset:
    owners = [("cat", "dog")[at % 2] for at in range(images)]
    return dataset(folder, [(o, {f"{o}:head": HEAD, f"{o}:tail": TAIL}) for o in owners])


def _unsure(data: Dataset) -> dict[int, Any]:
    """Heads are found with a score of 0.2; tails with 0.6, and beside each a wrong one with 0.3."""
    return {
        image.id: [
            (HEAD, {f"{image.object}:head": 0.2}),
            (TAIL, {f"{image.object}:tail": 0.6}),
            ((2, 25, 20, 20), {f"{image.object}:tail": 0.3}),
        ]
        for image in data.images
    }


def test_what_a_mask_adds_is_right_and_new(tmp_path: Path) -> None:
    data = _pets(tmp_path, 2)
    tail = {"cat:tail": 0.6}
    script = {1: [(TAIL, tail), (TAIL, {"cat:tail": 0.5}), ((0, 0, 22, 22), {"cat:head": 0.4})]}
    first = next(look(Scripted(script), data))
    assert first.added.tolist() == pytest.approx([1.0, 0.0, 400 / 484])


def test_a_tuning_is_judged_on_images_it_was_not_found_on(tmp_path: Path) -> None:
    data = _pets(tmp_path, 40)
    images, held_out, fitted = tune(Scripted(_unsure(data)), data)
    assert images == 40
    assert held_out["before"]["miou"] < 0.7
    assert held_out["after"]["miou"] == pytest.approx(1.0)
    before, after = (held_out[key]["reliability"]["error"] for key in ("before", "after"))
    assert after < 0.6 * before
    assert fitted.chosen.common < 0.6


def test_a_tuned_segmenter_finds_the_same_masks_and_has_the_same_ap(tmp_path: Path) -> None:
    data = _pets(tmp_path)
    plain = Scripted(_unsure(data))
    tuned = Tuned(plain, tune(plain, data)[2].scale)
    both = [evaluate(each, data, EvaluationSettings(score_threshold=0)) for each in (plain, tuned)]
    assert both[0].with_cf.ap == both[1].with_cf.ap
    assert both[0].without_cf.ap == both[1].without_cf.ap
    (found,) = tuned.predict([np.full((48, 60, 3), 1, np.uint8)], [("cat",)], threshold=0.5)
    assert (found.scores >= 0.5).all()
    assert (found.scores == found.probabilities[np.arange(len(found)), found.labels]).all()
    assert (np.diff(found.scores) <= 0).all()
    assert tuned.script is plain.script


@pytest.fixture
def colour() -> Any:
    return importlib.import_module("colour_segmenter")


@pytest.fixture
def run(colour: Any, tmp_path: Path) -> Path:
    folder: Path = colour.write_colour_run(tmp_path / "runs" / "seg")
    return folder


@pytest.fixture
def drawings(colour: Any, tmp_path: Path) -> Path:
    return drawings_of(colour, tmp_path / "drawings")


def test_the_command_keeps_a_tuning_that_everything_takes(
    run: Path, drawings: Path, tmp_path: Path
) -> None:
    plain = evaluate_run(run, drawings)
    done = CliRunner().invoke(app, ["segmenter", "tune", str(run), str(drawings)])
    assert done.exit_code == 0, done.output
    assert "mIoU of the composite" in done.stdout
    assert (run / "reliability.svg").read_text().startswith("<?xml")
    kept = json.loads((run / "tuned.json").read_text())
    assert kept["images"] == 12
    tuning = read_tuning(run)
    assert tuning is not None
    assert isinstance(load_segmenter(run), Tuned)
    assert not isinstance(load_segmenter(run, tuned=False), Tuned)
    tuned = evaluate_run(run, drawings)
    assert tuned["settings"]["thresholds"] == kept["thresholds"]
    assert tuned["with_cf"]["ap"] == pytest.approx(plain["with_cf"]["ap"])
    assert tuned["with_cf"]["miou"] >= plain["with_cf"]["miou"]
    asked = evaluate_run(run, drawings, settings=EvaluationSettings(composite_threshold=0.5))
    assert asked["settings"]["thresholds"] is None
    own = Predictor.load(run).settings.thresholds
    assert own == tuning.thresholds
    said = Predictor.load(run, PredictionSettings(thresholds=Thresholds(default=0.9)))
    assert said.settings.thresholds.default == 0.9
    stores = [
        label_images(drawings, run, tmp_path / name, settings, split="val", workers=0)
        for name, settings in (("own", Settings()), ("asked", Settings(thresholds=Thresholds())))
    ]
    configs = [each.store.manifest.config for each in stores if each]
    assert configs[0]["thresholds"] == kept["thresholds"]
    assert configs[1]["thresholds"] == {"default": 0.5, "parts": {}}
    assert configs[0]["tuning_sha256"] == RunFolder(run).description()["tuning"]["sha256"]


def test_a_tuning_of_other_weights_is_refused(run: Path, drawings: Path) -> None:
    tune_run(run, drawings)
    (run / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes() + b" ")
    with pytest.raises(SchemaError, match="other weights"):
        read_tuning(run)
    assert read_tuning(run, "last") is None


def test_training_images_are_refused(run: Path, drawings: Path) -> None:
    write_lines(run / "train_images.txt", ["3.png"])
    with pytest.raises(DatasetError, match=r"1 of 12 images has .*first: 3\.png"):
        tune_run(run, drawings)
