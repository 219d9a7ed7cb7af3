"""`partlab pseudolabel report | calibrate | export | cache` as a person types them."""

import json

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from partlab.coco import read_dataset
from partlab.labelmaps import LabelMaps
from segmenter.runs import write_run

HEAD, WHEEL = 1, 3
BOX = (0, 0, 20, 20)


@pytest.fixture
def store(make_store):
    rows = [(f"cat/{n:02d}.png", "cat", [(HEAD, BOX, 0.38)]) for n in range(24)]
    rows += [("cat/ü é.png", "cat", []), ("car/x.png", "car", "cannot read image: truncated")]
    return make_store(rows)


@pytest.fixture
def truth(make_dataset, tmp_path):
    said = [(f"cat/{n:02d}.png", "cat", [("cat:head", BOX)]) for n in range(24)]
    return make_dataset(said, image_root=tmp_path / "photos").path


def run(*words):
    return CliRunner().invoke(app, ["pseudolabel", *map(str, words)])


def result(*words):
    answer = run(*words, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_report_writes_one_page_and_tells_the_essence(store, truth):
    answer = run("report", store.path, "--truth", truth)
    assert answer.exit_code == 0, answer.output
    assert "26 images, 24 masks; 4.0 % of the readable images are blank; 1 unreadable" in (
        answer.stdout
    )
    assert "on 24 images with known masks" in answer.stdout
    page = (store.path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    again = run("report", store.path)
    assert again.exit_code == 1
    assert "already exists" in again.output
    assert run("report", store.path, "--force").exit_code == 0


def test_report_as_json_is_only_json(store, truth, tmp_path):
    told = result("report", store.path, "--truth", truth, "--out", tmp_path / "r.html")
    assert told["images"] == 26
    assert told["truth"]["sweep"][0]["ap50"] == 1.0
    assert told["unreadable"] == [
        {"file_name": "car/x.png", "reason": "cannot read image: truncated"}
    ]
    assert (tmp_path / "r.html").is_file()


def test_report_compares_with_the_training_set_unless_told(make_store, make_dataset, tmp_path):
    human = make_dataset([("h.png", "cat", [("cat:head", BOX)])])
    run_folder = tmp_path / "seg"
    store = make_store([("cat/a.png", "cat", [])], run=str(run_folder))
    about = {"backend": "x", "config": {}, "names": [], "data": {"path": str(human.path)}}
    write_run(run_folder, about)
    assert result("report", store.path)["human"] == str(human.path)
    assert result("report", store.path, "--force", "--human", other(make_dataset))["human"] != str(
        human.path
    )


def other(make_dataset):
    return make_dataset([("h.png", "cat", [("cat:ear", BOX)])], folder="other").path


def test_report_bounds_can_be_set(store, tmp_path):
    told = result("report", store.path, "--out", tmp_path / "a.html", "--set", "blank=0.01")
    assert told["objects"][0]["mostly_blank"]
    wrong = run("report", store.path, "--out", tmp_path / "b.html", "--set", "blanc=0.01")
    assert wrong.exit_code == 2
    assert "blank" in wrong.output


@pytest.mark.parametrize("setting", ["bins=0", "area_ratio=0", "examples=-1"])
def test_impossible_report_bounds_are_refused(store, setting):
    found = run("report", store.path, "--set", setting)
    assert found.exit_code == 2
    assert setting.partition("=")[0] in found.stderr


def test_calibrate_writes_what_the_engine_reads(store, truth, tmp_path):
    out = tmp_path / "tau.json"
    answer = run("calibrate", store.path, "--truth", truth, "--out", out)
    assert answer.exit_code == 0, answer.output
    assert json.loads(out.read_text()) == {"default": 0.5, "parts": {"cat:head": 0.35}}
    assert "1 part has a threshold of its own, 4 have too few examples" in answer.stdout
    assert run("calibrate", store.path, "--truth", truth, "--out", out).exit_code == 1
    told = result(
        *("calibrate", store.path, "--truth", truth, "--out", out, "--force"),
        *("--goal", "precision=0.9", "--min-examples", 8),
    )
    assert told["held_out"]["picked"]["f1"] == 1.0
    assert told["details"][1]["reason"] == "picked"


def test_export_in_both_layouts(store, tmp_path):
    told = result("export", store.path, "--out", tmp_path / "coco")
    assert (told["images"], told["masks"], told["unreadable_left_out"]) == (25, 24, 1)
    assert len(read_dataset(tmp_path / "coco").annotations) == 24
    answer = run("export", store.path, "--out", tmp_path / "p", "--format", "prepared")
    assert answer.exit_code == 0, answer.output
    assert "25 images (1 blank), 24 masks" in answer.stdout
    assert "left out: 1 unreadable" in answer.stdout
    assert (tmp_path / "p" / "seg" / "cat" / "ü é.png").is_file()


def test_cache_is_made_once(store, truth, tmp_path):
    out = tmp_path / "maps.arrow"
    told = result("cache", store.path, "--human", truth, "--out", out)
    assert (told["images"], told["human"], told["in an earlier source"]) == (25, 24, 24)
    assert told["made"]
    assert len(LabelMaps(out)) == 25
    again = run("cache", store.path, "--human", truth, "--out", out)
    assert "up to date: 25 images" in again.stdout


@pytest.mark.parametrize("command", ["report", "calibrate", "export", "cache"])
def test_a_folder_that_is_no_store(command, truth, tmp_path):
    extra = {"calibrate": ["--truth", truth, "--out", tmp_path / "t.json"], "report": []}
    options = extra.get(command, ["--out", tmp_path / "out"])
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        answer = run(command, tmp_path / folder, *options)
        assert answer.exit_code == 3
        assert "is not a pseudo-label store" in answer.output
    assert not (tmp_path / "out").exists()


def test_clear_errors(store, truth, make_dataset, tmp_path):
    out = tmp_path / "t.json"
    cases = {
        "no folder": ["report", store.path, "--images", tmp_path / "gone"],
        "does not exist": ["report", store.path, "--truth", tmp_path / "gone"],
        "unknown goal": ["calibrate", store.path, "--truth", truth, "--out", out, "--goal", "x"],
        "share no readable images": ["report", store.path, "--truth", far(make_dataset)],
        "is a folder": ["report", store.path, "--out", tmp_path],
    }
    for words, typed in cases.items():
        answer = run(*typed)
        assert answer.exit_code in (1, 2, 3), answer.output
        assert words in answer.output
        assert "hint:" in answer.output or words in ("no folder",)
        assert "Traceback" not in answer.output
    assert not out.exists()
    assert not (store.path / "report.html").exists()


def far(make_dataset):
    return make_dataset([("q.png", "cat", [("cat:head", BOX)])], folder="far").path


def test_several_splits_are_named(store, truth, tmp_path):
    other = truth.parent / "val.json"
    other.write_bytes(truth.read_bytes())
    answer = run("report", store.path, "--truth", truth.parent.parent)
    assert answer.exit_code == 3
    assert "has several splits" in answer.output
    assert str(other) in answer.output.replace("\n", "")


def test_damaged_store_and_missing_pictures(store, tmp_path):
    (tmp_path / "photos" / "cat" / "00.png").write_bytes(b"no picture")
    answer = run("report", store.path)
    assert answer.exit_code == 0, answer.output
    (store.path / "shards" / "part-00001.parquet").write_bytes(b"PAR1")
    answer = run("export", store.path, "--out", tmp_path / "out")
    assert answer.exit_code == 5
    assert "part-00001.parquet" in answer.output
    (store.path / "manifest.json").write_text("{}")
    answer = run("report", store.path, "--force")
    assert answer.exit_code == 5
    assert "manifest.json is damaged" in answer.output
