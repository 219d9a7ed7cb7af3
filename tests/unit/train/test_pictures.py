"""P-04, P-06, P-08: one index of part data sets, label-map files and class-only pictures."""

from pathlib import Path

import numpy as np
import pytest

from partlab.labelmaps import Composite, Entry, Header, write_label_maps
from train.pictures import HUMAN, PLAIN, PSEUDO, open_pictures

HEAD, EAR, WHEEL = "cat:head", "cat:ear", "car:wheel"
SIZE = (40, 60)


def draw(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def label_file(path: Path, names, rows, *, objects=None, folder="photos", pseudo=True, key="k"):
    """`rows`: (file name, object, {part label + 1: (left, top, right, bottom)})."""
    objects = objects or tuple(dict.fromkeys(name.split(":")[0] for name in names))
    entries = []
    for number, (name, owner, boxes) in enumerate(rows):
        picture = path.parent / folder / name
        if not picture.exists():
            draw(picture, seed=number + 1)
        labels = np.zeros(SIZE, np.uint8)
        for label, (left, top, right, bottom) in boxes.items():
            labels[top:bottom, left:right] = label
        at = objects.index(owner) if owner else -1
        entries.append(Entry(name, 0, at, Composite(labels, len(names) + 1, pseudo, not boxes)))
    write_label_maps(path, Header(key, tuple(names), tuple(objects), (folder,)), entries)
    return path


@pytest.fixture
def human(make_dataset, tmp_path) -> Path:
    box = (10, 10, 20, 10)
    rows = [("cat/a.png", "cat", [("cat:head", box)]), ("car/c.png", "car", [("car:wheel", box)])]
    make_dataset(rows)
    return tmp_path / "human"


def test_every_kind_of_place_in_one_list(human, tmp_path):
    pseudo = label_file(
        tmp_path / "p.arrow", [WHEEL, HEAD], [("car/d.png", "car", {1: (0, 0, 9, 9)})]
    )
    for name in ("cat/e.png", "dog/f.png", "dog/g.png"):
        draw(tmp_path / "plain" / name)
    found = open_pictures([human, pseudo], plain=[tmp_path / "plain"], cache=tmp_path / "cache")
    assert found.classes == ("car", "cat", "dog")
    assert found.source.tolist() == [HUMAN, HUMAN, PSEUDO, PLAIN, PLAIN, PLAIN]
    assert [found.classes[at] for at in found.class_of] == [
        "cat",
        "car",
        "car",
        "cat",
        "dog",
        "dog",
    ]
    assert [found.name(at) for at in range(6)][2:4] == ["car/d.png", "cat/e.png"]
    assert all(found.path(at).is_file() for at in range(6))
    assert found.labels(3) is None
    assert found[2].labels is not None
    assert "2 human, 1 pseudo, 3 class-only" in repr(found)
