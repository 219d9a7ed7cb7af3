"""What is written for other tools: what each of them needs, and what people get wrong."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.convert import export_folder, import_folder
from annotate.data.formats.pictures import Pictures
from partlab.coco import read_dataset, write_coco
from partlab.errors import SchemaError
from partlab.masks import encode
from partlab.schema import Annotation, Category, Dataset, Image

SIZE = (40, 30)
MASK = np.zeros((30, 40), bool)
MASK[5:15, 5:25] = True
POLYGON = [[5.5, 5, 25, 5, 25, 15, 5.5, 15]]


def made(folder: Path, files: tuple[str, ...] = ("a.png",), **of_mask: Any) -> Path:
    """A picture of each name with one mask, and one that is a polygon of the same part."""
    annotations = []
    for number, name in enumerate(files, 1):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.new("RGB", SIZE, (number, 9, 9)).save(path)
        for drawn in (encode(MASK), POLYGON):
            new = Annotation.new(len(annotations) + 1, number, 1, drawn, **of_mask)
            annotations.append(new)
    images = [Image.new(n, name, SIZE, object="ram") for n, name in enumerate(files, 1)]
    data = Dataset(images, annotations, [Category.new(1, "ram", "head")])
    write_coco(data, folder / "annotations" / "train.json")
    return folder


def back(folder: Path, format: str, out: Path) -> Dataset:
    export_folder(folder, out / "there", format=format)
    import_folder(out / "there", out / "back")
    return read_dataset(out / "back")


@pytest.mark.parametrize(
    "by", ["human", "human:ann", "human-reused", "pseudo:r1", "model-assisted:m"]
)
@pytest.mark.parametrize("format", ["supervisely", "datumaro"])
def test_who_drew_a_mask_is_kept(format: str, by: str, tmp_path: Path) -> None:
    """Above all, what a model drew does not come back as a person's."""
    data = back(made(tmp_path / "ours", provenance=by), format, tmp_path)
    assert {a.provenance for a in data.annotations} == {by}


def test_pictures_of_supervisely_have_no_folders(tmp_path: Path) -> None:
    made(tmp_path / "ours", ("ram/1.png", "ewe/1.png"))
    data = back(tmp_path / "ours", "supervisely", tmp_path)
    assert sorted(image.file_name for image in data.images) == ["ewe_1.png", "ram_1.png"]
    made(tmp_path / "two", ("ram/1.png", "ram_1.png"))
    with pytest.raises(SchemaError, match=r"would both be called ram_1\.png"):
        export_folder(tmp_path / "two", tmp_path / "out", format="supervisely")
    assert not (tmp_path / "out").exists()


def test_groups_of_supervisely_that_are_no_numbers(tmp_path: Path) -> None:
    export_folder(made(tmp_path / "ours", object_id=3), tmp_path / "out", format="supervisely")
    file = tmp_path / "out" / "train" / "ann" / "a.png.json"
    about = json.loads(file.read_text())
    about["objects"].append({**about["objects"][0], "instance": "5f0c"})
    file.write_text(json.dumps(about))
    import_folder(tmp_path / "out", tmp_path / "back")
    assert [a.object_id for a in read_dataset(tmp_path / "back").annotations] == [3, 3, 4]


def test_datumaro_gets_no_links(tmp_path: Path) -> None:
    """It refuses pictures that are links out of its folder."""
    export_folder(made(tmp_path / "ours"), tmp_path / "out", format="datumaro")
    (picture,) = (tmp_path / "out" / "images").rglob("*.png")
    assert not picture.is_symlink()
    export_folder(tmp_path / "ours", tmp_path / "bare", format="datumaro", pictures=Pictures.none)
    assert not [*(tmp_path / "bare").rglob("*.png")]


def test_a_project_of_via_names_its_pictures_as_via_does(tmp_path: Path) -> None:
    """A picture's key is its name and its size in bytes; -1 of one that is not there."""
    folder = made(tmp_path / "ours", ("a.png", "b.png"))
    size = (folder / "images" / "a.png").stat().st_size
    (folder / "images" / "b.png").unlink()
    export_folder(folder, tmp_path / "out", format="via")
    project = json.loads((tmp_path / "out" / "via_project.json").read_text())
    assert project["_via_image_id_list"] == [f"a.png{size}", "b.png-1"]
    assert [*project["_via_img_metadata"]] == project["_via_image_id_list"]
    options = project["_via_attributes"]["region"]["part"]["options"]
    regions = project["_via_img_metadata"]["b.png-1"]["regions"]
    assert {region["region_attributes"]["part"] for region in regions} == {*options}
    assert regions[1]["shape_attributes"]["all_points_x"] == POLYGON[0][::2]


def test_tasks_of_label_studio(tmp_path: Path) -> None:
    """Polygons stay polygons, every label stands in the interface, links can be followed."""
    made(tmp_path / "ours", ("täst 1.png",), object_id=2)
    export_folder(tmp_path / "ours", tmp_path / "out", format="labelstudio")
    (task,) = json.loads((tmp_path / "out" / "train.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=images/train/t%C3%A4st%201.png"
    assert (tmp_path / "out" / "images" / "train" / "täst 1.png").is_file()
    kinds = [one["type"] for one in task["annotations"][0]["result"]]
    assert kinds == ["brushlabels", "number", "polygonlabels", "number"]
    interface = ElementTree.parse(tmp_path / "out" / "labels.xml").getroot()
    controls = {one.get("name"): one for one in interface}
    for one in task["annotations"][0]["result"][::2]:
        labels = [label.get("value") for label in controls[one["from_name"]]]
        assert {*one["value"][one["type"]]} == {*labels}


def test_objects_that_label_studio_cannot_number(tmp_path: Path) -> None:
    data = back(made(tmp_path / "ours", object_id=70_000), "labelstudio", tmp_path)
    assert len(data.annotations) == 2, "a mask of a large number was lost"
    told = export_folder(tmp_path / "ours", tmp_path / "x", format="labelstudio", dry_run=True)
    assert "up to number 999" in " ".join(told["losses"])
