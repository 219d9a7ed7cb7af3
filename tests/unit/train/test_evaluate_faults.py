"""Evaluations that are killed, run out of disk, or are given what cannot be evaluated (RK-14)."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_recognition
import torch
from evaluate_command import call as evaluate
from evaluate_command import told
from PIL import Image

from partlab.errors import PartlabError
from train.evaluate import evaluate as engine
from train.evaluate import pace
from train.evaluate.attacks import parse_attack
from train.evaluate.evaluate import Plan, estimate
from train.evaluate.opened import open_model
from train.evaluate.outcomes import read_evaluation
from train.evaluate.shown import shown_to
from train.evaluate.threats import Threat
from train.evaluate.victim import Victim

ATTACKS = ("--threats", "linf:4/255", "--attacks", "pgd-5", "--attacks", "apgd-ce,fab-t")
SMALL = ("--batch", 2, "--chunk", 2, "--device", "cpu", *ATTACKS)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_recognition.world(tmp_path_factory.mktemp("faults") / "world")


@pytest.fixture(scope="module")
def run(world: Path) -> Path:
    torch.set_num_threads(1)
    return tiny_recognition.train(world, world.parent / "runs" / "mpm", "train.epochs=1")


@pytest.fixture(scope="module")
def undisturbed(world: Path, run: Path) -> Path:
    out = world.parent / "undisturbed"
    assert evaluate(run, world, "--split", "heldout", *SMALL, "--out", out).exit_code == 0
    return out / "mpm"


def outcomes(folder: Path) -> list[Any]:
    rows = read_evaluation(folder).outcomes.to_pylist()
    return sorted(rows, key=lambda row: (row["threat"], row["attack"], row["image"]))


def pictures(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.glob("pictures/**/*.*")}


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from train.evaluate.victim import Victim
forward, calls, parts = Victim.forward, [0], Path(sys.argv[-1], "mpm", "parts")
def dying(self, images, **asked):
    calls[0] += parts.is_dir() and any(parts.glob("*.parquet"))
    if calls[0] == 5:  # the clean pictures are done and the first attack is at work
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(self, images, **asked)
Victim.forward = dying
from app.cli.main import app
app(sys.argv[1:])
"""


