"""What is written for the Hugging Face hub opens in `datasets`, offline."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.convert import export_folder
from annotate.data.formats import huggingface
from partlab.coco import write_coco
from partlab.masks import decode, encode
from partlab.schema import Annotation, Category, Dataset, Discard, Image

datasets = pytest.importorskip("datasets")
SIZE = (31, 21)


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for split in ("train", "my val"):
        images, masks = [], []
        for number in (1, 2, 3):
            name = f"{split}/{number}.png"
            images.append(Image.new(number, name, SIZE, object="ram", license="CC0"))
            path = tmp_path / "ours" / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            PillowImage.new("RGB", SIZE, (number, 2, 3)).save(path)
            about = {"provenance": "human:ann", "object_id": 4}
            masks.append(Annotation.new(number, number, 1, encode(ring(number)), **about))
        crowd = Annotation({**masks[0].raw, "id": 9, "iscrowd": 1})
        data = Dataset(images, [*masks, crowd], [Category.new(1, "ram", "left leg")])
        data = Dataset(
            *(data.images, data.annotations, data.categories),
            {"ram": {"left leg": "body"}},
            [Discard({"file_name": "bad.png"})],
        )
        write_coco(data, tmp_path / "ours" / "annotations" / f"{split}.json")
    return tmp_path / "ours"


def ring(number: int) -> np.ndarray:
    mask = np.zeros(SIZE[::-1], bool)
    mask[2 : 9 + number, 3:20] = True
    mask[4:6, 5:9] = False
    return mask


def test_datasets_opens_it(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "_ROWS", 2)
    monkeypatch.setattr(huggingface, "_BYTES", 1)
    told = export_folder(ours, tmp_path / "hub", format="huggingface")
    assert any("other fields of partlab are left out" in sentence for sentence in told["losses"])
    assert len(list((tmp_path / "hub" / "data").glob("train-*.parquet"))) == 2
    loaded = datasets.load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 3, "my_val": 3}
    row = loaded["train"][1]
    assert row["image"].size == SIZE
    assert row["image"].getpixel((0, 0)) == (2, 2, 3)
    assert (row["file_name"], row["object"]) == ("train/2.png", "ram")
    (mask,) = row["masks"]
    assert (decode(mask["segmentation"]) == ring(2)).all()
    assert (mask["part"], mask["provenance"], mask["object_id"]) == ("left leg", "human:ann", 4)
    assert [one["iscrowd"] for one in loaded["train"][0]["masks"]] == [0, 1]
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "path: data/my_val-*.parquet" in card
    assert "Licences of the pictures: CC0 (6)." in card


def test_without_pictures(ours: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from annotate.data.formats.pictures import Pictures

    export_folder(ours, tmp_path / "a", format="huggingface", pictures=Pictures.none)
    loaded = datasets.load_dataset(str(tmp_path / "a"), cache_dir=str(tmp_path / "cache"))
    assert "image" not in loaded["train"].column_names
    (ours / "images" / "train" / "2.png").unlink()
    export_folder(ours, tmp_path / "b", format="huggingface")
    assert "1 picture was not found; their masks are kept" in caplog.text
    loaded = datasets.load_dataset(str(tmp_path / "b"), cache_dir=str(tmp_path / "cache"))
    assert [row["image"] is None for row in loaded["train"]] == [False, True, False]
