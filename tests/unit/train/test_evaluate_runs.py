"""Evaluations of trained models from the command line: verdicts, resume, lists, bad input."""

import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyautoattack
import pytest
import tiny_recognition
import torch
from evaluate_command import call as evaluate
from evaluate_command import told
from safetensors.torch import load_file, save_file
from tiny_recognition import Stopped

from annotate.world import WorldConfig, make_world
from partlab.files import exclusive, read_json
from partlab.progress import Silent
from train.evaluate.outcomes import read_evaluation
from train.evaluate_report import read_measured, report
from train.exam import examine


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_recognition.world(tmp_path_factory.mktemp("evaluated") / "world")


@pytest.fixture(scope="module")
def run(world: Path) -> Path:
    torch.set_num_threads(1)
    return tiny_recognition.train(world, world.parent / "runs" / "mpm", "train.epochs=1")


def under_pgd(run: Path, world: Path, out: Path, *more: Any) -> Any:
    small = ("--split", "heldout", "--batch", 2, "--chunk", 2, "--attacks", "pgd-5")
    return evaluate(run, world, "--out", out, *small, "--threats", "linf:4/255", *more)


def rows_of(folder: Path) -> list[Any]:
    table = read_evaluation(folder).outcomes
    return sorted(table.to_pylist(), key=lambda row: (row["threat"], row["image"]))


def test_verdicts_are_those_of_the_exam(tmp_path: Path, world: Path, run: Path) -> None:  # RK-04
    result = under_pgd(run, world, tmp_path)
    assert result.exit_code == 0, told(result)
    assert "upper bound" in result.stdout
    found = read_evaluation(tmp_path / "mpm")
    verdicts = examine(run, world, split="heldout", steps=5)
    by_threat = {row.threat: row for row in found.rows}
    assert by_threat["clean"].accuracy == verdicts.clean.mean()
    assert by_threat["linf-4/255"].accuracy == verdicts.robust.mean()
    assert by_threat["linf-4/255"].stages[-1].robust == by_threat["linf-4/255"].accuracy
    assert len(found.outcomes) == 2 * len(verdicts.clean)


def album(out: Path) -> dict[str, bytes]:
    home = out / "mpm" / "pictures"
    return {str(f.relative_to(home)): f.read_bytes() for f in home.rglob("*.*")}


def test_stopped_and_resumed_it_ends_alike(tmp_path: Path, world: Path, run: Path) -> None:
    class Dies(Silent):
        def track(self, items: Iterable[Any], what: str, total: int | None = None) -> Iterator[Any]:
            for number, item in enumerate(items):
                if what == "attacking" and number == 1:
                    raise Stopped
                yield item

    from train.evaluate import evaluate as engine

    under_pgd(run, world, tmp_path / "whole")
    original = engine.track
    engine.track = lambda items, what, total=None: Dies().track(items, what, total)
    try:
        stopped = under_pgd(run, world, tmp_path / "broken")
    finally:
        engine.track = original
    assert stopped.exit_code != 0
    assert not (tmp_path / "broken" / "mpm" / "evaluation.json").exists()
    parts = sorted((tmp_path / "broken" / "mpm" / "parts").iterdir())
    assert parts  # the first chunk is kept
    times = [part.stat().st_mtime_ns for part in parts]
    assert under_pgd(run, world, tmp_path / "broken").exit_code == 0
    assert [part.stat().st_mtime_ns for part in parts] == times  # and not run again
    assert rows_of(tmp_path / "broken" / "mpm") == rows_of(tmp_path / "whole" / "mpm")
    assert album(tmp_path / "broken") == album(tmp_path / "whole")
    assert len(album(tmp_path / "whole")) > 2 * 4  # all four pictures, and their part maps


