"""Part models of Berkeley through the trainer, the evaluation and the export of all models."""

import copy
from pathlib import Path

import numpy as np
import pytest
import tiny_recognition
import torch
from safetensors.torch import load_file
from tiny_recognition import DiesAt, Stopped
from typer.testing import CliRunner

from app.cli.main import app
from partlab.errors import ConfigError, DatasetError
from partlab.files import read_json
from partlab.progress import listening
from partlab.training.runs import read_metrics
from train.attacks.ball import Ball
from train.evaluate.opened import open_model
from train.exam import examine
from train.experiments import parse_experiment
from train.export import export_model
from train.honesty.models import Looked, check_model
from train.losses import loss_weights
from train.models.load import load_model
from train.settings import PartConfig
from train.train import train_model

pytest.importorskip("segmentation_models_pytorch")

NAMES = (
    "part-pooling-4-no_bg-semi",
    "part-wbbox-norm_img-semi",
    "part-2heads_e-semi",
    "part-2heads_d-semi",
    "part-pixel-semi",
    "part-mask-semi",
    "part-seq-semi",
    "part-2heads-semi",
    "part-sim-learn_mask-1layer-semi",
    "part-wbbox-norm_img-centroid-semi",
    "part-pixel-hard-semi",
)
DETECTORS = ("part-seq-semi", "part-2heads-semi")
SIMPLE = "part-sim-learn_mask-1layer-semi"
FEW = (
    "model.decoder=32",
    "model.detector.queries=10",
    "model.detector.layers=1",
    "model.detector.width=32",
    "model.detector.denoising=10",
    "model.masked.queries=10",
    "model.masked.encoder=1",
    "model.masked.width=32",
    "part.gamma=0",
    "part.smoothing=0",
    "data.shift=0",
    "data.flip=0",
    "train.smoothing=0",
    "train.warmup_epochs=0",
    "train.weight_decay=0",
    "train.batch_size=8",
)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    from annotate.world import make_world

    place = tmp_path_factory.mktemp("berkeley") / "world"
    make_world(place, tiny_recognition.WORLD.model_copy(update={"images": 18, "heldout": 8}))
    return place


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def train(data: Path, run: Path, name: str, *overrides: str) -> Path:
    settings = [*parse_experiment(name).overrides(), *FEW, *overrides]
    return tiny_recognition.train(data, run, *settings)


@pytest.fixture(scope="session")
def fitted(world, tmp_path_factory):  # type: ignore[no-untyped-def]
    """Runs of 16 pictures, by name, made when first asked for."""
    made: dict[str, Path] = {}

    def ask(name: str) -> Path:
        if name not in made:
            out = tmp_path_factory.mktemp("fitted") / name
            epochs = 100 if name == "part-seq-semi" else 40
            settings = ("attack.method=none", f"train.epochs={epochs}", "val.pictures=2")
            made[name] = train(world, out, name, *settings)
        return made[name]

    return ask


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_sixteen_pictures_by_heart(name, world, fitted, tmp_path) -> None:
    run = fitted(name)
    verdicts = examine(
        run, world, split="train", checkpoint="last", cache=tmp_path, steps=1, eps=0.0
    )
    assert np.mean(verdicts.clean) >= 15 / 16
    of, less = {"part-seq-semi": ("boxes", 0.75), "part-2heads-semi": ("boxes", 0.75),
                SIMPLE: ("masks", 0.6)}.get(name, ("part", 0.6))  # fmt: skip
    first, *_, last = (each for each in read_metrics(run) if of in each)
    assert last[of] < less * first[of]


