"""Pictures and store in an object store: a real S3 server on loopback, spoiled at will."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from killable import SHARD, settings
from object_store import KEYS, Door, server

from partlab.coco import read_dataset
from partlab.errors import ConfigError, PlaceError, SchemaError
from partlab.places import located, system, upload
from pseudolabel.engine import label_images
from pseudolabel.export import export_coco
from pseudolabel.maps import label_maps
from pseudolabel.report import make_report, write_page
from pseudolabel.store import shards_in

s3fs = pytest.importorskip("s3fs")
LAUNCHER = Path(__file__).parents[2] / "plugins" / "partlab_with_colour.py"


@pytest.fixture(scope="module")
def address(photos):
    """A server with the photos in a bucket."""
    with server() as found, pytest.MonkeyPatch.context() as patch:
        point(found, patch)
        s3fs.S3FileSystem().mkdir("partlab")
        put(photos, "s3://partlab/photos")
        yield found


@pytest.fixture
def bucket(address, monkeypatch, tmp_path):
    """A folder of this test alone, at the server itself."""
    reach(address, monkeypatch, tmp_path)
    return f"s3://partlab/{tmp_path.name}"


@pytest.fixture
def pictures(bucket):
    return "s3://partlab/photos"


def point(address, patch):
    for name, value in (KEYS | {"AWS_ENDPOINT_URL": address}).items():
        patch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()


def reach(address, patch, tmp_path):
    point(address, patch)
    patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def at_home(photos, colour_run, tmp_path_factory):
    """What the local folder gives."""
    return label(photos, colour_run, tmp_path_factory.mktemp("home") / "out")


def put(folder, url):
    files = [path for path in folder.rglob("*") if path.is_file()]
    upload([(path, located(url) / path.relative_to(folder).as_posix()) for path in files])


def label(images, run, out, workers=0):
    return label_images(images, run, out, settings(), workers=workers).store


def test_pictures_and_store_afar_give_the_rows_of_the_local_ones(
    pictures, bucket, colour_run, at_home, tmp_path
):
    store = label(pictures, colour_run, f"{bucket}/out", workers=2)
    assert list(store.rows()) == list(at_home.rows())
    assert store.manifest.inputs_sha256 == at_home.manifest.inputs_sha256
    assert store.manifest.counts == at_home.manifest.counts
    assert store.manifest.counts["unreadable"] == 1  # the one that is no picture
    assert not list((tmp_path / "cache" / "partlab" / "pictures").glob("*/"))  # all taken away
    write_page(make_report(store), store.path / "report.html")
    page = (located(bucket) / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg") >= 3
    again = label_images(pictures, colour_run, f"{bucket}/out", settings(), workers=0)
    assert again.images == 0


def test_what_is_made_of_a_store_afar(pictures, bucket, colour_run, at_home, tmp_path):
    store = label(pictures, colour_run, f"{bucket}/out")
    export_coco(store, tmp_path / "coco")
    made = read_dataset(tmp_path / "coco")
    export_coco(at_home, tmp_path / "from-home")
    assert made.fingerprint == read_dataset(tmp_path / "from-home").fingerprint
    copied = made.image_path(made.images[0])
    assert not copied.is_symlink()
    assert copied.read_bytes() == store.image_path(next(store.rows())).read_bytes()
    export_coco(at_home, f"{bucket}/coco")
    assert read_dataset(f"{bucket}/coco").fingerprint == made.fingerprint
    maps = label_maps(store.path, tmp_path / "maps.arrow")
    assert len(maps) == 40
    assert str(maps.image_path(0)).startswith("s3://partlab/photos/")


def test_a_list_afar_and_one_here(pictures, bucket, colour_run, photos, tmp_path):
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))[:9]
    lines = "".join(f"{name},{name.partition('/')[0]}\n" for name in [*names, names[0]])
    (tmp_path / "list.csv").write_text(lines)
    upload([(tmp_path / "list.csv", located("s3://partlab/photos/list.csv"))])
    rows = list(label("s3://partlab/photos/list.csv", colour_run, tmp_path / "out").rows())
    assert [row.file_name for row in rows] == [*names, names[0]]  # twice in one shard and the next
    assert {row.status for row in rows} <= {"labelled", "blank"}
    (tmp_path / "far.csv").write_text(f"s3://partlab/photos/{names[0]},cat\n")
    with pytest.raises(SchemaError, match="names the address s3://partlab/photos"):
        label(tmp_path / "far.csv", colour_run, tmp_path / "out2")


def test_one_folder_is_afar_and_the_other_here(pictures, colour_run, at_home, tmp_path):
    assert list(label(pictures, colour_run, tmp_path / "out").rows()) == list(at_home.rows())


def test_requests_that_fail_midway_are_repeated(
    pictures, bucket, colour_run, at_home, address, monkeypatch, tmp_path
):
    def spoil(method, path, number):
        if number > 1 or path.count("/") < 2 or not path.endswith(("0.png", "1.png", "parquet")):
            return None
        return {"GET": "cut", "PUT": 503}.get(method)

    door = Door(address, spoil)
    with door.open() as through:
        reach(through, monkeypatch, tmp_path)
        store = label(pictures, colour_run, f"{bucket}/out")
        assert list(store.rows()) == list(at_home.rows())
    repeated = [how for how, times in door.seen.items() if times > 1 and how[0] in ("GET", "PUT")]
    assert {method for method, _ in repeated} == {"GET", "PUT"}
    assert sum(path.endswith("png") for _, path in repeated) >= 4


def test_what_cannot_be_had_ends_the_run_and_is_no_fault_of_the_picture(
    pictures, bucket, colour_run, at_home, address, monkeypatch, tmp_path
):
    lost = next(row.file_name for row in at_home.rows() if row.image_id == SHARD + 3)

    def spoil(method, path, number):
        return "cut" if method == "GET" and path.endswith(lost) else None

    with Door(address, spoil).open() as through:
        reach(through, monkeypatch, tmp_path)
        with pytest.raises(PlaceError, match=r"cannot reach s3://.*/photos"):
            label(pictures, colour_run, f"{bucket}/out")
    reach(address, monkeypatch, tmp_path)
    assert 1 <= len(shards_in(located(f"{bucket}/out"))) < 6
    assert list(label(pictures, colour_run, f"{bucket}/out").rows()) == list(at_home.rows())


def test_killed_it_goes_on_where_it_was(pictures, bucket, colour_run, at_home, address, tmp_path):
    out = located(f"{bucket}/out")
    with started(pictures, colour_run, out, address, tmp_path, pause="0.05") as process:
        while len(shards_in(out)) < 2:
            assert process.poll() is None, process.stderr.read().decode()
        process.kill()
    before = shards_in(out)
    assert 2 <= len(before) < 6
    assert list((tmp_path / "cache" / "partlab" / "pictures").glob("*/"))  # what was left behind
    done = label_images(pictures, colour_run, out, settings(), workers=0)
    assert done.images == 41 - SHARD * len(before)
    assert list(done.store.rows()) == list(at_home.rows())
    assert not list((tmp_path / "cache" / "partlab" / "pictures").glob("*/"))


def started(pictures, run, out, address, tmp_path, pause="0", **keys):
    words = ["pseudolabel", pictures, "--segmenter", run, "--out", out, "--batch-size", 3]
    words += ["--set", f"shard_size={SHARD}", "--workers", 0]
    environment = os.environ | {"COLOUR_SEGMENTER_PAUSE": pause, **keys}
    return subprocess.Popen(
        [sys.executable, str(LAUNCHER), *map(str, words)],
        env=environment | {"AWS_ENDPOINT_URL": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_half_upload_is_not_there(pictures, bucket, colour_run, at_home):
    """Parts of a large object that nobody put together, as a killed process leaves them."""
    out = located(f"{bucket}/out")
    shard = out / "shards" / "part-00001.parquet"
    name, _, key = str(shard).removeprefix("s3://").partition("/")
    files = system(shard)
    begun = files.call_s3("create_multipart_upload", Bucket=name, Key=key)
    part = {"Bucket": name, "Key": key, "UploadId": begun["UploadId"], "PartNumber": 1}
    files.call_s3("upload_part", Body=b"PAR1" * 2_000_000, **part)
    assert not shard.is_file()
    assert shards_in(out) == set()
    store = label(pictures, colour_run, out)
    assert list(store.rows()) == list(at_home.rows())


def test_refused_it_says_so_in_one_sentence_without_keys(
    pictures, bucket, colour_run, address, tmp_path
):
    with Door(address, lambda *_: 403).open() as through:
        process = started(pictures, colour_run, f"{bucket}/out", through, tmp_path)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 4
    told = (out + err).decode()
    assert "these keys are wrong, or may not do that" in told
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in told
    assert "Traceback" not in told


@pytest.mark.slow  # half a minute of asking again
def test_a_dead_server_is_one_sentence(bucket, colour_run, tmp_path):
    dead = "http://127.0.0.1:9"
    process = started(f"{bucket}/x", colour_run, tmp_path / "o", dead, tmp_path)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 4
    assert b"cannot reach" in err
    assert b"Traceback" not in err


def test_a_password_in_an_address_is_refused_and_not_repeated(colour_run, tmp_path):
    with pytest.raises(ConfigError, match="password") as caught:
        label("s3://me:hush-hush@bucket/photos", colour_run, tmp_path / "out")
    assert "hush" not in f"{caught.value} {caught.value.hint}"
