"""Exports of a store: COCO with provenance and scores, and the authors' prepared layout (C2)."""

import json

import numpy as np
import pytest

from annotate.data.check import check_folder
from annotate.data.formats import Source, get_format
from annotate.data.formats.pictures import Pictures
from annotate.data.formats.prepared import load_labels
from partlab.coco import read_dataset
from partlab.composite import flatten
from partlab.errors import DatasetError, OutputExistsError
from partlab.files import read_lines
from partlab.labelmap_sources import DatasetSource, composites
from pseudolabel.export import export_coco, export_prepared
from pseudolabel.source import StoreSource

BODY, HEAD, EAR, WHEEL = 0, 1, 2, 3
ROWS = [
    ("cat/a.png", "cat", [(HEAD, (0, 0, 20, 20), 0.9), (EAR, (0, 0, 5, 5), 0.3)]),
    ("cat/b.png", "cat", []),
    ("car/c.png", "car", [(WHEEL, (5, 5, 10, 10), 0.8)]),
    ("car/d.png", "car", "not a picture"),
    ("cat/é.png", "cat", [(BODY, (5, 5, 30, 30), 0.6), (HEAD, (0, 0, 20, 20), 0.7)]),
]


def test_coco_keeps_layers_scores_and_provenance(make_store, tmp_path):
    store = make_store(ROWS, run="runs/seg-a")
    told = export_coco(store, tmp_path / "out")
    assert (told.images, told.masks, told.blank) == (4, 5, 1)
    assert (told.unreadable_left_out, told.blank_left_out) == (1, 0)
    dataset = read_dataset(tmp_path / "out")
    assert dataset.names == store.names
    assert dataset.parts.parents == store.parts.parents
    assert [image.file_name for image in dataset.images] == [
        row[0] for row in ROWS if row[2] != "not a picture"
    ]
    assert dataset.images[1].object == "cat"
    assert dataset.images[1].provenance == "pseudo:seg-a"
    rows = [row for row in store.rows() if row.status != "unreadable"]
    for image, row in zip(dataset.images, rows, strict=True):
        masks = dataset.annotations_of(image)
        assert [a.segmentation for a in masks] == [dict(mask.rle) for mask in row.masks]
        assert [a.score for a in masks] == pytest.approx([mask.score for mask in row.masks])
        assert {a.provenance for a in masks} <= {"pseudo:seg-a"}
        assert all(a.iscrowd == 0 for a in masks)
        assert dataset.image_path(image).is_file()


def test_coco_passes_the_data_check(make_store, tmp_path):
    rows = [ROWS[0], ROWS[2], ROWS[4], ("car/f.png", "car", [(4, (5, 5, 20, 10), 0.8)])]
    export_coco(make_store(rows), tmp_path / "out")
    report = check_folder(tmp_path / "out")
    assert report.errors == 0, report.findings
    kinds = {finding.kind for finding in report.findings}
    assert kinds == {"predicted_overlap"}  # head over body in é.png; ear in head is declared


def test_coco_read_back_makes_the_same_composites(make_store, tmp_path):
    store = make_store(ROWS)
    export_coco(store, tmp_path / "out")
    again = DatasetSource(read_dataset(tmp_path / "out"))
    assert not again.human
    pairs = zip(composites(StoreSource(store)), composites(again), strict=True)
    for (item, wanted), (other, found) in pairs:
        assert item.file_name == other.file_name
        assert item.object == other.object
        assert np.array_equal(wanted.labels, found.labels)
        assert (wanted.pseudo, wanted.blank) == (found.pseudo, found.blank)


def test_blank_images_can_be_left_out(make_store, tmp_path):
    store = make_store(ROWS)
    told = export_coco(store, tmp_path / "a", skip_blank=True)
    assert (told.images, told.blank, told.blank_left_out) == (3, 0, 1)
    assert "cat/b.png" not in [i.file_name for i in read_dataset(tmp_path / "a").images]
    assert not (tmp_path / "a" / "images" / "cat" / "b.png").exists()
    export_prepared(store, tmp_path / "b", skip_blank=True)
    assert not (tmp_path / "b" / "seg" / "cat" / "b.png").exists()


