"""E-02, E-03: published lists of evaluation pictures are read as they are, or refused by line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from partlab.errors import NotFoundError, SchemaError
from partlab.files import write_lines
from train.lists import read_list
from train.pictures import open_pictures

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "lists" / "imagenet_val_10k.txt"
LINES = ["n02/ILSVRC2012_val_1.JPEG 1", "n01/ILSVRC2012_val_2.JPEG 0", "n01/sub/b c.JPEG\t0", ""]


@pytest.fixture
def listed(tmp_path) -> Path:
    write_lines(tmp_path / "list.txt", LINES)
    return tmp_path / "list.txt"


def test_a_list_is_read_as_it_is(listed):
    found = read_list(listed)
    assert found.names == (
        "n02/ILSVRC2012_val_1.JPEG",
        "n01/ILSVRC2012_val_2.JPEG",
        "n01/sub/b c.JPEG",
    )
    assert found.classes == ("n01", "n02")
    assert found.class_of.tolist() == [1, 0, 0]
    assert str(found.balance()) == "3 pictures, between 1 and 2 in a class"
    assert str(found.balance(5)).endswith("3 classes have no picture")
    assert found.balance(5).without == (2, 3, 4)


@pytest.mark.skipif(not REAL.is_file(), reason="no ../shared/data/lists beside the checkout")
def test_the_published_list():
    found = read_list(REAL)
    assert len(found.names) == 10_000
    assert (len(found.classes), found.classes[0]) == (1000, "n01440764")
    assert found.labels == tuple(range(1000))
    assert str(found.balance()) == "10,000 pictures, 10 in each class"
    assert (np.bincount(found.class_of) == 10).all()


def test_a_list_that_leaves_out_classes(tmp_path):
    """As RobustBench's: three of the thousand have no picture."""
    write_lines(tmp_path / "l.txt", ["a/1.jpg 0", "c/2.jpg 2", "c/3.jpg 2", "f/4.jpg 5"])
    found = read_list(tmp_path / "l.txt")
    assert (found.classes, found.labels) == (("a", "c", "f"), (0, 2, 5))
    balance = found.balance()
    assert (balance.without, balance.least, balance.most) == ((1, 3, 4), 1, 2)
    assert read_list(tmp_path / "l.txt", list("abcdef")).labels == found.labels


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a/1.jpg 0", "b/2.jpg"], r"line 2 is not `class/file number`: b/2.jpg"),
        (["1.jpg 0"], r"line 1 is not `class/file number`"),
        (["a/../../1.jpg 0"], r"line 1 is not `class/file number`"),
        (["a/1.jpg 0", "", "b/2.jpg one"], r"line 3: 'one' is no class number"),
        (["a/1.jpg 0", "a/2.jpg 1"], r"line 2: a is 1 here and 0 before"),
        (["b/1.jpg 0", "a/2.jpg 1"], r"line 1: b is 0 here, but a is 1"),
        (["a/1.jpg 0", "b/2.jpg 0"], r"line 2: b is 0 here, but a is 0"),
        ([], r"lists no picture"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, lines, said):
    write_lines(tmp_path / "l.txt", lines)
    with pytest.raises(SchemaError, match=said):
        read_list(tmp_path / "l.txt")


def test_numbers_are_those_of_the_model(listed):
    with pytest.raises(SchemaError, match="line 1: n02 is 1 here, and class 2 of the model"):
        read_list(listed, ["n01", "n015", "n02"])


def test_a_list_beside_its_pictures_and_one_elsewhere(listed, tmp_path):
    for name in (line.rstrip(" 01\t") for line in LINES if line):
        picture = tmp_path / "val" / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (7, 7, 7)).save(picture)
    found = open_pictures([], plain=[(listed, tmp_path / "val")], cache=tmp_path)
    assert found.class_of.tolist() == [1, 0, 0]
    assert found[2].pixels.shape == (30, 40, 3)
    (tmp_path / "val" / "list.txt").write_bytes(listed.read_bytes())
    beside = open_pictures([], plain=[tmp_path / "val" / "list.txt"], cache=tmp_path)
    assert beside.fingerprint == found.fingerprint


def test_a_list_without_its_pictures(listed, tmp_path):
    with pytest.raises(
        NotFoundError, match=r"2 of the 2 class folders in .* are not in .*first n01"
    ):
        open_pictures([], plain=[listed], cache=tmp_path)
    with pytest.raises(NotFoundError, match=r"no picture folder .*gone for the list"):
        open_pictures([], plain=[(listed, tmp_path / "gone")], cache=tmp_path)
    with pytest.raises(NotFoundError, match="no list"):
        read_list(tmp_path / "none.txt")
