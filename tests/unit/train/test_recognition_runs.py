"""Training of recognition models: exact resume, processes, identity, what is logged and refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import tiny_recognition
import torch
from safetensors.torch import load_file
from tiny_recognition import METHODS, DiesAt, Stopped, train

from partlab.coco import read_dataset
from partlab.errors import (
    BusyError,
    ConfigError,
    DatasetError,
    NotFoundError,
    OutputExistsError,
)
from partlab.files import exclusive
from partlab.progress import listening
from partlab.training.runs import append_metrics, read_metrics
from train.attacks.compiled import no_compiler
from train.card import figures
from train.models.load import load_model
from train.recipes import RECIPES, changed, recipe
from train.report import run_summary
from train.runs import read_run, settings_of
from train.train import best_scores, plan_training, train_model


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    return tiny_recognition.world(tmp_path_factory.mktemp("recognition") / "world")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def same(one: Path, other: Path) -> None:
    for name in ("last", "best"):
        a, b = (load_file(run / f"{name}.safetensors") for run in (one, other))
        assert a.keys() == b.keys()
        assert [key for key in a if not torch.equal(a[key], b[key])] == []


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_training_ends_with_the_same_weights(tmp_path, world, method) -> None:
    """RK-17: also with averaged weights and free training's perturbation."""
    settings = [f"attack.method={method}", "train.ema=0.9", "attack.replays=2", "data.jitter=0.2"]
    whole = train(world, tmp_path / "whole", *settings)
    for stop in (2, 5):  # before a saved state and after one
        with pytest.raises(Stopped), listening(DiesAt(stop)):
            train(world, tmp_path / f"broken{stop}", *settings)
        same(whole, train(world, tmp_path / f"broken{stop}", *settings))


def script(*arguments: str | int | Path, processes: int = 1) -> int:
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    start += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    command = start if processes > 1 else [sys.executable]
    words = [*command, tiny_recognition.__file__, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300).returncode


@pytest.mark.parametrize(
    ("processes", "method", "step"),
    [(1, "pgd", 4), (2, "free", 4), pytest.param(2, "pgd", 5, marks=pytest.mark.slow)],
)
def test_kill_9_loses_nothing(tmp_path, world, processes, method, step) -> None:
    """Killed after a saved step, before the last one; of two processes each has its own noise."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert script(world, whole, method, processes=processes) == 0
    assert script(world, broken, method, "die", step, processes=processes) != 0
    assert not (broken / "last.safetensors").exists() or read_metrics(broken)
    assert script(world, broken, method, processes=processes) == 0
    same(whole, broken)


def test_what_is_logged_and_kept(tmp_path, world) -> None:
    run = train(world, tmp_path / "mpm")
    lines = read_metrics(run)
    steps = [line for line in lines if "loss" in line]
    assert {"class", "part", "lr", "pictures_per_second", "class_accuracy", "part_human"} <= (
        steps[-1].keys()
    )
    scored = [line for line in lines if "val_clean" in line]
    assert [line["epoch"] for line in scored] == [1, 2, 3]
    assert all(0 <= line["val_pgd"] <= line["val_clean"] <= 1 for line in scored)
    assert read_run(run)["classes"] == ["cat", "ram"]
    model = load_model(run, device="cpu")
    logits = model(torch.rand(2, 3, 32, 32))
    assert logits.shape == (2, 2)
    assert model(torch.rand(2, 3, 32, 32), parts=True).parts[0].shape[1] == model.part_channels


def test_mpm_and_vanilla_begin_alike(world, tmp_path) -> None:
    """Same seed, same backbone, same pictures: what differs is the part supervision (T-04)."""
    from train.fit import make_network
    from train.train import open_data

    pictures, _ = open_data([world], tmp_path)
    states = []
    for kind in ("vanilla", "mpm"):
        torch.manual_seed(0)
        states.append(make_network(pictures, tiny_recognition.config(kind=kind)).state_dict())
    vanilla, mpm = states
    assert vanilla.keys() < mpm.keys()
    assert all(torch.equal(value, mpm[key]) for key, value in vanilla.items())


@pytest.mark.parametrize("variant", ["code", "text"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs_a_few_steps(tmp_path, world, name, variant) -> None:
    """With a small backbone, since weights of the recipe's own cannot be had everywhere."""
    staged = recipe(name, variant).attack.clean_epochs > 0
    settings = changed(
        recipe(name, variant),
        ["model.backbone=small_resnet8", "model.weights=none", "data.size=32", "train.batch_size=8",
         f"train.epochs={1 + staged}", f"attack.clean_epochs={int(staged)}", "attack.steps=2",
         "attack.warmup_epochs=0", "train.workers=0", "val.steps=1", "val.pictures=2"],
    )  # fmt: skip
    train_model(world, tmp_path / "run", config=settings, device="cpu")
    last = read_metrics(tmp_path / "run")[-1]
    assert last["val_clean"] >= 0


