"""Data sets in an object store: read, imported, written there, trained on; a real server."""

import shutil

import numpy as np
import pytest
from object_store import KEYS, server
from tiny_recognition import train, world
from torch.utils.data import DataLoader

from annotate.data.check import check_folder
from annotate.data.convert import import_folder
from partlab import read_dataset
from partlab.errors import ConfigError, NotFoundError, OutputExistsError
from partlab.labelmaps import LabelMaps
from partlab.places import listing, located, upload
from train.pictures import open_pictures
from train.plain import open_plain

s3fs = pytest.importorskip("s3fs")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return world(tmp_path_factory.mktemp("world") / "world")


@pytest.fixture(scope="module")
def afar(data):
    """The same data set at s3://partlab/world, on a server that this module can reach."""
    with server() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": address}).items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("partlab")
        files = [path for path in data.rglob("*") if path.is_file()]
        root = located("s3://partlab/world")
        upload([(path, root / path.relative_to(data).as_posix()) for path in files])
        yield str(root)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_data_set_afar_is_the_one_here(data, afar):
    here, there = read_dataset(data, "train"), read_dataset(afar, "train")
    assert there.fingerprint == here.fingerprint
    assert str(there.path) == f"{afar}/annotations/train.json"
    for image in there.images[:3]:
        assert str(there.image_path(image)) == f"{afar}/images/{image.file_name}"
    assert there.settled().images == there.images


def test_changed_afar_it_is_read_anew(data, afar):
    place = located("s3://partlab/changing.json")
    upload([(data / "annotations" / "train.json", place)])
    first = read_dataset(place)
    upload([(data / "annotations" / "val.json", place)])
    assert read_dataset(place).fingerprint == read_dataset(data, "val").fingerprint
    assert first.fingerprint == read_dataset(data, "train").fingerprint


def test_it_is_checked_as_the_one_here(data, afar):
    here, there = (check_folder(place) for place in (data, afar))
    assert [f.code for f in there.findings] == [f.code for f in here.findings]


def test_what_is_not_there_is_said(afar):
    with pytest.raises(NotFoundError, match="s3://partlab/nothing"):
        read_dataset("s3://partlab/nothing")
    with pytest.raises(NotFoundError, match="no split 'tset' in s3://partlab/world"):
        read_dataset(afar, "tset")


def test_training_reads_pictures_from_there_in_its_workers(data, afar, tmp_path):
    there = open_pictures([afar], cache=tmp_path / "there")
    here = open_pictures([data], cache=tmp_path / "here")
    assert [there.name(at) for at in range(len(there))] == [
        here.name(at) for at in range(len(here))
    ]
    loader = DataLoader(there, batch_size=None, num_workers=2, collate_fn=lambda one: one)
    for at, picture in enumerate(loader):
        assert np.array_equal(picture.pixels, here[at].pixels)
        assert np.array_equal(picture.labels, here[at].labels)
        if at == 7:
            break
    maps = LabelMaps(next((tmp_path / "there").glob("*.arrow")))
    assert str(maps.image_path(0)).startswith(f"{afar}/images/")


def test_class_only_pictures_are_listed_there(data, afar):
    here, there = open_plain(data / "images"), open_plain(f"{afar}/images")
    assert there.fingerprint == here.fingerprint
    assert str(there.root) == f"{afar}/images"


@pytest.mark.slow
def test_a_run_trains_on_it(afar, tmp_path):
    assert (train(afar, tmp_path / "run", "train.epochs=1") / "metrics.jsonl").is_file()


def test_imported_from_there_and_written_there(data, afar, tmp_path):
    told = import_folder(afar, tmp_path / "in", format="coco")
    assert told["pictures"]["train"] == {}  # each where it is stated
    assert read_dataset(tmp_path / "in", "val").fingerprint == read_dataset(data, "val").fingerprint
    image = next((tmp_path / "in" / "images").rglob("*.*"))
    assert not image.is_symlink()
    out = f"s3://partlab/{tmp_path.name}"
    import_folder(data, out, format="coco")
    assert read_dataset(out, "val").fingerprint == read_dataset(data, "val").fingerprint
    written, there = listing(located(out)), listing(located(afar))
    assert {*written} == {name for name in there if name.startswith(("annotations/", "images/"))}
    with pytest.raises(OutputExistsError, match="not empty"):
        import_folder(data, out, format="coco", force=True)
    shutil.rmtree(tmp_path / "in")


def test_label_maps_lie_here(data, afar, tmp_path):
    with pytest.raises(ConfigError, match="has to be on this machine, not at s3"):
        LabelMaps("s3://partlab/m.arrow")
