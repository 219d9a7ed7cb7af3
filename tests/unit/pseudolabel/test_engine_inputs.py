"""Which images are labelled, and what is refused before any work starts; the command line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from colour_segmenter import draw, draw_folder
from PIL import Image as PillowImage
from typer.testing import CliRunner

from app.cli.main import app
from partlab.coco import write_coco
from partlab.errors import DatasetError, NotFoundError, SchemaError
from partlab.schema import Category, Dataset, Image
from pseudolabel.inputs import Entry, find_inputs, freeze, frozen_shards, survey
from pseudolabel.store import Store

OBJECTS = ("car", "cat", "bike")


def listed(path, **more):
    return [(e.image_id, e.path, e.object, e.object_source) for e in find_inputs(path, **more)]


@pytest.fixture
def folder(tmp_path):
    for name in ("car/b.png", "car/deep/a.JPG", "cat/ü 日本.png", "cat/.hidden.png", "top.webp"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "in" / "car" / "notes.txt").write_text("no picture")
    return tmp_path / "in"


def test_folder_gives_sorted_pictures_and_the_first_folder_as_class(folder):
    assert listed(folder) == [
        (1, "car/b.png", "car", "folder"),
        (2, "car/deep/a.JPG", "car", "folder"),
        (3, "cat/ü 日本.png", "cat", "folder"),
        (4, "top.webp", None, None),
    ]


def test_linked_folders_are_followed_and_loops_are_not(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "z.png").write_bytes(b"")
    (folder / "dog").symlink_to(tmp_path / "elsewhere")
    (folder / "car" / "loop").symlink_to(folder)
    paths = [path for _, path, _, _ in listed(folder)]
    assert "dog/z.png" in paths
    assert len(paths) == 5


def test_list_file_with_and_without_classes(tmp_path):
    file = tmp_path / "list.csv"
    inside, outside = tmp_path / "in.png", Path("/elsewhere/x.png")
    text = f'file_name,object\na.png,car\n\n"b, c.png", cat \nd.png\n{inside},car\n{outside},car\n'
    file.write_text("\ufeff" + text, encoding="utf-8")
    assert listed(file) == [
        (1, "a.png", "car", "list"),
        (2, "b, c.png", "cat", "list"),
        (3, "d.png", None, None),
        (4, "in.png", "car", "list"),
        (5, "/elsewhere/x.png", "car", "list"),
    ]


def test_label_file_goes_before_the_folder(folder, tmp_path):
    (tmp_path / "classes.csv").write_text("car/b.png,bike\na.JPG,cat\ntop.webp,car\n")
    found = listed(folder, classes=tmp_path / "classes.csv")
    assert [each[2:] for each in found] == [
        ("bike", "list"),
        ("cat", "list"),
        ("cat", "folder"),
        ("car", "list"),
    ]
    (tmp_path / "classes.csv").write_text("car/b.png\n")
    with pytest.raises(SchemaError, match=r"entry 1 .* names no object category"):
        listed(folder, classes=tmp_path / "classes.csv")
    with pytest.raises(NotFoundError, match="no label file"):
        listed(folder, classes=tmp_path / "gone.csv")


@pytest.fixture
def dataset(tmp_path):
    """A part data set of one car and one dog, in two splits."""
    categories = [Category.new(1, "car", "wheel"), Category.new(2, "dog", "tail")]
    images = [
        Image.new(7, "car/a.png", (64, 48), object="car"),
        Image.new(9, "b.png", (64, 48), object="dog"),
    ]
    for name in ("car/a.png", "b.png"):
        draw(tmp_path / "set" / "images" / name, "car")
    for split, some in (("train", images), ("val", images[:1])):
        path = tmp_path / "set" / "annotations" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        write_coco(Dataset(some, [], categories), path)
    return tmp_path / "set"


def test_data_set_folder_and_file(dataset):
    expected = [(1, "car/a.png", "car", "dataset"), (2, "b.png", "dog", "dataset")]
    assert listed(dataset, split="train") == expected
    assert listed(dataset / "annotations" / "train.json") == expected
    assert find_inputs(dataset, split="train").root == dataset / "images"
    with pytest.raises(NotFoundError, match="several splits") as caught:
        listed(dataset)
    assert "train, val" in caught.value.hint


def test_nothing_there(tmp_path):
    with pytest.raises(NotFoundError, match="there is no such folder or file"):
        find_inputs(tmp_path / "gone")
    with pytest.raises(NotFoundError, match="no images in") as caught:
        survey(find_inputs(tmp_path), OBJECTS, need_class=True)
    assert ".jpg" in caught.value.hint
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(NotFoundError, match="is one picture"):
        find_inputs(tmp_path / "photo.jpg")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SchemaError, match="is not a list of images"):
        list(find_inputs(tmp_path / "list.txt"))


def lines(tmp_path, *text):
    (tmp_path / "list.txt").write_text("\n".join(text))
    return find_inputs(tmp_path / "list.txt")


def test_unknown_categories_are_all_named_at_once_with_near_names(tmp_path):
    inputs = lines(tmp_path, "1.png,carr", "2.png,car", "3.png,boat", "4.png,carr", "5.png")
    with pytest.raises(NotFoundError) as caught:
        survey(inputs, OBJECTS, need_class=True)
    said = caught.value.message
    assert "'carr' (2 images, did you mean car" in said
    assert "'boat' (1 image)" in said
    assert "--no-category-filter" in caught.value.hint
    assert survey(inputs, OBJECTS, need_class=False).images == 5


def test_one_unknown_category(tmp_path):
    with pytest.raises(NotFoundError, match="no object category 'carr'") as caught:
        survey(lines(tmp_path, "1.png,carr"), OBJECTS, need_class=True)
    assert "did you mean car" in caught.value.hint


def test_images_without_a_class_are_counted(tmp_path):
    inputs = lines(tmp_path, "1.png,car", "2.png", "3.png")
    with pytest.raises(DatasetError, match=r"2 of 3 images have no .* the first is 2\.png"):
        survey(inputs, OBJECTS, need_class=True)


def test_hash_follows_paths_and_classes(tmp_path):
    def digest(*text):
        return survey(lines(tmp_path, *text), OBJECTS, need_class=False).sha256

    base = digest("1.png,car", "2.png,cat")
    assert base == digest("1.png,car", "", "2.png,cat")
    others = [("1.png,car",), ("1.png,car", "2.png,car"), ("2.png,cat", "1.png,car")]
    assert base not in [digest(*text) for text in others]


def test_frozen_list_comes_back_shard_by_shard(tmp_path):
    inputs = lines(tmp_path, *(f"{n}.png,car" for n in range(1, 11)))
    found = survey(inputs, OBJECTS, need_class=True)
    freeze(inputs, tmp_path / "inputs.parquet", 4, found)
    shards = list(frozen_shards(tmp_path / "inputs.parquet", [2, 0]))
    assert [[e.image_id for e in shard] for shard in shards] == [[9, 10], [1, 2, 3, 4]]
    assert shards[0][0] == Entry(9, "9.png", "car", "list")
    lines(tmp_path, "1.png,car")
    with pytest.raises(DatasetError, match="changed while"):
        freeze(inputs, tmp_path / "inputs.parquet", 4, found)
    (tmp_path / "inputs.parquet").write_bytes(b"torn")
    with pytest.raises(DatasetError, match="is damaged"):
        list(frozen_shards(tmp_path / "inputs.parquet", [0]))


def test_file_name_that_is_no_text(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"a\xff.png")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(DatasetError, match="is not valid UTF-8"):
        survey(find_inputs(tmp_path), OBJECTS, need_class=False)


def partlab(*words):
    return CliRunner().invoke(app, ["pseudolabel", *map(str, words)])


def test_command_labels_and_prints_only_json(colour_run, tmp_path):
    images = draw_folder(tmp_path / "Bilder ü", 6)
    words = [images, "--segmenter", colour_run, "--out", tmp_path / "aus ü", "--workers", 0]
    done = partlab(*words, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 6
    again = partlab(*words)
    assert again.exit_code == 0
    assert "0 of them labelled now" in again.stdout
    assert len(Store.open(tmp_path / "aus ü")) == 6


def test_command_takes_thresholds_from_a_file_and_from_options(colour_run, tmp_path):
    images = draw_folder(tmp_path / "in", 3)
    file = tmp_path / "thresholds.toml"
    file.write_text('default = 0.4\n[parts]\n"car:wheel" = 0.2\n')
    words = [images, "--segmenter", colour_run, "--workers", 0, "--thresholds", file]
    assert partlab(*words, "--out", tmp_path / "a").exit_code == 0
    thresholds = Store.open(tmp_path / "a").manifest.config["thresholds"]
    assert thresholds == {"default": 0.4, "parts": {"car:wheel": 0.2}}
    more = ["--threshold", 0.7, "--no-category-filter", "--set", "shard_size=2"]
    assert partlab(*words, "--out", tmp_path / "b", *more).exit_code == 0
    manifest = Store.open(tmp_path / "b").manifest
    assert manifest.config["thresholds"]["default"] == 0.7
    assert (manifest.config["category_filter"], manifest.shard_size) == (False, 2)


def test_a_segmenter_that_is_not_there_is_said(tmp_path):
    images = draw_folder(tmp_path / "in", 3)
    done = partlab(images, "--segmenter", "gone", "--out", tmp_path / "out")
    assert done.exit_code == 3, done.stderr
    assert "gone is not a segmenter run" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--threshold", "1.5"], 2, "setting 'default'"),
        (["--set", "bach_size=3"], 2, "unknown setting 'bach_size'"),
        (["--thresholds", "gone.json"], 3, "no settings file gone.json"),
        (["--classifier", "resnet18"], 2, "belong together"),
        (["--segmenter", "gone"], 2, "partlab segmenter fuse"),
        (["--checkpoint", "bset"], 3, "bset.safetensors"),
        (["--device", "gpu"], 2, "the device 'gpu' cannot be used here"),
        (["--classes", "gone.csv"], 3, "no label file gone.csv"),
    ],
)
def test_command_says_what_is_wrong(colour_run, tmp_path, words, code, said):
    images = draw_folder(tmp_path / "in", 3)
    done = partlab(images, "--segmenter", colour_run, "--out", tmp_path / "out", *words)
    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_command_refuses_foreign_data_sets(colour_run, dataset, tmp_path):
    words = [dataset, "--segmenter", colour_run, "--out", tmp_path / "out"]
    done = partlab(*words, "--split", "train")
    assert done.exit_code == 3
    assert "knows no object category 'dog'" in done.stderr
    assert partlab(*words).exit_code == 3
    free = partlab(*words, "--split", "train", "--no-category-filter", "--workers", 0)
    assert free.exit_code == 0, free.stderr
    assert [row.object for row in Store.open(tmp_path / "out").rows()] == ["car", "dog"]


def test_command_never_touches_what_is_not_its_own(colour_run, tmp_path):
    images, other = draw_folder(tmp_path / "in", 3), tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    words = [images, "--segmenter", colour_run, "--workers", 0, "--out"]
    done = partlab(*words, other)
    assert done.exit_code == 1
    assert "is not empty and holds no pseudo-label store (letter.txt)" in done.stderr
    assert [path.name for path in other.iterdir()] == ["letter.txt"]
    assert "is a file" in partlab(*words, other / "letter.txt").stderr
    for place in (images, tmp_path, colour_run):
        done = partlab(*words, place, "--force")
        assert done.exit_code == 2, place
        assert "holds the" in done.stderr
    assert len(list(images.rglob("*.png"))) == 3
    (other / "farm").mkdir()
    (other / "farm" / "work.json").write_text("{}")
    for place in (other, other / "farm"):
        done = partlab(*words, place, "--force")
        assert done.exit_code == 1, place
        assert "the annotation work in" in done.stderr
    (other / "farm" / "work.json").unlink()
    assert partlab(*words, other, "--force").exit_code == 0
    assert Store.open(other).finished
    assert not (other / "letter.txt").exists()


def test_help_reads_well():
    done = partlab("--help")
    assert done.exit_code == 0
    for words in ("IMAGES", "--segmenter", "--no-category-filter", "Example: partlab pseudolabel"):
        assert words in done.stdout
    assert "IMAGES | COMMAND" in done.stdout.replace("{", "").replace("}", "")
    assert "Missing option" in partlab("photos").stderr


def test_files_that_are_no_pictures_are_counted_and_named(colour_run, tmp_path):
    images = draw_folder(tmp_path / "in", 3)
    first = next(iter(sorted(images.rglob("*.png"))))
    (first.parent / "c.jfif").write_bytes(first.read_bytes())
    for name in ("d.gif", "f.heic", "noext", "._a.jpg", "Thumbs.db"):
        (first.parent / name).write_bytes(b"x")
    done = partlab(images, "--segmenter", colour_run, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["images"], told["files_passed_over"]) == (4, 3)
    folder = first.parent.name
    assert f"first {folder}/d.gif, then {folder}/f.heic, {folder}/noext" in done.stderr
    assert "_a.jpg" not in done.stderr


@pytest.mark.parametrize("whole_header", [False, True])
def test_nothing_readable_is_an_error_that_names_the_first(colour_run, tmp_path, whole_header):
    (tmp_path / "car").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    PillowImage.fromarray(noise).save(tmp_path / "car" / "a.jpg")
    whole = (tmp_path / "car" / "a.jpg").read_bytes()
    (tmp_path / "car" / "a.jpg").write_bytes(whole[:900] if whole_header else b"<html>")
    file = tmp_path / "list.csv"
    file.write_text("car/a.jpg,car\n" if whole_header else "car/a.jpg,car\ncar/gone.png,car\n")
    done = partlab(file, "--segmenter", colour_run, "--out", tmp_path / "out")
    assert done.exit_code == 5
    none = "the only picture cannot" if whole_header else "none of the 2 pictures can"
    assert f"{none} be read; the first" in done.stderr
    assert "car/a.jpg" in done.stderr
    assert done.stdout == ""
    assert (tmp_path / "out").exists() is whole_header


def test_lists_as_windows_writes_them(tmp_path):
    for name in ("car/1.png", "cat/2.png"):
        draw(tmp_path / name, name[:3], 1)
    text = "path,object\r\ncar\\1.png,car\r\ncat\\2.png,cat\r\n"
    expected = [(1, "car/1.png", "car", "list"), (2, "cat/2.png", "cat", "list")]
    for data in (text, "\ufeff" + text.replace(",", ";"), text.replace(",", "\t")):
        (tmp_path / "list.csv").write_bytes(data.encode())
        assert listed(tmp_path / "list.csv") == expected
    found = find_inputs(tmp_path, classes=tmp_path / "list.csv")
    assert [(e.path, e.object_source) for e in found] == [
        ("car/1.png", "list"),
        ("cat/2.png", "list"),
    ]
    (tmp_path / "list.csv").write_bytes("bär.png,car".encode("cp1252"))
    with pytest.raises(SchemaError, match="Windows-1252"):
        listed(tmp_path / "list.csv")


def test_a_backslash_that_is_really_in_a_name_stays(tmp_path):
    draw(tmp_path / "a\\b.png", "car", 1)
    (tmp_path / "list.csv").write_text("a\\b.png,car\n")
    assert listed(tmp_path / "list.csv") == [(1, "a\\b.png", "car", "list")]