def test_standard_then_adversarial(tmp_path, world) -> None:
    """T-07: clean epochs first, then the attack, with a schedule of its own."""
    run = train(world, tmp_path / "run", "attack.clean_epochs=2", "train.epochs=4")
    rates = {line["epoch"]: line["lr"] for line in read_metrics(run) if "loss" in line}
    assert rates[2] < rates[3]
    assert rates[4] < rates[3]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["part.weight=2"], "part.weight"),
        (["attack.eps=8/255"], "attack.eps"),
        (["train.seed=1"], "train.seed"),
    ],
)
def test_a_run_goes_on_only_as_itself(tmp_path, world, overrides, words) -> None:
    train(world, tmp_path / "run", "train.epochs=1")
    with pytest.raises(OutputExistsError, match=words):
        train(world, tmp_path / "run", "train.epochs=1", *overrides)
    train(world, tmp_path / "run", "train.epochs=1", "val.batch_size=3")  # decides speed only


def test_other_data_are_refused(tmp_path, world) -> None:
    train(world, tmp_path / "run", "train.epochs=1")
    other = tiny_recognition.world(tmp_path / "other", seed=1)
    with pytest.raises(OutputExistsError, match="another data set"):
        train(other, tmp_path / "run", "train.epochs=1")


def test_two_runs_in_one_folder(tmp_path, world) -> None:
    with exclusive(tmp_path / "run"), pytest.raises(BusyError, match="another partlab process"):
        train(world, tmp_path / "run")


def test_too_few_pictures_for_a_batch(tmp_path, world) -> None:
    with pytest.raises(ConfigError, match="fewer than one batch of 4000"):
        train(world, tmp_path / "run", "train.batch_size=4000")
    train(world, tmp_path / "run", "train.epochs=1")  # the slip left nothing behind


def test_eps_of_255(tmp_path) -> None:
    """RK-13."""
    with pytest.raises(ConfigError, match=r"write eps=4/255"):
        tiny_recognition.config("attack.eps=4")


def test_a_picture_that_cannot_be_read_is_named(tmp_path) -> None:
    data = tiny_recognition.world(tmp_path / "world")
    dataset = read_dataset(data, "train")
    victim = dataset.image_path(dataset.images[0])
    victim.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=victim.name):
        train(data, tmp_path / "run")


def test_the_best_is_told_by_what_chose_it(tmp_path, world) -> None:
    """The later of equals, by PGD accuracy; in standard training by clean accuracy."""
    for name, clean, pgd, told in (("none", [0.2, 0.5, 0.5], [0.9, 0.1, 0.1], 3),
                                   ("pgd", [0.9, 0.5, 0.4], [0.1, 0.3, 0.3], 3)):  # fmt: skip
        run = train(world, tmp_path / name, f"attack.method={name}", "train.epochs=1")
        (run / "metrics.jsonl").unlink()
        for epoch, (right, robust) in enumerate(zip(clean, pgd, strict=True), 1):
            line = {"step": epoch, "epoch": epoch, "val_clean": right, "val_pgd": robust}
            append_metrics(run, line)
        assert best_scores(run)["val_clean"] == clean[told - 1]
        best = run_summary(run).best
        assert best is not None
        assert best.epoch == told
        assert figures(run, settings_of(read_run(run), run))["best"]["epoch"] == told


