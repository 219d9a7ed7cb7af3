"""`partlab evaluate honesty` and `transfer` as a person types them."""

import json
import shutil
from pathlib import Path

import pytest
import timm
import tiny_recognition
import torch
import typer
from click.testing import Result
from evaluation_folders import FOUR, nested, write_folder
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from annotate.world import WorldConfig, make_world
from app.cli import evaluate_honesty
from partlab.files import sha256_file, write_json
from train.evaluate.opened import open_model
from train.evaluate.outcomes import read_evaluation
from train.evaluate_report import read_measured, write_report
from train.export import export_model

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
    assert "signs of masked gradients were not looked for" not in page
    other = write_folder(tmp_path / "other", nested(40, FOUR), weights="0" * 64)
    said = evaluate(*words, "--keep-in", other, code=2).stderr
    assert "other weights" in said
    evaluate(*words, "--keep-in", tmp_path, code=3)


@pytest.fixture(scope="module")
def others(place: Path) -> list[Path]:
    """The plain run's model exported, and a network of timm's by a card."""
    export_model(place / "plain", place / "exported")
    torch.manual_seed(0)
    card = {"foreign": 1, "architecture": "test_resnet", "weights": "w.pth", "size": 32}
    card |= {"classes": ["cat", "ram"], "mean": [0.5] * 3, "std": [0.5] * 3}
    (place / "foreign").mkdir()
    state = timm.create_model("test_resnet", num_classes=2).state_dict()
    state["fc.bias"] = torch.tensor([9.0, 0.0])  # a cat, whatever it sees
    torch.save(state, place / "foreign" / "w.pth")
    write_json(place / "foreign" / "card.json", card)
    return [place / "exported", place / "foreign"]


def test_models_that_are_no_runs_are_checked_too(
    place: Path, others: list[Path], tmp_path: Path
) -> None:
    words = (place / "world", "--split", "train", "--device", "cpu", "--images", 24, "--json")
    run, exported = (
        json.loads(evaluate("honesty", model, *words).stdout)
        for model in (place / "plain", others[0])
    )
    assert {**exported, "seconds": 0} == {**run, "seconds": 0}
    assert exported["ok"] is True
    weights = open_model(others[1], device="cpu").sha256
    kept = write_folder(tmp_path / "kept", nested(40, FOUR), name="foreign", weights=weights)
    given = ("honesty", others[1], *words[:-3], "--images", 60, "--keep-in", kept)
    CliRunner().invoke(app, [*map(str, given)])  # of a model that always says cat much is found
    names = [each["name"] for each in read_evaluation(kept).honesty["findings"]]
    assert names[0] == "enough_images"
    assert len(names) == 12


def test_adversarial_images_are_tried_on_models_of_every_kind(
    place: Path, others: list[Path]
) -> None:
    words = ("transfer", place / "plain", others[0], place / "world", "--split", "train",
             "--device", "cpu", "--steps", 3, "--images", 12, "--json")  # fmt: skip
    found = json.loads(evaluate(*words).stdout)
    assert found["models"] == ["plain", "exported"]
    (one, other), (third, fourth) = found["made_on_tried_on"]
    assert one == other == third == fourth  # it is one model
    unlike = ("transfer", place / "plain", others[1], place / "world", "--device", "cpu")
    assert "foreign sees the middle 32 of pictures of 36 pixels, bicubic" in evaluate(
        *unlike, code=2).stderr  # fmt: skip


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
        (["transfer", "plain", "world"], 2, "two models or more"),
        (["transfer", "plain", "plain", "world"], 2, "named twice"),
    ],
)
def test_mistakes_are_told(place: Path, monkeypatch, words, code, told) -> None:
    monkeypatch.chdir(place)
    assert told in evaluate(*words, "--device", "cpu", code=code).stderr
