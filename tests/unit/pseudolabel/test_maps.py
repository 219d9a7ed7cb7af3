"""Label maps by the place of what they are made from; pictures with them for a training loop."""

import pickle

import numpy as np
import pytest

from partlab import LabelledPictures
from partlab.errors import NotFoundError
from partlab.images import load_image
from pseudolabel import label_maps

ROWS = [("cat/a.png", "cat", [(1, (0, 0, 20, 20), 0.9)]), ("car/c.png", "car", [])]
DRAWN = [("cat/z.png", "cat", [("cat:head", (3, 3, 9, 9))])]


def test_stores_and_data_sets_are_told_apart_by_what_they_are(make_store, make_dataset, tmp_path):
    store, people = make_store(ROWS), make_dataset(DRAWN)
    maps = label_maps([str(store.path), people.path], str(tmp_path / "maps.arrow"))
    assert [maps.file_name(i) for i in range(len(maps))] == ["cat/z.png", "cat/a.png", "car/c.png"]
    assert maps.pseudo.tolist() == [False, True, True]
    alone = label_maps(store.path, tmp_path / "alone.arrow")
    assert len(alone) == 2
    assert repr(alone) == f"LabelMaps({alone.path}, 2 images, 5 parts of 2 objects)"


def test_made_once_and_opened_again(make_store, tmp_path):
    store, out = make_store(ROWS), tmp_path / "maps.arrow"
    label_maps(store.path, out)
    before = out.stat().st_mtime_ns
    label_maps(store.path, out)
    assert out.stat().st_mtime_ns == before


def test_a_place_that_is_neither(tmp_path):
    with pytest.raises(NotFoundError):
        label_maps(tmp_path / "none", tmp_path / "maps.arrow")


def test_pictures_come_with_their_labels_and_survive_a_worker(make_store, tmp_path):
    store = make_store(ROWS)
    label_maps(store.path, tmp_path / "maps.arrow")
    pictures = pickle.loads(pickle.dumps(LabelledPictures(tmp_path / "maps.arrow")))
    pixels, labels, owner = pictures[0]
    assert (len(pictures), pictures.objects[owner]) == (2, "cat")
    assert np.array_equal(pixels, load_image(store.image_path(store.row(0))))
    assert labels.dtype == np.int64
    assert pictures.names[labels[5, 5] - 1] == "cat:head"
    assert labels[30, 30] == 0
    assert (pictures[1].labels == pictures.ignore).all()  # nothing was found in it
    with pytest.raises(IndexError):
        pictures[2]


def halved(pixels, labels):
    return pixels[::2, ::2], labels[::2, ::2]


def test_a_transform_gets_both(make_store, tmp_path):
    label_maps(make_store(ROWS).path, tmp_path / "maps.arrow")
    found = LabelledPictures(tmp_path / "maps.arrow", halved)[0]
    assert found.pixels.shape == (20, 30, 3)
    assert found.labels.shape == (20, 30)
