"""The prompt head: begins as the run's mask head, learns, lies beside the run, is used there."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner, Result

from app.cli.main import app
from partlab.errors import ConfigError, DatasetError, OutputExistsError
from partlab.parts import Parts
from segmenter.part_rcnn import ModelConfig
from segmenter.prompt import Click, Prompts, prompter_of
from segmenter.prompt.head import MAPS, SIDE, PromptHead
from segmenter.prompt.head_file import files, has_head
from segmenter.prompt.lesson import Lesson, losses
from segmenter.prompt.look import Looker
from segmenter.prompt.network import NetworkPrompter
from segmenter.prompt.train import TRAINING, train_prompt_head
from segmenter.prompt.trained import TrainedPrompter
from segmenter.prompt.views import moved, views_of
from segmenter.runs import load_segmenter
from segmenter.torchvision_backend import MaskRCNN

SMALL = {"image_size": 64, "channels": 16, "box_features": 16, "mask_channels": 8, "mask_layers": 1,
         "rois": 8, "proposals": 20, "weights": "none"}  # fmt: skip


@pytest.fixture
def network() -> MaskRCNN:
    torch.manual_seed(0)
    return MaskRCNN(Parts.of(["cat:head", "cat:tail"]), ModelConfig(**SMALL), "cpu")


@pytest.mark.parametrize("kind", ["specific", "agnostic"])
def test_a_new_head_makes_the_masks_of_the_runs_whatever_is_clicked(kind) -> None:
    torch.manual_seed(0)
    config = ModelConfig(**SMALL, mask_head=kind)
    network = MaskRCNN(Parts.of(["cat:head", "cat:tail"]), config, "cpu")
    looker = Looker(network)
    look = looker.look(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    windows, labels = look.places.boxes[:4], np.array([0, 1, 0, 1])
    head = PromptHead.of(network.network.roi_heads.part_masks)
    views = views_of(
        looker, look, windows, [[Click(9, 9), Click(30, 9, positive=False)]] * 4,
        labels=labels, scores=np.ones((4, 2), np.float32), box=[(0, 0, 40, 40)] * 4,
    )  # fmt: skip
    assert views.maps.shape == (4, MAPS, SIDE, SIDE)
    assert (views.maps[:, 2] > 0).any()
    masks = torch.from_numpy(looker.masks(look, windows, labels))
    wanted = F.interpolate(masks[:, None], (SIDE, SIDE), mode="bilinear")[:, 0]
    assert torch.allclose(head(views)[0], wanted, atol=1e-5)


def test_logits_move_with_the_window() -> None:
    logits = torch.full((1, SIDE, SIDE), -5.0)
    logits[0, :, : SIDE // 2] = 5
    old, new = np.array([[0, 0, 56, 56]], np.float32), np.array([[28, 0, 84, 56]], np.float32)
    assert torch.equal(moved(logits, old, old) > 0, logits > 0)
    found = moved(logits, old, new)[0]
    assert (found[:, :27] < 0).all()
    assert (found[:, 30:] <= -5).all()  # beyond the old window nothing is inside
    back = moved(logits, new, old)[0]
    assert (back[:, 29:55] > 0).all()


def test_it_learns_to_obey(network) -> None:
    """A few steps on one picture: the mask loss falls, and only the head has changed."""
    before = {k: v.clone() for k, v in network.network.state_dict().items()}
    masks = np.zeros((2, 64, 64), bool)
    masks[0, 5:30, 5:40], masks[1, 40:60, 10:60] = True, True
    pixels = np.full((64, 64, 3), 60, np.uint8)
    pixels[masks[0]], pixels[masks[1]] = (200, 40, 40), (40, 40, 200)
    lesson = Lesson(pixels, masks, np.array([0, 1]))
    looker, head = Looker(network), PromptHead.of(network.network.roi_heads.part_masks)
    optimizer = torch.optim.AdamW(head.parameters(), lr=5e-3)
    told = []
    for step in range(25):
        each = losses(head, looker, lesson, 2, np.random.default_rng(step % 5))
        optimizer.zero_grad()
        sum(each.values()).backward()
        optimizer.step()
        told.append(float(each["mask"].detach()))
    assert np.mean(told[-5:]) < 0.6 * np.mean(told[:5])
    assert all(torch.equal(v, before[k]) for k, v in network.network.state_dict().items())
    assert all(p.grad is not None for p in head.parameters())


@pytest.fixture(scope="module")
def world_and_run(tmp_path_factory):
    from annotate.world import WorldConfig, make_world
    from segmenter.train import train_segmenter

    place = tmp_path_factory.mktemp("prompts")
    make_world(
        place / "world",
        WorldConfig(images=12, pool=2, heldout=2, size=64, objects=("mug", "cat")),
    )
    overrides = [f"model.{key}={value}" for key, value in SMALL.items()]
    train_segmenter(
        place / "world", place / "run", recipe="small",
        overrides=[*overrides, "train.epochs=1", "train.val_images=0"],
    )  # fmt: skip
    return place / "world", place / "run"


FEW = ("train.epochs=1", "train.images=4", "train.rounds=2", "train.masks_per_image=2")


def test_a_trained_head_lies_beside_the_run_and_is_used(world_and_run, tmp_path) -> None:
    world, run = world_and_run
    segmenter = load_segmenter(run)
    assert isinstance(prompter_of(segmenter), NetworkPrompter)
    done = train_prompt_head(run, world, overrides=FEW)
    assert done["loss"] > 0
    assert not (run / TRAINING).exists()
    prompter = prompter_of(segmenter)
    assert isinstance(prompter, TrainedPrompter)
    pixels = np.random.default_rng(0).integers(0, 255, (70, 50, 3), dtype=np.uint8)
    answer = prompter.answer(pixels, Prompts((Click(20, 20),)), part="cat:head")
    assert (answer.way, answer.part) == ("prompted", "cat:head")
    with pytest.raises(OutputExistsError, match=r"prompt\.json"):
        train_prompt_head(run, world, overrides=FEW)
    first = files(run)[1].read_bytes()
    train_prompt_head(run, world, overrides=FEW, force=True)
    assert files(run)[1].read_bytes() == first  # the same seed, the same head

    facts = json.loads(files(run)[0].read_text())
    files(run)[0].write_text(json.dumps({**facts, "weights": "0" * 64}))
    with pytest.raises(DatasetError, match=r"trained on other weights than best\.safetensors"):
        prompter_of(segmenter)
    files(run)[0].unlink()
    assert isinstance(prompter_of(segmenter), NetworkPrompter)


def test_a_setting_that_there_is_not_is_said_before_anything_is_done(world_and_run) -> None:
    world, run = world_and_run
    with pytest.raises(ConfigError, match="rownds"):
        train_prompt_head(run, world, overrides=["train.rownds=2"])


# --- the command, and what kills it --------------------------------------------------------


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "app.cli.main", "segmenter", "prompt-head", *map(str, words)]


def told(*words: object) -> Result:
    """The same in this process, which has loaded torch."""
    return CliRunner().invoke(app, ["segmenter", "prompt-head", *map(str, words)])


@pytest.fixture
def run(world_and_run, tmp_path):
    """A run of its own, without a head."""
    copied = shutil.copytree(world_and_run[1], tmp_path / "run")
    for file in files(copied):
        file.unlink(missing_ok=True)
    return copied


LONGER = [
    "train.epochs=2", "train.rounds=2", "train.masks_per_image=2", "train.checkpoint_steps=1",
    "train.workers=0",
]  # fmt: skip
SET = [word for each in LONGER for word in ("--set", each)]


def test_the_command_killed_goes_on_to_the_same_head(world_and_run, run, tmp_path) -> None:
    world, whole = world_and_run[0], shutil.copytree(run, tmp_path / "whole")
    process = subprocess.Popen(command(run, world, *SET), stderr=subprocess.DEVNULL)
    state, until = run / TRAINING / "state.pt", time.monotonic() + 400
    while not state.is_file():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not has_head(run)
    assert isinstance(prompter_of(load_segmenter(run)), NetworkPrompter)
    other = told(run, world, *SET, "--set", "train.lr=0.5")
    assert other.exit_code == 1, "an unfinished training of other settings is not gone on with"
    again = told(run, world, *SET, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["epochs"] == 2
    assert not list(run.glob(f"{TRAINING}*"))
    assert isinstance(prompter_of(load_segmenter(run)), TrainedPrompter)
    train_prompt_head(whole, world, overrides=LONGER)
    assert [file.read_bytes() for file in files(run)] == [f.read_bytes() for f in files(whole)]
    twice = told(run, world, *SET)
    assert (twice.exit_code, "--force" in twice.output) == (1, True)


def test_a_head_killed_while_it_is_written_is_none(world_and_run, run, monkeypatch) -> None:
    """Also where an earlier one lies there: its description is not that of the new tensors."""
    world, _ = world_and_run
    train_prompt_head(run, world, overrides=FEW)

    def killed(*_: object) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr("segmenter.prompt.head_file.write_json", killed)
        with pytest.raises(SystemExit):
            train_prompt_head(run, world, overrides=[*FEW, "train.lr=0.01"], force=True)
    assert files(run)[1].is_file()
    assert not has_head(run)
    train_prompt_head(run, world, overrides=[*FEW, "train.lr=0.01"])
    assert json.loads(files(run)[0].read_text())["config"]["lr"] == 0.01


def test_what_the_command_is_not_given_has_its_exit_code(world_and_run, run, tmp_path) -> None:
    world, _ = world_and_run
    for words, code in (
        ((tmp_path / "no", world), 3),
        ((run, tmp_path / "no"), 3),
        ((run, world, "--set", "train.rownds=2"), 2),
    ):
        assert told(*words).exit_code == code, words
    assert not has_head(run)
    assert not (run / TRAINING).exists()