def test_attacks_are_added_and_other_settings_refused(
    tmp_path: Path, world: Path, run: Path
) -> None:
    under_pgd(run, world, tmp_path, "--pictures", 0)
    assert not (tmp_path / "mpm" / "pictures").exists()
    more = evaluate(run, world, "--out", tmp_path, "--split", "heldout", "--batch", 2, "--chunk", 2,
                    "--threats", "l2:0.5", "--attacks", "apgd-ce")  # fmt: skip
    assert more.exit_code == 0, told(more)
    threats = [row.threat for row in read_evaluation(tmp_path / "mpm").rows]
    assert sorted(threats) == ["clean", "l2-0.5", "linf-4/255"]
    other = under_pgd(run, world, tmp_path, "--seed", 1)
    assert other.exit_code == 2
    assert "was begun with another seed: 0, now 1" in told(other)


def test_a_list_is_drawn_and_named_by_its_hash(tmp_path: Path, world: Path, run: Path) -> None:
    drawn = evaluate("list", world, "--split", "heldout", "--per-class", 1, "--out",
                     tmp_path / "l.txt", "--json")  # fmt: skip
    assert drawn.exit_code == 0, told(drawn)
    facts = json.loads(drawn.stdout)
    assert (facts["images"], facts["least"], facts["most"]) == (2, 1, 1)
    assert under_pgd(run, world, tmp_path, "--list", tmp_path / "l.txt").exit_code == 0
    found = read_evaluation(tmp_path / "mpm")
    assert (found.list.images, found.list.sha256) == (2, facts["sha256"])
    again = evaluate("list", world, "--per-class", 1, "--out", tmp_path / "l.txt")
    assert again.exit_code == 1
    assert "already exists" in told(again)
    (tmp_path / "empty.txt").write_text("")
    empty = under_pgd(run, world, tmp_path / "e", "--list", tmp_path / "empty.txt")
    assert (empty.exit_code, "empty.txt" in told(empty)) == (5, True), told(empty)


def test_nothing_runs_in_a_dry_run_or_above_the_hours(
    tmp_path: Path, world: Path, run: Path
) -> None:
    dry = under_pgd(run, world, tmp_path / "dry", "--dry-run")
    assert dry.exit_code == 0
    assert "forward" in dry.stdout
    assert not (tmp_path / "dry" / "mpm").exists()
    long = under_pgd(run, world, tmp_path / "long", "--max-hours", 1e-9)
    assert long.exit_code != 0
    assert "hours" in told(long)
    assert not (tmp_path / "long" / "mpm").exists()


def test_what_honesty_checks_found_is_told(tmp_path: Path, world: Path, run: Path) -> None:
    plain = under_pgd(run, world, tmp_path)
    assert "honesty: only train_mode, randomness, zero_gradients checked" in plain.stdout
    assert "not to be trusted fully" in plain.stdout
    dry = json.loads(under_pgd(run, world, tmp_path, "--honesty", "--dry-run", "--json").stdout)
    assert dry["models"][0]["forwards"] == 4 * 330  # nothing else is left
    few = under_pgd(run, world, tmp_path, "--honesty")
    assert few.exit_code == 0, told(few)
    assert "figures under attack are not to be believed: the model is right on" in few.stdout
    found = read_evaluation(tmp_path / "mpm").honesty
    names = [each["name"] for each in found["findings"]]
    assert names == ["enough_images", "train_mode", "randomness", "zero_gradients"]
    assert (found["ok"], found["complete"]) == (False, False)
    again = under_pgd(run, world, tmp_path)
    assert "are not to be believed" in again.stdout  # a short look loses no finding


def test_all_honesty_checks_come_first(four: tuple[Path, Path], tmp_path: Path) -> None:
    world, run = four
    words = (run, world, "--split", "train", "--attacks", "pgd-1", "--threats", "linf:1/255")
    result = evaluate(*words, "--out", tmp_path, "--honesty")
    assert result.exit_code == 0, told(result)
    found = read_evaluation(tmp_path / "plain").honesty
    assert len(found["findings"]) == 12
    assert (
        "honesty: all 12 checks were run" in result.stdout or "not to be believed" in result.stdout
    )
    notes = report(read_measured([tmp_path / "plain"]))["notes"]
    assert not any("signs of masked gradients were not looked for" in note for note in notes)


