"""PASCAL-Part in its authors' layout: MATLAB structs, drawn here or of the real photographs."""

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy.io import savemat

from annotate.data.convert import import_folder
from annotate.data.formats import guess_format
from partlab.coco import read_coco, read_dataset
from partlab.errors import NotFoundError
from partlab.masks import decode, from_segmentation

SHARED = Path(__file__).parents[5] / "shared" / "data" / "pascal18"
SIZE = (40, 60)
Parts = list[tuple[str, np.ndarray]]


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def structs(rows: list[dict[str, Any]]) -> np.ndarray:
    """A 1 x n struct array, as MATLAB saves it."""
    made = np.zeros((1, len(rows)), [(key, object) for key in (rows[0] if rows else {"mask": 0})])
    for number, row in enumerate(rows):
        made[0, number] = tuple(row.values())
    return made


def anno(path: Path, objects: list[tuple[str, np.ndarray, Parts]]) -> Path:
    rows = []
    for number, (name, mask, parts) in enumerate(objects, 1):
        inside = [{"part_name": part, "mask": shape} for part, shape in parts]
        listed = structs(inside) if inside else np.zeros((0, 0))
        rows.append({"class": name, "class_ind": number, "mask": mask, "parts": listed})
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"anno": structs([{"imname": path.stem, "objects": structs(rows)}])})
    return path


@pytest.fixture
def release(tmp_path: Path) -> Path:
    top = tmp_path / "VOC2010"
    car = (
        "car",
        box(2, 2, 40, 30),
        [("wheel_1", box(4, 24, 9, 30)), ("wheel_2", box(30, 24, 35, 30))],
    )
    cat = ("cat", box(42, 5, 58, 30), [("head", box(44, 6, 54, 14))])
    anno(top / "Annotations_Part" / "2008_1.mat", [car, cat])
    anno(top / "Annotations_Part" / "2008_2.mat", [("sofa", box(1, 1, 9, 9), [])])
    for name in ("2008_1", "2008_2"):
        path = top / "JPEGImages" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.new("RGB", SIZE[::-1]).save(path)
    return top


def test_objects_and_parts(release: Path, tmp_path: Path) -> None:
    assert guess_format(release) == guess_format(release / "Annotations_Part") == "pascalpart"
    told = import_folder(release, tmp_path / "out")
    assert told["splits"]["all"]["annotations"] == 6
    data = read_dataset(tmp_path / "out")
    assert data.names == ("car:car", "car:wheel", "cat:cat", "cat:head", "sofa:sofa")
    assert [c.whole_object for c in data.categories] == [True, False, True, False, True]
    found = [(data.names[data.label_of[a.category_id]], a.object_id) for a in data.annotations]
    assert found[:3] == [("car:car", 1), ("car:wheel", 1), ("car:wheel", 1)]
    assert found[4] == ("cat:head", 2)
    assert (decode(data.annotations[2].segmentation) == box(30, 24, 35, 30)).all()
    assert data.image_path(data.images[0]).is_file()


def test_the_lists_of_voc_are_the_splits(release: Path, tmp_path: Path) -> None:
    lists = release / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2008_1\n")
    (lists / "val.txt").write_text("2008_9\n")
    told = import_folder(release, tmp_path / "out")
    assert {name: n["images"] for name, n in told["splits"].items()} == {"rest": 1, "train": 1}


def test_defects_are_counted(
    release: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    anno(
        release / "Annotations_Part" / "2008_2.mat",
        [("sofa", box(1, 1, 9, 9), [("leg", np.ones((3, 3), np.uint8))])],
    )
    (release / "Annotations_Part" / "2008_3.mat").write_bytes(b"half of a file")
    import_folder(release, tmp_path / "out")
    assert "1 mask of another size than the picture" in caplog.text
    assert "1 file that cannot be read" in caplog.text
    assert "2008_3.mat cannot be read" in caplog.text
    assert len(read_dataset(tmp_path / "out").incomplete) == 1


def test_without_pictures_it_says_what_to_get(
    release: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    import_folder(release / "Annotations_Part", tmp_path / "a")
    assert "VOC2010" not in caplog.text
    (release / "JPEGImages").rename(tmp_path / "pics")
    import_folder(release, tmp_path / "b")
    assert "The pictures are VOC2010's" in caplog.text
    assert len(read_dataset(tmp_path / "b").annotations) == 6
    import_folder(release, tmp_path / "c", images=tmp_path / "pics")
    data = read_dataset(tmp_path / "c")
    assert data.image_path(data.images[0]).is_file()
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"has no Annotations_Part") as caught:
        import_folder(tmp_path / "empty", tmp_path / "d", format="pascalpart")
    assert "trainval.tar.gz" in str(caught.value.hint)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the photographs of pascal18 are not here")
def test_real_masks_come_back_from_the_authors_layout(tmp_path: Path) -> None:
    real = read_coco(SHARED / "annotations.json", as_is=True)
    names = {c.id: (c.object, c.part) for c in real.categories}
    for image in real.images:
        objects: dict[tuple[str, int], Parts] = defaultdict(list)
        for one in real.annotations_of(image):
            owner, part = names[one.category_id]
            mask = decode(from_segmentation(one.segmentation, image.height, image.width))
            objects[owner, one.raw["object"]].append((part, mask.astype(np.uint8)))
        listed = [
            (owner, np.maximum.reduce([mask for _, mask in parts]), parts)
            for (owner, _), parts in objects.items()
        ]
        anno(tmp_path / "in" / "Annotations_Part" / f"{Path(image.file_name).stem}.mat", listed)
    told = import_folder(tmp_path / "in", tmp_path / "out", images=SHARED / "images")
    again = read_dataset(tmp_path / "out")
    parts = [a for a in again.annotations if not again.category_by_id[a.category_id].whole_object]
    assert (len(again.images), len(parts)) == (18, 440)
    assert told["splits"]["all"]["broken"] == 0
    before = sum(
        int(decode(from_segmentation(a.segmentation, i.height, i.width)).sum())
        for i in real.images
        for a in real.annotations_of(i)
    )
    assert sum(int(a.area or 0) for a in parts) == before
