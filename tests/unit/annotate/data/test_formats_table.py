"""What each category of a foreign file is: nothing is guessed, and there is a way to say it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.convert import import_source, propose_names
from annotate.data.formats import Source
from annotate.data.formats.table import as_csv
from partlab.coco import read_coco, read_dataset
from partlab.errors import ConfigError, PartlabError, SchemaError
from partlab.schema import Dataset

Raw = dict[str, Any]
BOX = [[5, 5, 25, 5, 25, 15, 5, 15]]


def coco(path: Path, categories: list[Raw], **top: Any) -> Path:
    """One picture with one mask of each category that asks for it (`masks`, 1 by default)."""
    masks = [(c["id"], c.pop("masks", 1)) for c in categories]
    drawn = [c for c, count in masks for _ in range(count)]
    annotations = [
        {"id": i, "image_id": 1, "category_id": c, "segmentation": BOX}
        for i, c in enumerate(drawn, 1)
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}]
    data = {"images": images, "annotations": annotations, "categories": categories, **top}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def bare(*names: str, supercategory: Any = "") -> list[Raw]:
    return [{"id": i, "name": n, "supercategory": supercategory} for i, n in enumerate(names, 1)]


def imported(source: Path, out: Path, **said: Any) -> Dataset:
    import_source(Source(source, **said), out)
    return read_dataset(out)


@pytest.mark.parametrize("supercategory", ["", None, "none", "Null", "PART", "_background_", 0])
def test_parts_without_an_object_are_refused_with_the_way_out(
    tmp_path: Path, supercategory: Any
) -> None:
    source = coco(tmp_path / "a.json", bare("wheel", "door", supercategory=supercategory))
    with pytest.raises(SchemaError, match="wheel, door") as caught:
        import_source(Source(source), tmp_path / "out")
    assert "--object NAME" in str(caught.value.hint)
    assert not (tmp_path / "out").exists()
    with pytest.raises(SchemaError, match="do not say which object"):
        read_coco(source)
    assert imported(source, tmp_path / "out", object="car").names == ("car:wheel", "car:door")


def test_names_that_are_their_own_supercategory_have_no_object(tmp_path: Path) -> None:
    categories = [{"id": i, "name": n, "supercategory": n} for i, n in enumerate("ab", 1)]
    with pytest.raises(SchemaError, match="which object"):
        read_coco(coco(tmp_path / "a.json", categories))


def test_objects_with_their_parts_are_as_they_are(tmp_path: Path) -> None:
    categories = [
        {"id": 1, "name": "mug", "supercategory": "OBJECT"},
        {"id": 2, "name": "mug:rim", "supercategory": "PART"},
    ]
    data = read_coco(coco(tmp_path / "a.json", categories))
    assert data.names == ("mug:mug", "mug:rim")
    assert [c.whole_object for c in data.categories] == [True, False]


def test_an_unused_root_and_the_background_are_no_parts(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "car-parts", "supercategory": "none", "masks": 0},
        {"id": 1, "name": "wheel", "supercategory": "car-parts"},
        {"id": 2, "name": "_background_", "supercategory": None},
    ]
    data = read_coco(coco(tmp_path / "a.json", categories))
    assert data.names == ("car-parts:wheel",)
    assert len(data.annotations) == 1
    renamed = imported(tmp_path / "a.json", tmp_path / "out", object="car")
    assert renamed.names == ("car:wheel",)


def test_a_root_with_masks_is_the_whole_object(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "car", "supercategory": "none"},
        {"id": 1, "name": "wheel", "supercategory": "car"},
    ]
    data = read_coco(coco(tmp_path / "a.json", categories))
    assert [(c.name, c.whole_object) for c in data.categories] == [
        ("car:car", True),
        ("car:wheel", False),
    ]


def test_the_proposal_can_be_edited_and_given_back(tmp_path: Path) -> None:
    source = coco(tmp_path / "a.json", bare("car_wheel", "car_door", "bus_wheel"))
    rows = propose_names(Source(source))
    assert [(r["object"], r["part"]) for r in rows] == [
        ("car", "wheel"),
        ("car", "door"),
        ("bus", "wheel"),
    ]
    table = tmp_path / "map.csv"
    table.write_text(as_csv(rows).replace("bus,wheel", "van,").replace("car,door", ",door"))
    data = imported(source, tmp_path / "out", names=table)
    assert data.names == ("car:wheel", "van:van")
    assert data.categories[1].whole_object
    assert len(data.annotations) == 2


def test_a_table_written_by_a_spreadsheet(tmp_path: Path) -> None:
    source = coco(tmp_path / "a.json", bare("wheel", "door"))
    table = tmp_path / "map.csv"
    table.write_bytes(
        "category;object;part\r\nwheel;car;wheel\r\n2;car;Tür\r\n".encode("utf-8-sig")
    )
    assert imported(source, tmp_path / "out", names=table).names == ("car:wheel", "car:Tür")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("category,object\nwheel,car\n", "no column 'part'"),
        ("category,object,part\nwheel,car,a\nwheel,car,b\n", "twice"),
        ("category,object,part\nwheels,car,a\n", "'wheels', which the data does not have"),
        ("category,object,part\nwheel,car,wheel\n", "1 of 2 categories do not say.*door"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path: Path, text: str, words: str) -> None:
    source = coco(tmp_path / "a.json", bare("wheel", "door"))
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(PartlabError, match=words):
        import_source(Source(source, names=tmp_path / "map.csv"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    two = [{"id": 1, "name": "car:wheel"}, {"id": 2, "name": "bus:wheel"}]
    source = coco(tmp_path / "a.json", two)
    for said in ({"object": "car"}, {"background": frozenset({1})}, {"names": source}):
        with pytest.raises(ConfigError):
            import_source(Source(source, **said), tmp_path / "out")  # type: ignore[arg-type]


def test_two_categories_of_one_name_are_refused_or_united(tmp_path: Path) -> None:
    names = ["cat:head", "cat:head", "cat:Head", "cat:ear-tip", "cat:ear tip", "cat:tail"]
    categories = [{"id": i, "name": n} for i, n in enumerate(names, 1)]
    inclusions = {"cat": {"ear tip": "Head"}}
    source = coco(tmp_path / "a.json", categories, partlab={"inclusions": inclusions})
    with pytest.raises(SchemaError, match=r"1 \(cat:head\) and 2 \(cat:head\) and 3") as caught:
        read_coco(source)
    assert "--unite" in str(caught.value.hint)
    data = imported(source, tmp_path / "out", unite=True)
    assert data.names == ("cat:head", "cat:ear-tip", "cat:tail")
    assert [a.category_id for a in data.annotations] == [1, 1, 1, 4, 4, 6]
    assert data.inclusions == {"cat": {"ear-tip": "head"}}
    before = read_coco(source, as_is=True).annotations
    assert [a.segmentation for a in data.annotations] == [a.segmentation for a in before]


LABELS = np.full((40, 60), 3, np.uint8)
LABELS[5:15, 5:25], LABELS[15:30, 5:50], LABELS[30:38, 10:20] = 0, 1, 2
TRUE = {"dog:head": 200, "dog:body": 675, "dog:foot": 80}


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Label maps that count parts from 0, with 3 as background."""
    for number in (1, 2):
        mask = tmp_path / "maps" / "seg" / "dog" / f"{number}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(LABELS).save(mask)
    (tmp_path / "names.txt").write_text("dog:head\ndog:body\ndog:foot\n")
    ids = [{"id": i, "name": name} for i, name in enumerate(TRUE)]
    (tmp_path / "names.json").write_text(json.dumps({"categories": ids}))
    rows = ["category,object,part", "0,dog,head", "1,dog,body", "2,dog,foot", "3,,"]
    (tmp_path / "names.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("names.txt", {"background": frozenset({3}), "offset": 1}),
        ("names.json", {"background": frozenset({3})}),
        ("names.csv", {}),
    ],
)
def test_label_maps_that_count_from_0(maps: Path, names: str, said: Raw) -> None:
    data = imported(maps / "maps", maps / "out", names=maps / names, **said)
    found = {data.category_by_id[a.category_id].name: a.area for a in data.annotations}
    assert found == TRUE


def test_a_value_that_covers_most_of_every_picture_is_told(
    maps: Path, caplog: pytest.LogCaptureFixture
) -> None:
    imported(maps / "maps", maps / "out", names=maps / "names.txt")
    assert "the value 3 (dog:foot) covers more than any other in 2 pictures" in caplog.text
    assert "say --background 3 --offset 1" in caplog.text


def test_values_without_a_name_are_told(maps: Path, caplog: pytest.LogCaptureFixture) -> None:
    imported(maps / "maps", maps / "out", names=maps / "names.json")
    assert "the values 3 have no name" in caplog.text


def test_a_list_of_bare_parts_needs_an_object(maps: Path) -> None:
    (maps / "names.txt").write_text("head\nbody\nfoot\n")
    said: Raw = {"names": maps / "names.txt", "background": frozenset({3}), "offset": 1}
    with pytest.raises(SchemaError, match="head, body, foot"):
        import_source(Source(maps / "maps", **said), maps / "out")
    assert imported(maps / "maps", maps / "out", object="dog", **said).names == tuple(TRUE)
