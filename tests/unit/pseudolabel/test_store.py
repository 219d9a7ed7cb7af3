"""The store: layers kept, whole or not there, clear about what is wrong (M-03, B4.4, B4.7)."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partlab.errors import DatasetError, NotFoundError, SchemaError
from partlab.masks import area, bbox, decode, encode
from pseudolabel import store as store_module
from pseudolabel.source import StoreSource
from pseudolabel.store import (
    Manifest,
    Row,
    Store,
    StoredMask,
    read_manifest,
    shard_path,
    write_manifest,
    write_shard,
)

NAMES = ("cat:head", "cat:ear", "car:wheel")


def manifest(images: int, shard_size: int = 4, **more) -> Manifest:
    fixed = {"partlab": "0", "run": "runs/seg", "backend": "x", "model_sha256": "m"}
    fixed |= {"config": {"thresholds": {"default": 0.5}}, "config_sha256": "c"}
    fixed |= {"inputs_sha256": "i", "image_root": "/photos", "names": NAMES}
    fixed |= {"inclusions": {"cat": {"ear": "head"}}, "state": "done"}
    return Manifest(**fixed | {"images": images, "shard_size": shard_size} | more)


def mask(label: int, pixels, score: float = 0.75) -> StoredMask:
    rle = encode(pixels)
    return StoredMask(label, score, area(rle), tuple(bbox(rle)), rle)


def rows_of(images: int) -> list[Row]:
    rng = np.random.default_rng(images)
    rows = []
    for n in range(1, images + 1):
        size = (5 + n % 3, 7)
        masks = tuple(mask(i, rng.random(size) > 0.5, i / 8 + 0.5) for i in range(n % 4))
        status = "labelled" if masks else "blank"
        rows.append(Row(n, f"cat/ü {n}.jpg", "cat", "folder", *size, status, None, masks))
    rows[-1] = Row(images, "日本.png", None, None, 0, 0, "unreadable", "not a picture")
    return rows


def save(folder, rows, described):
    write_manifest(folder, described)
    for shard in range(described.shards):
        span = described.span(shard)
        write_shard(folder, shard, rows[span.start : span.stop], described.identity)
    return folder


def test_rows_come_back_as_they_were(tmp_path):
    rows = rows_of(10)
    store = Store.open(save(tmp_path, rows, manifest(10)))
    assert len(store) == 10
    assert list(store.rows()) == rows
    assert [store.row(n) for n in (9, 0, 5, 4)] == [rows[n] for n in (9, 0, 5, 4)]
    assert store.finished
    assert store.names == NAMES
    assert store.parts.parents == {1: (0,)}
    assert str(store.image_path(rows[0])) == "/photos/cat/ü 1.jpg"
    for position in (10, -1):
        with pytest.raises(IndexError):
            store.row(position)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.data(),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    scores=st.lists(st.floats(0, 1, width=32), max_size=4),
)
def test_any_layers_survive_pixel_for_pixel(tmp_path, data, height, width, scores):
    """Overlapping layers with holes stay apart (M-03)."""
    bits = st.lists(st.booleans(), min_size=height * width, max_size=height * width)
    drawn = [np.array(data.draw(bits)).reshape(height, width) for _ in scores]
    masks = tuple(mask(n % 3, *each) for n, each in enumerate(zip(drawn, scores, strict=True)))
    row = Row(1, "a.png", "cat", "list", height, width, "labelled", None, masks)
    store = Store.open(save(tmp_path, [row], manifest(1)))
    found = next(store.rows())
    assert found == row
    for layer, pixels, score in zip(store.layers(found), drawn, scores, strict=True):
        assert np.array_equal(decode(layer.rle), pixels)
        assert layer.score == score


def test_only_the_columns_asked_for_are_read(tmp_path):
    rows = rows_of(6)
    store = Store.open(save(tmp_path, rows, manifest(6)))
    some = list(store.rows(["file_name", "status"]))
    assert [(r.file_name, r.status) for r in some] == [(r.file_name, r.status) for r in rows]
    assert {(r.object, r.height, r.masks) for r in some} == {(None, 0, ())}
    assert [r.masks for r in store.rows(["masks"])] == [r.masks for r in rows]


def test_counts(tmp_path):
    rows = rows_of(9)
    store = Store.open(save(tmp_path, rows, manifest(9)))
    masks = sum(len(row.masks) for row in rows)
    assert store.count() == {"labelled": 6, "blank": 2, "unreadable": 1, "masks": masks}


def test_same_rows_same_bytes(tmp_path):
    for name in "ab":
        save(tmp_path / name, rows_of(5), manifest(5))
    for path in ("shards/part-00000.parquet", "shards/part-00001.parquet", "manifest.json"):
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_other_tools_read_a_shard(tmp_path):
    """One row per image with a list of mask structs, as the format says."""
    import pyarrow.parquet as pq

    save(tmp_path, rows_of(4), manifest(4))
    table = pq.read_table(shard_path(tmp_path, 0))
    assert table.num_rows == 4
    assert set(table["masks"].to_pylist()[0][0]) == {"label", "score", "area", "bbox", "rle"}
    assert (
        pq.ParquetFile(shard_path(tmp_path, 0)).metadata.row_group(0).column(0).compression
        == "ZSTD"
    )


def test_unfinished_store_reads_and_says_so(tmp_path, caplog):
    rows = rows_of(10)
    save(tmp_path, rows, manifest(10, state="running"))
    shard_path(tmp_path, 1).unlink()
    store = Store.open(tmp_path)
    assert "not finished: 6 of 10 images" in caplog.text
    assert not store.finished
    assert len(store) == 6
    assert [row.image_id for row in store.rows()] == [1, 2, 3, 4, 9, 10]
    assert store.row(8) == rows[8]
    with pytest.raises(IndexError):
        store.row(5)


def test_no_store(tmp_path):
    with pytest.raises(NotFoundError, match="is not a pseudo-label store"):
        Store.open(tmp_path)
    with pytest.raises(NotFoundError):
        Store.open(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1, "images": "many"}'])
def test_damaged_manifest(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(SchemaError, match=r"manifest\.json"):
        Store.open(tmp_path)


def test_newer_format(tmp_path):
    save(tmp_path, rows_of(2), manifest(2))
    raw = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(raw | {"format": 7}))
    with pytest.raises(SchemaError, match="store format 7"):
        read_manifest(tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    """One bit of the stored data, which only a checksum notices."""
    data = bytearray(path.read_bytes())
    data[len(data) // 8] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (cut, "is damaged"),
        (flip, "is damaged"),
        (lambda path: path.write_text("hello"), "is damaged"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_damaged_shard_is_named(tmp_path, harm, words):
    store = Store.open(save(tmp_path, rows_of(10), manifest(10)))
    harm(shard_path(tmp_path, 1))
    with pytest.raises(DatasetError, match=rf"part-00001\.parquet {words}") as caught:
        list(store.rows())
    assert "delete that file" in caught.value.hint


def test_flipped_bits_never_end_in_another_error(tmp_path):
    """The pages have checksums; Parquet's small headers have none, so a few flips go unseen."""
    rows = rows_of(4)
    store = Store.open(save(tmp_path, rows, manifest(4)))
    whole = shard_path(tmp_path, 0).read_bytes()
    noticed = unseen = 0
    for position in range(0, len(whole), 23):
        harmed = bytearray(whole)
        harmed[position] ^= 1 << position % 8
        shard_path(tmp_path, 0).write_bytes(bytes(harmed))
        try:
            unseen += list(store.rows()) != rows
        except DatasetError:
            noticed += 1
    assert noticed > 50
    assert unseen < noticed / 10


