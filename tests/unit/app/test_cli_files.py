"""`partlab data import | export | check | reuse` as a person meets them."""

import json
import zipfile
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
    assert "0 errors, 1 warning" in result.stdout


def test_a_table_is_written_without_an_out_folder(world: Path, tmp_path: Path) -> None:
    result = run("import", world, "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "category,object,part,masks"
    missing = run("import", world)
    assert missing.exit_code == 2
    assert "--out" in missing.stderr


def test_the_hint_of_categories_without_object_is_a_command_that_works(world: Path) -> None:
    file = world / "annotations" / "train.json"
    data = json.loads(file.read_text())
    data["categories"] = [{"id": 1, "name": "head"}, {"id": 2, "name": "wheel"}]
    file.write_text(json.dumps(data))
    told = json.loads(run("check", world, "--json").stdout)
    hint = told["kinds"]["no_object"]["hint"]
    assert "partlab data import DATA --dry-run > map.csv" in hint
    assert "head,,head" in run("import", world, "--dry-run").stdout


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
        (["export", "welt", "--format", "xml", "--out", "o"], 3, "known names"),
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


def test_import_of_a_zip_of_a_label_studio_export(tmp_path: Path) -> None:
    sizes = {"original_width": 30, "original_height": 30}
    value = {"points": [[0, 0], [50, 0], [50, 50]], "polygonlabels": ["head"]}
    drawn = {"id": "a", "type": "polygonlabels", "value": value, **sizes}
    task = {
        "id": 4,
        "data": {"image": "/data/upload/1/a.png"},
        "annotations": [{"result": [drawn]}],
    }
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as made:
        made.writestr("tasks.json", json.dumps([task]))
    refused = run("import", tmp_path / "in.zip", "--out", tmp_path / "out")
    assert refused.exit_code == 5
    assert "--object NAME" in refused.output
    told = run(
        "import", tmp_path / "in.zip", "--out", tmp_path / "out", "--object", "ram", "--json"
    )
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["splits"]["tasks"]["annotations"] == 1
    assert json.loads(told.stdout)["pictures"] == {"tasks": {"missing": 1}}
    assert run("check", tmp_path / "in.zip").exit_code == 5


def test_reuse_names_a_reason_for_each_class(world: Path) -> None:
    result = run("reuse", world, "--min-images", 2)
    assert result.exit_code == 0
    assert "gänse: has 1 annotated images, under 2" in result.stdout
    assert "kept 0 of 2 classes" in result.stdout


def nameless(folder: Path) -> Path:
    images = [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}]
    categories = [{"id": i, "name": n, "supercategory": ""} for i, n in enumerate("ab", 1)]
    masks = [{"id": i, "image_id": 1, "category_id": i, "segmentation": BOX} for i in (1, 2)]
    data = {"images": images, "annotations": masks, "categories": categories}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.json").write_text(json.dumps(data))
    return folder / "x.json"


BOX = [[5, 5, 25, 5, 25, 15, 5, 15]]


def test_import_says_what_categories_are(tmp_path: Path) -> None:
    source = nameless(tmp_path)
    refused = run("import", source, "--out", tmp_path / "out")
    assert refused.exit_code == 5
    assert "--object NAME" in refused.stderr
    table = run("import", source, "--out", tmp_path / "out", "--dry-run")
    assert (table.exit_code, table.stdout) == (0, "category,object,part,masks\na,,a,1\nb,,b,1\n")
    assert not (tmp_path / "out").exists()
    done = run("import", source, "--out", tmp_path / "out", "--object", "car", "--json")
    assert json.loads(done.stdout)["splits"]["x"]["objects"] == 1
    for words in (["--background", "x"], ["--background", "1,2"], ["--names", source]):
        assert run("import", source, "--out", tmp_path / "o", *words).exit_code == 2


@pytest.mark.parametrize("command", ["stats", "split", "show", "export", "sample"])
def test_every_reader_refuses_parts_without_an_object(command: str, tmp_path: Path) -> None:
    source = nameless(tmp_path)
    out = [] if command == "stats" else ["--out", tmp_path / "out"]
    out += ["--format", "pinpp"] if command == "export" else []
    refused = run(command, source, *out)
    assert refused.exit_code == 5
    assert "do not say which object" in refused.stderr


def test_merge(tmp_path: Path) -> None:
    for who in ("ann", "ben"):
        path = nameless(tmp_path / who)
        path.write_text(path.read_text().replace('"a"', f'"car:{who}"').replace('"b"', '"car:b"'))
    sources = tmp_path / "ann" / "x.json", tmp_path / "ben" / "x.json"
    dry = run("merge", *sources, "--out", tmp_path / "out", "--dry-run")
    assert dry.exit_code == 0
    assert "train: 1 image, 3 masks, 3 part categories of 1 object" in dry.stdout
    assert "1 mask was there twice" in dry.stdout
    assert not (tmp_path / "out").exists()
    done = run("merge", *sources, "--out", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["not_compared"] == 1
    assert run("merge", sources[0], "--out", tmp_path / "o").exit_code == 2


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
    assert "took away 1 mask without pixels" in fixed.stdout
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
    assert "1 annotation without a mask" in told.stderr


def test_export_says_what_is_lost_before_it_writes(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.parent)
    result = run("export", "welt", "--format", "voc", "--out", "o", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "names of parts: are written object/part" in result.output
    assert "nothing written (--dry-run)" in result.output
    assert not (world.parent / "o").exists()
    result = run("export", "welt", "--format", "coco", "--out", "o", "--dry-run")
    assert "nothing is lost" in result.output


def test_import_says_what_it_took_the_source_for(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.parent)
    assert run("export", "welt", "--format", "yolo", "--out", "o").exit_code == 0
    result = run("import", "o", "--out", "back")
    assert result.exit_code == 0, result.output
    assert "taken for YOLO-seg (yolo), written to back" in result.output
