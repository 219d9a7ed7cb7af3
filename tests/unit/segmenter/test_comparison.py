"""Boundary IoU, what is counted per image, and the comparison of several runs."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scripted_segmenter import drawings_of
from typer.testing import CliRunner

from app.cli.main import app
from partlab.coco import read_coco
from partlab.errors import ConfigError
from partlab.paired import draws
from segmenter.boundary import boundary_counts, outline, width_of
from segmenter.comparison import _interval, _scored, compare_runs, training_minutes
from segmenter.composite_metrics import Counts, PixelMeter


def _by_hand(mask: Any, width: int) -> Any:
    """A pixel is on the outline if any within `width` rows and columns is not in the mask."""
    found = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        near = [
            0 <= v < mask.shape[0] and 0 <= u < mask.shape[1] and mask[v, u]
            for v in range(y - width, y + width + 1)
            for u in range(x - width, x + width + 1)
        ]
        found[y, x] = not all(near)
    return found


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_an_outline_is_what_a_look_at_every_neighbour_says(mask: Any, width: int) -> None:
    assert (outline(mask, width) == _by_hand(mask, width)).all()


def test_the_width_is_a_share_of_the_diagonal() -> None:
    assert width_of((300, 400)) == 10  # 2 % of 500
    assert width_of((3, 4)) == 1


@given(
    arrays(np.int32, (9, 11), elements=st.integers(0, 3)),
    arrays(np.int32, (9, 11), elements=st.integers(0, 3)),
    arrays(bool, (9, 11)),
)
@settings(max_examples=40, deadline=None)
def test_outlines_are_counted_by_value(found: Any, truth: Any, ignored: Any) -> None:
    meter = PixelMeter(3)
    meter.take(boundary_counts(found, truth, 3, ignored))
    for value in np.unique(truth):
        ours, theirs = (_by_hand(each == value, 1) & ~ignored for each in (found, truth))
        if theirs.any() and value:
            wanted = (ours & theirs).sum() / (ours | theirs).sum()
            assert meter.result().iou[int(value) - 1] == pytest.approx(wanted)


def test_counts_of_images_add_up_to_the_meter() -> None:
    random = np.random.default_rng(0)
    meter, again = PixelMeter(4), PixelMeter(4)
    for _ in range(5):
        found, truth = random.integers(0, 5, (2, 6, 7)).astype(np.int32)
        again.take(meter.update(found, truth, random.random((6, 7)) < 0.2))
    assert meter.result() == again.result()
    assert meter.result().miou


def _each(images: int, seed: int, better: float) -> list[tuple[Counts, Counts]]:
    random = np.random.default_rng(seed)
    found = []
    for _ in range(images):
        true = random.integers(50, 100, 4)
        right = (true * better).astype(int)
        counts = Counts.of(right, true, true)
        found.append((counts, counts))
    return found


def test_the_bootstrap_is_paired_and_its_scores_are_those_of_the_meter() -> None:
    each = [_each(30, 0, share) for share in (0.5, 0.6)]
    one, other = (_scored(images, draws(30)) for images in each)
    meter = PixelMeter(3)
    for counts, _ in each[0]:
        meter.take(counts)
    assert one["miou"][0] == pytest.approx(meter.result().miou)
    assert one["pixel_accuracy"][0] == pytest.approx(meter.result().pixel_accuracy)
    found = _interval(other["miou"] - one["miou"])
    assert found["low"] < found["value"] < found["high"]
    assert found["high"] - found["low"] < 0.02  # the images' own spread is taken out
    same = _interval(one["miou"] - one["miou"])
    assert same == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_a_part_that_a_draw_does_not_hold_is_left_out_of_its_mean() -> None:
    there, not_there = np.array([8, 4]), np.array([8, 0])
    rare = [(Counts.of(there, there, there),) * 2] + [
        (Counts.of(not_there, not_there, not_there),) * 2
    ] * 3
    assert (_scored(rare, draws(4))["miou"] == 1).all()


def test_minutes_of_several_sittings_add_up() -> None:
    told = [{"seconds": 60.0}, {"seconds": 120.0}, {"val_ap": 0.1}, {"seconds": 30.0}]
    assert training_minutes(told) == 2.5
    assert training_minutes([{"val_ap": 0.1}]) is None


@pytest.fixture
def colour() -> Any:
    return importlib.import_module("colour_segmenter")


@pytest.fixture
def runs(colour: Any, tmp_path: Path) -> list[Path]:
    """One knows all colours, the other takes heads for something else."""
    blind = colour.COLOURS.copy()
    blind[2] = (1, 2, 3)
    return [
        colour.write_colour_run(tmp_path / "runs" / "sees"),
        colour.write_colour_run(
            tmp_path / "runs" / "blind", colour.NAMES, blind, colour.INCLUSIONS
        ),
    ]


@pytest.fixture
def drawings(colour: Any, tmp_path: Path) -> Path:
    return drawings_of(colour, tmp_path / "drawings")


def test_several_runs_stand_in_one_table(runs: list[Path], drawings: Path, tmp_path: Path) -> None:
    with open(runs[0] / "metrics.jsonl", "w", encoding="utf-8") as metrics:
        metrics.write('{"step": 1, "epoch": 1, "loss": 1.0, "seconds": 90}\n')
    words = ["segmenter", "evaluate", *map(str, runs), str(drawings)]
    how = ["--set", "composite_threshold=0.1", "--per-part"]
    done = CliRunner().invoke(app, [*words, *how])
    assert done.exit_code == 0, done.output
    for said in ("sees", "blind", "boundary IoU", "images/s", "95 % interval"):
        assert said in done.stdout
    kept = json.loads((runs[0] / "comparison-drawings-val.json").read_text())
    sees, blind = kept["runs"]
    assert sees["training_minutes"] == 1.5
    assert blind["training_minutes"] is None
    assert sees["parameters"] == 15
    assert sees["images_per_second"] > 0
    (difference,) = kept["differences"]
    assert difference["miou"]["value"] == pytest.approx(blind["miou"] - sees["miou"])
    assert difference["miou"]["high"] < 0
    heads = next(row for row in kept["per_part"] if row["part"] == "head")
    assert heads["scores"][0]["iou"] > 0.5 > heads["scores"][1]["iou"] == 0
    assert heads["scores"][0]["boundary_iou"] > 0.5
    cats = next(row for row in kept["per_object"] if row["object"] == "cat")
    assert cats["scores"][0]["miou"] > cats["scores"][1]["miou"]
    own = json.loads((runs[1] / "evaluation-drawings-val.json").read_text())
    assert own["with_cf"]["boundary_iou"] == pytest.approx(blind["boundary_iou"])
    done = CliRunner().invoke(app, [*words, "--json", "--out", str(tmp_path / "both.json")])
    assert json.loads(done.stdout) == json.loads((tmp_path / "both.json").read_text())


def test_a_run_named_twice_or_missing_stops_before_anything_is_measured(
    runs: list[Path], drawings: Path
) -> None:
    with pytest.raises(ConfigError, match="named twice"):
        compare_runs([runs[0], runs[0]], drawings)
    words = ["segmenter", "evaluate", str(runs[0]), "nowhere", str(drawings)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3
    assert "not a segmenter run" in done.stderr
    assert not list(runs[0].glob("evaluation-*"))
    assert read_coco(drawings / "annotations" / "val.json").images