def test_killed_in_the_middle_of_an_attack_it_ends_with_the_same_flags(
    tmp_path: Path, world: Path, run: Path, undisturbed: Path
) -> None:
    words = list(map(str, (run, world, "--split", "heldout", *SMALL, "--out", tmp_path)))
    place = tmp_path / "mpm"
    command = [sys.executable, "-c", KILLED, "evaluate", *words]
    died = subprocess.run(command, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert died.returncode == -signal.SIGKILL, died.stderr[-500:]
    assert [file.name for file in (place / "parts").glob("*.parquet")] == ["0000000-clean.parquet"]
    assert not (place / "evaluation.json").exists()
    assert evaluate(*words).exit_code == 0
    assert outcomes(place) == outcomes(undisturbed)
    assert pictures(place) == pictures(undisturbed)
    assert not list(place.rglob(".*.tmp"))


def test_a_full_disk_is_told_and_the_rest_goes_on(
    world: Path, run: Path, undisturbed: Path, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    words = (run, world, "--split", "heldout", *SMALL, "--out", small_disk)
    (small_disk / "mpm").mkdir()
    ballast.write_bytes(b"x" * 165_000)
    full = evaluate(*words)
    assert full.exit_code == 1
    assert "No space left" in told(full)
    assert "free some space" in told(full)
    assert not (small_disk / "mpm" / "evaluation.json").exists()
    ballast.unlink()
    again = evaluate(*words)
    assert again.exit_code == 0, told(again)
    assert outcomes(small_disk / "mpm") == outcomes(undisturbed)


def plan_of(run: Path, world: Path, cache: Path) -> Plan:
    """One picture a chunk; all labels are what the model says, so that each costs the same."""
    opened = open_model(run, device="cpu")
    victim = Victim(opened.network, opened.classes)
    shown = shown_to(victim, world, split="train", cache=cache)
    plan = Plan(opened, victim, shown, (Threat("linf", 1e-6),), (parse_attack("pgd-5"),), 1, 1)
    said = [victim(plan.load(n).images).argmax(1) for n in plan.chunks()]
    labels = tuple(victim.classes[int(each)] for each in said)
    return replace(plan, shown=replace(shown, labels=labels), pictures=0)


@pytest.mark.parametrize("stopped", [0, 6])
def test_the_time_left_is_honest_after_a_tenth_and_after_a_stop(
    tmp_path: Path, world: Path, run: Path, monkeypatch: pytest.MonkeyPatch, stopped: int
) -> None:
    """On a clock that moves one second with each picture that the network sees.

    Two attacks of unlike cost, of which one is there for some of the pictures.
    """
    plan, clock, spoken = plan_of(run, world, tmp_path), [0.0], list[tuple[float, float]]()
    model = plan.opened.described("mpm", run)
    monkeypatch.setattr(pace.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(pace, "told", lambda seconds: spoken.append((clock[0], seconds)))
    plan.victim.register_forward_hook(
        lambda _, given, __: clock.__setitem__(0, clock[0] + len(given[0]))
    )
    if stopped:
        engine.evaluate(plan, model, tmp_path / "mpm")
        for n in range(stopped, len(plan.shown.names)):
            (tmp_path / "mpm" / "parts" / f"{n:07d}-linf-1e-06-pgd-5.parquet").unlink()
    more = replace(plan, attacks=(*plan.attacks, parse_attack("apgd-ce")))
    left = estimate(more, tmp_path / "mpm")
    total = len(plan.shown.names)
    assert (left.verdicts, left.done) == (3 * total, total + stopped if stopped else 0)
    spoken.clear()
    engine.evaluate(more, model, tmp_path / "mpm")
    assert len(spoken) > 5
    for at, seconds in spoken:
        assert seconds == pytest.approx(clock[0] - at, rel=0.3)


def plain(folder: Path) -> Path:
    """Grey, CMYK and transparent pictures, some of them with names of other scripts."""
    for owner in ("cat", "ram"):
        (folder / owner).mkdir(parents=True)
    kinds = {
        "cat/gräu.png": "L",
        "ram/猫 1.png": "RGBA",
        "cat/druck.jpg": "CMYK",
        "ram/x.jpg": "RGB",
    }
    for name, mode in kinds.items():
        Image.effect_noise((50, 60), 90).convert("RGB").convert(mode).save(folder / name)
    return folder


def test_pictures_of_every_kind_and_what_cannot_be_read(tmp_path: Path, run: Path) -> None:
    folder = plain(tmp_path / "plain")
    words = (run, folder, *SMALL[:6], "--threats", "linf:4/255", "--attacks", "pgd-2")
    good = evaluate(*words, "--out", tmp_path / "good")
    assert good.exit_code == 0, told(good)
    names = {row["image"] for row in outcomes(tmp_path / "good" / "mpm")}
    assert names == {"cat/gräu.png", "ram/猫 1.png", "cat/druck.jpg", "ram/x.jpg"}
    whole = (folder / "ram" / "x.jpg").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"<!DOCTYPE html>"):
        (folder / "ram" / "x.jpg").write_bytes(content)
        bad = evaluate(*words, "--out", tmp_path / "bad")
        assert (bad.exit_code, "x.jpg" in told(bad)) == (5, True), told(bad)
        assert not (tmp_path / "bad" / "mpm" / "evaluation.json").exists()
    shutil.rmtree(folder / "ram")
    (folder / "ram").mkdir()
    (folder / "dog").mkdir()
    Image.new("RGB", (40, 40)).save(folder / "dog" / "a.png")
    other = evaluate(*words, "--out", tmp_path / "other")  # a class that the model has not
    assert (other.exit_code, "dog" in told(other)) == (5, True), told(other)


def test_a_model_whose_classes_are_of_another(tmp_path: Path, world: Path, run: Path) -> None:
    """One class more than its weights have: named before anything runs."""
    other = tmp_path / "other"
    shutil.copytree(run, other)
    text = (run / "config.json").read_text(encoding="utf-8")
    assert text.count('"ram"') > 1
    (other / "config.json").write_text(text.replace('"cat",', '"cat", "cow",', 1), encoding="utf-8")
    result = evaluate(other, world, "--split", "heldout", *SMALL, "--out", tmp_path / "out")
    assert result.exit_code == 2, told(result)
    assert "best.safetensors do not fit a mpm_small_resnet8 of 3 classes" in told(result)
    assert "2 tensors of another shape (backbone.fc.weight, backbone.fc.bias)" in told(result)
    assert not (tmp_path / "out").exists()


def test_weights_that_give_no_numbers_stop_before_any_attack(
    tmp_path: Path, world: Path, run: Path
) -> None:
    plan = plan_of(run, world, tmp_path)
    head = plan.victim.network.backbone.fc
    head.weight.data[0, 0] = torch.nan
    with pytest.raises(PartlabError, match=r"logits of .*\.jpg are not finite"):
        estimate(plan, tmp_path / "out")
