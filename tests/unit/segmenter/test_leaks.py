"""Images that a run has seen under another name are found by how they look."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from colour_segmenter import write_colour_run
from PIL import Image as PillowImage
from PIL import ImageFilter

from annotate.data import duplicates
from partlab.coco import read_dataset, write_coco
from partlab.errors import BackendUnavailableError
from partlab.files import write_lines
from partlab.schema import Category, Dataset, Image
from segmenter.leaks import leaks


def photo(seed: int) -> PillowImage.Image:
    """Smooth colours, as photographs have them."""
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    large = PillowImage.fromarray(pixels).resize((160, 120), PillowImage.Resampling.BICUBIC)
    return large.filter(ImageFilter.GaussianBlur(2))


def saved(root: Path, split: str, pictures: dict[str, PillowImage.Image]) -> Dataset:
    (root / "images").mkdir(parents=True, exist_ok=True)
    images = []
    for number, (name, picture) in enumerate(pictures.items(), 1):
        picture.save(root / "images" / name)
        images.append(Image.new(number, name, picture.size, object="ram"))
    write_coco(
        Dataset(images, [], [Category.new(1, "ram", "head")]),
        root / "annotations" / f"{split}.json",
    )
    return read_dataset(root, split)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Trained on the pictures 0 to 4 of a data set; 5 was left out of training."""
    data = saved(tmp_path / "train", "train", {f"{seed}.png": photo(seed) for seed in range(6)})
    run = write_colour_run(tmp_path / "seg", ("ram:head",), np.zeros((1, 3), np.float32))
    write_lines(run / "train_images.txt", [f"{seed}.png" for seed in range(5)])
    about = json.loads((run / "config.json").read_text())
    about["data"] = {"path": str(data.path), "fingerprint": data.fingerprint}
    (run / "config.json").write_text(json.dumps(about))
    return run


@pytest.fixture
def truth(tmp_path: Path) -> Dataset:
    return saved(
        tmp_path / "new",
        "val",
        {
            "small.jpg": photo(3).resize((80, 60)),
            "1.png": photo(90),
            "left-out.png": photo(5),
            "new.png": photo(91),
            "flat.png": PillowImage.new("RGB", (20, 20), "red"),
        },
    )


def test_a_picture_under_another_name_is_told(run: Path, truth: Dataset) -> None:
    found = leaks(run, truth)
    assert [pair[:2] for pair in found.look_alike] == [("3.png", "small.jpg")]
    assert found.same_name == ("1.png",)
    assert found.not_looked_at == 1
    names, looks = found.sentences(5)
    assert "1 of 5 images has the file name of a training image" in names
    assert "1 of 5 images looks like a training image of this run (first: small.jpg" in looks


def test_training_pictures_are_looked_at_once(run: Path, truth: Dataset, tmp_path: Path) -> None:
    leaks(run, truth)
    shutil.rmtree(tmp_path / "train")
    assert leaks(run, truth).look_alike


def test_where_pictures_cannot_be_compared_it_is_said(
    run: Path, truth: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise BackendUnavailableError("imagehash is not installed", hint="install it")

    with monkeypatch.context() as patched:
        patched.setattr(duplicates, "_package", missing)
        found = leaks(run, truth)
    assert found.same_name == ("1.png",)
    assert found.sentences(5)[-1].startswith("only file names were compared")
    assert "imagehash" in found.sentences(5)[-1]
    shutil.rmtree(tmp_path / "train" / "images")
    assert "none of the training pictures" in str(leaks(run, truth).not_compared)
    shutil.rmtree(tmp_path / "train")
    assert "not where it was" in str(leaks(run, truth).not_compared)
