"""Arguments in the wrong place or left out: the message says which, and what to type."""

from pathlib import Path

import pytest
from farm import FARM, hand_out, start
from typer.testing import CliRunner

from annotate.vocabulary import write_vocabulary
from app.cli.main import app


def said(*words: object, code: int) -> str:
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == code, done.output + done.stderr
    return done.stderr


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    with start(tmp_path / "farm") as work:
        hand_out(work)
        return work.folder


def test_arguments_that_changed_places(farm: Path, tmp_path: Path) -> None:
    file = tmp_path / "v.yaml"
    write_vocabulary(file, FARM)
    assert f"partlab vocabulary show {file} ram" in said("vocabulary", "show", "ram", file, code=3)
    swapped = said("vocabulary", "migrate", file, farm, code=3)
    assert f"changed places: partlab vocabulary migrate {farm} {file}" in swapped
    swapped = said("inspect", "decide", "ram", farm, "--pass-rest", "--by", "ina@x.org", code=3)
    assert f"partlab inspect decide {farm} ram" in swapped
    assert "changed places" not in said("vocabulary", "show", "ram", "nothing", code=3)


def test_sample_before_pull(farm: Path) -> None:
    words = said("inspect", "sample", farm, "ram", "--by", "ina@x.org", code=1)
    assert "ram round 1 is still being drawn: 12 of 12 pictures were open" in words
    assert f"partlab studio pull {farm}" in words
    told = CliRunner().invoke(app, ["inspect", "sample", str(farm), "--by", "ina@x.org"]).stdout
    assert "ram is still being drawn, as far as was pulled" in told
    assert f"fetch what was drawn since: partlab studio pull {farm}" in told


def test_all_that_is_missing_is_said_at_once(tmp_path: Path, farm: Path) -> None:
    words = said("studio", "create", tmp_path / "new", "--images", tmp_path, code=2)
    assert "--vocabulary FILE, --annotators EMAIL,EMAIL are missing" in words
    words = said("inspect", "discards", farm, "ram", "--image", 3, "--by", "ina@x.org", code=2)
    assert "lacks --uphold or --restore" in words


def test_fix_without_a_folder(tmp_path: Path) -> None:
    assert f"--fix took {tmp_path}" in said("data", "check", "--fix", tmp_path, code=2)
    words = said("data", "check", tmp_path, "--fix", "--drop-unusable", code=2)
    assert "--fix is followed by --drop-unusable" in words
