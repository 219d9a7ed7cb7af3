"""`partlab evaluate corruptions`: added to evaluations, resumed, from files, and bad input."""

import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evaluation_folders
import numpy as np
import pyarrow as pa
import pytest
import tiny_recognition
import torch
from evaluate_command import call, told
from PIL import Image

from partlab.errors import ConfigError, DatasetError
from partlab.files import read_json
from partlab.images import load_image
from train.corruptions import CORRUPTIONS, Protocol, corruption_outcomes
from train.corruptions.table import corruption_facts, corruption_text
from train.evaluate.opened import open_model
from train.evaluate.outcomes import read_evaluation
from train.evaluate.shown import shown_to
from train.evaluate.victim import Victim
from train.evaluate_report import read_measured, report

SMALL = ("--split", "heldout", "--batch", "1", "--chunk", "1", "--types", "fog,contrast")
SOME = (*SMALL, "--severities", "1,5")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_recognition.world(tmp_path_factory.mktemp("corrupted") / "world")


@pytest.fixture(scope="module")
def run(world: Path) -> Path:
    torch.set_num_threads(1)
    return tiny_recognition.train(world, world.parent / "runs" / "mpm", "train.epochs=1")


def corrupted(run: Path, world: Path, out: Path, *more: Any, words: Sequence[str] = SOME) -> Any:
    return call("corruptions", run, world, "--out", out, *words, *more)


def rows_of(folder: Path) -> list[Any]:
    table = read_evaluation(folder).outcomes
    return sorted(table.to_pylist(), key=lambda row: (row["threat"], row["image"]))


def shown(run: Path, world: Path) -> Any:
    opened = open_model(run, device="cpu")
    victim = Victim(opened.network, opened.classes)
    return victim, shown_to(victim, world, split="heldout", cache=world.parent / "cache")


def test_outcomes_are_the_librarys_and_the_clean_row_is_made(
    tmp_path: Path, world: Path, run: Path
) -> None:  # G-01
    result = corrupted(run, world, tmp_path)
    assert result.exit_code == 0, told(result)
    assert "no mean of 15: 4 of 75" in result.stdout
    victim, pictures = shown(run, world)
    from train.corruptions import Example

    paths = [pictures.pictures.path(n) for n in pictures.positions]
    examples = list(map(Example, pictures.names, pictures.labels, paths))
    given = {"corruptions": ["fog", "contrast"], "severities": [1, 5]}
    wanted = pa.concat_tables(
        corruption_outcomes(victim, examples, victim.classes, Protocol(size=32), **given)
    )
    found = read_evaluation(tmp_path / "mpm")
    margins = {(r["image"], r["threat"]): r["margin"] for r in rows_of(tmp_path / "mpm")}
    assert len(margins) == 5 * len(examples) == len(found.outcomes)
    for row in wanted.to_pylist():
        assert margins[row["image"], row["threat"]] == pytest.approx(row["margin"], abs=1e-5)
    assert {row.threat for row in found.rows if row.attack == "clean"} >= {"clean"}
    for row in found.rows:
        own = [r["right"] for r in rows_of(tmp_path / "mpm") if r["threat"] == row.threat]
        assert (row.accuracy, row.images) == (np.mean(own), len(own))


def test_attacks_and_corruptions_stand_together_in_either_order(
    tmp_path: Path, world: Path, run: Path
) -> None:
    attack = (run, world, "--split", "heldout", "--attacks", "pgd-2", "--threats", "linf:4/255")
    first, second = tmp_path / "first", tmp_path / "second"
    assert call(*attack, "--out", first).exit_code == 0
    before = read_evaluation(first / "mpm")
    assert corrupted(run, world, first).exit_code == 0
    assert corrupted(run, world, second).exit_code == 0
    attacked = call(*attack, "--out", second)
    assert attacked.exit_code == 0, told(attacked)
    assert "under 4 corruptions" in attacked.stdout
    assert rows_of(first / "mpm") == rows_of(second / "mpm")
    after = read_evaluation(first / "mpm")
    assert set(before.rows) <= set(after.rows)
    for each in (after, read_evaluation(second / "mpm")):
        assert each.settings["corruptions"]["protocol"] == "32px,jpeg-85,preprocess=none"
        assert each.settings["targets"]
        assert each.honesty is not None
    facts = report(read_measured([first / "mpm"]))["models"][0]["corruptions"]
    assert set(facts["types"]) == {"fog", "contrast"}
    assert facts["complete"] is False


