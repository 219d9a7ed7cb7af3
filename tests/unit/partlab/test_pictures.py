"""Where pictures are: every way a file may name one, and never a wrong one without a word."""

import json
import pickle
import unicodedata
from pathlib import Path

import pytest

from partlab import pictures as module
from partlab.coco import read_coco, with_images_at
from partlab.layouts import find_splits
from partlab.pictures import is_safe_name, plain_name
from partlab.schema import Dataset

ACCENTS = "\u00e9t\u00e9.png"


def put(folder: Path, file: str, names: list[str], there: list[str]) -> Dataset:
    """A COCO file that states `names`, beside pictures that are `there`."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": number, "file_name": name, "width": 4, "height": 4}
        for number, name in enumerate(names)
    ]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    for name in there:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return read_coco(path)


@pytest.mark.parametrize(
    ("file", "stated", "there"),
    [
        ("result.json", "images/a.jpg", "images/a.jpg"),
        ("result.json", "a.jpg", "data/a.jpg"),
        ("result.json", "a.jpg", "JPEGImages/a.jpg"),
        ("annotations/train.json", "images/images/a.jpg", "images/a.jpg"),
        ("annotations/train.json", "images\\cat\\a.jpg", "images/cat/a.jpg"),
        ("annotations/train.json", "cat\\a.jpg", "images/cat/a.jpg"),
        ("annotations/train.json", "a.jpg", "images\\a.jpg"),
        ("annotations/instances_Train.json", "a.jpg", "images/Train/a.jpg"),
        ("annotations/instances_val2017.json", "a.jpg", "val2017/a.jpg"),
        ("annotations/instances_val2017.json", "a.jpg", "images/val2017/a.jpg"),
        ("annotations/instances_val.json", "a.jpg", "valid/a.jpg"),
        ("annotations/fold1.json", "a.jpg", "images/fold1/a.jpg"),
        ("annotations/train.json", "D%C3%A9cran%201.png", "images/D\u00e9cran 1.png"),
        ("annotations/train.json", "a b.png", "images/a%20b.png"),
        ("annotations/train.json", ACCENTS, f"images/{unicodedata.normalize('NFD', ACCENTS)}"),
        ("annotations/train.json", unicodedata.normalize("NFD", ACCENTS), f"images/{ACCENTS}"),
        ("result.json", "..\\..\\label-studio\\media\\upload\\4\\x.png", "images/x.png"),
        ("result.json", "data/local-files/?d=cat/photo%201.jpg", "images/photo 1.jpg"),
        ("result.json", "s3://bucket/cat/a.jpg", "images/cat/a.jpg"),
        ("result.json", "https://example.org/a.jpg?size=2", "deep/down/a.jpg"),
        ("result.json", "C:\\work\\a.jpg", "images/a.jpg"),
        ("result.json", "/home/somebody/a.jpg", "images/a.jpg"),
        ("result.json", "images/90fbb0c7-a.jpg", "originals/a.jpg"),
        ("result.json", "a.jpg", "media/upload/1/90fbb0c7-a.jpg"),
        ("result.json", "there/cat/1.jpg", "images/cat/1.jpg"),
        ("result.json", "A.JPG", "images/a.jpg"),
    ],
)
def test_a_picture_is_found_where_it_is(file: str, stated: str, there: str, tmp_path: Path) -> None:
    dataset = put(tmp_path, file, [stated], [there])
    path = dataset.image_path(dataset.images[0])
    assert path == tmp_path / there
    assert stated in dataset.pictures.note()
    assert str(path) in dataset.pictures.note()
    settled = dataset.settled()
    assert settled.image_root / settled.images[0].file_name == path
    assert is_safe_name(settled.images[0].file_name)
    assert settled.image_path(settled.images[0]) == path


@pytest.mark.parametrize(
    ("file", "names", "there", "near"),
    [
        # another record's picture, by name alone
        ("a.json", ["cat/1.jpg", "dog/1.jpg"], ["images/dog/1.jpg"], "is another image's"),
        ("a.json", ["images/cat/1.jpg", "images/dog/1.jpg"], ["images/dog/1.jpg"], ""),
        ("a.json", ["a/cat/1.jpg", "b/cat/1.jpg"], ["images/x/cat/1.jpg"], "is another image's"),
        # several
        ("a.json", ["1.jpg"], ["x/1.jpg", "y/1.jpg"], "2 pictures have that name"),
        # another split's
        ("annotations/val.json", ["1.jpg"], ["pics/train/1.jpg"], "in the folder of another split"),
        # two uploads of one name
        ("a.json", ["aaaaaaaa-1.jpg"], ["images/bbbbbbbb-1.jpg"], ""),
        ("a.json", ["aaaaaaaa-1.jpg", "bbbbbbbb-1.jpg"], ["images/1.jpg"], ""),
        # a date is no prefix of Label Studio
        ("a.json", ["20240101-1.jpg"], ["images/1.jpg"], ""),
        ("a.json", ["1.jpeg"], ["images/1.jpg"], "of another kind"),
        ("a.json", ["", ".."], ["images/1.jpg"], ""),
    ],
)
def test_a_wrong_picture_is_never_taken(
    file: str, names: list[str], there: list[str], near: str, tmp_path: Path
) -> None:
    dataset = put(tmp_path, file, names, there)
    found = dataset.pictures.find(names[0])
    assert found.rule is None
    assert not found.path.exists()
    assert near in found.near
    assert near == "" or dataset.pictures.near()
    assert dataset.pictures.note() == "" or names[0] not in dataset.pictures.note().split(" is ")[0]


def test_nothing_outside_the_data_set_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"s")
    names = ["../secret.jpg", str(secret), "images/../../secret.jpg", "..\\secret.jpg"]
    dataset = put(tmp_path / "set", "result.json", names, ["images/other.jpg"])
    for image in dataset.images:
        path = dataset.image_path(image)
        assert not path.exists()
        assert path.resolve().is_relative_to((tmp_path / "set").resolve())
    under = with_images_at(dataset, tmp_path)  # the person says that it is there
    assert under.image_path(under.images[1]) == secret


def test_only_the_stated_folder_is_looked_through(tmp_path: Path) -> None:
    dataset = put(tmp_path, "result.json", ["a.jpg"], ["elsewhere/a.jpg", "mine/b.jpg"])
    assert dataset.pictures.find("a.jpg").rule
    mine = with_images_at(dataset, tmp_path / "mine")
    assert mine.pictures.find("a.jpg").rule is None


def test_pictures_of_two_splits_are_told_apart(tmp_path: Path) -> None:
    put(tmp_path, "annotations/instances_Train.json", ["1.jpg"], ["images/Train/1.jpg"])
    put(tmp_path, "annotations/instances_Val.json", ["1.jpg"], ["images/Val/1.jpg"])
    read = {name: read_coco(file) for name, file in find_splits(tmp_path).items()}
    paths = {name: data.image_path(data.images[0]).parent.name for name, data in read.items()}
    assert paths == {"instances_Train": "Train", "instances_Val": "Val"}


@pytest.mark.parametrize(
    ("split", "other", "folders"),
    [
        ("train", "val", ("train_images", "val_images")),
        ("train", "val", ("TrainPictures", "ValPictures")),
        ("day1", "day2", ("day_1", "day_2")),
        ("day1", "day2", ("day1-new", "day2-new")),
    ],
)
def test_words_of_a_folder_tell_its_split(
    split: str, other: str, folders: tuple[str, str], tmp_path: Path
) -> None:
    put(tmp_path, f"annotations/{other}.json", ["2.jpg"], [f"{folders[1]}/2.jpg"])
    there = [f"{folders[0]}/1.jpg", f"{folders[1]}/5.jpg"]
    dataset = put(tmp_path, f"annotations/{split}.json", ["1.jpg", "5.jpg"], there)
    assert dataset.pictures.find("1.jpg").path == tmp_path / there[0]
    assert dataset.pictures.find("5.jpg").rule is None
    assert "in the folder of another split" in dataset.pictures.find("5.jpg").near


@pytest.mark.parametrize("folder", ["crash_test_dummy", "train_val"])
def test_a_folder_that_is_stated_or_of_both_splits_is_no_other_one(
    folder: str, tmp_path: Path
) -> None:
    stated = f"{folder}/1.jpg" if "dummy" in folder else "1.jpg"
    dataset = put(tmp_path, "annotations/train.json", [stated], [f"pics/{folder}/1.jpg"])
    assert dataset.pictures.find(stated).rule


def test_a_base_name_that_two_splits_claim_is_nobodys(tmp_path: Path) -> None:
    there = ["pics/5.jpg", "pics/cat/6.jpg"]
    val = put(tmp_path, "annotations/val.json", ["5.jpg", "dog/6.jpg"], there)
    train = put(tmp_path, "annotations/train.json", ["5.jpg", "cat/6.jpg"], [])
    for dataset in train, val:
        found = dataset.pictures.find("5.jpg")
        assert found.rule is None
        assert "named by another split as well" in found.near
    assert train.pictures.find("cat/6.jpg").rule
    assert val.pictures.find("dog/6.jpg").rule is None


def test_files_that_are_no_usual_splits_may_name_one_picture(tmp_path: Path) -> None:
    ann = put(tmp_path, "annotations/ann.json", ["5.jpg"], ["pics/5.jpg"])
    ben = put(tmp_path, "annotations/ben.json", ["5.jpg"], [])
    assert ann.pictures.find("5.jpg").rule
    assert ben.pictures.find("5.jpg").rule


def test_a_part_of_a_data_set_knows_the_names_of_the_whole(tmp_path: Path) -> None:
    names = ["cat/1.jpg", "dog/1.jpg"]
    dataset = put(tmp_path, "a.json", names, ["images/dog/1.jpg"])
    (only,) = dataset.subset([0]).images
    assert not dataset.subset([0]).image_path(only).exists()
    again = pickle.loads(pickle.dumps(dataset))
    assert again.image_path(again.images[1]) == dataset.image_path(dataset.images[1])


def test_one_walk_and_only_when_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[Path] = []
    walk = module._walk
    monkeypatch.setattr(module, "_walk", lambda top: (walks.append(top), walk(top))[1])
    names = [f"{n}.jpg" for n in range(20)]
    dataset = put(tmp_path, "a.json", names, [f"images/{name}" for name in names])
    assert all(dataset.image_path(image).is_file() for image in dataset.images)
    assert dataset.settled() is dataset
    assert not walks
    moved = put(tmp_path / "b", "a.json", names, [f"deep/down/{name}" for name in names])
    assert all(moved.image_path(image).is_file() for image in moved.images)
    assert all(moved.subset([3]).image_path(image).is_file() for image in moved.images)
    assert len(walks) == 1


def test_hidden_folders_and_loops_of_links_are_left_out(tmp_path: Path) -> None:
    there = [".trash/a.jpg", "__MACOSX/a.jpg", "pics/._a.jpg"]
    dataset = put(tmp_path, "a.json", ["a.jpg"], there)
    (tmp_path / "pics" / "loop").symlink_to(tmp_path)
    assert dataset.pictures.find("a.jpg").rule is None


def test_links_of_an_earlier_import_are_the_same_picture(tmp_path: Path) -> None:
    dataset = put(tmp_path, "a.json", ["up/1.jpg"], ["pics/1.jpg"])
    (tmp_path / "out" / "images").mkdir(parents=True)
    (tmp_path / "out" / "images" / "1.jpg").symlink_to(tmp_path / "pics" / "1.jpg")
    assert dataset.pictures.find("up/1.jpg").path.resolve() == tmp_path / "pics" / "1.jpg"


def test_a_data_set_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.json", ["images\\1.jpg"], ["images/1.jpg"])
    monkeypatch.chdir(tmp_path)
    settled = read_coco("a.json").settled()
    assert (settled.image_root, settled.images[0].file_name) == (Path("images"), "1.jpg")


def test_plain_names() -> None:
    assert plain_name("C:\\a\\..\\b.png") == "a/b.png"
    assert plain_name("gs://bucket/x/y.png?z=1") == "x/y.png"
    assert plain_name("/data/upload/1/a.jpg") == "data/upload/1/a.jpg"
    assert plain_name("a#b?.png") == "a#b?.png"
    assert plain_name("../..") == ""
