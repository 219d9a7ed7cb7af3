"""An overlap that an inspection accepted by name stays accepted wherever the data go (M-02)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.accepted import accepted_overlaps, accepted_pairs
from annotate.data.check import check_folder
from annotate.data.convert import export_folder, import_folder
from annotate.data.fix import fix_folder
from annotate.data.merge import merge_folders
from annotate.data.sample import sample_images
from annotate.data.split import split_dataset, write_splits
from partlab.coco import find_splits, read_coco, read_dataset
from partlab.errors import SchemaError

DOOR = [[0, 0, 40, 0, 40, 30, 0, 30]]
MIRROR = [[5, 5, 25, 5, 25, 20, 5, 20]]
ACCEPTED = {"car": [["mirror", "door"]]}


def data_set(folder: Path, *, parts: tuple[str, str] = ("mirror", "door"), **ours: Any) -> Path:
    """Four cars, each with a mirror over its door."""
    images, annotations = [], []
    for n in range(1, 5):
        images.append({"id": n, "file_name": f"{folder.name}{n}.png", "width": 60, "height": 40})
        for category, polygon in enumerate((MIRROR, DOOR), 1):
            one = {"id": 2 * n + category, "image_id": n, "category_id": category, "iscrowd": 0}
            annotations.append({**one, "segmentation": polygon})
        noise = np.random.default_rng([n, len(folder.name)]).integers(0, 255, (40, 60, 3), np.uint8)
        path = folder / "images" / f"{folder.name}{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(noise).save(path)
    categories = [
        {"id": id, "name": f"car:{part}", "supercategory": "car"}
        for id, part in enumerate(parts, 1)
    ]
    file = folder / "annotations" / "train.json"
    file.parent.mkdir()
    data = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps({**data, "partlab": ours} if ours else data))
    return folder


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return data_set(tmp_path / "one", overlaps=ACCEPTED)


def merge(source: Path, out: Path) -> None:
    merge_folders([source, data_set(source.parent / "another")], out)


def split(source: Path, out: Path) -> None:
    write_splits(split_dataset(read_dataset(source), ratio=0.5), out, {})


def through_the_release(source: Path, out: Path) -> None:
    export_folder(source, out.with_name("release"), format="pinpp")
    import_folder(out.with_name("release"), out, format="pinpp")


WAYS: dict[str, Callable[[Path, Path], Any]] = {
    "merge": merge,
    "split": split,
    "sample": lambda source, out: sample_images(source, out, per_object=2),
    "fix": lambda source, out: fix_folder(source, out),
    "coco": lambda source, out: export_folder(source, out, format="coco"),
    "pinpp": through_the_release,
}


@pytest.mark.parametrize("way", WAYS)
def test_the_list_goes_along(way: str, one: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    WAYS[way](one, out)
    for file in find_splits(out).values():
        assert accepted_overlaps(read_coco(file)) == {"car": [("mirror", "door")]}
    kinds = {finding.kind for finding in check_folder(out).findings}
    assert "accepted_overlap" in kinds
    assert "overlap" not in kinds


def test_where_only_one_of_the_joined_accepted_it_that_is_said(
    one: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = data_set(tmp_path / "other")
    merge_folders([one, other], tmp_path / "out")
    assert "car: mirror may lie over door, as accepted in" in caplog.text
    assert str(other) in caplog.text
    caplog.clear()
    both = data_set(tmp_path / "both", overlaps={"car": [["door", "mirror"]]})
    merge_folders([one, both], tmp_path / "again")
    assert "may lie over" not in caplog.text
    assert len(accepted_overlaps(read_dataset(tmp_path / "again"))["car"]) == 1


def test_it_follows_the_names_of_its_parts(one: Path, tmp_path: Path) -> None:
    capitals = data_set(
        tmp_path / "two", parts=("Mirror", "Door"), overlaps={"car": [["Mirror", "Door"]]}
    )
    merge_folders([one, capitals], tmp_path / "out", unite=True)
    joined = read_dataset(tmp_path / "out")
    assert accepted_overlaps(joined) == {"car": [("mirror", "door")]}
    assert accepted_pairs(joined) == {frozenset({1, 2})}


def test_a_list_of_another_form_is_bad_data(tmp_path: Path) -> None:
    for number, wrong in enumerate(([], {"car": [["mirror"]]}, {"car": "mirror"})):
        folder = data_set(tmp_path / f"wrong{number}", overlaps=wrong)
        with pytest.raises(SchemaError, match=r"not of the form object: \[\[inner, outer\], …\]"):
            check_folder(folder)
