"""The whole chain on a handful of real photographs, by the commands a person types."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from partlab.coco import read_dataset, write_coco

PHOTOS = Path(__file__).parents[4] / "shared" / "data" / "parts"
OBJECTS = ("car", "ant")
TINY = [
    "model.image_size=96",
    "model.channels=16",
    "model.box_features=32",
    "model.mask_channels=16",
    "train.epochs=1",
    "train.val_images=2",
    "train.workers=0",
]

pytestmark = pytest.mark.skipif(
    not PHOTOS.is_dir(), reason="the photographs of ../shared/data/parts are not here"
)


def run(*words: object, codes: tuple[int, ...] = (0,)) -> dict:
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code in codes, result.stderr
    found: dict = json.loads(result.stdout)
    return found


@pytest.fixture
def parts(tmp_path) -> Path:
    """Four photos of each of two objects for training, two for validation; pictures linked."""
    folder = tmp_path / "parts"
    folder.mkdir()
    os.symlink(PHOTOS / "images", folder / "images")
    for split, count in (("train", 4), ("val", 2)):
        data = read_dataset(PHOTOS, split)
        chosen = [
            image.id
            for owner in OBJECTS
            for image in [i for i in data.images if i.object == owner][:count]
        ]
        write_coco(data.subset(chosen), folder / "annotations" / f"{split}.json")
    return folder


@pytest.fixture
def pool(tmp_path) -> Path:
    """Three unlabelled photos of each object, one of them damaged."""
    for owner in OBJECTS:
        target = tmp_path / "pool" / owner
        target.mkdir(parents=True)
        for photo in sorted((PHOTOS / "unannotated" / owner).iterdir())[:3]:
            os.symlink(photo, target / photo.name)
    (target / "broken.jpg").write_bytes(photo.read_bytes()[:500])
    return tmp_path / "pool"


def test_from_photographs_to_pseudo_labels(parts, pool, tmp_path) -> None:
    checked = run("data", "check", parts, codes=(0, 5))
    assert not set(checked["kinds"]) & {"missing_image", "corrupt_image", "wrong_image_size"}

    seg = tmp_path / "seg"
    sets = [word for setting in TINY for word in ("--set", setting)]
    trained = run("segmenter", "train", parts, "--out", seg, *sets)
    assert trained["images"] == 8

    scores = run("segmenter", "evaluate", seg, parts)
    assert 0 <= scores["with_cf"]["pixel_accuracy"] <= 1
    assert scores["images"] == 4

    store = tmp_path / "pseudo"
    run("pseudolabel", pool, "--segmenter", seg, "--out", store, "--threshold", "0.01")
    report = run("pseudolabel", "report", store, "--human", parts / "annotations" / "train.json")
    page = Path(report["out"]).read_text(encoding="utf-8")
    assert "broken.jpg" in page

    run("pseudolabel", "export", store, "--format", "coco", "--out", tmp_path / "labelled")
    exported = read_dataset(tmp_path / "labelled")
    owner_of = {image.id: image.object for image in exported.images}
    assert set(owner_of.values()) <= set(OBJECTS)
    assert all(
        exported.category_by_id[a.category_id].object == owner_of[a.image_id]
        for a in exported.annotations
    )  # the category filter: never a part of another object
    assert all(a.provenance.startswith("pseudo:") for a in exported.annotations)
