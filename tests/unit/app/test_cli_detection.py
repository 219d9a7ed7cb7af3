"""`partlab train detector` and `partlab evaluate detector` as a person types them (G-05)."""

import json
import logging
from pathlib import Path

import pytest
import tiny_recognition
import torch
import typer
from click.testing import Result
from tiny_detection import TINY
from typer.testing import CliRunner

from app.cli import evaluate_detector, train_detector

app = typer.Typer()
training, evaluation = typer.Typer(), typer.Typer()
train_detector.register(training)
evaluate_detector.register(evaluation)
training.callback()(lambda: None)
evaluation.callback()(lambda: None)
app.add_typer(training, name="train")
app.add_typer(evaluation, name="evaluate")

SET = [word for each in TINY if "epochs" not in each for word in ("--set", each)]


def partlab(*words: object, code: int = 0) -> Result:
    answer = CliRunner().invoke(app, [*map(str, words)])
    assert answer.exit_code == code, answer.output
    return answer


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A world, and a detector trained on it from a network of timm's."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("detection")
    tiny_recognition.world(folder / "world")
    words = ("small_resnet8", folder / "world", "--recipe", "small", "--device", "cpu", *SET)
    out = ("--out", folder / "det", "--method", "free", "--replays", 2, "--eps", "2/255")
    said = partlab("train", "detector", *words, *out, "--epochs", 1).stdout
    assert "a detector of 2 classes on small_resnet8 by free adversarial training, 1 epoch" in said
    assert "on 18 images, on validation box AP" in said
    return folder


def test_short_options_are_settings(place: Path) -> None:
    config = json.loads((place / "det" / "config.json").read_text("utf-8"))["config"]
    assert config["attack"]["method"] == "free"
    assert config["attack"]["replays"] == 2
    assert config["attack"]["eps"] == pytest.approx(2 / 255)
    assert config["train"]["epochs"] == 1
    assert config["boxes"] == "objects"


def test_a_table_and_json(place: Path) -> None:
    given = ("--out", place / "results", "--attacks", "cls,reg", "--steps", 2, "--device", "cpu")
    words = ("evaluate", "detector", place / "det", place / "world", *given)
    said = partlab(*words, "--per-class", "--reference").stdout
    assert "2 images" in said
    for word in ("AP50", "clean", "A_cls", "A_reg", "→", "cat", "ram"):
        assert word in said
    assert "PGD, linf 4/255, 2 steps of 1/255, no restart" in said
    assert "Published, not measured here, other data and network (PartImageNet++ Table S5" in said
    assert "30.3" in said
    found = json.loads(partlab(*words, "--json").stdout)
    assert found == json.loads((place / "results" / "detection.json").read_text("utf-8"))
    assert [row["attack"] for row in found["rows"]] == ["clean", "cls", "reg"]
    assert found["settings"]["eps"] == pytest.approx(4 / 255)
    again = json.loads(partlab(*words, "--attacks", "cls", "--json").stdout)
    assert [row["attack"] for row in again["rows"]] == ["clean", "cls", "reg"]  # none is lost
    one = json.loads(
        partlab(*words[:4], *given[:2], "--attacks", "reg", *given[4:], "--json").stdout
    )
    assert one["rows"] == found["rows"]


def test_what_is_left_is_told_before(place: Path, tmp_path: Path) -> None:  # RK-14
    given = ("--out", tmp_path / "out", "--attacks", "cls", "--steps", 2, "--device", "cpu")
    words = ("evaluate", "detector", place / "det", place / "world", *given)
    dry = json.loads(partlab(*words, "--dry-run", "--json").stdout)["models"][0]
    assert (dry["images"], dry["verdicts"], dry["done"]) == (2, 4, 0)
    assert (dry["forwards"], dry["gradients"]) == (2 + 2 * (2 + 3), 2 * 2)
    assert dry["hours"] > 0
    assert not (tmp_path / "out").exists()
    assert "more than --max-hours" in partlab(*words, "--max-hours", 1e-9, code=2).stderr
    partlab(*words)
    partlab(*words, "--max-hours", 1e-9)  # nothing is left


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--eps", "4"], 2, "eps 4 is the whole range of colours"),
        (["--eps", "four"], 2, "--eps 'four' is no number"),
        (["--attacks", "cls,box"], 3, "unknown attack on a detector 'box'"),
        (["--split", "test"], 3, "no split 'test'"),
        (["--checkpoint", "first"], 3, "has no checkpoint first.safetensors"),
    ],
)
def test_slips_are_one_sentence(place: Path, words, code, sentence, tmp_path) -> None:
    given = (place / "det", place / "world", "--out", tmp_path / "out")
    answer = partlab("evaluate", "detector", *given, *words, code=code)
    assert sentence in answer.stderr
    assert "Traceback" not in answer.output


def test_training_slips_are_one_sentence(place: Path, tmp_path: Path) -> None:
    words = ("train", "detector", "small_resnet8", place / "world", "--out", tmp_path / "det")
    answer = partlab(*words, "--eps", "4", code=2)
    assert "eps 4 is the whole range of colours" in answer.stderr
    answer = partlab(*words, "--recipe", "tiny", code=3)
    assert "unknown recipe of a detector 'tiny'" in answer.stderr
    answer = partlab(*words, "--set", "attack.method=trades", code=2)
    assert "settings in --set: attack.method 'trades' is none of a detector's" in answer.stderr
    assert not (tmp_path / "det").exists()


def test_the_same_command_goes_on(place: Path, caplog) -> None:
    words = ("small_resnet8", place / "world", "--recipe", "small", "--device", "cpu", *SET)
    out = ("--out", place / "det", "--method", "free", "--replays", 2, "--eps", "2/255")
    with caplog.at_level(logging.INFO):
        partlab("train", "detector", *words, *out, "--epochs", 1)
    assert "finished already: step 10 of 10" in caplog.text
    answer = partlab("train", "detector", *words, *out, "--epochs", 2, code=1)
    assert "train.epochs (1 there, 2 now)" in answer.stderr