@pytest.mark.parametrize(("how", "linked"), [(Pictures.link, True), (Pictures.copy, False)])
def test_pictures_are_linked_or_copied(make_store, tmp_path, how, linked):
    export_coco(make_store(ROWS), tmp_path / "out", pictures=how)
    picture = tmp_path / "out" / "images" / "car" / "c.png"
    assert picture.is_symlink() == linked
    assert picture.read_bytes() == (tmp_path / "photos" / "car" / "c.png").read_bytes()


def test_pictures_anywhere_get_a_name_inside_the_folder(make_store, tmp_path):
    outside = str(tmp_path / "elsewhere" / "c.png")
    store = make_store([(outside, "car", [(WHEEL, (5, 5, 10, 10), 0.8)])])
    export_coco(store, tmp_path / "out")
    [image] = read_dataset(tmp_path / "out").images
    assert image.file_name == "car/00000001-c.png"
    assert (tmp_path / "out" / "images" / image.file_name).is_file()
    export_prepared(store, tmp_path / "prepared")
    assert (tmp_path / "prepared" / "img" / "car" / "c.png").is_file()


def test_prepared_layout_has_flattened_masks_and_flags(make_store, tmp_path):
    store = make_store(ROWS)
    told = export_prepared(store, tmp_path / "out")
    assert (told.images, told.masks) == (4, 5)
    out = tmp_path / "out"
    assert read_lines(out / "whether_pseudo" / "cat.txt") == [
        "cat/a.png 1",
        "cat/b.png 1",  # blank, but labelled by the network all the same
        "cat/é.png 1",
    ]
    table = json.loads((out / "parts.json").read_text())
    ids = {category["name"]: category["id"] for category in table["categories"]}
    assert sorted(ids.values()) == [1, 2, 3, 4, 5]
    row = next(iter(store.rows()))
    flat = flatten(store.layers(row), (40, 60), store.parts.parents)
    wanted = np.array([0, *(ids[name] for name in store.names)])[flat]
    assert np.array_equal(load_labels(out / "seg" / "cat" / "a.png"), wanted)
    assert not load_labels(out / "seg" / "cat" / "b.png").any()
    [dataset] = get_format("prepared").read(Source(out)).values()
    assert {a.provenance.partition(":")[0] for a in dataset.annotations} == {"pseudo"}
    assert len(dataset.images) == 4


def test_prepared_layout_takes_images_in_any_order(make_store, tmp_path):
    rows = [
        (f"{owner}/{n}.png", owner, [(part, (n, 5, 10, 10), 0.8)])
        for n in range(8)
        for owner, part in (("car", WHEEL), ("cat", BODY))
    ]
    export_prepared(make_store(rows), tmp_path / "out")
    for n in range(8):
        labels = load_labels(tmp_path / "out" / "seg" / "car" / f"{n}.png")
        assert labels[5, n] > 0
        assert (labels > 0).sum() == 100
    assert len(read_lines(tmp_path / "out" / "whether_pseudo" / "car.txt")) == 8


def test_prepared_layout_needs_the_object(make_store, tmp_path):
    store = make_store([("a.png", None, [(WHEEL, (5, 5, 10, 10), 0.8)])])
    with pytest.raises(DatasetError, match=r"a\.png has no object category"):
        export_prepared(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("write", [export_coco, export_prepared])
def test_nothing_is_overwritten_unless_forced(make_store, tmp_path, write):
    store = make_store(ROWS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        write(store, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").is_file()
    write(store, tmp_path / "out", force=True)
    assert not (tmp_path / "out" / "mine.txt").exists()


@pytest.mark.parametrize("export", [export_coco, export_prepared])
def test_force_never_clears_the_store_or_its_images(make_store, export):
    store = make_store(ROWS)
    for place in (store.path, store.image_root, store.path.parent):
        with pytest.raises(OutputExistsError, match="is or holds the input"):
            export(store, place, force=True)
    assert len(list(store.rows())) == len(ROWS)
    assert store.image_path(store.row(0)).is_file()
