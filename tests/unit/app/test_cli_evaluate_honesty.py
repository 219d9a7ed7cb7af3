"""`partlab evaluate honesty` and `transfer` as a person types them."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_recognition
import torch
import typer
from click.testing import Result
from evaluation_folders import FOUR, nested, write_folder
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from annotate.world import WorldConfig, make_world
from app.cli import evaluate_honesty
from partlab.files import sha256_file
from train.evaluate.outcomes import read_evaluation
from train.evaluate_report import read_measured, write_report

app = typer.Typer()
evaluate_honesty.register(app)


def evaluate(*words: object, code: int = 0) -> Result:
    answer = CliRunner().invoke(app, [*map(str, words)])
    assert answer.exit_code == code, answer.output
    return answer


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A world, two runs of it, and `sure`, whose logits are too large for a gradient."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("honesty")
    config = WorldConfig(images=60, pool=4, heldout=4, size=48, objects=("cat", "ram"))
    make_world(folder / "world", config)
    settings = ["attack.method=none", "train.epochs=8", "train.ema=0", "train.batch_size=8"]
    for name, kind in (("plain", "vanilla"), ("mpm", "mpm")):
        tiny_recognition.train(folder / "world", folder / name, *settings, kind=kind)
    shutil.copytree(folder / "plain", folder / "sure")
    weights = load_file(folder / "sure" / "best.safetensors")
    for name in ("backbone.fc.weight", "backbone.fc.bias"):
        weights[name] = weights[name] * 1e5
    save_file(weights, folder / "sure" / "best.safetensors")
    return folder


def test_an_honest_run_in_words_and_json(place: Path) -> None:
    words = ("honesty", place / "plain", place / "world", "--split", "train", "--device", "cpu")
    said = evaluate(*words).stdout
    assert "ok   zero_gradients: the loss has a gradient at 100 % of the images" in said
    assert "nothing speaks against its robust figures" in said
    found = json.loads(evaluate(*words, "--json", "--images", 30, "--threat", "linf:2/255").stdout)
    assert found["ok"] is True
    assert found["images"] == 30
    assert found["threat"] == "linf-2/255"
    assert found["forwards"] > 200 * found["right"]


def test_what_was_found_is_kept_in_an_evaluation(place: Path, tmp_path: Path) -> None:
    weights = sha256_file(place / "plain" / "best.safetensors")
    kept = write_folder(tmp_path / "kept", nested(40, FOUR), name="plain", weights=weights)
    words = ("honesty", place / "plain", place / "world", "--split", "train", "--device", "cpu")
    evaluate(*words, "--images", 24, "--keep-in", kept)
    honesty = read_evaluation(kept).honesty
    assert honesty["ok"] is True
    assert len(honesty["surface"]["margins"]) == 4
    write_report(read_measured([kept]), tmp_path / "page")
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "The loss about single images" in page
    assert "masked gradients were not looked for" not in page
    other = write_folder(tmp_path / "other", nested(40, FOUR), weights="0" * 64)
    said = evaluate(*words, "--keep-in", other, code=2).stderr
    assert "other weights" in said
    evaluate(*words, "--keep-in", tmp_path, code=3)


def test_a_run_that_hides_its_gradient_ends_with_1(place: Path) -> None:
    words = ("honesty", place / "sure", place / "world", "--split", "train", "--device", "cpu")
    said = evaluate(*words, code=1).stdout
    assert "FAIL zero_gradients: the loss has no gradient at" in said
    assert "not to be believed" in said


def test_the_matrix_of_three_runs(place: Path) -> None:
    runs = [place / name for name in ("plain", "mpm", "sure")]
    words = ["transfer", *runs, place / "world", "--split", "train", "--device", "cpu"]
    words += ["--steps", 5, "--threat", "linf:8/255"]
    said = evaluate(*words, code=1).stdout
    assert said.split()[:5] == ["made", "on", "plain", "mpm", "sure"]
    assert "FAIL transfer:sure: images made on plain break" in said
    found = json.loads(evaluate(*words, "--json", code=1).stdout)
    assert found["models"] == ["plain", "mpm", "sure"]
    assert len(found["made_on_tried_on"]) == 3


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["honesty", "plain", "world", "--threat", "linf:4"], 2, "whole range of colours"),
        (["honesty", "plain", "world", "--threat", "l1:75"], 2, "'l1:75' cannot be checked"),
        (["honesty", "plain", "world", "--threat", "linf"], 2, "'linf' is no threat"),
        (["honesty", "plain", "world", "--threat", "linf:0"], 2, "'linf:0' cannot be checked"),
        (["honesty", "plain", "world", "--split", "tset"], 3, "tset"),
        (["honesty", "world", "world"], 3, "world"),
        (["honesty", "plain", "world", "--images", "0"], 2, "0 images"),
        (["transfer", "plain", "world"], 2, "two runs or more"),
        (["transfer", "plain", "plain", "world"], 2, "named twice"),
    ],
)
def test_mistakes_are_told(place: Path, monkeypatch, words, code, told) -> None:
    monkeypatch.chdir(place)
    assert told in evaluate(*words, "--device", "cpu", code=code).stderr
