"""`partlab evaluate honesty` and `transfer` as a person types them."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_recognition
import torch
import typer
from click.testing import Result
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from annotate.world import WorldConfig, make_world
from app.cli import evaluate_honesty

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
        (["honesty", "plain", "world", "--threat", "linf"], 2, "'linf' cannot be checked"),
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
