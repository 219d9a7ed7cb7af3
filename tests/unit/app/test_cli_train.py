"""`partlab train`: what is said of settings that change nothing, and of where recipes are from."""

from pathlib import Path

from typer.testing import CliRunner

from app.cli.main import app


def test_settings_that_nothing_reads_are_told_before_anything_is_opened(tmp_path: Path) -> None:
    asked = ["train", "run", "small_at", "--data", str(tmp_path / "none"), "--variant", "text"]
    asked += [
        "--out",
        str(tmp_path / "run"),
        "--set",
        "attack.method=free",
        "--set",
        "attack.steps=7",
    ]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 3
    told = answer.stderr.splitlines()
    assert (
        "attack.steps: not read with attack.method=free and model.kind=mpm, so this changes nothing"
        in told
    )
    assert "small_at has one variant: --variant text changes nothing" in told


def test_the_list_of_recipes_names_papers() -> None:
    told = CliRunner().invoke(app, ["train", "recipes"]).stdout
    assert "50 clean epochs, then 50 with PGD-10 at 8/255 (Hingun 2023 §2.5)" in told
    assert "adversarial training of PIN++, 80 epochs (PIN++ App. F)" in told
