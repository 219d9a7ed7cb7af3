"""Sets that were made, evaluated: the same figures as in memory, cues counted by hand (G-06)."""

import json
from pathlib import Path

import pytest
import tiny_recognition
import torch
from evaluate_command import call, told
from planted_parts import planted

from train.evaluate.outcomes import read_evaluation
from train.ood.making import read_set


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_recognition.world(tmp_path_factory.mktemp("made") / "world")


@pytest.fixture(scope="module")
def run(world: Path) -> Path:
    torch.set_num_threads(1)
    return tiny_recognition.train(world, world.parent / "runs" / "mpm", "train.epochs=1")


def test_corrupted_files_give_what_is_made_in_memory(
    world: Path, run: Path, tmp_path: Path
) -> None:
    some = ("--split", "heldout", "--types", "fog,frost,contrast", "--severities", "2,5")
    made = call("make-set", "corrupt", world, *some, "--size", 32, "--out", tmp_path / "c")
    assert made.exit_code == 0, told(made)
    for out, more in (("files", ("--tree", tmp_path / "c")), ("memory", ())):
        result = call("corruptions", run, world, *some, "--out", tmp_path / out, *more)
        assert result.exit_code == 0, told(result)
    one, other = (
        sorted(read_evaluation(tmp_path / out / "mpm").outcomes.to_pylist(),
               key=lambda row: (row["threat"], row["image"]))
        for out in ("files", "memory")
    )  # fmt: skip
    assert one == other
    assert len(one) == 7 * 4


@pytest.mark.parametrize("kind", ["spurious", "texture"])
def test_cues_are_counted(kind: str, run: Path, tmp_path: Path) -> None:
    boxes = [(20, 30, 50, 60), (40, 10, 70, 60), (10, 40, 60, 50)]
    larger = planted(tmp_path / "larger", [
        (f"{owner}/{n} ö.png", owner, [box])
        for owner in ("cat", "ram") for n, box in enumerate(boxes)
    ])  # fmt: skip
    more = ("--square", 8) if kind == "texture" else ()
    made = call("make-set", kind, larger, "--split", "heldout", "--smallest", 16, *more,
                "--out", tmp_path / "set")  # fmt: skip
    assert made.exit_code == 0, told(made)
    result = call("ood", run, "--set", f"{kind}={tmp_path / 'set'}", "--out", tmp_path / "out",
                  "--json")  # fmt: skip
    assert result.exit_code == 0, told(result)
    found = json.loads(result.stdout)["evaluations"][0]["sets"]
    names = [kind] if kind == "texture" else ["spurious/test", "spurious/val"]
    assert sorted(found) == names
    facts = {key: sum(found[name][key] for name in names) for key in ("right", "other_cue")}
    rows = {row["image"]: row for row in
            read_evaluation(tmp_path / "out" / "mpm").outcomes.to_pylist()}  # fmt: skip
    second = {"spurious": "background", "texture": "texture"}[kind]
    _, pictures = read_set(tmp_path / "set")
    assert rows.keys() == {each["file"] for each in pictures}
    said = [(rows[each["file"]]["prediction"], each) for each in pictures]
    assert facts["right"] == sum(answer == each["label"] for answer, each in said)
    assert facts["other_cue"] == sum(answer == each[second] for answer, each in said)
    for name in names:
        decided = found[name]["right"] + found[name]["other_cue"]
        share = found[name]["right"] / decided if decided else None
        assert found[name]["share_of_own_cue"] == pytest.approx(share)
        if kind == "spurious":
            assert {rows[each["file"]]["threat"] for each in pictures
                    if f"spurious/{each['half']}" == name} == {f"ood:{name}"}  # fmt: skip
    words = call("ood", run, "--set", f"{kind}={tmp_path / 'set'}", "--out", tmp_path / "out")
    cue = "shape / (shape + texture)" if kind == "texture" else "object / (object + background)"
    for name in names:
        right, other = found[name]["right"], found[name]["other_cue"]
        assert f"{cue} = {right} / ({right} + {other})" in words.stdout
    dry = call("ood", run, "--set", f"{kind}={tmp_path / 'set'}", "--out", tmp_path / "dry",
               "--dry-run")  # fmt: skip
    told_sets = ", ".join(f"{name} {found[name]['images']}" for name in reversed(names))
    assert dry.stdout.splitlines()[0].startswith("mpm: 6 pictures, 6 verdicts: at most 6 forward")
    assert sorted(dry.stdout.splitlines()[1].removeprefix("mpm: ").split(", ")) == sorted(
        told_sets.split(", ")
    )
    long = call("ood", run, "--set", f"{kind}={tmp_path / 'set'}", "--out", tmp_path / "dry",
                "--max-hours", 1e-12)  # fmt: skip
    assert (long.exit_code, "more than --max-hours" in told(long)) == (2, True)
    assert not (tmp_path / "dry").exists()
    other = {"spurious": "texture", "texture": "spurious"}[kind]
    wrong = call("ood", run, "--set", f"{other}={tmp_path / 'set'}", "--out", tmp_path / "x")
    assert (wrong.exit_code, f"a set of the kind {kind}, not {other}" in told(wrong)) == (2, True)


def test_corrupted_files_are_not_for_this_command(world: Path, run: Path, tmp_path: Path) -> None:
    few = ("--split", "heldout", "--types", "fog", "--severities", "1", "--size", 32)
    assert call("make-set", "corrupt", world, *few, "--out", tmp_path / "c").exit_code == 0
    wrong = call("ood", run, "--set", f"texture={tmp_path / 'c'}", "--out", tmp_path / "x")
    assert wrong.exit_code == 2
    assert "partlab evaluate corruptions --tree reads it" in told(wrong)
