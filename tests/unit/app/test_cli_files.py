"""`partlab data import | export | check | reuse` as a person meets them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner, Result

from app.cli.main import app


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)])


def polygon(side: int) -> list[list[int]]:
    return [[2, 2, 2 + side, 2, 2 + side, 2 + side, 2, 2 + side]]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two pictures with names that are not ASCII; one stated area is wrong."""
    folder = tmp_path / "welt"
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    images: list[Any] = []
    for number, name in enumerate(["gänse 鹅.png", "wagen.png"], 1):
        noise = np.random.default_rng(number).integers(0, 255, (30, 30, 3), dtype=np.uint8)
        PillowImage.fromarray(noise).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "width": 30, "height": 30})
    data = {
        "images": images,
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": polygon(10), "area": 9999},
            {"id": 2, "image_id": 2, "category_id": 2, "segmentation": polygon(20)},
        ],
        "categories": [
            {"id": 1, "name": "gänse:schnäbel", "supercategory": "gänse", "part": "schnäbel"},
            {"id": 2, "name": "wagen:rad", "supercategory": "wagen", "part": "rad"},
        ],
    }
    (folder / "annotations" / "train.json").write_text(json.dumps(data, ensure_ascii=False))
    return folder


def test_check_groups_findings_and_ends_with_0_without_errors(world: Path) -> None:
    result = run("check", world)
    assert result.exit_code == 0
    assert "warning: wrong_area x 1" in result.stdout
    assert "gänse 鹅.png" in result.stdout
    assert "0 errors, 1 warnings" in result.stdout


def test_check_ends_with_5_when_there_are_errors(world: Path) -> None:
    (world / "images" / "wagen.png").write_bytes(b"\xff\xd8\xff not a whole JPEG")
    result = run("check", world, "--json")
    assert result.exit_code == 5
    told = json.loads(result.stdout)
    (found,) = told["kinds"]["corrupt_image"]["findings"]
    assert found["image_id"] == 2
    assert run("check", world, "--no-images").exit_code == 0


def test_check_fix_writes_a_copy(world: Path, tmp_path: Path) -> None:
    result = run("check", world, "--fix", tmp_path / "heil", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["repaired"] == {"wrong_area": 1}
    assert told["remaining"]["errors"] == told["remaining"]["warnings"] == 0
    again = run("check", world, "--fix", tmp_path / "heil")
    assert again.exit_code == 1
    assert "already exists" in again.stderr
    assert "--force" in again.stderr
    forced = run("check", world, "--fix", world, "--force")
    assert forced.exit_code == 1
    assert "input" in forced.stderr
    assert (world / "images" / "wagen.png").exists()
    assert run("check", world, "--fix", tmp_path / "x", "--split", "train").exit_code == 2


@pytest.mark.parametrize("format", ["coco", "pinpp", "prepared"])
def test_export_then_import(format: str, world: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    told = run("export", world, "--format", format, "--out", out, "--pictures", "copy")
    assert told.exit_code == 0, told.output
    result = run("import", out, "--out", back, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["format"] == format
    (split,) = found["splits"].values()
    assert (split["images"], split["annotations"], split["categories"]) == (2, 2, 2)
    assert run("check", back).exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["check", "nowhere"], 3, "does not exist"),
        (["check", "empty"], 3, "make-world"),
        (["check", "welt", "--split", "tset"], 3, "train"),
        (["import", "empty", "--out", "o"], 3, "none of the formats"),
        (["import", "nowhere", "--out", "o"], 3, "nowhere does not exist"),
        (["import", "welt", "--format", "cocoo", "--out", "o"], 3, "did you mean coco"),
        (["import", "welt", "--images", "lost", "--out", "o"], 3, "lost does not exist"),
        (["import", "empty", "--format", "prepared", "--out", "o"], 3, "--names"),
        (["export", "welt", "--format", "yolo", "--out", "o"], 3, "known names"),
        (["export", "welt", "--format", "coco", "--out", "welt"], 1, "input"),
        (["reuse", "welt", "--required", "welt/annotations/train.json"], 5, "class"),
        (["check", "list.json"], 5, "not a COCO file"),
        (["check", "broken.json"], 5, "not valid JSON"),
        (["reuse", "welt", "--required", "empty"], 1, "empty: Is a directory"),
    ],
)
def test_mistakes_get_a_sentence_and_a_code(
    words: list[str], code: int, said: str, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.parent)
    (world.parent / "empty").mkdir()
    (world.parent / "list.json").write_text("[]")
    (world.parent / "broken.json").write_text('{"images": ')
    result = run(*words)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_reuse_names_a_reason_for_each_class(world: Path) -> None:
    result = run("reuse", world, "--min-images", 2)
    assert result.exit_code == 0
    assert "gänse: has 1 annotated images, under 2" in result.stdout
    assert "kept 0 of 2 classes" in result.stdout


def test_boxes_without_masks_are_taken_away_on_request_and_export_works(
    world: Path, tmp_path: Path
) -> None:
    path = world / "annotations" / "train.json"
    data = json.loads(path.read_text())
    box = {"id": 3, "image_id": 1, "category_id": 1, "segmentation": [], "bbox": [1, 1, 9, 9]}
    data["annotations"].append(box)
    path.write_text(json.dumps(data))
    checked = run("check", world)
    assert "annotation 3: a box without a mask" in checked.stdout
    assert "--drop-unusable" in checked.stdout
    assert run("export", world, "--format", "prepared", "--out", tmp_path / "no").exit_code == 5
    assert run("check", world, "--drop-unusable").exit_code == 2
    fixed = run("check", world, "--fix", tmp_path / "fixed", "--drop-unusable")
    assert fixed.exit_code == 0
    assert "took away 1 masks that hold no pixels" in fixed.stdout
    for name in ("prepared", "pinpp"):
        out = tmp_path / name
        assert run("export", tmp_path / "fixed", "--format", name, "--out", out).exit_code == 0


def test_show_says_what_it_did_not_draw(world: Path, tmp_path: Path) -> None:
    path = world / "annotations" / "train.json"
    data = json.loads(path.read_text())
    data["annotations"][0]["segmentation"] = None
    path.write_text(json.dumps(data))
    shown = run("show", world, "--out", tmp_path / "a.png")
    assert shown.exit_code == 0
    assert "1 mask was not drawn, first annotation 1" in shown.stdout
    told = json.loads(run("show", world, "--out", tmp_path / "b.png", "--json").stdout)
    assert len(told["masks_not_drawn"]) == 1
    assert told["unreadable"] == []


def test_stats_counts_no_boxes_as_masks(world: Path) -> None:
    path = world / "annotations" / "train.json"
    data = json.loads(path.read_text())
    data["annotations"][0]["segmentation"] = []
    path.write_text(json.dumps(data))
    told = run("stats", world, "--json")
    assert json.loads(told.stdout)["datasets"][0]["masks"] == 1
    assert "1 annotations have no mask" in told.stderr