@pytest.mark.parametrize(
    "name", ["part-pooling-4-semi", "part-2heads_e-semi", "part-seq-semi", SIMPLE]
)
def test_clean_then_under_attack_and_a_stopped_run_goes_on(name, world, tmp_path) -> None:
    """T-07: the second half under PGD; the same weights as without the stop."""
    settings = ("attack.clean_epochs=1", "attack.steps=1")
    whole = train(world, tmp_path / "whole", name, *settings)
    with pytest.raises(Stopped), listening(DiesAt(5)):
        train(world, tmp_path / "broken", name, *settings)
    broken = train(world, tmp_path / "broken", name, *settings)
    one, other = (load_file(run / "last.safetensors") for run in (whole, broken))
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@pytest.mark.parametrize(
    "name", ["part-pooling-4-no_bg-semi", "part-2heads_e-semi", *DETECTORS, SIMPLE]
)
def test_exported_with_its_card_it_says_the_same(name, fitted, tmp_path) -> None:
    run = fitted(name)
    card = export_model(run, tmp_path / "model", checkpoint="last")
    model, exported = load_model(run, checkpoint="last"), load_model(tmp_path / "model")
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(images), exported(images))
    assert read_json(tmp_path / "model" / "card.json") == card
    kinds = {"part-2heads_e-semi": "headed", "part-2heads-semi": "vanilla", "part-seq-semi": "seq",
             SIMPLE: "sim"}  # fmt: skip
    assert card["model"]["kind"] == kinds.get(name, "pooling")
    assert card["parameters"] == sum(each.numel() for each in exported.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_its_gradients_are_not_masked(name, world, fitted, tmp_path) -> None:
    """The honesty checks that every model goes through (gradients, randomness, modes)."""
    opened = open_model(fitted(name), checkpoint="last")
    looked = Looked(world, tmp_path, split="train", images=16)
    found = check_model(opened, looked, Ball("linf", 4 / 255))
    wrong = {each.name for each in found.problems} - {"enough_images"}
    assert not wrong & {"zero_gradients", "finite_differences", "randomness", "train_mode"}


@pytest.mark.parametrize(
    "name", ["part-pooling-4-no_bg-semi", "part-2heads_e-semi", *DETECTORS, SIMPLE]
)
def test_pages_and_server_show_it_as_other_models(name, fitted) -> None:
    """Classes, part cells in colour, features, and a picture under attack (page Robustness)."""
    from app.serve.recognition import Pgd, _features, attacked, explained, names_of_parts

    opened = open_model(fitted(name), checkpoint="last")
    seen = np.full((32, 32, 3), 128, np.uint8)
    images = opened.tensor([seen])
    with torch.no_grad():
        assert _features(opened.network, images).shape[0] == 1
    how = Pgd(0, Ball("linf", 8 / 255), steps=2, seed=0)
    moved = attacked(opened, copy.deepcopy(opened.network), seen, how)
    assert moved.exact.shape == (3, 32, 32)
    if name in DETECTORS:
        assert names_of_parts(opened.network) == ()
        return
    with torch.no_grad():
        (found,) = explained(opened.network, images)
    assert len(names_of_parts(opened.network)) == 8
    assert [each.shape for each in found.cells] == [(32, 32)]


def test_the_command_trains_evaluates_and_exports(world, tmp_path) -> None:
    def partlab(*words: object) -> str:
        answer = CliRunner().invoke(app, [str(word) for word in words])
        assert answer.exit_code == 0, answer.output
        return answer.output

    settings = [
        word
        for each in (*tiny_recognition.TINY, *FEW, "train.epochs=1")
        for word in ("--set", each)
    ]
    run, out = tmp_path / "run", tmp_path / "evaluation"
    asked = ["train", "run", "small_at", "--experiment", "part-pooling-4-no_bg-semi"]
    told = partlab(*asked, "--data", world, "--out", run, *settings)
    assert "does not read the background channel" in told
    assert "pooling_small_resnet8" in told
    options = ["--attacks", "pgd-5", "--threats", "linf:4/255", "--batch", "4", "--device", "cpu"]
    partlab("evaluate", run, world, "--out", out, *options)
    partlab("train", "export", run, "--out", tmp_path / "model")


def test_names_that_do_not_fit_are_refused_by_the_command(world, tmp_path) -> None:
    place = ["--data", str(world), "--out", str(tmp_path / "run")]
    for words, code, says in (
        (["--experiment", "part-poolng-4"], 2, "did you mean pooling"),
        (["--experiment", "part-pooling"], 2, "write pooling-4"),
        (["--experiment", "normal", "--model", "mpm"], 2, "both name a model"),
        ([], 2, "no recipe named"),
    ):
        answer = CliRunner().invoke(app, ["train", "run", *words, *place])
        assert answer.exit_code == code
        assert says in answer.output
    assert not (tmp_path / "run").exists()


def test_object_masks_of_pictures_without_objects_are_refused(world, tmp_path) -> None:
    plain = tmp_path / "plain"
    for name in ("cat", "ram"):
        (plain / name).mkdir(parents=True)
        for number in range(4):
            from PIL import Image

            Image.new("RGB", (48, 48)).save(plain / name / f"{number}.png")
    overrides = [*tiny_recognition.TINY, *parse_experiment("object-pooling-4-semi").overrides()]
    with pytest.raises(DatasetError, match="no picture has a part mask"):
        train_model([], tmp_path / "run", recipe="small_at", plain=[plain], overrides=overrides)


def test_a_share_of_nothing_is_nothing() -> None:
    """The released code read `clf_const` 0.0 as not given, and so as 1.0."""
    assert loss_weights(PartConfig(share=0.0)) == (1.0, 0.0)
    assert loss_weights(PartConfig(share=1.0)) == (0.0, 1.0)
    assert loss_weights(PartConfig(share=0.3)) == pytest.approx((0.7, 0.3))
    assert loss_weights(PartConfig(weight=3.0)) == (1.0, 3.0)


def test_without_semi_the_masks_get_no_gradient(world, tmp_path) -> None:
    run = train(world, tmp_path / "run", "part-2heads_e", "train.epochs=1", "attack.method=none")
    assert read_metrics(run)[0]["part"] == 0


def test_a_tenth_of_the_masks_is_the_same_tenth_each_time(world, tmp_path) -> None:
    """N-05: `--semi-label`; which masks are dropped depends on nothing but the data."""
    from train.pictures import PLAIN, open_pictures

    pictures = open_pictures([world], cache=tmp_path)
    first, second = (pictures.with_human_share(0.5) for _ in range(2))
    assert np.array_equal(first.source, second.source)
    assert int((first.source == PLAIN).sum()) == 8


def test_one_picture_a_batch_is_refused_in_words(world, tmp_path) -> None:
    with pytest.raises(ConfigError, match="one picture at a time"):
        train(world, tmp_path / "run", NAMES[0], "train.batch_size=1", "attack.method=none")
    assert not (tmp_path / "run").exists()


def test_the_control_reads_the_masks_of_training_and_validation(world, tmp_path) -> None:
    """Masks alone tell these two apart; PGD moves pictures, and so nothing."""
    settings = ("train.epochs=20", "attack.method=none", "val.pictures=0")
    run = train(world, tmp_path / "run", "part-groundtruth-no_bg", *settings)
    last = [each for each in read_metrics(run) if "val_clean" in each][-1]
    assert last["val_clean"] >= 0.75
    assert last["val_pgd"] == last["val_clean"]
    with pytest.raises(ConfigError, match="reads people's masks"):
        examine(run, world, split="train", checkpoint="last", cache=tmp_path, steps=1)
    said = CliRunner().invoke(app, ["train", "export", str(run), "--out", str(tmp_path / "model")])
    assert said.exit_code == 2
    assert "reads people's masks" in said.output
