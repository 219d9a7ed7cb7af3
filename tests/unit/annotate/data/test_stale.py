"""An export whose category was opened again says so, and so does whatever is made of it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from annotate.data.check import check_folder
from annotate.data.convert import export_folder, import_folder
from annotate.data.fix import fix_folder
from annotate.data.merge import merge_folders
from annotate.data.stale import stale_in
from app.cli.main import app
from partlab.coco import find_splits, read_coco

SLIP = {"cat": "a slip"}


def exported(folder: Path, seed: int, stale: object = None) -> Path:
    """Four cats with a head each, and the manifest of an export."""
    images, annotations = [], []
    for n in range(1, 5):
        images.append({"id": n, "file_name": f"{seed}-{n}.png", "width": 60, "height": 40})
        box = [[5, 5, 25, 5, 25, 15, 5, 15]]
        one = {"id": n, "image_id": n, "category_id": 1, "segmentation": box, "iscrowd": 0}
        annotations.append(one)
        noise = np.random.default_rng([n, seed]).integers(0, 255, (40, 60, 3), np.uint8)
        path = folder / "images" / f"{seed}-{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(noise).save(path)
    categories = [{"id": 1, "name": "cat:head", "supercategory": "cat"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations").mkdir()
    (folder / "annotations" / "all.json").write_text(json.dumps(data))
    manifest = {"work": {"id": seed}} | ({"stale": stale} if stale is not None else {})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def told(folder: Path) -> set[str]:
    """What `data check` says of it, and it has no manifest to say it with."""
    assert not (folder / "manifest.json").exists()
    return {one.message for one in check_folder(folder).by_kind.get("stale", [])}


def command(*words: object) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output


def split(stale: Path, out: Path) -> None:
    command("data", "split", stale, "--out", out)


def check_fix(stale: Path, out: Path) -> None:
    command("data", "check", stale, "--fix", out)


WAYS: dict[str, Callable[[Path, Path], object]] = {
    "split": split,
    "fix": fix_folder,
    "check --fix": check_fix,
    "import": import_folder,
    "export": lambda stale, out: export_folder(stale, out, format="coco"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_made_of_a_stale_export_is_stale(way: str, tmp_path: Path) -> None:
    stale = exported(tmp_path / "export", 1, SLIP)
    WAYS[way](stale, tmp_path / "made")
    assert told(tmp_path / "made") == {"cat was opened again after this was exported: a slip"}
    files = find_splits(tmp_path / "made").values()
    assert all(stale_in(read_coco(file)) == SLIP for file in files)


def test_what_is_made_of_that_is_stale_too(tmp_path: Path) -> None:
    last = exported(tmp_path / "first", 1, SLIP)
    for way in WAYS:
        made = tmp_path / way.replace(" ", "")
        if way == "split":
            command("data", "split", last, "--protocol", "recognition", "--out", made)
        else:
            WAYS[way](last, made)
        last = made
    assert told(last) == {"cat was opened again after this was exported: a slip"}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_made_of_another_is_not(way: str, tmp_path: Path) -> None:
    WAYS[way](exported(tmp_path / "export", 1), tmp_path / "made")
    assert told(tmp_path / "made") == set()


def test_a_joined_data_set_has_the_marks_of_all(tmp_path: Path) -> None:
    fine = exported(tmp_path / "fine", 1)
    first = exported(tmp_path / "first", 2, SLIP)
    other = exported(tmp_path / "other", 3, {"cat": "bad ears", "dog": "no dog"})
    merge_folders([fine, first, other], tmp_path / "joined")
    (file,) = find_splits(tmp_path / "joined").values()
    assert stale_in(read_coco(file)) == {"cat": "a slip; bad ears", "dog": "no dog"}
    assert len(told(tmp_path / "joined")) == 2
    merge_folders([tmp_path / "joined", first], tmp_path / "again")
    (file,) = find_splits(tmp_path / "again").values()
    assert stale_in(read_coco(file))["cat"] == "a slip; bad ears"  # each reason once
    merge_folders([fine, exported(tmp_path / "plain", 4)], tmp_path / "unmarked")
    assert told(tmp_path / "unmarked") == set()


def test_a_format_without_a_place_for_the_mark_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stale = exported(tmp_path / "export", 1, SLIP)
    with caplog.at_level(logging.WARNING):
        export_folder(stale, tmp_path / "release", format="pinpp")
    assert "not carried over" in caplog.text
    assert "that cat was opened again after the export" in caplog.text


@pytest.mark.parametrize("strange", [[], "cat", 3, None])
def test_a_manifest_of_somebody_else_is_no_mark(strange: object, tmp_path: Path) -> None:
    folder = exported(tmp_path / "export", 1, strange)
    assert stale_in(read_coco(folder / "annotations" / "all.json")) == {}