def test_a_split_that_is_not_there(tmp_path, world) -> None:
    with pytest.raises(NotFoundError, match="no data set here has a split 'vall'"):
        train(world, tmp_path / "run", val_split="vall")


def test_pictures_on_both_sides_are_told(tmp_path, world, caplog) -> None:
    few = tiny_recognition.config("train.batch_size=2")
    plan_training(world, tmp_path / "run", config=few, split="val", val=world)
    assert "validation pictures are trained on as well" in caplog.text
    caplog.clear()
    plan_training(world, tmp_path / "run", config=tiny_recognition.config())
    assert "trained on as well" not in caplog.text


def test_a_size_that_does_not_divide(tmp_path, world) -> None:
    with pytest.raises(ConfigError, match="do not lie in one another") as told:
        train(world, tmp_path / "run", "data.size=40")
    assert "data.size=48" in (told.value.hint or "") or "data.size=32" in (told.value.hint or "")


def test_a_run_that_starts_from_another_needs_no_other_weights(tmp_path, world) -> None:
    first = train(world, tmp_path / "first", "train.epochs=1")
    start = [f"model.start={first}", "model.weights=/nowhere.pth", "train.epochs=1"]
    assert read_metrics(train(world, tmp_path / "second", *start))


def test_a_run_without_validation(tmp_path, world, caplog) -> None:
    alone = world / "annotations" / "train.json"
    train(alone, tmp_path / "run")
    assert "no validation" in caplog.text
    assert (tmp_path / "run" / "best.safetensors").is_file()


@pytest.mark.parametrize(("setting", "said"), [
    ("train.warmup_epochs=3", "the learning rate only rises"),
    ("attack.warmup_epochs=3", "the attack never comes to its full strength"),
])  # fmt: skip
def test_a_warm_up_as_long_as_the_training_is_told(tmp_path, world, caplog, setting, said) -> None:
    train(world, tmp_path / "run", setting)
    assert said in caplog.text
    caplog.clear()
    train(world, tmp_path / "other")
    assert said not in caplog.text


def test_the_plan_is_what_is_done(tmp_path, world) -> None:
    plan = plan_training(world, tmp_path / "run", config=tiny_recognition.config())
    assert plan["model"] == "mpm_small_resnet8"
    assert plan["parameters"] > plan["inference_parameters"]
    assert not (tmp_path / "run").exists()
    run = train(world, tmp_path / "run")
    assert max(line["step"] for line in read_metrics(run)) == plan["steps"]


def test_no_masks_at_all(tmp_path) -> None:
    """MPM without parts is told what it lacks; a vanilla model needs none."""
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / "plain" / name).mkdir(parents=True)
        for at in range(4):
            Image.new("RGB", (40, 40), (at * 40, 0, 0)).save(
                tmp_path / "plain" / name / f"{at}.png"
            )
    with pytest.raises(DatasetError, match="no picture has a part mask"):
        train_model([], tmp_path / "run", plain=[tmp_path / "plain"],
                    config=tiny_recognition.config())  # fmt: skip
    assert not (tmp_path / "run" / "config.json").exists()
    train_model([], tmp_path / "van", plain=[tmp_path / "plain"],
                config=tiny_recognition.config("train.epochs=1", kind="vanilla"))  # fmt: skip
    assert read_run(tmp_path / "van")["parts"] == []


@pytest.mark.slow
def test_a_compiled_training_is_the_same_training(tmp_path, world) -> None:
    """RK-21: attack and step compiled, modes set on the raw module; up to rounding."""
    if reason := no_compiler("cpu"):
        pytest.skip(f"nothing can be compiled here: {reason}")
    runs = [
        train(world, tmp_path / each, "train.epochs=1", f"train.compile={each}")
        for each in ("false", "true")
    ]
    eager, compiled = (load_file(run / "last.safetensors") for run in runs)
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-2, atol=1e-3, msg=name)
