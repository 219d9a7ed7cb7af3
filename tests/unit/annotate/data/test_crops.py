"""Objects cut out of photos, as the PACO classification set (H-07 to H-11), without its leak."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from annotate.data.convert import import_folder
from annotate.data.crop_objects import CropSettings, enlarged
from annotate.data.crop_split import Photo, divided, groups, leak_report
from annotate.data.crops import crop_folder
from app.cli.main import app
from partlab.coco import read_dataset
from partlab.errors import ConfigError, DatasetError, NotFoundError, OutputExistsError
from partlab.masks import decode, from_segmentation
from partlab.truth import drawn_masks

WIDTH, HEIGHT = 100, 80
KINDS = [
    ("OBJECT", 7, "cup"),
    ("OBJECT", 8, "dog"),
    ("PART", 400, "cup:handle"),
    ("PART", 401, "cup:rim"),
    ("PART", 402, "dog:ear"),
]
CUP, HANDLE, DOG, EAR, FAR = (
    (10, 10, 30, 30),
    (10, 10, 6, 6),
    (35, 20, 30, 30),
    (40, 22, 5, 5),
    (90, 2, 4, 4),
)
Box = tuple[int, int, int, int]


def polygon(box: Box) -> list[list[int]]:
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


class Paco:
    """A file as PACO writes it, object by object."""

    def __init__(self, images: int, first: int = 1) -> None:
        self.images = [
            {"id": n, "file_name": f"val2017/{n:012d}.jpg", "width": WIDTH, "height": HEIGHT}
            for n in range(first, first + images)
        ]
        self.annotations: list[dict[str, Any]] = []

    def thing(self, image: int, category: int, box: Box, *parts: Any, **more: Any) -> None:
        own = len(self.annotations) + 1
        for kind, where in ((category, box), *parts):
            about = {"id": len(self.annotations) + 1, "image_id": image, "category_id": kind}
            about |= {"bbox": [*where], "area": where[2] * where[3], "obj_ann_id": own}
            self.annotations.append({**about, "segmentation": polygon(where), "iscrowd": 0} | more)

    def save(self, file: Path) -> None:
        kinds = [{"supercategory": s, "id": n, "name": name} for s, n, name in KINDS]
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"images": self.images, "annotations": self.annotations, "categories": kinds}
        file.write_text(json.dumps(content))
        for one in self.images:
            path = file.parent.parent / one["file_name"]
            path.parent.mkdir(exist_ok=True)
            noise = np.random.default_rng(one["id"]).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            PillowImage.fromarray(noise).save(path, "JPEG", quality=95)


@pytest.fixture
def paco(tmp_path: Path) -> Path:
    """Ten photos of a cup with its handle and a dog without parts; something small in one."""
    for split, first in (("train", 1), ("val", 6)):
        file = Paco(5, first)
        for number in range(first, first + 5):
            file.thing(number, 7, CUP, (400, HANDLE))
            file.thing(number, 8, DOG)
        file.thing(first, 8, FAR, (402, FAR))
        file.save(tmp_path / "in" / "annotations" / f"paco_lvis_v1_{split}.json")
    import_folder(tmp_path / "in", tmp_path / "paco")
    return tmp_path / "paco"


def of(folder: Path, owner: str) -> Any:
    """One crop about such an object: its data set, its image, its masks by part name."""
    for split in ("train", "val", "test"):
        data = read_dataset(folder, split)
        for image in data.images:
            if image.object == owner:
                names = {c.id: c.name for c in data.categories}
                own = {names[a.category_id]: a for a in data.annotations_of(image)}
                return data, image, own
    raise AssertionError(owner)


def test_counts_as_the_report_has_them(paco: Path, tmp_path: Path) -> None:
    told = crop_folder(paco, tmp_path / "out")
    assert (told["images"], told["objects"], told["small"]) == (10, 22, 2)
    assert (told["kept"], told["without_parts"]) == (20, 10)
    assert told["published"]["kept"] == 123_315
    assert sum(told["crops"].values()) == 20
    assert json.loads((tmp_path / "out" / "crops.json").read_text()) == json.loads(json.dumps(told))


def test_a_crop_shows_the_masks_of_the_whole_photo(paco: Path, tmp_path: Path) -> None:
    """H-09: 1.5 times the box about its centre, clipped; the dog beside the cup is in it."""
    crop_folder(paco, tmp_path / "out")
    data, image, own = of(tmp_path / "out", "cup")
    left, top, right, bottom = image.raw["partlab"]["crop"]["box"]
    assert (left, top, right, bottom) == (2, 2, 47, 47)
    whole = decode(from_segmentation(polygon(HANDLE), HEIGHT, WIDTH))
    assert np.array_equal(decode(own["cup:handle"].segmentation), whole[2:47, 2:47])
    assert own["dog:ear"].iscrowd
    assert data.image_path(image).is_file()
    assert PillowImage.open(data.image_path(image)).size == (image.width, image.height) == (45, 45)


def test_pixels_of_the_crop_are_those_of_the_photo(paco: Path, tmp_path: Path) -> None:
    crop_folder(paco, tmp_path / "out")
    data, image, _ = of(tmp_path / "out", "dog")
    about = image.raw["partlab"]["crop"]
    left, top, right, bottom = about["box"]
    photo = np.asarray(PillowImage.open(paco / "images" / about["photo"]), int)
    crop = np.asarray(PillowImage.open(data.image_path(image)), int)
    assert np.abs(photo[top:bottom, left:right] - crop).mean() < 8  # JPEG again
    assert not np.array_equal(photo[: bottom - top, : right - left], crop)


def test_an_object_without_parts_says_nothing(paco: Path, tmp_path: Path) -> None:
    """H-10: kept, and its pixels are neither background nor part."""
    crop_folder(paco, tmp_path / "out")
    data, image, _ = of(tmp_path / "out", "dog")
    drawn = drawn_masks(data, image)
    left, top, right, bottom = image.raw["partlab"]["crop"]["box"]
    dog = decode(from_segmentation(polygon(DOG), HEIGHT, WIDTH))[top:bottom, left:right]
    assert drawn.crowd_region is not None
    assert np.array_equal(decode(drawn.crowd_region), dog)
    assert data.names == ("cup:handle", "cup:rim", "dog:ear")


def test_a_box_without_a_mask_says_nothing_either(tmp_path: Path) -> None:
    """Objects of PACO-EGO4D may have a box and no segment."""
    file = Paco(3)
    for number in (1, 2, 3):
        file.thing(number, 8, DOG, segmentation=[])
        file.thing(number, 8, CUP, (402, HANDLE))
    file.save(tmp_path / "in" / "annotations" / "paco_ego4d_v1_train.json")
    import_folder(tmp_path / "in", tmp_path / "paco")
    told = crop_folder(tmp_path / "paco", tmp_path / "out")
    assert told["without_parts"] == 3
    regions = []
    for split in ("train",):
        data = read_dataset(tmp_path / "out") if told["crops"]["val"] == 0 else None
        assert data is not None, split
        for image in data.images:
            if not image.raw["partlab"]["crop"]["has_parts"]:
                regions.append(drawn_masks(data, image).crowd_region)
    assert all(decode(region).sum() == DOG[2] * DOG[3] for region in regions)


def test_no_photo_is_in_two_splits(paco: Path, tmp_path: Path) -> None:
    told = crop_folder(paco, tmp_path / "out")
    assert told["crops"] == {"train": 16, "val": 2, "test": 2}
    assert told["leaks"]["photos_in_several_splits"] == 0
    where: dict[str, set[str]] = {}
    for split in ("train", "val", "test"):
        for image in read_dataset(tmp_path / "out", split).images:
            where.setdefault(image.raw["partlab"]["crop"]["photo"], set()).add(split)
    assert all(len(splits) == 1 for splits in where.values())


def test_the_published_division_leaks_and_says_so(paco: Path, tmp_path: Path) -> None:
    """H-11."""
    told = crop_folder(paco, tmp_path / "out", mode="paper")
    leaks = told["leaks"]
    assert leaks["photos_in_several_splits"] > 0
    assert sum(leaks["crops_of_training_photos"].values()) > 0
    command = ["data", "crops", str(paco), "--out", str(tmp_path / "again"), "--by", "paper"]
    said = CliRunner().invoke(app, command).stdout
    assert f"LEAK: {leaks['photos_in_several_splits']} photos are in several splits" in said
    assert "20 (published: 123,315) large enough, 10 (published: 19,030) of them without" in said


def test_the_same_picture_in_two_files_stays_together(paco: Path, tmp_path: Path) -> None:
    raw = json.loads((paco / "annotations" / "paco_lvis_v1_val.json").read_text())
    first = json.loads((paco / "annotations" / "paco_lvis_v1_train.json").read_text())
    for image, other in zip(raw["images"], first["images"], strict=True):
        image["file_name"] = other["file_name"]
    (paco / "annotations" / "paco_lvis_v1_val.json").write_text(json.dumps(raw))
    for seed in range(5):
        told = crop_folder(paco, tmp_path / f"out{seed}", seed=seed)
        splits: dict[str, set[str]] = {}
        for split in (name for name, count in told["crops"].items() if count):
            for image in read_dataset(tmp_path / f"out{seed}", split).images:
                splits.setdefault(image.raw["partlab"]["crop"]["photo"], set()).add(split)
        assert all(len(found) == 1 for found in splits.values())


def test_frames_of_one_thing_stay_together() -> None:
    from partlab.schema import Annotation, Dataset, Image

    images = [Image.new(n, f"{n}.jpg", (10, 10)) for n in (1, 2, 3)]
    seen = [(1, 5), (2, 5), (3, 6)]
    masks = [
        Annotation({"id": n, "image_id": n, "category_id": 1, "instance_id": thing})
        for n, thing in seen
    ]
    data = Dataset(images, masks, [])
    found = groups([("a", data)], {Photo("a", n): n for n in (1, 2, 3)})
    assert found[Photo("a", 1)] == found[Photo("a", 2)] != found[Photo("a", 3)]
    photos = [Photo("a", n) for n in (1, 2, 3)]
    told = leak_report(photos, ["train", "val", "val"], found.__getitem__)
    assert told["photos_in_several_splits"] == 0
    assert told["same_things_in_several_splits"] == 1


def test_counts_beside_published_ones_are_of_the_same_splits(paco: Path, tmp_path: Path) -> None:
    """H-07: the masks of Ego4D's test split came out after the report."""
    command = ["data", "crops", str(paco), "--out", str(tmp_path / "out")]
    assert "without paco_ego4d_v1_test" not in CliRunner().invoke(app, command).stdout
    file = paco / "annotations" / "paco_lvis_v1_val.json"
    file.rename(file.with_name("paco_ego4d_v1_test.json"))
    said = CliRunner().invoke(app, [*command, "--force"]).stdout
    assert "published counts are without paco_ego4d_v1_test" in said
    said = CliRunner().invoke(app, [*command, "--force", "--split", "paco_lvis_v1_train"]).stdout
    assert "without paco_ego4d_v1_test" not in said


