"""`partlab evaluate parts` and `panel`: both kinds of part model, clean and attacked."""

import json
from pathlib import Path

import pytest
import tiny_recognition
import torch
from PIL import Image
from typer.testing import CliRunner

from app.cli.main import app
from train.experiments import parse_experiment

pytest.importorskip("segmentation_models_pytorch")
pytest.importorskip("transformers")

SMALL = (
    "model.decoder=16", "model.detector.queries=8", "model.detector.layers=1",
    "model.detector.width=16", "attack.method=none", "train.batch_size=8",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A world and runs of it: pooling, seq, vanilla; hardly trained."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("parts")
    tiny_recognition.world(place / "world")
    for name, experiment in (("pooling", "part-pooling-4-semi"), ("seq", "part-seq-semi"),
                             ("plain", "normal")):  # fmt: skip
        settings = [*parse_experiment(experiment).overrides(), *SMALL]
        tiny_recognition.train(place / "world", place / name, *settings)
    return place


def partlab(*words: object, code: int = 0) -> str:
    answer = CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])
    assert answer.exit_code == code, answer.output
    return answer.output if code else answer.stdout


def test_one_table_of_both_kinds_beside_the_published(place, tmp_path) -> None:
    asked = ("parts", place / "pooling", place / "seq", place / "world", "--out", tmp_path,
             "--split", "train", "--steps", 2, "--batch", 6, "--checkpoint", "last")  # fmt: skip
    told = partlab(*asked)
    lines = {line.split()[0]: line for line in told.splitlines() if line.split()}
    assert {"pooling", "seq"} <= lines.keys()
    assert told.count("published 2.3:") == 14
    assert told.count("published 2.2:") == 10
    assert "not comparable" in told
    records = json.loads(partlab(*asked, "--json"))
    assert records["seq"]["finds"] == "boxes"
    for record in records.values():
        for when in ("clean", "attacked"):
            assert all(0 <= value <= 1 for value in record[when].values())
        assert record["clean"]["ap50"] >= record["clean"]["ap"]
    kept = tmp_path / "pooling" / "parts.json"
    first = kept.stat().st_mtime_ns
    partlab(*asked)
    assert kept.stat().st_mtime_ns == first  # measured already
    assert "published" not in partlab(*asked, "--no-reference")


def test_the_panel_has_six_rows_of_both_and_four_of_one(place, tmp_path) -> None:
    world = place / "world"
    both, one = tmp_path / "both.png", tmp_path / "one.png"
    given = ("--split", "train", "--pictures", 3, "--checkpoint", "last")
    partlab("panel", place / "seq", place / "pooling", world, "--out", both, *given, "--steps", 2)
    partlab("panel", place / "pooling", world, "--out", one, *given)
    with Image.open(both) as six, Image.open(one) as four:
        assert six.width == four.width
        assert 350 < six.height - four.height < 450  # two rows of 200 pixels
    said = partlab("panel", place / "pooling", world, "--out", one, *given, code=1)
    assert "exists" in said


def test_what_says_nothing_of_parts_is_told(place, tmp_path) -> None:
    world, twice = place / "world", tmp_path / "twice.png"
    asked = ("parts", place / "plain", world, "--out", tmp_path / "out", "--checkpoint", "last")
    assert "says nothing of parts" in partlab(*asked, code=2)
    said = partlab("panel", place / "pooling", place / "pooling", world, "--out", twice,
                   "--split", "train", "--checkpoint", "last", code=2)  # fmt: skip
    assert "one of each" in said
    assert "name runs" in partlab("parts", world, "--out", tmp_path / "out", code=2)
