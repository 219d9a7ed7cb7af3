"""`partlab quickstart`: every step's files, going on after an interruption, nothing trampled."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from annotate.world import WorldConfig
from app.cli.main import app
from app.quickstart import quickstart
from partlab.errors import ConfigError, OutputExistsError
from train.runs import read_run

WORLD = WorldConfig(images=24, pool=6, heldout=6, size=64, objects=("cat", "dog"))
FAST = ["model.image_size=64", "train.epochs=1", "train.val_images=2"]
BRIEF = ["model.backbone=small_resnet8", "data.size=32", "train.epochs=1", "train.batch_size=8"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("loop") / "quickstart"
    return folder, quickstart(folder, world=WORLD, overrides=FAST, recognition=BRIEF)


def test_it_leaves_world_run_labels_and_report(made) -> None:
    folder, found = made
    assert found["images"] == 6
    assert set(found["evaluation"]) == {"without_cf", "with_cf", "difference"}
    page = (folder / "pseudo" / "report.html").read_text(encoding="utf-8")
    assert "<html" in page
    for key in ("world", "run", "pseudo", "report", "models"):
        assert Path(found[key]).exists()


def test_two_models_of_one_world_are_attacked(made) -> None:
    """They learn from people's and pseudo labels alike, and are told with a paired test."""
    folder, found = made
    told = found["robustness"]
    assert told["pictures"] == 6
    for way in ("clean", "robust"):
        assert {0 <= told[way][kind] <= 1 for kind in ("vanilla", "mpm")} == {True}
        assert 0 < told[way]["p"] <= 1
    for kind in ("vanilla", "mpm"):
        run = read_run(folder / "models" / kind)
        assert run["config"]["model"]["kind"] == kind
        assert "6 pseudo" in run["pictures"]


def test_again_changes_nothing_and_a_lost_step_is_done_again(made) -> None:
    folder, found = made
    weights = folder / "seg" / "best.safetensors"
    before = weights.stat().st_mtime_ns
    report = folder / "pseudo" / "report.html"
    report.unlink()
    again = quickstart(folder, world=WORLD, overrides=FAST, recognition=BRIEF)
    assert weights.stat().st_mtime_ns == before
    assert report.exists()
    assert again["evaluation"] == found["evaluation"]


def test_other_settings_and_foreign_folders_are_refused(made, tmp_path) -> None:
    with pytest.raises(OutputExistsError, match="other settings"):
        quickstart(made[0], world=WORLD, overrides=[])
    (tmp_path / "letter.txt").write_text("dear to me")
    with pytest.raises(OutputExistsError, match="holds no quickstart"):
        quickstart(tmp_path, world=WORLD, overrides=FAST, recognition=BRIEF)
    result = CliRunner().invoke(app, ["quickstart", "--out", str(tmp_path), "--force", "--json"])
    assert result.exit_code == 1
    assert "holds no quickstart" in json.loads(result.stderr.splitlines()[-1])["error"]
    assert (tmp_path / "letter.txt").exists()


def test_a_mistyped_setting_leaves_nothing_behind(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"train\.epcohs"):
        quickstart(tmp_path / "q", world=WORLD, overrides=["train.epcohs=2"])
    assert not (tmp_path / "q").exists()
