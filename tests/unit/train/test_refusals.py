"""What cannot be trained is told before anything is written, and nothing is left out in silence."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_recognition
import torch
from PIL import Image
from tiny_recognition import DiesAt, Stopped, config, train

from partlab.coco import read_dataset, write_coco
from partlab.errors import (
    ConfigError,
    DatasetError,
    OutputExistsError,
    PartlabError,
    UnknownNameError,
)
from partlab.files import write_json
from partlab.progress import listening
from partlab.schema import Dataset
from partlab.training.runs import read_metrics
from train.export import export_model
from train.pictures import open_pictures
from train.recipes import changed
from train.train import plan_training, train_model


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_recognition.world(tmp_path_factory.mktemp("refusals") / "world")


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(world, tmp_path_factory.mktemp("refusals") / "run", "train.epochs=1")


def without_masks(data: Path, out: Path) -> Path:
    """The same pictures and categories, nothing drawn."""
    found = read_dataset(data, "train")
    bare = Dataset(found.images, [], found.categories, image_root=data / "images")
    write_coco(bare, out / "annotations" / "train.json")
    (out / "images").symlink_to(data / "images")
    return out


def test_force_spares_what_is_no_run(world: Path, tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "a.jpg").write_bytes(b"somebody's")
    with pytest.raises(OutputExistsError, match=r"holds no run \(a\.jpg\)"):
        train(world, photographs, force=True)
    with pytest.raises(OutputExistsError, match=r"holds the input|holds no run"):
        train(world, world / "images", force=True)
    single = tmp_path / "file"
    single.write_bytes(b"not a folder")
    with pytest.raises(OutputExistsError, match="is a file, not a folder"):
        train(world, single, force=True)
    assert (photographs / "a.jpg").read_bytes() == b"somebody's"
    assert single.read_bytes() == b"not a folder"
    assert len(list((world / "images").rglob("*.*"))) > 20


def test_force_spares_what_the_training_reads(world: Path, run: Path, tmp_path: Path) -> None:
    """Also the validation set, and settings in a folder that was a run."""
    old = Path(shutil.copytree(run, tmp_path / "old"))
    moved = Path(shutil.copytree(world, old / "world"))
    with pytest.raises(OutputExistsError, match="holds the input"):
        train(world, old, force=True, val=moved)
    settings = old / "mine.toml"
    settings.write_text("")
    with pytest.raises(OutputExistsError, match="holds the input"):
        train(world, old, force=True, config_file=settings)
    assert (old / "best.safetensors").is_file()


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("train.batch_size=4000", ConfigError),
        ("model.backbone=small_resnet", PartlabError),
        ("model.start=nowhere", PartlabError),
        ("attack.method=pdg", UnknownNameError),
        ("train.min_lr=1", ConfigError),
        ('data.mirror=[["wing", "fin"]]', UnknownNameError),
    ],
)
def test_what_cannot_be_trained_leaves_the_old_run_and_no_new_one(
    world: Path, run: Path, tmp_path: Path, override: str, error: type[Exception]
) -> None:
    old = Path(shutil.copytree(run, tmp_path / "old"))
    before = (old / "best.safetensors").read_bytes()
    with pytest.raises(error):
        train(world, old, override, force=True)
    assert (old / "best.safetensors").read_bytes() == before
    with pytest.raises(error):
        train(world, tmp_path / "new", override)
    assert not (tmp_path / "new" / "config.json").exists()
    with pytest.raises(error):  # a dry run says the same
        plan_training(world, tmp_path / "dry", config=config(override))


def test_a_device_that_there_is_not_leaves_no_run(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device 'cuda:77' cannot be used here"):
        train_model(world, tmp_path / "new", config=config(), device="cuda:77")
    assert not (tmp_path / "new" / "config.json").exists()


@pytest.mark.parametrize(
    "setting", ["train.lr=inf", "attack.eps=nan", "train.seed=99999999999999999999"]
)
def test_numbers_that_are_none(setting: str) -> None:
    with pytest.raises(ConfigError):
        changed(config(), [setting])


def test_nothing_drawn_is_nothing_to_learn_parts_from(world: Path, tmp_path: Path) -> None:
    bare = without_masks(world, tmp_path / "bare")
    with pytest.raises(DatasetError, match="no picture has a part mask") as caught:
        train(bare, tmp_path / "run", val=world)
    assert "18 of them without any part" in str(caught.value)
    assert "--model vanilla" in str(caught.value.hint)
    found = open_pictures([bare], cache=tmp_path / "maps")
    assert (len(found), found.with_parts) == (18, 0)
    train(bare, tmp_path / "vanilla", "train.epochs=1", kind="vanilla", val=world)


def test_what_is_in_an_earlier_source_is_counted_each_time(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = read_dataset(world, "train")
    some = found.subset([image.id for image in found.images[:7]])
    again = write_coco(some, world / "annotations" / "again.json")
    for attempt in range(2):
        caplog.clear()
        pictures = open_pictures([world, again], cache=tmp_path / "maps")
        (said,) = [r.getMessage() for r in caplog.records if "have no label map" in r.getMessage()]
        assert "7 of 25 images have no label map" in said, attempt
        assert len(pictures) == 18
    again.unlink()


def test_other_peoples_classes_and_parts_are_said(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "classes"
    for name in ("cat", "catt"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(folder / name / "a.png")
    with caplog.at_level(logging.WARNING):
        open_pictures([world], plain=[folder], cache=tmp_path / "maps")
    assert "has 1 classes without parts, so that nothing is known of theirs: catt" in caplog.text


def test_an_unfinished_run_is_told_when_it_is_exported(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Stopped), listening(DiesAt(9)):
        train_model(
            world, tmp_path / "run", recipe="small_at", model="mpm", device="cpu",
            overrides=tiny_recognition.TINY,
        )  # fmt: skip
    card = export_model(tmp_path / "run", tmp_path / "out")
    assert "is not finished: 2 of 3 epochs are done" in caplog.text
    assert card["training"]["epochs_done"] == 2
    assert (card["training"]["recipe"], card["training"]["variant"]) == ("small_at", "code")
    assert json.loads((tmp_path / "out" / "card.json").read_text())["training"]["recipe"]


def test_the_log_of_a_killed_run_has_no_step_twice(world: Path, tmp_path: Path) -> None:
    """Also where it died before its first saved state."""
    settings = ["train.checkpoint_steps=1000"]
    whole = read_metrics(train(world, tmp_path / "whole", *settings))
    with pytest.raises(Stopped), listening(DiesAt(3)):
        train(world, tmp_path / "broken", *settings)
    (tmp_path / "broken" / "metrics.jsonl").write_text(
        '{"note": 1}\n{"step": 4, "epoch": 1, "loss": 9.0}\n[]\n'
    )
    again = read_metrics(train(world, tmp_path / "broken", *settings))
    assert [(m["step"], "loss" in m) for m in again] == [(m["step"], "loss" in m) for m in whole]
    timed = ("seconds", "pictures_per_second")
    for one, other in zip(whole, again, strict=True):
        assert {k: v for k, v in one.items() if k not in timed} == {
            k: v for k, v in other.items() if k not in timed
        }


def test_accuracy_in_training_is_of_all_steps(world: Path, tmp_path: Path) -> None:
    """Of 16 pictures that an epoch shows, not of the 4 in its last batch."""
    run = train(world, tmp_path / "run", "train.epochs=2", "attack.method=none")
    shares = [m["class_accuracy"] for m in read_metrics(run) if "loss" in m]
    assert all(16 * share == pytest.approx(round(16 * share)) for share in shares)
    assert any(4 * share != pytest.approx(round(4 * share)) for share in shares)


def test_a_strange_run_folder_is_not_a_store(tmp_path: Path, world: Path) -> None:
    """A config.json of somebody else is not replaced either."""
    write_json(tmp_path / "x" / "config.json", ["mine"])
    with pytest.raises(PartlabError, match="does not describe a run"):
        train(world, tmp_path / "x", force=True)
