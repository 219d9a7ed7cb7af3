"""Pictures in tar archives: local and in an object store, with all that can be wrong in them."""

import io
import tarfile

import pytest
from killable import settings
from object_store import KEYS, server

from partlab.errors import DatasetError, NotFoundError, SchemaError
from partlab.images import load_image
from partlab.places import located, upload
from partlab.tars import index_of
from pseudolabel.engine import label_images


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def packed(path, files):
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return path


@pytest.fixture
def archives(photos, tmp_path):
    """The photos in three archives, in the order of the folder; the objects said in two ways."""
    folder = tmp_path / "packed"
    folder.mkdir()
    names = sorted(path for path in photos.rglob("*") if path.is_file())
    for number in range(3):
        files = []
        for path in names[number * 14 : (number + 1) * 14]:
            if number == 2:  # flat, as most webdatasets are
                files.append((path.name, path.read_bytes()))
                files.append((f"{path.stem}.cls", path.parent.name.encode()))
            else:
                files.append((f"{path.parent.name}/{path.name}", path.read_bytes()))
        packed(folder / f"train-{number:03d}.tar", [*files, ("notes.csv", b"a,b")])
    (folder / "README.md").write_text("what this is")
    return folder


def label(images, run, out, workers=0):
    return label_images(images, run, out, settings(), workers=workers)


def test_they_give_the_masks_of_the_folder(archives, photos, colour_run, tmp_path):
    folder = label(photos, colour_run, tmp_path / "plain").store
    done = label(archives, colour_run, tmp_path / "out", workers=1)
    assert done.passed_over == 4  # README.md and three notes.csv
    rows, plain = list(done.store.rows()), list(folder.rows())
    assert [row.object for row in rows] == [row.object for row in plain]
    assert [row.status for row in rows] == [row.status for row in plain]
    assert rows[0].file_name == f"train-000.tar/{plain[0].file_name}"
    known = {row.file_name.rpartition("/")[2]: row.masks for row in plain}
    # scores depend on which images share a batch, in the fifth digit
    for row in rows:
        same = known[row.file_name.rpartition("/")[2]]
        assert [(m.label, m.rle) for m in row.masks] == [(m.label, m.rle) for m in same]
    assert done.store.manifest.counts["unreadable"] == 1
    picture = load_image(done.store.image_path(rows[1]))
    assert picture.shape[:2] == (rows[1].height, rows[1].width)


def test_one_archive_alone(archives, colour_run, tmp_path):
    done = label(archives / "train-001.tar", colour_run, tmp_path / "out")
    assert len(done.store) == 14
    assert done.passed_over == 1


def test_afar_they_give_the_same_rows(archives, colour_run, tmp_path, monkeypatch):
    s3fs = pytest.importorskip("s3fs")
    here = list(label(archives, colour_run, tmp_path / "out").store.rows())
    with server() as address:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": address}).items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("partlab")
        root = located("s3://partlab/packed")
        upload([(path, root / path.name) for path in archives.iterdir()])
        store = label("s3://partlab/packed", colour_run, tmp_path / "afar").store
        assert list(store.rows()) == here
        assert load_image(store.image_path(here[1])).shape[:2] == (here[1].height, here[1].width)


def test_a_damaged_archive_is_refused_with_the_place(archives, colour_run, tmp_path):
    file = archives / "train-001.tar"
    file.write_bytes(file.read_bytes()[:40_000])
    with pytest.raises(DatasetError, match=r"train-001\.tar is damaged after \w+/000\d\d\.png"):
        label(archives, colour_run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_cut_off_between_two_pictures_is_not_taken_for_whole(tmp_path):
    file = packed(tmp_path / "cut.tar", [("a.jpg", b"1" * 600), ("b.jpg", b"2")])
    file.write_bytes(file.read_bytes()[: 512 + 1024])
    with pytest.raises(DatasetError, match=r"damaged after a\.jpg: it has no end mark"):
        index_of(file)


def test_what_is_odd_in_archives_is_refused_or_counted(tmp_path):
    with pytest.raises(NotFoundError, match="no archive"):
        index_of(tmp_path / "none.tar")
    twice = packed(tmp_path / "twice.tar", [("a.jpg", b"1"), ("a.jpg", b"2")])
    with pytest.raises(SchemaError, match=r"two pictures called a\.jpg"):
        index_of(twice)
    with tarfile.open(tmp_path / "small.tar", "w:gz"):
        pass
    with pytest.raises(DatasetError, match="damaged or compressed"):
        index_of(tmp_path / "small.tar")
    files = [("../up.jpg", b"1"), ("./cat/é b.jpg", b"22"), ("7.cls", b"12"), ("7.jpg", b"3")]
    index = index_of(packed(tmp_path / "odd.tar", [*files, ("8.jpg", b""), ("8.json", b"{")]))
    assert index.others == ("../up.jpg",)
    told = [(one.name, one.size, one.object) for one in index.members]
    assert told == [("cat/é b.jpg", 2, "cat"), ("7.jpg", 1, None), ("8.jpg", 0, None)]


def test_a_changed_archive_is_read_anew(tmp_path):
    file = packed(tmp_path / "a.tar", [("a.jpg", b"1")])
    assert len(index_of(file).members) == 1
    packed(file, [("a.jpg", b"1"), ("b.jpg", b"2"), ("c.jpg", b"2" * 20_000)])
    assert len(index_of(file).members) == 3