def test_division_is_by_the_seed_and_covers_all() -> None:
    photos = [Photo("a", n // 3) for n in range(300)]
    first = divided(photos, (0.8, 0.1, 0.1), seed=1)
    assert first == divided(photos, (0.8, 0.1, 0.1), seed=1)
    assert first != divided(photos, (0.8, 0.1, 0.1), seed=2)
    assert {split: first.count(split) for split in ("train", "val", "test")} == {
        "train": 240, "val": 30, "test": 30,
    }  # fmt: skip
    assert leak_report(photos, first)["photos_in_several_splits"] == 0
    with pytest.raises(ConfigError, match="add up to 1"):
        divided(photos, (0.8, 0.1, 0.2))
    with pytest.raises(ConfigError, match="unknown mode"):
        divided(photos, (0.8, 0.1, 0.1), mode="object")


def test_long_side_scales_picture_and_masks(paco: Path, tmp_path: Path) -> None:
    crop_folder(paco, tmp_path / "out", settings=CropSettings(long_side=90))
    data, image, own = of(tmp_path / "out", "cup")
    assert (image.width, image.height) == (90, 90)
    assert decode(own["cup:handle"].segmentation).sum() == 4 * HANDLE[2] * HANDLE[3]
    assert PillowImage.open(data.image_path(image)).size == (90, 90)


@pytest.mark.parametrize(
    ("box", "size", "cut"),
    [
        ((10, 10, 20, 20), (100, 100), (5, 5, 35, 35)),
        ((0, 0, 20, 20), (100, 100), (0, 0, 25, 25)),
        ((90, 50, 10, 8), (100, 60), (87, 48, 100, 60)),
    ],
)
def test_boxes_are_enlarged_about_their_centre(box: Any, size: Any, cut: Any) -> None:
    assert enlarged(box, 1.5, size) == cut


def test_photos_that_cannot_be_read_are_told(
    paco: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (paco / "images" / "val2017" / "000000000001.jpg").unlink()
    PillowImage.new("RGB", (9, 9)).save(paco / "images" / "val2017" / "000000000002.jpg")
    told = crop_folder(paco, tmp_path / "out")
    assert len(told["photos_not_read"]) == 2
    assert sum(told["crops"].values()) == 16
    assert "2 photos left out" in caplog.text


def test_what_a_mask_lacks_is_not_background(paco: Path, tmp_path: Path) -> None:
    """A photo of which a record was set aside gives crops that are incomplete too."""
    file = paco / "annotations" / "paco_lvis_v1_train.json"
    raw = json.loads(file.read_text())
    raw["annotations"].append({"id": 999, "image_id": 1, "category_id": "none", "bbox": []})
    file.write_text(json.dumps(raw))
    crop_folder(paco, tmp_path / "out")
    incomplete = 0
    for split in ("train", "val", "test"):
        data = read_dataset(tmp_path / "out", split)
        for image in data.images:
            assert (image.id in data.incomplete) == image.raw["partlab"]["crop"]["photo"].endswith(
                "01.jpg"
            )
            incomplete += image.id in data.incomplete
    assert incomplete == 2


def test_objects_of_a_data_set_without_whole_masks(tmp_path: Path) -> None:
    """Their box is that of their parts; one object category in a picture is one object."""
    file = Paco(10)
    for number in range(1, 11):
        file.thing(number, 400, HANDLE)
        file.thing(number, 401, (30, 30, 10, 10))
    for one in file.annotations:
        del one["obj_ann_id"]
    file.save(tmp_path / "in" / "annotations" / "train.json")
    import_folder(tmp_path / "in", tmp_path / "cups")
    told = crop_folder(tmp_path / "cups", tmp_path / "out")
    assert told["kept"] == told["objects"] == 10
    assert told["published"] is None
    _, image, own = of(tmp_path / "out", "cup")
    assert image.raw["partlab"]["crop"]["box"] == [2, 2, 47, 47]
    assert set(own) == {"cup:handle", "cup:rim"}


def test_nothing_to_cut(paco: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no object of 99"):
        crop_folder(paco, tmp_path / "out", settings=CropSettings(min_share=0.99))
    with pytest.raises(NotFoundError, match="no split 'test'"):
        crop_folder(paco, tmp_path / "out", splits=["test"])
    crop_folder(paco, tmp_path / "out", splits=["paco_lvis_v1_val"])
    with pytest.raises(OutputExistsError):
        crop_folder(paco, tmp_path / "out")
