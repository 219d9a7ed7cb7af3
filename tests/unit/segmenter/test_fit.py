"""Training: exact resume after kill -9, checkpoints, alarms, several processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from partlab.coco import read_coco
from partlab.errors import (
    BusyError,
    ConfigError,
    DatasetError,
    NotFoundError,
    OutputExistsError,
    PartlabError,
)
from partlab.files import exclusive
from partlab.parts import Parts
from partlab.training.schedule import learning_rate
from segmenter.data import Augment, TrainingSet, epoch_batches, pad_batch
from segmenter.runs import best_score, load_segmenter, read_metrics, read_run
from segmenter.train import train_segmenter

TINY = [
    "model.backbone=test_efficientnet",
    "model.weights=none",
    "model.first_stride=8",
    "model.channels=16",
    "model.image_size=64",
    "model.box_features=16",
    "model.mask_channels=8",
    "model.mask_layers=1",
    "model.rois=8",
    "model.proposals=20",
    "train.batch_size=2",
    "train.workers=0",
    "train.val_images=2",
    "train.checkpoint_steps=2",
]


@pytest.fixture
def data(make_dataset) -> Path:
    """Eight pictures of two objects, in a folder with the splits train and val."""
    cat = [("cat:body", (4, 20, 40, 18)), ("cat:head", (40, 5, 15, 15))]
    car = [("car:wheel", (5, 25, 12, 12)), ("car:wheel", (40, 25, 12, 12))]
    images = [(f"{o}/{i}.png", o, p) for i in range(4) for o, p in (("cat", cat), ("car", car))]
    made = make_dataset(images)
    assert made.path is not None
    (made.path.parent / "val.json").write_bytes(made.path.read_bytes())
    return made.path.parent.parent


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return load_file(run / f"{name}.safetensors")


def command(data: Path, run: Path, *settings: str) -> list[str]:
    sets = [word for setting in (*TINY, *settings) for word in ("--set", setting)]
    base = ["-m", "app.cli.main", "segmenter", "train", str(data), "--out", str(run)]
    return [*base, *sets]


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_a_run_folder_holds_what_it_promises(data, tmp_path) -> None:
    run = tmp_path / "run"
    summary = train_segmenter(data, run, overrides=[*TINY, "train.epochs=2"])
    files = {path.name for path in run.iterdir()} - {".lock"}
    assert files == {
        "config.json",
        "metrics.jsonl",
        "best.safetensors",
        "last.safetensors",
        "state.pt",
        "train_images.txt",
    }
    assert read_run(run)["config"]["model"]["backbone"] == "test_efficientnet"
    assert summary["best_val_ap50"] is not None
    assert [m["epoch"] for m in read_metrics(run) if "val_ap50" in m] == [1, 2]
    segmenter = load_segmenter(run)
    picture = np.zeros((40, 60, 3), np.uint8)
    free, kept = segmenter.predict_both([picture], ["car"])
    assert set(kept[0].labels.tolist()) <= set(segmenter.parts.by_object["car"])
    assert all(rle["size"] == [40, 60] for rle in free[0].masks)


def test_the_saved_settings_can_be_fed_back(data, tmp_path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    train_segmenter(data, first, overrides=[*TINY, "train.epochs=1"])
    (tmp_path / "settings.json").write_text(json.dumps(read_run(first)["config"]))
    train_segmenter(data, second, config_file=tmp_path / "settings.json")
    for name, tensor in weights(first).items():
        assert torch.equal(tensor, weights(second)[name])


def test_kill_and_resume_gives_the_weights_of_an_uninterrupted_run(data, tmp_path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(
        [sys.executable, *command(data, whole, "train.epochs=3")], check=True, env=one_thread()
    )
    killed = subprocess.Popen(
        [sys.executable, *command(data, broken, "train.epochs=3")], env=one_thread()
    )
    deadline = time.monotonic() + 240
    while not (broken / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert torch.load(broken / "state.pt", weights_only=True)["step"] < 12
    subprocess.run(
        [sys.executable, *command(data, broken, "train.epochs=3")], check=True, env=one_thread()
    )
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(broken)[name]), name
    steps = [m["step"] for m in read_metrics(broken) if "loss" in m]
    assert steps == sorted(set(steps))


def test_two_processes_share_the_images_and_agree(data, tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "old.txt").write_text("of an earlier run")
    (run / "config.json").write_text("{}")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--master-port", "29617", *command(data, run, "train.epochs=1")]
    told = subprocess.run(
        [*launch, "--force", "--json"],
        check=True,
        env=one_thread(),
        timeout=400,
        stdout=subprocess.PIPE,
    )
    assert json.loads(told.stdout)["run"] == str(run)  # one process speaks
    assert not (run / "old.txt").exists()
    assert torch.load(run / "state.pt", weights_only=True)["step"] == 2  # 8 images / 2 / 2
    assert all(torch.isfinite(tensor).all() for tensor in weights(run).values())
    with pytest.raises(OutputExistsError, match=r"number of processes \(2 there, 1 now\)") as told:
        train_segmenter(data, run, overrides=[*TINY, "train.epochs=1"])
    assert "--nproc-per-node 2" in str(told.value.hint)


def test_another_setting_or_other_files_are_refused(data, tmp_path) -> None:
    run = tmp_path / "run"
    train_segmenter(data, run, overrides=[*TINY, "train.epochs=1"])
    with pytest.raises(OutputExistsError, match="another config"):
        train_segmenter(data, run, overrides=[*TINY, "train.epochs=2"])
    before = weights(run)
    train_segmenter(data, run, overrides=[*TINY, "train.epochs=1"])  # finished: nothing to do
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(run).items())
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"dear to me")
    with pytest.raises(OutputExistsError, match="already exists"):
        train_segmenter(data, tmp_path / "photos", overrides=TINY)
    assert (tmp_path / "photos" / "holiday.jpg").exists()


def test_force_spares_the_data_and_a_run_that_is_being_trained(data, tmp_path) -> None:
    with pytest.raises(OutputExistsError, match="holds no run"):
        train_segmenter(data, data, overrides=TINY, force=True)
    assert (data / "annotations" / "train.json").is_file()
    run = tmp_path / "run"
    with exclusive(run), pytest.raises(BusyError):
        train_segmenter(data, run, overrides=TINY, force=True)


def test_a_run_killed_before_its_settings_were_written_goes_on(data, tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in (".lock", "train_images.txt", ".config.json.12.tmp"):
        (run / name).write_text("")
    train_segmenter(data, run, overrides=[*TINY, "train.epochs=1"])
    assert read_run(run)["names"]


def test_nan_alarm_stops_with_advice(data, tmp_path) -> None:
    settings = [*TINY, "train.epochs=8", "train.lr=1e30", "train.warmup_steps=0"]
    with pytest.raises(PartlabError, match="without a finite gradient") as caught:
        train_segmenter(data, tmp_path / "run", overrides=settings)
    assert "train.lr=" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"overrides": ["model.bakbone=x"]}, ConfigError, "unknown setting 'model.bakbone'"),
        ({"overrides": ["train.lr=-1"]}, ConfigError, "train.lr"),
        ({"recipe": "huge"}, ConfigError, "unknown recipe 'huge'"),
        ({"backend": "torchvison"}, NotFoundError, "unknown segmenter backend"),
        ({"split": "test"}, NotFoundError, "no split 'test'"),
    ],
)
def test_clear_refusals(data, tmp_path, change, error, words) -> None:
    with pytest.raises(error, match=words):
        train_segmenter(data, tmp_path / "run", **{"overrides": TINY, **change})
    assert not (tmp_path / "run" / "config.json").exists()


def test_wrong_checkpoints_are_named(data, tmp_path) -> None:
    run = tmp_path / "run"
    train_segmenter(data, run, overrides=[*TINY, "train.epochs=1"])
    (run / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes()[:1000])
    with pytest.raises(DatasetError, match=r"best\.safetensors is damaged"):
        load_segmenter(run)
    with pytest.raises(NotFoundError, match=r"no checkpoint third\.safetensors"):
        load_segmenter(run, checkpoint="third")
    with pytest.raises(NotFoundError, match="not a segmenter run"):
        load_segmenter(tmp_path)


def test_a_damaged_picture_is_named_before_training(data, tmp_path) -> None:
    (data / "images" / "cat" / "0.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DatasetError, match=r"cat/0\.png"):
        train_segmenter(data, tmp_path / "run", overrides=[*TINY, "train.epochs=1"])
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_picture_is_one_sentence_from_any_process(data, tmp_path, workers) -> None:
    picture = data / "images" / "cat" / "0.png"
    picture.write_bytes(picture.read_bytes()[:600])  # the header is whole
    settings = [*TINY, "train.epochs=1", f"train.workers={workers}"]
    with pytest.raises(DatasetError, match=r"cat/0\.png") as caught:
        train_segmenter(data, tmp_path / "run", overrides=settings)
    assert "Traceback" not in caught.value.message


def test_a_bad_validation_mask_is_left_out_and_told(data, tmp_path, caplog) -> None:
    file = data / "annotations" / "val.json"
    loaded = json.loads(file.read_text())
    loaded["annotations"][0]["segmentation"] = [[1, 2, 3]]
    file.write_text(json.dumps(loaded))
    train_segmenter(data, tmp_path / "run", overrides=[*TINY, "train.epochs=1"])
    assert "validation: 1 of " in caplog.text
    assert "left out; annotation" in caplog.text
    assert best_score(tmp_path / "run") is not None


def test_a_data_set_may_move_but_not_change(data, tmp_path) -> None:
    run = tmp_path / "run"
    train_segmenter(data, run, overrides=[*TINY, "train.epochs=1"])
    moved = data.rename(tmp_path / "moved")
    train_segmenter(moved, run, overrides=[*TINY, "train.epochs=1"])
    file = moved / "annotations" / "train.json"
    file.write_text(file.read_text().replace("human:a", "human:b"))
    with pytest.raises(OutputExistsError, match="another data"):
        train_segmenter(moved, run, overrides=[*TINY, "train.epochs=1"])


def test_samples_depend_on_seed_epoch_and_position_only(data) -> None:
    dataset = read_coco(data / "annotations" / "train.json")
    first = TrainingSet(dataset, 64, Augment(), 60)
    second = TrainingSet(dataset, 64, Augment(), 60)
    second[(0, 3)]  # history does not matter
    one, other = first[(5, 2)], second[(5, 2)]
    assert torch.equal(one.pixels, other.pixels)
    assert torch.equal(one.masks, other.masks)
    shapes = {tuple(first[(epoch, 2)].pixels.shape) for epoch in range(6)}
    assert len(shapes) > 1  # augmentation does something


def test_boxes_fit_their_masks_after_resizing_and_flipping(data) -> None:
    dataset = read_coco(data / "annotations" / "train.json")
    samples = TrainingSet(dataset, 64, Augment(), 60)
    for epoch in range(4):
        sample = samples[(epoch, 1)]
        for box, mask in zip(sample.boxes.long(), sample.masks, strict=True):
            x1, y1, x2, y2 = box.tolist()
            assert mask[y1:y2, x1:x2].sum() == mask.sum()
            assert mask[y1, x1:x2].any()
            assert mask[y1:y2, x2 - 1].any()


def test_a_mirrored_picture_swaps_left_and_right() -> None:
    names = ["car:left side", "car:right side", "cat:left ear", "cat:upright", "car:wheel"]
    assert list(Parts.of(names).mirrored()) == [1, 0, 2, 3, 4]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_each_epoch_visits_every_image_once_and_evenly(world) -> None:
    aspects = [0.5 + i / 10 for i in range(31)]
    parts = [
        epoch_batches(aspects, 4, seed=1, epoch=2, rank=rank, world=world) for rank in range(world)
    ]
    assert len({len(part) for part in parts}) == 1  # equal steps, or processes would wait for ever
    seen = [i for part in parts for batch in part for i in batch]
    assert len(seen) == len(set(seen)) == 31 - 31 % world
    assert parts != [
        epoch_batches(aspects, 4, seed=1, epoch=3, rank=rank, world=world) for rank in range(world)
    ]


def test_padding_is_right_and_below() -> None:
    small, wide = torch.ones(3, 10, 20, dtype=torch.uint8), torch.ones(3, 5, 40, dtype=torch.uint8)
    batch, sizes = pad_batch([small, wide])
    assert batch.shape == (2, 3, 32, 64)
    assert sizes == [(10, 20), (5, 40)]
    assert batch[0, 0].sum() == 200
    assert batch[0, :, :10, :20].all()


def test_learning_rate_warms_up_and_comes_down() -> None:
    rates = [learning_rate(step, 100, lr=1.0, warmup_steps=10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.02
    assert rates[10:] == sorted(rates[10:], reverse=True)
