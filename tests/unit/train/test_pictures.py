"""P-04, P-06, P-08: one index of part data sets, label-map files and class-only pictures."""

import logging
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from partlab import LabelledPictures
from partlab.errors import ConfigError, DatasetError, NotFoundError, SchemaError
from partlab.files import write_text
from partlab.labelmaps import Composite, Entry, Header, write_label_maps
from partlab.parts import Parts
from train.pictures import HUMAN, PLAIN, PSEUDO, Pictures, open_pictures

HEAD, EAR, WHEEL = "cat:head", "cat:ear", "car:wheel"
SIZE = (40, 60)


def draw(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def label_file(path, names, rows, *, folder="photos", pseudo=True, channels=1, pictures=True):
    """`rows`: (file name, object, label); the label's box is the same in all pictures."""
    objects = tuple(dict.fromkeys(name.split(":")[0] for name in names))
    entries = []
    for number, (name, owner, label) in enumerate(rows, 1):
        if pictures and not (path.parent / folder / name).exists():
            draw(path.parent / folder / name, seed=number)
        labels = np.zeros(SIZE, np.uint8)
        labels[4:8, 6:12], labels[0, :3] = label, len(names) + 1
        composite = Composite(labels, len(names) + 1, pseudo, False)
        entries.append(Entry(name, 0, objects.index(owner) if owner else -1, composite))
    header = Header(path.name, tuple(names), objects, (folder,), channels)
    write_label_maps(path, header, entries)
    return path


@pytest.fixture
def human(make_dataset, tmp_path) -> Path:
    box = (10, 10, 20, 10)
    rows = [("cat/a.png", "cat", [(HEAD, box)]), ("car/c.png", "car", [(WHEEL, box)])]
    make_dataset(rows)
    return tmp_path / "human"


def names(pictures: Pictures) -> list[str]:
    return [pictures.name(at) for at in range(len(pictures))]


def test_every_kind_of_place_in_one_list(human, tmp_path, caplog):
    rows = [("car/d.png", "car", 1), ("cat/h.png", "cat", 2)]
    pseudo = label_file(tmp_path / "p.arrow", [WHEEL, HEAD], rows)
    for number, name in enumerate(("cat/e.png", "dog/f.png", "dog/sub/g.png", "ящик/ü.png")):
        draw(tmp_path / "plain" / name, seed=50 + number)
    write_text(tmp_path / "plain" / "cat" / ".hidden.png", "no picture")
    with caplog.at_level(logging.INFO):
        found = open_pictures([human, pseudo], plain=[tmp_path / "plain"], cache=tmp_path / "cache")
    assert found.classes == ("car", "cat", "dog", "ящик")
    assert found.source.tolist() == [HUMAN] * 2 + [PSEUDO] * 2 + [PLAIN] * 4
    assert [found.classes[at] for at in found.class_of] == [
        *("cat", "car", "car", "cat", "cat", "dog", "dog", "ящик")
    ]
    plain = ["cat/e.png", "dog/f.png", "dog/sub/g.png", "ящик/ü.png"]
    assert names(found) == ["cat/a.png", "car/c.png", "car/d.png", "cat/h.png", *plain]
    assert all(found.path(at).is_file() for at in range(len(found)))
    assert "2 human, 2 pseudo, 4 class-only" in caplog.text
    assert (found.class_of.dtype, found.source.dtype) == (np.int32, np.uint8)
    assert found[4].labels is None
    picture = found[3]
    assert (picture.class_, picture.source) == (1, PSEUDO)
    assert np.array_equal(picture.pixels, np.asarray(Image.open(found.path(3))))
    with pytest.raises(IndexError):
        found[len(found)]


def test_label_maps_of_several_files_speak_one_language(tmp_path):
    one = label_file(tmp_path / "a.arrow", [HEAD, EAR], [("cat/a.png", "cat", 2)])
    rows = [("car/b.png", "car", 1), ("cat/c.png", "cat", 2)]
    two = label_file(tmp_path / "b.arrow", [WHEEL, HEAD], rows)
    found = open_pictures([one, two], cache=tmp_path / "cache")
    assert found.parts.names == (HEAD, EAR, WHEEL)
    for at, part in enumerate((EAR, WHEEL, HEAD)):
        labels = found.labels(at)
        assert (labels[4:8, 6:12] == found.parts.label[part] + 1).all()
        assert (labels[0, :3] == found.ignore).all()
        assert labels.sum() == 24 * (found.parts.label[part] + 1) + 3 * found.ignore


def test_more_parts_than_a_byte_holds_survive_the_joining(tmp_path):
    many = [f"cat:{at:03}" for at in range(200)]
    other = [f"dog:{at:03}" for at in range(200)]
    files = [
        label_file(tmp_path / "a.arrow", many, [("a.png", "cat", 200)]),
        label_file(tmp_path / "b.arrow", other, [("b.png", "dog", 200)]),
    ]
    found = open_pictures(files, cache=tmp_path / "cache")
    assert [int(found.labels(at)[4, 6]) for at in range(2)] == [200, 400]
    assert int(found.labels(1)[0, 0]) == 401


def test_people_win_over_networks_and_both_over_nobody(human, tmp_path, caplog):
    rows = [("cat/a.png", "cat", 1), ("cat/b.png", "cat", 1), ("car/c.png", "car", 2)]
    pseudo = label_file(tmp_path / "p.arrow", [HEAD, WHEEL], rows, folder="human/images")
    later = label_file(tmp_path / "q.arrow", [HEAD, WHEEL], rows[1:2], folder="human/images")
    plain = tmp_path / "human" / "images"
    draw(plain / "dog" / "d.png", seed=9)
    with caplog.at_level(logging.INFO):
        found = open_pictures([later, pseudo, human], plain=[plain], cache=tmp_path / "cache")
    assert sorted(names(found)) == ["car/c.png", "cat/a.png", "cat/b.png", "dog/d.png"]
    assert found.source.tolist() == [HUMAN, HUMAN, PSEUDO, PLAIN]
    assert "count once, left out: 3 pseudo, 3 class-only" in caplog.text


def test_people_come_first_whatever_the_order_of_files(tmp_path):
    """The folder in which a picture lies may be another than its object."""
    rows = [("dog/a.png", "cat", 1), ("dog/b.png", "cat", 1)]
    pseudo = label_file(tmp_path / "p.arrow", [HEAD], rows)
    human = label_file(tmp_path / "h.arrow", [HEAD], rows[1:], pseudo=False)
    found = open_pictures([pseudo, human], plain=[tmp_path / "photos"], cache=tmp_path)
    assert names(found) == ["dog/b.png", "dog/a.png"]
    assert found.source.tolist() == [HUMAN, PSEUDO]
    assert [found.classes[at] for at in found.class_of] == ["cat", "cat"]


@pytest.mark.parametrize("how", [os.symlink, os.link, shutil.copy])
def test_the_same_file_elsewhere_is_the_same_picture(human, tmp_path, how):
    other = tmp_path / "plain" / "cat" / "a.png"
    other.parent.mkdir(parents=True)
    how(human / "images" / "cat" / "a.png", other)
    draw(tmp_path / "plain" / "cat" / "b.png", seed=7)
    found = open_pictures([human], plain=[tmp_path / "plain"], cache=tmp_path / "cache")
    assert names(found) == ["cat/a.png", "car/c.png", "cat/b.png"]


def test_a_linked_folder_holds_the_same_pictures(human, tmp_path):
    (tmp_path / "again").symlink_to(human / "images")
    found = open_pictures([human], plain=[tmp_path / "again"], cache=tmp_path / "cache")
    assert len(found) == 2


def test_one_name_is_not_one_picture(human, tmp_path):
    draw(tmp_path / "plain" / "cat" / "a.png", seed=70)  # other bytes
    (tmp_path / "plain" / "dog").mkdir()
    shutil.copy(human / "images" / "cat" / "a.png", tmp_path / "plain" / "dog" / "a.png")
    found = open_pictures([human], plain=[tmp_path / "plain"], cache=tmp_path / "cache")
    assert names(found) == ["cat/a.png", "car/c.png", "cat/a.png", "dog/a.png"]


def test_pictures_of_equal_beginning_and_length_differ(tmp_path):
    """Raw pictures are all as long as each other."""
    rows = [("cat/a.bmp", "cat", 1)]
    one = label_file(tmp_path / "p.arrow", [HEAD], rows)
    shutil.copytree(tmp_path / "photos", tmp_path / "plain")
    pixels = np.asarray(Image.open(tmp_path / "plain" / "cat" / "a.bmp")).copy()
    pixels[-1, -1] ^= 1
    Image.fromarray(pixels).save(tmp_path / "plain" / "cat" / "a.bmp")
    found = open_pictures([one], plain=[tmp_path / "plain"], cache=tmp_path / "cache")
    assert len(found) == 2


def test_an_unknown_object_is_left_out_and_said(tmp_path, caplog):
    rows = [("a.png", "cat", 1), ("b.png", None, 1)]
    found = open_pictures([label_file(tmp_path / "p.arrow", [HEAD], rows)], cache=tmp_path)
    assert names(found) == ["a.png"]
    assert "1 picture left out: of no known object category" in caplog.text


def test_a_class_without_pictures_is_said(tmp_path, caplog):
    one = label_file(tmp_path / "p.arrow", [HEAD, WHEEL], [("a.png", "cat", 1)])
    assert open_pictures([one], cache=tmp_path).classes == ("car", "cat")
    assert "1 of 2 classes have no picture: car" in caplog.text


def test_human_labels_alone_leave_the_others_their_class(human, tmp_path):
    pseudo = label_file(tmp_path / "p.arrow", [HEAD, WHEEL], [("cat/b.png", "cat", 1)])
    found = open_pictures([human, pseudo], cache=tmp_path / "cache")
    alone = found.without_pseudo()
    assert alone.source.tolist() == [HUMAN, HUMAN, PLAIN]
    assert alone.labels(2) is None
    assert alone.labels(0) is not None
    assert found.source.tolist() == [HUMAN, HUMAN, PSEUDO]
    assert alone.fingerprint != found.fingerprint


@pytest.mark.parametrize(("share", "kept"), [(1.0, [10, 1]), (0.5, [5, 1]), (0.1, [1, 1])])
def test_people_s_masks_on_a_share_of_each_class(share, kept, tmp_path):
    rows = [(f"cat/{n}.png", "cat", 1) for n in range(10)] + [("car/a.png", "car", 2)]
    pseudo = ("cat/p.png", "cat", 1)
    human = label_file(tmp_path / "h.arrow", [HEAD, WHEEL], rows, pseudo=False)
    other = label_file(tmp_path / "p.arrow", [HEAD, WHEEL], [pseudo])
    found = open_pictures([human, other], cache=tmp_path / "cache")
    some = found.with_human_share(share)
    counts = [int(((some.source == HUMAN) & (some.class_of == n)).sum()) for n in (1, 0)]
    assert counts == kept
    assert (some.source == PSEUDO).sum() == 1
    assert len(some) == len(found)
    assert some.fingerprint == found.with_human_share(share).fingerprint
    assert (some.fingerprint == found.fingerprint) == (share == 1)


# --- a validation set -----------------------------------------------------------------------


def test_a_validation_set_is_numbered_as_the_model(tmp_path, caplog):
    classes, parts = ("bus", "car", "cat"), Parts.of([EAR, WHEEL, HEAD])
    pseudo = label_file(tmp_path / "p.arrow", [HEAD], [("cat/b.png", "cat", 1)])
    found = open_pictures([pseudo], cache=tmp_path, classes=classes, parts=parts)
    assert (found.classes, found.parts) == (classes, parts)
    assert found.class_of.tolist() == [2]
    assert int(found.labels(0)[4, 6]) == 3
    assert "2 of 3 classes have no picture: bus, car" in caplog.text


def test_a_validation_set_of_others_is_refused(human, tmp_path):
    known = {"classes": ("car", "cat"), "parts": Parts.of([HEAD, EAR, "cat:body"])}
    with pytest.raises(DatasetError, match=r"2 parts are not among the 3 of the model: car:wheel"):
        open_pictures([human], cache=tmp_path / "cache", **known)
    draw(tmp_path / "plain" / "dog" / "a.png")
    with pytest.raises(DatasetError, match="1 picture shows classes that the model does not know"):
        open_pictures([], plain=[tmp_path / "plain"], cache=tmp_path, classes=("car", "cat"))


# --- where it all lies ----------------------------------------------------------------------


def test_the_cache_is_made_again_only_when_the_data_change(human, tmp_path, make_dataset):
    first = open_pictures([human], cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*.arrow")
    made = file.stat().st_mtime_ns
    assert open_pictures([human], cache=tmp_path / "cache").fingerprint == first.fingerprint
    assert file.stat().st_mtime_ns == made
    make_dataset([("cat/a.png", "cat", [(EAR, (0, 0, 9, 9))])])
    again = open_pictures([human], cache=tmp_path / "cache")
    assert again.fingerprint != first.fingerprint
    assert len(again) == 1
    assert len([*(tmp_path / "cache").glob("*.arrow")]) == 1


def test_the_fingerprint_travels_with_the_files(human, tmp_path):
    draw(tmp_path / "plain" / "cat" / "b.png")
    label_file(tmp_path / "p.arrow", [HEAD], [("cat/x.png", "cat", 1)])

    def opened(home: Path) -> Pictures:
        places = [home / "human", home / "p.arrow"]
        return open_pictures(places, plain=[home / "plain"], cache=home / "cache")

    before = opened(tmp_path).fingerprint
    shutil.copytree(tmp_path, tmp_path / "moved", ignore=shutil.ignore_patterns("cache", "moved"))
    assert opened(tmp_path / "moved").fingerprint == before
    (tmp_path / "plain" / "cat" / "b.png").rename(tmp_path / "plain" / "cat" / "c.png")
    assert opened(tmp_path).fingerprint != before


def _sum(pictures: Pictures, index: int) -> tuple[int, int, str]:
    picture = pictures[index]
    labels = -1 if picture.labels is None else int(picture.labels.sum())
    return int(picture.pixels.sum()), labels, str(pictures.path(index))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_see_the_same(human, tmp_path, method):
    draw(tmp_path / "plain" / "dog" / "b.png")
    found = open_pictures([human], plain=[tmp_path / "plain"], cache=tmp_path / "cache")
    here = [_sum(found, at) for at in range(len(found))]
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.starmap(_sum, [(found, at) for at in range(len(found))]) == here
    assert len(pickle.dumps(found)) < 5000


def _opened(home: Path) -> str:
    return open_pictures([home / "human"], cache=home / "cache").fingerprint


def test_several_processes_may_open_at_once(human, tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert len({*pool.map(_opened, [tmp_path] * 3)}) == 1


def test_a_notebook_gets_pictures_and_labels(human, tmp_path):
    draw(tmp_path / "plain" / "dog" / "b.png")
    found = open_pictures([human], plain=[tmp_path / "plain"], cache=tmp_path / "cache")
    items = [*LabelledPictures(found)]
    assert [item.object for item in items] == found.class_of.tolist()
    assert np.array_equal(items[0].labels, found.labels(0))
    assert items[2].labels.shape == SIZE
    assert (items[2].labels == found.ignore).all()
    halved = LabelledPictures(found, lambda pixels, labels: (pixels[::2], labels[::2]))
    assert halved[0].labels.shape == (20, 60)


# --- what cannot be used --------------------------------------------------------------------


def refused(tmp_path, *data, plain=(), error=DatasetError, **more) -> str:
    with pytest.raises(error) as caught:
        open_pictures(data, plain=plain, cache=tmp_path / "cache", **more)
    return f"{caught.value.message} ({caught.value.hint})"


def test_nothing_named(tmp_path):
    assert "no pictures named" in refused(tmp_path, error=ConfigError)


def test_places_that_are_not_there(tmp_path):
    assert "nowhere does not exist" in refused(tmp_path, tmp_path / "nowhere", error=NotFoundError)
    gone = tmp_path / "gone"
    assert f"no folder {gone}" in refused(tmp_path, plain=[gone], error=NotFoundError)
    file = tmp_path / "gone.arrow"
    assert "no label-map file" in refused(tmp_path, file, error=NotFoundError)


def test_folders_without_pictures_of_classes(tmp_path):
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path, plain=[tmp_path / "empty"], error=NotFoundError)
    assert "empty holds no pictures" in said
    draw(tmp_path / "loose" / "a.png")
    said = refused(tmp_path, plain=[tmp_path / "loose"], error=NotFoundError)
    assert "has its 1 picture in no folder of a class" in said
    write_text(tmp_path / "other" / "cat" / "a.heic", "x")
    said = refused(tmp_path, plain=[tmp_path / "other"], error=NotFoundError)
    assert "1 file is no picture that partlab reads" in said
    draw(tmp_path / "whole" / "train" / "cat" / "a.png")
    draw(tmp_path / "whole" / "val" / "cat" / "a.png")
    said = refused(tmp_path, plain=[tmp_path / "whole"])
    assert "in train, val, which are no classes" in said
    assert str(tmp_path / "whole" / "train") in said


def test_what_a_folder_leaves_out_is_said(tmp_path, caplog):
    draw(tmp_path / "plain" / "cat" / "a.png")
    draw(tmp_path / "plain" / "loose.png")
    write_text(tmp_path / "plain" / "cat" / "b.heic", "x")
    (tmp_path / "plain" / "dog").mkdir()
    found = open_pictures([], plain=[tmp_path / "plain"], cache=tmp_path / "cache")
    assert names(found) == ["cat/a.png"]
    assert "1 file is no picture that partlab reads" in caplog.text
    assert "1 picture left out, in no folder of a class" in caplog.text
    assert "1 folders hold no picture, first dog" in caplog.text


def test_a_name_that_is_no_text(tmp_path):
    (tmp_path / "plain" / "cat").mkdir(parents=True)
    try:
        open(os.fsencode(tmp_path / "plain" / "cat") + b"/\xff.png", "wb").close()
    except OSError:
        pytest.skip("this disk takes no such name")
    assert "is not valid UTF-8" in refused(tmp_path, plain=[tmp_path / "plain"])


def test_files_that_are_no_label_maps(tmp_path):
    write_text(tmp_path / "x.arrow", "not Arrow")
    assert "x.arrow is not a label-map file" in refused(
        tmp_path, tmp_path / "x.arrow", error=SchemaError
    )
    rows = [("a.png", "cat", 1)]
    multi = label_file(tmp_path / "m.arrow", [HEAD], rows, channels=4)
    assert "keeps 4 labels a pixel" in refused(tmp_path, multi, error=ConfigError)
    lost = label_file(tmp_path / "l.arrow", [HEAD], rows, folder="lost", pictures=False)
    said = refused(tmp_path, lost, error=NotFoundError)
    assert f"the picture folder {tmp_path / 'lost'} of" in said


def test_a_store_is_no_data_set(make_store, tmp_path):
    make_store([("cat/a.png", "cat", [(1, (0, 0, 20, 20), 0.9)])])
    said = refused(tmp_path, tmp_path / "pseudo")
    assert "is a pseudo-label store" in said
    assert "partlab pseudolabel cache" in said


def test_a_split_that_is_not_there(human, tmp_path):
    said = refused(tmp_path, human, split="val", error=NotFoundError)
    assert "no split 'val'" in said
    file = human / "annotations" / "train.json"
    assert len(open_pictures([file], split="val", cache=tmp_path / "cache")) == 2


def test_nothing_left(tmp_path):
    one = label_file(tmp_path / "p.arrow", [HEAD], [("a.png", None, 1)])
    assert "no picture is left to learn from" in refused(tmp_path, one)


def test_other_names_for_the_same_classes_are_said(human, tmp_path, caplog):
    draw(tmp_path / "plain" / "n02121808" / "a.png")
    open_pictures([human], plain=[tmp_path / "plain"], cache=tmp_path / "cache")
    assert "none of the classes of" in caplog.text
    assert "it says n02121808, and the parts are of car, cat" in caplog.text
