"""`partlab segmenter list` as a person types it."""

import json

from typer.testing import CliRunner

from app.cli.main import app
from segmenter.runs import write_run


def listed(*words):
    return CliRunner().invoke(app, ["segmenter", "list", *words, "--json"])


def test_backends_are_listed_before_anything_was_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = json.loads(listed().stdout)
    assert {"name": "torchvision", "state": "ready"} in told["backends"]
    assert told["runs"] == []
    assert listed("nowhere").exit_code == 3


def test_runs_are_listed_and_other_folders_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "holiday").mkdir(parents=True)
    description = {"backend": "torchvision", "config": {"train": {"epochs": 3}}, "names": ["a:b"]}
    write_run(tmp_path / "runs" / "seg", description)
    (run,) = json.loads(listed().stdout)["runs"]
    assert run["run"] == "runs/seg"
    assert (run["epoch"], run["epochs"], run["score"]) == (0, 3, "no validation yet")
