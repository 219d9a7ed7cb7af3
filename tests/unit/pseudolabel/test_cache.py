"""P-05, P-06: the derived label-map cache: combined, rebuilt, random access, workers."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from partlab.composite import Layer
from partlab.errors import ConfigError, NotFoundError, OutputExistsError, SchemaError
from partlab.labelmap_cache import open_cache
from partlab.labelmap_sources import DatasetSource, compose, composites, joined
from partlab.labelmaps import Header, LabelMaps
from partlab.masks import encode
from partlab.parts import Parts
from pseudolabel.source import StoreSource
from pseudolabel.store import Store, write_manifest

ROWS = [
    ("cat/a.png", "cat", [(1, (0, 0, 20, 20), 0.9), (2, (0, 0, 5, 5), 0.3)]),
    ("cat/b.png", "cat", []),
    ("car/c.png", "car", [(3, (5, 5, 10, 10), 0.8)]),
    ("car/d.png", "car", "not a picture"),
    ("car/e.png", None, [(4, (5, 5, 10, 10), 0.6)]),
]


def test_random_access_gives_path_object_and_composite(make_store, tmp_path):
    source = StoreSource(make_store(ROWS))
    built = open_cache(tmp_path / "c.arrow", [source])
    maps = built.maps
    assert len(maps) == 4
    assert built.counts == {"pseudo": 4, "blank": 1}
    for index, (item, composite) in reversed(list(enumerate(composites(source)))):
        path, object, found = maps[index]
        assert path == tmp_path / "photos" / item.file_name
        assert path.is_file()
        assert object == (-1 if item.object is None else ["cat", "car"].index(item.object))
        assert np.array_equal(found.labels, composite.labels)
        assert found.labels.dtype == np.uint8
        assert (found.pseudo, found.blank) == (composite.pseudo, composite.blank)
        assert maps.find(item.file_name) == index
    assert maps.blank.tolist() == [False, True, False, False]
    assert maps.objects_of_all.tolist() == [0, 0, 1, -1]
    with pytest.raises(IndexError):
        maps[4]
    with pytest.raises(NotFoundError, match=r"no image x\.png"):
        maps.find("x.png")


def test_arrays_are_the_callers_own(make_store, tmp_path):
    maps = open_cache(tmp_path / "c.arrow", [StoreSource(make_store(ROWS))]).maps
    maps[0].composite.labels[:] = 77
    assert maps[0].composite.labels.max() < 77


def test_multi_form_comes_back_whole(make_store, tmp_path):
    source = StoreSource(make_store(ROWS))
    maps = open_cache(tmp_path / "c.arrow", [source], channels=9).maps
    for index, (_, composite) in enumerate(composites(source, channels=9)):
        assert np.array_equal(maps[index].composite.labels, composite.labels)
        assert maps[index].composite.labels.shape == (9, 40, 60)


@pytest.mark.parametrize(
    ("parts", "dtype"), [(254, np.uint8), (255, np.uint16), (65534, np.uint16), (65535, np.int32)]
)
def test_label_type_is_as_wide_as_the_number_of_parts_needs(parts, dtype):
    names = tuple(f"o:{i}" for i in range(parts))
    assert Header("", names, (), ()).dtype == dtype


def test_many_parts_survive(make_store, tmp_path):
    names = tuple(f"o{i // 4}:{i % 4}" for i in range(3310))
    store = make_store([("a.png", "o827", [(3309, (0, 0, 9, 9), 0.9)])], names=names)
    maps = open_cache(tmp_path / "c.arrow", [StoreSource(store)]).maps
    labels = maps[0].composite.labels
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == {0, 3310}
    assert maps.names == names
    assert maps.objects[maps[0].object] == "o827"


def test_people_win_over_the_network_for_the_same_image(make_store, make_dataset, tmp_path):
    store = make_store(ROWS)
    human = make_dataset(
        [("cat/a.png", "cat", [("cat:body", (0, 0, 30, 30))]), ("cat/z.png", "cat", [])],
        image_root=tmp_path / "photos",
    )
    built = open_cache(tmp_path / "c.arrow", [StoreSource(store), DatasetSource(human)])
    assert built.counts == {"human": 2, "pseudo": 3, "blank": 2, "in an earlier source": 1}
    first = built.maps[built.maps.find("cat/a.png")].composite
    assert not first.pseudo
    assert first.labels.max() == 1  # the human body, not the network's head
    assert built.maps.pseudo.tolist() == [False, False, True, True, True]


def test_different_pictures_of_one_name_are_both_kept(make_store, make_dataset, tmp_path):
    store = make_store(ROWS)
    human = make_dataset([("cat/a.png", "cat", [("cat:body", (0, 0, 30, 30))])])  # own pixels
    built = open_cache(tmp_path / "c.arrow", [StoreSource(store), DatasetSource(human)])
    assert len(built.maps) == 5
    paths = {built.maps.image_path(i) for i in range(5)}
    assert {tmp_path / "human/images/cat/a.png", tmp_path / "photos/cat/a.png"} <= paths


def test_labels_of_several_vocabularies_are_joined(make_store, make_dataset, tmp_path):
    store = make_store([("car/c.png", "car", [(0, (5, 5, 10, 10), 0.8)])], names=("car:wheel",))
    human = make_dataset([("h.png", "cat", [("cat:head", (0, 0, 30, 30))])])
    sources = [StoreSource(store), DatasetSource(human)]
    maps = open_cache(tmp_path / "c.arrow", sources).maps
    assert maps.names == joined([sources[1], sources[0]]).names
    wheel = maps[maps.find("car/c.png")].composite.labels.max() - 1
    assert maps.names[wheel] == "car:wheel"


def test_rebuilt_exactly_when_the_content_changed(make_store, make_dataset, tmp_path):
    path = tmp_path / "deep" / "c.arrow"
    store = make_store(ROWS)
    assert open_cache(path, [StoreSource(store)]).made
    before = path.read_bytes()
    assert not open_cache(path, [StoreSource(store)]).made
    assert open_cache(path, [StoreSource(store)], force=True).made
    assert path.read_bytes() == before  # the same content, the same bytes
    changed = make_store([*ROWS[:2], ("car/c.png", "car", [(4, (5, 5, 10, 10), 0.8)]), *ROWS[3:]])
    again = open_cache(path, [StoreSource(changed)])
    assert again.made
    assert again.maps[2].composite.labels.max() == 5
    assert open_cache(path, [StoreSource(changed)], channels=2).made
    human = make_dataset([("h.png", "cat", [("cat:head", (0, 0, 30, 30))])])
    assert open_cache(path, [StoreSource(changed), DatasetSource(human)]).made


def test_a_damaged_cache_is_made_again(make_store, tmp_path):
    path = tmp_path / "c.arrow"
    source = StoreSource(make_store(ROWS))
    open_cache(path, [source])
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(SchemaError, match="not a label-map file"):
        LabelMaps(path)
    assert open_cache(path, [source]).made
    assert len(LabelMaps(path)) == 4


def test_a_foreign_file_is_not_overwritten(make_store, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="not a label-map file"):
        open_cache(path, [StoreSource(make_store(ROWS))], force=False)
    assert path.read_text() == "mine"


def test_no_source_and_no_file(tmp_path):
    with pytest.raises(ConfigError):
        open_cache(tmp_path / "c.arrow", [])
    with pytest.raises(NotFoundError, match="no label-map file"):
        LabelMaps(tmp_path / "none.arrow")


def _sum(maps: LabelMaps, index: int) -> tuple[int, int]:
    return os.getpid(), int(maps[index].composite.labels.sum())


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_works_in_worker_processes(make_store, tmp_path, how):
    maps = open_cache(tmp_path / "c.arrow", [StoreSource(make_store(ROWS))]).maps
    wanted = [int(maps[i].composite.labels.sum()) for i in range(4)]
    with multiprocessing.get_context(how).Pool(2) as workers:
        found = workers.starmap(_sum, [(maps, i % 4) for i in range(40)])
    assert [total for _, total in found] == wanted * 10
    assert os.getpid() not in {pid for pid, _ in found}


def test_pickles_as_its_path(make_store, tmp_path):
    maps = open_cache(tmp_path / "c.arrow", [StoreSource(make_store(ROWS))]).maps
    packed = pickle.dumps(maps)
    assert len(packed) < 300
    assert pickle.loads(packed)[2].path == maps[2].path


def test_a_store_of_several_batches(make_store, tmp_path):
    rows = [(f"car/{i}.png", "car", [(3, (i % 50, 5, 5, 5), 0.8)]) for i in range(2100)]
    store: Store = make_store(rows, shard_size=500, pictures=False)
    maps = open_cache(tmp_path / "c.arrow", [StoreSource(store)]).maps
    for index in (0, 999, 1000, 2099):
        assert maps.file_name(index) == f"car/{index}.png"
        assert maps[index].composite.labels[5, index % 50] == 4
        assert (maps[index].composite.labels > 0).sum() == 25


def test_empty_sources_make_an_empty_cache(make_store, tmp_path: Path):
    maps = open_cache(tmp_path / "c.arrow", [StoreSource(make_store([]))]).maps
    assert len(maps) == 0
    assert list(maps) == []


def test_masks_left_out_are_told_at_each_opening(make_dataset, tmp_path, caplog):
    parts = [("cat:body", (0, 0, 20, 20)), ("cat:head", (30, 0, 10, 10))]
    data = make_dataset([("a.png", "cat", parts), ("b.png", "cat", parts)])
    first, *others = data.annotations
    data = replace(data, annotations=[first.changed(segmentation=[[1, 2, 3]]), *others])
    for _ in range(2):  # made, then found
        caplog.clear()
        built = open_cache(tmp_path / "maps.arrow", [DatasetSource(data)])
        assert "1 mask is left out in 1 image, for nothing can be read there" in caplog.text
    assert not built.made
    assert built.maps.left_out.tolist() == [1, 0]


def test_a_subset_is_not_its_whole(make_dataset, tmp_path):
    human = make_dataset([(f"cat/{i}.png", "cat", [("cat:body", (i, 0, 9, 9))]) for i in range(3)])
    path = tmp_path / "c.arrow"
    assert len(open_cache(path, [DatasetSource(human)]).maps) == 3
    one = open_cache(path, [DatasetSource(human.subset([2]))])
    assert one.made
    assert [one.maps.file_name(i) for i in range(len(one.maps))] == ["cat/1.png"]
    assert not open_cache(path, [DatasetSource(human.subset([2]))]).made


def test_a_moved_folder_still_opens(make_store, tmp_path):
    """The pictures and the file lie in one folder; nothing in the file names the machine."""
    path = tmp_path / "maps" / "c.arrow"
    first = open_cache(path, [StoreSource(make_store(ROWS))]).maps
    assert first.header.roots == ("../photos",)
    assert str(tmp_path).encode() not in path.read_bytes()
    new = tmp_path / "elsewhere"
    new.mkdir()
    for folder in ("maps", "photos"):
        (tmp_path / folder).rename(new / folder)
    maps = LabelMaps(new / "maps" / "c.arrow")
    assert maps[0].path == new / "photos" / "cat/a.png"
    assert maps[0].path.is_file()
    assert maps.fingerprint == first.fingerprint


def test_pictures_that_were_moved_alone_are_found_where_it_is_said(make_store, tmp_path):
    path = tmp_path / "c.arrow"
    open_cache(path, [StoreSource(make_store(ROWS))])
    (tmp_path / "photos").rename(tmp_path / "pictures")
    for roots in (tmp_path / "pictures", {"photos": tmp_path / "pictures"}):
        maps = pickle.loads(pickle.dumps(LabelMaps(path, roots=roots)))
        assert maps[0].path.is_file()
    assert not LabelMaps(path)[0].path.exists()
    with pytest.raises(ConfigError, match=r"no picture folder 'x'") as caught:
        LabelMaps(path, roots={"x": "y"})
    assert "photos" in str(caught.value.hint)


def test_links_on_the_way_lead_to_the_right_pictures(make_store, tmp_path):
    source = StoreSource(make_store(ROWS))
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "near").symlink_to(tmp_path / "far" / "deep")
    maps = open_cache(tmp_path / "near" / "c.arrow", [source]).maps
    assert maps[0].path.samefile(tmp_path / "photos" / "cat/a.png")


def test_the_content_decides_not_the_place(make_store, tmp_path):
    source = StoreSource(make_store(ROWS))
    here = open_cache(tmp_path / "a.arrow", [source]).maps
    there = open_cache(tmp_path / "deep" / "er" / "b.arrow", [source]).maps
    assert here.fingerprint == there.fingerprint
    (tmp_path / "photos").rename(tmp_path / "pictures")
    moved = Store.open(tmp_path / "pseudo", image_root=tmp_path / "pictures")
    again = open_cache(tmp_path / "a.arrow", [StoreSource(moved)])
    assert again.made  # so that it names the pictures' new place
    assert again.maps.fingerprint == here.fingerprint
    assert again.maps[0].path.is_file()


def test_a_worker_elsewhere_finds_a_file_named_from_here(make_store, tmp_path, monkeypatch):
    open_cache(tmp_path / "c.arrow", [StoreSource(make_store(ROWS))])
    monkeypatch.chdir(tmp_path)
    packed = pickle.dumps(LabelMaps("c.arrow"))
    monkeypatch.chdir("/")
    assert pickle.loads(packed)[0].path.is_file()


def test_parts_come_with_their_inclusions(make_store, tmp_path):
    maps = open_cache(tmp_path / "c.arrow", [StoreSource(make_store(ROWS))]).maps
    assert maps.parts == make_store(ROWS).parts
    assert maps.parts.parents == {2: (1,)}
    assert len(repr(maps)) < 200


def test_a_part_in_several_others_is_found_again_in_store_and_file(make_store, tmp_path):
    stored = make_store(ROWS)
    several = {"cat": {"ear": ["head", "body"]}}
    write_manifest(stored.path, stored.manifest.model_copy(update={"inclusions": several}))
    store = Store.open(stored.path)
    assert store.inclusions == several
    maps = open_cache(tmp_path / "c.arrow", [StoreSource(store)]).maps
    assert maps.parts.inclusions == several
    assert maps.parts.parents == {2: (1, 0)}
    assert not open_cache(tmp_path / "c.arrow", [StoreSource(store)]).made  # it is the same


def test_what_a_killed_builder_left_is_removed(make_store, tmp_path):
    (tmp_path / ".c.arrow.0123.tmp").write_bytes(b"half")
    open_cache(tmp_path / "c.arrow", [StoreSource(make_store(ROWS))])
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))


def test_torch_loads_them_as_they_are(make_store, tmp_path):
    """No torch in the class: a length and an item are all that a loader asks for."""
    from torch.utils.data import DataLoader

    maps = open_cache(tmp_path / "c.arrow", [StoreSource(make_store(ROWS))]).maps
    loader = DataLoader(
        maps, batch_size=2, num_workers=2, collate_fn=list, multiprocessing_context="spawn"
    )
    found = [triple for batch in loader for triple in batch]
    assert [each.path for each in found] == [maps.image_path(i) for i in range(4)]
    sums = [int(each.composite.labels.sum()) for each in maps]
    assert [int(each.composite.labels.sum()) for each in found] == sums


def test_a_data_set_opens_without_the_room_of_stores(make_dataset, tmp_path):
    """Training must not import `pseudolabel`."""
    human = make_dataset([("a.png", "cat", [("cat:body", (0, 0, 9, 9))])])
    code = f"""
import sys
from partlab.coco import read_coco
from partlab.labelmap_cache import open_cache
from partlab.labelmap_sources import DatasetSource
data = read_coco({str(human.path)!r})
maps = open_cache({str(tmp_path / "c.arrow")!r}, [DatasetSource(data)]).maps
rooms = ("torch", "pseudolabel", "segmenter", "annotate")
print(len(maps), [name for name in rooms if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout == "1 []\n", told.stderr


@pytest.mark.parametrize("channels", [1, 9])
def test_one_mask_at_a_time(channels):
    """60 masks of a picture were 60 times its pixels; now at most three."""
    side, count = 1000, 30
    layers = []
    for number in range(count):
        mask = np.zeros((side, side), bool)
        mask[number : side - number, number:] = True
        layers.append(Layer(number, encode(mask), 0.9 - number / 100))
    parts = Parts.of(f"o:{number}" for number in range(count))
    tracemalloc.start()
    try:
        labels = compose(layers, (side, side), parts, pseudo=True, channels=channels).labels
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The mask that pycocotools decodes is the third; it is not traced.
    assert peak - labels.nbytes < 2.1 * side * side
