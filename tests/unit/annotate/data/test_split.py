"""Splits and samples: seeded, per category, whole pictures (ST-05, D-02)."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from annotate.data.sample import sample_images
from annotate.data.split import split_dataset, write_splits
from partlab.coco import read_dataset, write_coco
from partlab.errors import ConfigError, DatasetError, NotFoundError, OutputExistsError
from partlab.files import read_json, sha256_file
from partlab.schema import Annotation, Category, Dataset, Image


def dataset(counts: dict[str, int], root: Path = Path()) -> Dataset:
    """`counts` images of each object category, without masks."""
    names = [f"{owner}/{i:03d}.jpg" for owner, n in counts.items() for i in range(n)]
    images = [Image.new(i, n, (8, 8), object=n.split("/")[0]) for i, n in enumerate(names, 1)]
    categories = [Category.new(i, owner, "body") for i, owner in enumerate(counts, 1)]
    return Dataset(images, [], categories, image_root=root)


def names(part: Dataset, owner: str | None = None) -> list[str]:
    return [image.file_name for image in part.images if owner in (None, image.object)]


@settings(max_examples=40)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(1, 30), min_size=1),
    st.sampled_from(["seeded", "first90"]),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
def test_every_image_on_one_side_and_the_ratio_in_each_category(
    counts: dict[str, int], protocol: str, ratio: float, seed: int
) -> None:
    whole = dataset(counts)
    parts = split_dataset(whole, protocol, ratio=ratio, seed=seed)
    assert sorted(names(parts["train"]) + names(parts["val"])) == sorted(names(whole))
    for owner, count in counts.items():
        wanted = min(max(count - round(ratio * count), 1), count - 1)
        assert len(names(parts["val"], owner)) == (wanted if count > 1 else 0)


def test_seeded_is_reproducible_and_independent_of_other_categories() -> None:
    small, large = dataset({"cat": 30}), dataset({"ant": 7, "cat": 30, "dog": 9})
    first = split_dataset(small, seed=3)
    assert names(first["val"]) == names(split_dataset(small, seed=3)["val"])
    assert names(first["val"]) != names(split_dataset(small, seed=4)["val"])
    assert names(split_dataset(large, seed=3)["val"], "cat") == names(first["val"])
    assert names(first["val"]) != names(small)[-3:]


def test_first90_takes_the_first_ninety_in_file_order() -> None:
    whole = dataset({"cat": 100, "dog": 10})
    parts = split_dataset(whole, "first90")
    assert names(parts["train"], "cat") == [f"cat/{i:03d}.jpg" for i in range(90)]
    assert names(parts["val"]) == [f"cat/{i:03d}.jpg" for i in range(90, 100)] + ["dog/009.jpg"]


def test_recognition_trains_on_all() -> None:
    whole = dataset({"cat": 10})
    assert {k: len(v.images) for k, v in split_dataset(whole, "recognition").items()} == {
        "train": 10
    }


def test_same_bytes_under_two_categories_stay_together(tmp_path: Path) -> None:
    """Equal files, without and with a stated hash; no leak for any seed."""
    whole = dataset({"cat": 12, "dog": 12}, tmp_path)
    for i, image in enumerate(whole.images):
        path = tmp_path / image.file_name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"same bytes" if i in (0, 17) else f"{i:010d}".encode())
    stated = [image.changed(sha256=f"{i % 20}") for i, image in enumerate(whole.images)]
    for twins, data in (
        ([(0, 17)], whole),
        ([(0, 20), (1, 21), (2, 22), (3, 23)], Dataset(stated, [], whole.categories)),
    ):
        for seed in range(25):
            val = {image.id for image in split_dataset(data, seed=seed, ratio=0.7)["val"].images}
            for one, other in twins:
                assert (one + 1 in val) == (other + 1 in val)


def test_an_image_with_parts_of_two_objects_moves_whole() -> None:
    base = dataset({"cat": 10, "dog": 10})
    shared = base.images[0]
    masks = [Annotation.new(1, shared.id, 2, {}), Annotation.new(2, shared.id, 1, {})]
    whole = Dataset(base.images, masks, base.categories)
    for seed in range(10):
        parts = split_dataset(whole, seed=seed)
        sides = [shared.id in part.image_by_id for part in parts.values()]
        assert sides.count(True) == 1
        home = parts["train" if sides[0] else "val"]
        assert len(home.annotations) == 2


def test_written_splits_find_their_pictures(tmp_path: Path) -> None:
    whole = dataset({"cat": 10}, tmp_path / "photos")
    for image in whole.images:
        _photo(tmp_path / "photos" / image.file_name, image.id)
    about = {"protocol": "seeded", "seed": 0}
    counts = write_splits(split_dataset(whole), tmp_path / "out", about)
    assert counts == {"train": 9, "val": 1}
    for split in ("train", "val"):
        read = read_dataset(tmp_path / "out", split)
        assert all(read.image_path(image).is_file() for image in read.images)
    assert read_json(tmp_path / "out" / "split.json") == {**about, "images": counts}
    with pytest.raises(OutputExistsError):
        write_splits(split_dataset(whole), tmp_path / "out", about)


def test_one_file_under_two_ids_stays_whole_however_its_hash_is_stated(tmp_path: Path) -> None:
    """Of each pair only the second record states the hash."""
    images = []
    for number in range(20):
        name = f"{number // 2}.png"
        _photo(tmp_path / name, number // 2)
        said = {"sha256": sha256_file(tmp_path / name)} if number % 2 else {}
        images.append(Image.new(number, name, (9, 6), object="cat", **said))
    parts = split_dataset(Dataset(images, [], [], image_root=tmp_path), ratio=0.6)
    train, val = ({image.file_name for image in part.images} for part in parts.values())
    assert not train & val
    assert len(train) + len(val) == 10


def test_wrong_requests() -> None:
    with pytest.raises(ConfigError, match="protocol"):
        split_dataset(dataset({"cat": 2}), "random")
    with pytest.raises(ConfigError, match="ratio"):
        split_dataset(dataset({"cat": 2}), ratio=1.0)
    with pytest.raises(DatasetError, match="no images"):
        split_dataset(dataset({}))


# --- samples ---------------------------------------------------------------------------------


def _photo(path: Path, seed: int, size: tuple[int, int] = (6, 9)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    PillowImage.fromarray(noise).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for position, owner in enumerate(("Ämter", "cat", "dog")):
        for i in range(8):
            _photo(tmp_path / "photos" / owner / f"{i}.png", 10 * position + i)
    (tmp_path / "photos" / "cat" / "notes.txt").write_text("not a picture")
    return tmp_path / "photos"


def test_sample_is_reproducible_with_a_manifest(photos: Path, tmp_path: Path) -> None:
    kwargs = {"per_object": 3, "origin_split": "train"}
    first = sample_images(photos, tmp_path / "a", seed=5, copy=True, **kwargs)
    assert sample_images(photos, tmp_path / "b", seed=5, **kwargs) == first
    assert sample_images(photos, tmp_path / "c", seed=6, **kwargs) != first
    listed = read_json(tmp_path / "a" / "manifest.json")["images"]
    assert [one["object"] for one in listed] == ["cat"] * 3 + ["dog"] * 3 + ["Ämter"] * 3
    for one in listed:
        assert one["sha256"] == sha256_file(photos / one["file_name"])
        assert sha256_file(tmp_path / "a" / "images" / one["file_name"]) == one["sha256"]
        assert (one["width"], one["height"], one["origin_split"]) == (9, 6, "train")  # D-01


def test_categories_with_too_few_images_are_named(photos: Path, tmp_path: Path) -> None:
    for i in range(8, 12):
        _photo(photos / "dog" / f"{i}.png", i)
    (photos / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"fewer than 9 .*cat \(8\), empty \(0\), Ämter \(8\)"):
        sample_images(photos, tmp_path / "out", per_object=9)
    with pytest.raises(NotFoundError, match=r"no split 'train': .* not a data set"):
        sample_images(photos, tmp_path / "out", per_object=2, split="train")
    assert not (tmp_path / "out").exists()


def test_damaged_images_are_passed_over_and_named(photos: Path, tmp_path: Path) -> None:
    whole = (photos / "cat" / "1.png").read_bytes()
    (photos / "cat" / "1.png").write_bytes(whole[: len(whole) // 2])
    (photos / "cat" / "2.png").write_bytes(b"nonsense")
    sample_images(photos, tmp_path / "out", per_object=6)
    assert read_json(tmp_path / "out" / "manifest.json")["unreadable"] != []
    with pytest.raises(DatasetError, match=r"cat \(6\)"):
        sample_images(photos, tmp_path / "more", per_object=7)


def test_only_images_that_were_opened_are_called_readable(photos: Path, tmp_path: Path) -> None:
    (photos / "cat" / "2.png").write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match=r"fewer than 9 images of cat \(8\), dog"):
        sample_images(photos, tmp_path / "out", per_object=9)
    with pytest.raises(DatasetError, match=r"fewer than 8 readable images of cat \(7\)$"):
        sample_images(photos, tmp_path / "out", per_object=8)


def test_files_that_are_no_pictures_are_said(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (".DS_Store", "._1.png", "Thumbs.db"):
        (photos / "cat" / name).write_bytes(b"x")
    sample_images(photos, tmp_path / "a", per_object=3)
    assert "1 file is no picture that partlab reads (bmp, jpeg, jpg" in caplog.text
    assert "first cat/notes.txt" in caplog.text
    (photos / "cat" / "IMG_1.HEIC").write_bytes(b"x")
    sample_images(photos, tmp_path / "b", per_object=3)
    assert "2 files are no picture" in caplog.text
    assert "first cat/IMG_1.HEIC" in caplog.text
    for picture in photos.rglob("*.png"):
        picture.unlink()
    with pytest.raises(NotFoundError, match="no images in sub-folders") as caught:
        sample_images(photos, tmp_path / "c", per_object=3)
    assert "cat/IMG_1.HEIC" in str(caught.value.hint)


def test_sample_of_a_data_set_keeps_its_masks(tmp_path: Path) -> None:
    images = [
        Image.new(i, f"{owner}/{i % 8}.png", (9, 6), object=owner, origin_split="train")
        for i, owner in enumerate(["cat"] * 8 + ["dog"] * 8)
    ]
    masks = [Annotation.new(i, i, 1 + (i > 7), [[0, 0, 4, 0, 4, 4]]) for i in range(16)]
    categories = [Category.new(1, "cat", "body"), Category.new(2, "dog", "body")]
    for i, image in enumerate(images):
        _photo(tmp_path / "set" / "images" / image.file_name, i)
    write_coco(Dataset(images, masks, categories), tmp_path / "set" / "annotations" / "train.json")
    for copy in (False, True):
        out = tmp_path / f"out-{copy}"
        chosen = sample_images(tmp_path / "set", out, per_object=2, copy=copy)
        kept = read_dataset(out)
        assert {image.file_name for image in kept.images} == {one.file_name for one in chosen}
        assert len(kept.annotations) == 4
        assert all(kept.image_path(image).is_file() for image in kept.images)
        assert (kept.image_root.resolve() == (out / "images").resolve()) == copy
        assert {one.origin_split for one in chosen} == {"train"}


def test_nothing_to_sample(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no images"):
        sample_images(tmp_path, tmp_path / "out", per_object=1)
    with pytest.raises(NotFoundError):
        sample_images(tmp_path / "nowhere", tmp_path / "out", per_object=1)
    with pytest.raises(ConfigError):
        sample_images(tmp_path, tmp_path / "out", per_object=0)


def test_a_source_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder or data set"):
        sample_images(tmp_path / "nowhere", tmp_path / "out", per_object=1)
