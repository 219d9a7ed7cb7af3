"""`partlab train show` as a person types it."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from app.cli import train_show
from partlab.training.runs import append_metrics
from segmenter.runs import write_run as write_segmenter
from train.recipes import recipe
from train.runs import write_run

app = typer.Typer()
train_show.register(app)
app.callback()(lambda: None)  # one command stays a command of its own


def show(*words: object, code: int = 0) -> Result:
    answer = CliRunner().invoke(app, ["show", *map(str, words)])
    assert answer.exit_code == code, answer.output
    return answer


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """`mpm` and `[red]vanilla`, two epochs of 20; `none`, without a step; `seg`, a segmenter."""
    folder = tmp_path / "runs"
    for name, kind in (("mpm", "mpm"), ("[red]vanilla", "vanilla"), ("none", "mpm")):
        config = recipe("small_at", kind=kind).model_dump(mode="json")
        write_run(folder / name, {"config": config, "classes": ["a"], "parts": ["a:x"], "val": "v"})
    for name in ("mpm", "[red]vanilla"):
        for step in (20, 40):
            line: dict[str, Any] = {"step": step, "epoch": step // 20, "loss": 1.0, "class": 1.0}
            append_metrics(folder / name, {**line, "seconds": step / 10})
            found = {"val_clean": 0.5, "val_pgd": step / 100}
            append_metrics(folder / name, {"step": step, "epoch": step // 20, **found})
    write_segmenter(folder / "seg", {"backend": "torchvision", "config": {}, "names": ["a:x"]})
    return folder


def test_one_run_in_words_with_its_picture_and_page(runs: Path) -> None:
    said = show(runs / "mpm").stdout
    assert "model:      mpm on small_resnet16" in said
    assert "best:       clean 50.0 %, under PGD 40.0 % (epoch 2)" in said
    assert "2 of 20 epochs, 40 steps in 4 s, not finished; about 36 s left" in said
    assert "chosen by PGD accuracy on these same validation pictures" in said
    assert f"open:    {runs / 'mpm' / 'curves.html'}" in said
    assert (runs / "mpm" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    before = (runs / "mpm" / "curves.html").read_text(encoding="utf-8")
    append_metrics(runs / "mpm", {"step": 60, "epoch": 3, "val_clean": 0.9, "val_pgd": 0.875})
    show(runs / "mpm")  # its own page is made anew while it goes on
    assert "87.5 %" in (runs / "mpm" / "curves.html").read_text(encoding="utf-8")
    assert "87.5 %" not in before


def test_several_runs_side_by_side(runs: Path, tmp_path: Path) -> None:
    both = [runs / "mpm", runs / "[red]vanilla"]
    said = show(*both, "--out", tmp_path / "both").stdout
    rows = [line.split() for line in said.splitlines()]
    assert rows[0][0] == "run"
    assert rows[1][:4] == ["mpm", "mpm", "on", "small_resnet16"]
    assert rows[2][:2] == ["[red]vanilla", "vanilla"]
    assert rows[2][5:10] == ["2", "of", "20", "50.0", "%"]
    assert "model.kind: mpm | vanilla" in said
    assert (tmp_path / "both" / "curves.html").is_file()
    assert (tmp_path / "both" / "curves.png").is_file()
    again = show(*both, "--out", tmp_path / "both", code=1)
    assert "already exists" in again.stderr
    show(*both, "--out", tmp_path / "both", "--force")


def test_out_may_be_a_page(runs: Path, tmp_path: Path) -> None:
    show(runs / "mpm", "--out", tmp_path / "a" / "mine.html")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["mine.html", "mine.png"]
    assert not (runs / "mpm" / "curves.html").exists()


def test_as_json_only_json(runs: Path, tmp_path: Path) -> None:
    both = [runs / "mpm", runs / "[red]vanilla"]
    told = json.loads(show(*both, "--out", tmp_path / "both", "--json").stdout)
    assert [run["best"]["pgd"] for run in told["runs"]] == [0.4, 0.4]
    assert told["differing_settings"] == {"model.kind": ["mpm", "vanilla"]}
    assert told["page"] == str(tmp_path / "both" / "curves.html")
    nothing = json.loads(show(runs / "none", "--json").stdout)
    assert (nothing["page"], nothing["runs"][0]["step"]) == (None, 0)


def test_a_run_without_a_step_is_no_error(runs: Path) -> None:
    said = show(runs / "none").stdout
    assert "no step logged yet" in said
    assert "no curves to draw" in said
    assert not list((runs / "none").glob("curves*"))
    told = show(runs / "none", runs / "mpm", "--out", runs / "both").stdout
    assert "note, none: no step logged yet" in told


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("seg",), 5, "another kind: segmenter"),
        (("mpm", "seg", "--out", "x"), 5, "another kind: segmenter"),
        (("nothing",), 3, "not a recognition run"),
        (("mpm", "none"), 2, "--out DIR"),
        (("mpm", "mpm", "--out", "x"), 2, "named twice"),
        (("mpm", "--out", "x.png"), 2, "x.html"),
        (("mpm", "--out", "file"), 1, "cannot write"),
    ],
)
def test_bad_input_gets_a_sentence(
    runs: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(runs)
    (runs / "file").touch()
    answer = show(*words, code=code)
    assert said in answer.stderr
    assert "hint:" in answer.stderr or code == 5