def test_more_types_and_severities_are_added(tmp_path: Path, world: Path, run: Path) -> None:
    assert corrupted(run, world, tmp_path).exit_code == 0
    again = corrupted(run, world, tmp_path)
    assert "4 pieces are there already" not in told(again)  # 2 types of 4 pictures
    assert "8 of 8 pieces are there already" in told(again)
    more = corrupted(run, world, tmp_path, "--severities", "3,5", "--types", "fog,brightness")
    assert more.exit_code == 0, told(more)
    threats = {row.threat for row in read_evaluation(tmp_path / "mpm").rows}
    new = {"corruption:fog:3", "corruption:brightness:3", "corruption:brightness:5"}
    assert len(threats) == 8
    assert new < threats
    assert len(rows_of(tmp_path / "mpm")) == 8 * 4


def test_killed_and_called_again_nothing_is_lost_or_twice(
    tmp_path: Path, world: Path, run: Path
) -> None:  # RK-17
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert corrupted(run, world, whole).exit_code == 0
    process = multiprocessing.get_context("fork").Process(
        target=corrupted, args=(run, world, broken)
    )
    process.start()
    home = broken / "mpm" / "corruptions"
    until = time.monotonic() + 100
    while process.is_alive() and len(list(home.glob("*.parquet"))) < 3:
        assert time.monotonic() < until, "nothing was ever saved"
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -9, "it ended before it could be killed"
    assert not (broken / "mpm" / "evaluation.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in home.glob("*.parquet")}
    assert kept
    assert corrupted(run, world, broken).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not list(home.glob(".*.tmp"))
    assert rows_of(broken / "mpm") == rows_of(whole / "mpm")


def test_other_pictures_protocols_and_models_are_refused(
    tmp_path: Path, world: Path, run: Path
) -> None:
    assert corrupted(run, world, tmp_path).exit_code == 0
    assert call("list", world, "--split", "heldout", "--per-class", "1", "--out",
                tmp_path / "l.txt").exit_code == 0  # fmt: skip
    for words, said in (
        (("--list", tmp_path / "l.txt"), "is of other pictures (4 of world:heldout"),
        (("--split", "val"), "is of other pictures"),
        (("--columns", "ram,cat"), "is of other classes"),
        (("--checkpoint", "last"), "is of other weights"),
        (("--jpeg", "none"), "was begun with another protocol"),
        (("--crop", "authors"), "was begun with another protocol"),
    ):
        result = corrupted(run, world, tmp_path, *words)
        if words[1] == "last" and result.exit_code == 0:  # the best one was the last one
            continue
        assert (result.exit_code, said in told(result)) == (2, True), told(result)
    attack = call(run, world, "--split", "val", "--attacks", "pgd-2", "--out", tmp_path,
                  "--threats", "linf:4/255")  # fmt: skip
    assert (attack.exit_code, "is of other pictures" in told(attack)) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--severities", "6"), 2, "there is no severity 6 of fog"),
        (("--severities", "a"), 2, "'a' is no whole number"),
        (("--severities", ""), 2, "none is named"),
        (("--types", "fog,fog"), 2, "named twice"),
        (("--types", "fogg"), 3, "unknown corruption 'fogg'"),
        (("--jpeg", "101"), 2, "no JPEG quality 101"),
        (("--crop", "twice"), 2, "unknown preprocess 'twice'"),
        (("--tree", "nowhere"), 3, "no folder nowhere"),
        (("--baseline", "nowhere"), 3, "nowhere holds no evaluation"),
        (("--chunk", "3", "--batch", "2"), 2, "cannot be made of batches"),
    ],
)
def test_mistakes_get_one_sentence(
    tmp_path: Path, world: Path, run: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    result = corrupted(run, world, tmp_path, *words)
    assert (result.exit_code, said in told(result)) == (code, True), told(result)
    assert not (tmp_path / "mpm").exists()


def test_without_the_package_made_pictures_are_refused_and_files_are_not(
    tmp_path: Path, world: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write_tree(run, world, tmp_path / "tree")
    for name in ("imagecorruptions", "imagecorruptions.corruptions"):
        monkeypatch.setitem(sys.modules, name, None)
    result = corrupted(run, world, tmp_path / "out")
    assert result.exit_code == 4
    assert "pip install 'partlab[corruptions]'" in told(result)
    assert corrupted(run, world, tmp_path / "out", "--tree", tree).exit_code == 0


def write_tree(run: Path, world: Path, root: Path) -> Path:
    """Files as published, of JPEG quality 85 and called .JPEG; the pictures are PNGs."""
    _, pictures = shown(run, world)
    protocol = Protocol(jpeg=None, size=32)
    for name, position in zip(pictures.names, pictures.positions, strict=True):
        clean = protocol.clean(load_image(pictures.pictures.path(position)))
        for corruption in ("fog", "contrast"):
            for severity in (1, 5):
                file = root / corruption / str(severity) / Path(name).with_suffix(".JPEG")
                file.parent.mkdir(parents=True, exist_ok=True)
                made = Image.fromarray(protocol.corrupted(clean, corruption, severity, name))
                made.save(file, quality=85, optimize=True)
    return root


def test_files_give_what_made_pictures_give(tmp_path: Path, world: Path, run: Path) -> None:
    tree = write_tree(run, world, tmp_path / "tree")
    result = corrupted(run, world, tmp_path / "files", "--tree", tree, words=SMALL)
    assert result.exit_code == 0, told(result)
    assert "4 of 75 corruptions and severities" in told(result)
    assert "missing fog:2" in told(result)
    assert corrupted(run, world, tmp_path / "made").exit_code == 0
    assert rows_of(tmp_path / "files" / "mpm") == rows_of(tmp_path / "made" / "mpm")
    parts = sorted((tmp_path / "files" / "mpm").rglob("*-fog-*.parquet"))
    before = [each.stat().st_mtime_ns for each in parts]
    assert corrupted(run, world, tmp_path / "files", "--tree", tree, words=SMALL).exit_code == 0
    assert parts
    assert [each.stat().st_mtime_ns for each in parts] == before  # nothing is measured again
    mixed = corrupted(run, world, tmp_path / "made", "--tree", tree)
    assert (mixed.exit_code, "begun with another source" in told(mixed)) == (2, True)


def test_files_that_lack_something_or_are_damaged(tmp_path: Path, world: Path, run: Path) -> None:
    tree = write_tree(run, world, tmp_path / "tree")
    (tree / "fog" / "1" / "loose.JPEG").write_bytes(b"")
    stranger = tree / "fog" / "1" / "cat" / "stranger.JPEG"
    stranger.write_bytes(b"")
    good = corrupted(run, world, tmp_path / "good", "--tree", tree)
    assert good.exit_code == 0, told(good)
    assert "2 pictures left out" in told(good)
    one = next((tree / "contrast" / "5" / "ram").iterdir())
    content = one.read_bytes()
    one.write_bytes(b"")
    damaged = corrupted(run, world, tmp_path / "damaged", "--tree", tree)
    assert (damaged.exit_code, f"cannot read image {one}" in told(damaged)) == (5, True)
    one.write_bytes(content)
    assert corrupted(run, world, tmp_path / "damaged", "--tree", tree).exit_code == 0
    one.unlink()
    lost = corrupted(run, world, tmp_path / "lost", "--tree", tree)
    assert lost.exit_code == 5
    assert f"has 1 of 4 pictures not under contrast, severity 5, first ram/{one.stem}" in told(lost)
    none = corrupted(run, world, tmp_path / "none", "--tree", tree, "--types", "snow")
    assert (none.exit_code, "has none of the corruptions" in told(none)) == (5, True)


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path, world: Path, run: Path) -> None:
    dry = corrupted(run, world, tmp_path, "--dry-run", "--json")
    assert dry.exit_code == 0, told(dry)
    facts = json.loads(dry.stdout)["models"][0]
    assert (facts["images"], facts["verdicts"], facts["done"]) == (4, 16, 0)
    assert facts["hours"] > 0
    long = corrupted(run, world, tmp_path, "--max-hours", 1e-9)
    assert (long.exit_code, "more than --max-hours" in told(long)) == (2, True)
    assert not (tmp_path / "mpm").exists()
    assert corrupted(run, world, tmp_path).exit_code == 0
    more = corrupted(run, world, tmp_path, "--dry-run", "--json", "--severities", "1,2,5")
    facts = json.loads(more.stdout)["models"][0]
    assert (facts["verdicts"], facts["done"], facts["forwards"]) == (24, 16, 8)
    there = corrupted(run, world, tmp_path, "--max-hours", 1e-9)  # nothing is left to do
    assert there.exit_code == 0, told(there)


def _whole(folder: Path, share: float, protocol: str = "p", **facts: Any) -> Path:
    right = np.arange(20) < 20 * share
    conditions = {(f"corruption:{c}:{s}", "clean"): right for c in CORRUPTIONS for s in range(1, 6)}
    settings = {"corruptions": {"protocol": protocol}}
    return evaluation_folders.write_folder(
        folder, {("clean", "clean"): right, **conditions}, settings=settings, **facts
    )


def test_mce_is_over_a_reference_of_the_same_pictures(tmp_path: Path) -> None:
    own, other = _whole(tmp_path / "own", 0.7), _whole(tmp_path / "other", 0.4)
    facts = corruption_facts(read_evaluation(own), read_evaluation(other))
    assert facts["mean"] == pytest.approx(0.7)
    assert facts["mce"] == pytest.approx(0.3 / 0.6)
    assert "mCE 50.0 % of the errors of mpm" in corruption_text(facts)
    alone = corruption_facts(read_evaluation(own))
    assert alone["mce"] is None  # AlexNet's errors say nothing of four classes
    assert "no mCE" in corruption_text(alone)
    perfect = _whole(tmp_path / "perfect", 1.0)
    with pytest.raises(DatasetError, match="no error under gaussian_noise"):
        corruption_facts(read_evaluation(own), read_evaluation(perfect))
    elsewhere = _whole(tmp_path / "elsewhere", 0.4, listed={"sha256": "cd" * 32, "name": "b"})
    with pytest.raises(ConfigError, match="another list of pictures"):
        corruption_facts(read_evaluation(own), read_evaluation(elsewhere))
    otherwise = _whole(tmp_path / "otherwise", 0.4, protocol="q")
    with pytest.raises(ConfigError, match="another protocol"):
        corruption_facts(read_evaluation(own), read_evaluation(otherwise))


def test_mce_of_the_thousand_classes_is_over_alexnet(tmp_path: Path) -> None:
    from train.corruptions import ALEXNET_ERRORS

    names = [f"n{n:08d}" for n in range(1000)]
    given: dict[str, Any] = {"model": {"classes": names}}
    given["listed"] = {"per_class": dict.fromkeys(names, 1)}
    own = _whole(tmp_path / "own", 0.7, "224px,jpeg-85,preprocess=none", **given)
    facts = corruption_facts(read_evaluation(own))
    assert facts["mce"] == pytest.approx(np.mean([0.3 / each for each in ALEXNET_ERRORS.values()]))
    given["listed"] = {"per_class": {names[0]: 20}}
    few = _whole(tmp_path / "few", 0.7, "224px,jpeg-85,preprocess=none", **given)
    assert corruption_facts(read_evaluation(few))["mce"] is None  # one of its thousand classes
    given["listed"] = {"per_class": dict.fromkeys(names, 1)}
    large = _whole(tmp_path / "large", 0.7, "336px,jpeg-85,preprocess=none", **given)
    assert corruption_facts(read_evaluation(large))["mce"] is None


def test_a_report_says_when_corruptions_were_made_in_different_ways(tmp_path: Path) -> None:
    both = [_whole(tmp_path / "a", 0.7), _whole(tmp_path / "b", 0.4, protocol="q")]
    notes = report(read_measured(both))["notes"]
    assert any("corrupted pictures were made in 2 ways" in note for note in notes)
    assert read_json(both[0] / "evaluation.json")["settings"]["corruptions"]["protocol"] == "p"
