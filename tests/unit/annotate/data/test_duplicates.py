"""Pictures that look the same: found between splits, and kept together when one is divided."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageFilter
from typer.testing import CliRunner

from annotate.data import duplicates
from annotate.data.duplicates import near_duplicates
from annotate.data.split import split_dataset
from app.cli.main import app
from partlab.coco import read_dataset, write_coco
from partlab.errors import BackendUnavailableError
from partlab.schema import Category, Dataset, Image


def photo(seed: int) -> PillowImage.Image:
    """Smooth colours, as photographs have them."""
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    large = PillowImage.fromarray(pixels).resize((160, 120), PillowImage.Resampling.BICUBIC)
    return large.filter(ImageFilter.GaussianBlur(2))


def saved(root: Path, split: str, pictures: dict[str, PillowImage.Image]) -> Dataset:
    images = []
    for number, (name, picture) in enumerate(pictures.items(), 1):
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        images.append(Image.new(number, name, picture.size, object="ram"))
    data = Dataset(images, [], [Category.new(1, "ram", "head")])
    write_coco(data, root / "annotations" / f"{split}.json")
    return read_dataset(root, split)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    photos = {f"{seed}.png": photo(seed) for seed in range(8)}
    flat = {"flat.png": PillowImage.new("RGB", (20, 20), "red")}
    again = {"scaled.jpg": photo(3).resize((80, 60)), "other.jpg": photo(90)}
    saved(tmp_path, "train", {**photos, **flat})
    saved(tmp_path, "val", {**again, "flat2.png": PillowImage.new("RGB", (20, 20), "blue")})
    (tmp_path / "images" / "7.png").write_bytes(b"half")
    return tmp_path


def test_a_scaled_and_recompressed_picture_is_a_leak(world: Path) -> None:
    splits = {name: read_dataset(world, name) for name in ("train", "val")}
    pairs, passed = near_duplicates(splits)
    assert [pair.as_json()["first"] for pair in pairs] == ["train/3.png"]
    assert pairs[0].leaks
    assert pairs[0].second[1].file_name == "scaled.jpg"
    assert passed == ["train/7.png", "train/flat.png", "val/flat2.png"]


def test_the_command_tells_leaks_first(world: Path) -> None:
    result = CliRunner().invoke(app, ["data", "duplicates", str(world)])
    assert result.exit_code == 0, result.output
    assert "leak: train/3.png and val/scaled.jpg" in result.output
    assert "not looked at: 3 pictures" in result.output
    assert "12 images: 1 pair looks the same, 1 of them leaks" in result.output


def test_a_split_keeps_them_together(tmp_path: Path) -> None:
    pictures = {}
    for seed in range(6):
        pictures[f"{seed}.png"] = photo(seed)
        pictures[f"{seed}-small.jpg"] = photo(seed).resize((80, 60))
    data = saved(tmp_path, "all", pictures)
    apart = together = 0
    for seed in range(6):
        for bits in (None, 6):
            parts = split_dataset(data, ratio=0.5, seed=seed, together=bits)
            stems = [{i.file_name[0] for i in part.images} for part in parts.values()]
            apart += bits is None and bool(stems[0] & stems[1])
            together += bits == 6 and bool(stems[0] & stems[1])
    assert apart > 0
    assert together == 0


def test_pairs_of_many_pictures_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_ROWS", 3)
    random = np.random.default_rng(0).integers(0, 1 << 62, 10).tolist()
    hashes = [(one, one ^ 5) for one in random]
    hashes[8] = (hashes[1][0] ^ 3, hashes[1][1] ^ 1)
    assert [*duplicates._pairs(hashes, 2)] == [(1, 8, 2)]
    assert [*duplicates._pairs(hashes, 1)] == []


def test_without_the_package_it_says_what_to_install(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imagehash", None)
    with pytest.raises(BackendUnavailableError, match="imagehash") as caught:
        near_duplicates({"train": read_dataset(world, "train")})
    assert "partlab[duplicates]" in str(caught.value.hint)


def test_the_command_split_tells_what_looks_alike(tmp_path: Path) -> None:
    pictures = {f"{seed}{end}": photo(seed) for seed in range(6) for end in (".png", "-again.png")}
    for seed in range(6):
        pictures[f"{seed}-again.png"] = photo(seed).resize((80, 60))
    source = saved(tmp_path, "all", pictures).path
    command = ["data", "split", str(source), "--ratio", "0.5", "--seed", "0"]
    told = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "apart")])
    assert told.exit_code == 0, told.output
    assert "LEAK: " in told.output
    about = json.loads((tmp_path / "apart" / "split.json").read_text())["look_alike"]
    assert about["pairs"]
    for pair in about["pairs"]:
        assert pair["val"][0] == pair["train"][0]
    told = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "t"), "--together", "6"])
    assert "LEAK" not in told.output
    told = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "n"), "--no-look"])
    assert "not asked for" in told.output


def test_a_split_without_the_package_is_made_and_says_so(
    world: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imagehash", None)
    command = ["data", "split", str(world), "--split", "train", "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    assert "not looked at" in told.output
    assert "imagehash" in told.output