def test_shard_of_another_store_or_place_is_refused(tmp_path):
    store = Store.open(save(tmp_path / "a", rows_of(10), manifest(10)))
    write_shard(tmp_path / "a", 1, rows_of(4), "somebody else's")
    with pytest.raises(DatasetError, match=r"part-00001.*belongs to another store"):
        list(store.rows())
    write_shard(tmp_path / "a", 1, rows_of(3), store.manifest.identity)
    with pytest.raises(DatasetError, match="holds 3 rows instead of 4"):
        list(store.rows())


def test_identity_follows_what_decides_the_content():
    base = manifest(10)
    assert base.identity == manifest(10, run="moved", image_root="/elsewhere").identity
    for change in ({"model_sha256": "x"}, {"config_sha256": "x"}, {"inputs_sha256": "x"}):
        assert manifest(10, **change).identity != base.identity


def test_reading_a_store_needs_no_torch(tmp_path):
    save(tmp_path, rows_of(3), manifest(3))
    code = (
        "import sys; from pseudolabel.store import Store; "
        f"print(len(list(Store.open({str(tmp_path)!r}).rows())), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "False"]


def test_a_row_looks_at_no_other_shard(make_store, monkeypatch):
    """With thousands of shards each look-up made a list of them all."""
    rows = [(f"car/{i}.png", "car", [(3, (i, 5, 5, 5), 0.8)]) for i in range(12)]
    store = make_store(rows, shard_size=1, pictures=False)
    asked = []
    real = store_module.shard_path
    monkeypatch.setattr(
        store_module, "shard_path", lambda folder, n: asked.append(n) or real(folder, n)
    )
    assert store.row(7).file_name == "car/7.png"
    assert set(asked) == {7}
    assert store.row(7) == list(store.rows())[7]
    with pytest.raises(IndexError):
        store.row(12)
    with pytest.raises(IndexError):
        store.row(-1)


def test_large_objects_have_short_names_for_themselves(make_store):
    names = tuple(f"o{i // 4}:{i % 4}" for i in range(3310))
    box = (0, 0, 60, 40)
    store = make_store([("a.png", "o0", [(0, box, 0.9)])], names=names, pictures=False)
    for large in (store, store.manifest, store.row(0), StoreSource(store)):
        assert len(repr(large)) < 1000
    assert "3,310 parts of 828 objects" in repr(store)