def test_two_evaluations_into_one_folder(tmp_path: Path, world: Path, run: Path) -> None:
    with exclusive(tmp_path / "mpm"):
        busy = under_pgd(run, world, tmp_path)
    assert busy.exit_code == 1
    assert "mpm" in told(busy)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--threats", "linf:4"), 2, "the whole range of colours"),
        (("--threats", "linf"), 2, "linf"),
        (("--attacks", "pgd20"), 3, "pgd20"),
        (("--attacks", "autoattack"), 2, "has 2"),
        (("--columns", "cat,cow"), 3, "cow"),
        (("--columns", "cat"), 2, "two classes"),
        (("--split", "nowhere"), 3, "nowhere"),
        (("--checkpoint", "first"), 3, "first"),
    ],
)
def test_mistakes_get_one_sentence(
    tmp_path: Path, world: Path, run: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    given = ["--split", "heldout", "--threats", "linf:4/255", "--attacks", "pgd-5"]
    result = evaluate(run, world, "--out", tmp_path, *given[:2],
                      *(given[2:4] if words[0] != "--threats" else ()),
                      *(given[4:] if words[0] != "--attacks" else ()), *words)  # fmt: skip
    assert (result.exit_code, said in told(result)) == (code, True), told(result)


def test_an_error_says_of_which_model_it_is(
    tmp_path: Path, world: Path, run: Path, four: tuple[Path, Path]
) -> None:
    plain = four[1]
    words = ("--split", "heldout", "--threats", "linf:4/255", "--out", tmp_path)
    result = evaluate(run, plain, world, *words, "--attacks", "pgd-sum-2")
    assert (result.exit_code, f"{plain}: " in told(result)) == (2, True), told(result)
    nowhere = evaluate(run, plain, tmp_path / "x", *words)
    assert f"error: no data {tmp_path / 'x'}" in told(nowhere)  # no model's doing


def test_damaged_weights_and_pictures(tmp_path: Path, world: Path, run: Path) -> None:
    weights = load_file(run / "best.safetensors")
    broken = tmp_path / "nan"
    broken.mkdir()
    (broken / "config.json").write_bytes((run / "config.json").read_bytes())
    bad = {k: v * torch.nan if v.is_floating_point() else v for k, v in weights.items()}
    save_file(bad, broken / "best.safetensors")
    result = under_pgd(broken, world, tmp_path / "out")
    assert result.exit_code != 0
    assert "not finite" in told(result)
    for content, said in ((b"<!DOCTYPE html><html>Not found</html>", "is a web page"),
                          (b"", "is empty"), (b"abc", "is damaged")):  # fmt: skip
        (broken / "best.safetensors").write_bytes(content)
        page = under_pgd(broken, world, tmp_path / "out")
        assert (page.exit_code, f"best.safetensors {said}" in told(page)) == (5, True), told(page)


def test_a_folder_called_like_a_command_is_written_with_a_dot(
    tmp_path: Path, world: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for meant in (("list", world, "--out", "o"), ("list", world, "--threats", "linf:4/255")):
        assert "./list" not in evaluate(*meant).stderr  # there is no such folder
    Path("list").symlink_to(run)
    for meant in (("list", world, "--out", "o"), ("list", world, "--threats", "linf:4/255")):
        result = evaluate(*meant)
        assert result.exit_code in (2, 3)
        assert "list is a command of its own here; the folder is written ./list" in told(result)
    named = evaluate("./list", world, "--split", "heldout", "--attacks", "pgd-5", "--threats",
                     "linf:4/255", "--out", tmp_path / "o", "--dry-run")  # fmt: skip
    assert named.exit_code == 0, told(named)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of four classes, which all of AutoAttack needs, and its world."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("four")
    objects = ("car", "cat", "mug", "ram")
    world = WorldConfig(images=80, pool=0, heldout=4, size=48, objects=objects)
    make_world(place / "world", world)
    settings = ("train.epochs=10", "attack.method=none", "train.ema=0", "train.batch_size=8")
    run = tiny_recognition.train(place / "world", place / "plain", *settings, kind="vanilla")
    return place / "world", run


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many pictures the package's own four attacks were given."""
    counts: dict[str, int] = {}

    class Watched(pyautoattack.AutoAttack):  # type: ignore[misc]
        def __init__(self, *args: Any, **given: Any) -> None:
            super().__init__(*args, **given)
            for name in ("apgd", "apgd_targeted", "fab", "square"):
                own = getattr(self, name)
                own.perturb = watched(name, own.perturb)

    def watched(name: str, perturb: Any) -> Any:
        def counting(images: Any, *more: Any) -> Any:
            counts[name] = counts.get(name, 0) + len(images)
            return perturb(images, *more)

        return counting

    monkeypatch.setattr(pyautoattack, "AutoAttack", Watched)
    return counts


def test_what_stands_is_shown_to_each_of_the_four_attacks(
    four: tuple[Path, Path], tmp_path: Path, seen: dict[str, int]
) -> None:
    """ε so small that nothing is broken: an attack that saw no picture was left out."""
    world, run = four
    few = tmp_path / "l"
    assert (
        evaluate("list", world, "--split", "train", "--per-class", 4, "--out", few).exit_code == 0
    )
    result = evaluate(run, world, "--split", "train", "--list", few, "--threats", "linf:1/25500",
                      "--out", tmp_path)  # fmt: skip
    assert result.exit_code == 0, told(result)
    clean, attacked = read_evaluation(tmp_path / "plain").rows
    right = round(clean.accuracy * clean.images)
    assert right > 0
    assert [stage.robust for stage in attacked.stages] == [clean.accuracy] * 5
    assert seen == dict.fromkeys(("apgd", "apgd_targeted", "fab", "square"), right)
    assert not attacked.upper_bound


def test_the_four_way_average_of_autoattack(four: tuple[Path, Path], tmp_path: Path) -> None:
    """E-01, E-04, E-05: all four threats, all four stages, from the command to the page."""
    world, run = four
    words = (run, world, "--split", "train", "--batch", 16, "--list", tmp_path / "l")
    drawn = evaluate("list", world, "--split", "train", "--per-class", 4, "--out", tmp_path / "l")
    assert drawn.exit_code == 0, told(drawn)
    dry = evaluate(*words, "--out", tmp_path, "--dry-run", "--json")
    assert json.loads(dry.stdout)["models"][0]["verdicts"] == 5 * 16
    result = evaluate(*words, "--out", tmp_path)
    assert result.exit_code == 0, told(result)
    found = read_evaluation(tmp_path / "plain")
    names = ["linf-4/255", "linf-8/255", "l1-75", "l2-2"]
    rows = {row.threat: row for row in found.rows if row.attack == "autoattack"}
    assert found.rows[0].accuracy > 0  # else nothing was attacked
    assert list(rows) == names
    assert not any(row.upper_bound or row.disagreements for row in rows.values())
    stages = ["clean", "apgd-ce", "apgd-t", "fab-t", "square"]
    assert all([stage.name for stage in row.stages] == stages for row in rows.values())
    for row in rows.values():  # RK-07
        left = [stage.robust for stage in row.stages]
        assert left == sorted(left, reverse=True)
        assert left[-1] == row.accuracy
    assert found.settings["targets"]["l1-75"] == {"apgd-t": 3, "fab-t": 3}
    mean = sum(row.accuracy for row in rows.values()) / 4
    assert f"mean of four  autoattack  {100 * mean:5.1f} %" in result.stdout
    assert found.versions["pyautoattack"] == version("pyautoattack")
    assert read_json(tmp_path / "plain" / "plan.json")["pyautoattack"] == version("pyautoattack")
    assert "honesty: only train_mode, randomness, zero_gradients checked" in result.stdout
    (group,) = report(read_measured([tmp_path / "plain"]))["groups"]
    assert group["columns"][-1] == {"threat": "average of four", "attack": "autoattack"}
    assert group["rows"][0]["figures"][-1]["value"] == pytest.approx(mean)
