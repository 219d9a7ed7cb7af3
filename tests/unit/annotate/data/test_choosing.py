"""The index of a data set, and what its filters keep, leave out and put in order."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotate.data.choosing import Filters, choices, choose, lit, ordered
from annotate.data.index import Index, kept_index
from partlab.coco import read_coco, write_coco
from partlab.errors import ConfigError, UnknownNameError
from partlab.files import cache_folder
from partlab.masks import area, encode
from partlab.schema import OURS, Annotation, Category, Dataset, Image

ANN, BEN = "human:ann@x.org", "human:ben@x.org"


def planted() -> Dataset:
    """Two rams and a lamp that people drew, a ram that a network labelled, and an empty one."""
    categories = [
        Category.new(10, "ram", "head"),
        Category.new(20, "ram", "horn"),
        Category.new(30, "lamp", "shade"),
    ]
    said: list[dict[str, Any]] = [
        {"object": "ram", "verdict": {"passed": True, "inspector": "ina"}},
        {"object": "ram", "verdict": {"passed": False, "inspector": "ina", "reason": "outline"}},
        {"object": "lamp"},
        {"object": "ram"},
        {"object": "ram"},
    ]
    images = [Image.new(id, f"{id}.png", (20, 10), **ours) for id, ours in enumerate(said, 1)]
    drawn = [
        (1, 10, 8, ANN, 1.0), (1, 20, 2, ANN, 1.0),
        (2, 10, 5, ANN, 1.0),
        (3, 30, 6, BEN, 1.0),
        (4, 10, 9, "pseudo:seg", 0.4), (4, 20, 3, "pseudo:seg", 0.9),
    ]  # fmt: skip
    masks = []
    for id, (image, category, width, who, score) in enumerate(drawn, 101):
        pixels = np.zeros((10, 20), bool)
        pixels[:5, :width] = True
        rle = encode(pixels)
        ours = {"provenance": who, **({"score": score} if score < 1 else {})}
        masks.append(Annotation.new(id, image, category, rle, area=area(rle), **ours))
    rounds = {"ram": {"round": 2, "annotator": "ann@x.org"},
              "lamp": {"round": 1, "annotator": "ben@x.org"}}  # fmt: skip
    inclusions: Any = {"ram": {"horn": "head"}}
    return Dataset(images, masks, categories, inclusions, top={OURS: {"rounds": rounds}})


@pytest.fixture(params=["memory", "kept"])
def index(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Index]:
    """In memory, and from a file that was mapped."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "memory":
        yield Index.of(planted())
    else:
        file = write_coco(planted(), tmp_path / "annotations" / "all.json")
        kept_index(file, small=0)
        yield kept_index(file, small=0)


def kept(index: Index, **said: Any) -> list[int]:
    return [int(index.ids[row]) for row in choose(index, Filters(**said)).rows]


@pytest.mark.parametrize(
    ("said", "images"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"object": "lamp"}, [3]),
        ({"part": "ram:horn"}, [1, 4]),
        ({"part": "shade"}, [3]),
        ({"provenance": "human"}, [1, 2, 3]),
        ({"provenance": ANN}, [1, 2]),
        ({"provenance": "pseudo"}, [4]),
        ({"annotator": "ben@x.org"}, [3]),
        ({"annotator": "ann@x.org"}, [1, 2, 4]),  # a model's masks in the round that Ann drew
        ({"round": "1"}, [3]),
        ({"verdict": "passed"}, [1]),
        ({"verdict": "failed"}, [2]),
        ({"verdict": "none"}, [3, 4, 5]),
        ({"inclusion": "any"}, [1, 4]),
        ({"inclusion": "ram: horn in head"}, [1, 4]),
        ({"score": (None, 0.5)}, [4]),
        ({"score": (0.5, 0.95)}, [4]),
        ({"part": "head", "score": (0.5, 0.95)}, []),  # both of the same mask
        ({"area": (30, 40)}, [1, 3]),
        ({"area": (None, 15)}, [1, 4]),
        ({"area": (45, None)}, [4]),
    ],
)
def test_what_a_filter_keeps(index: Index, said: dict[str, Any], images: list[int]) -> None:
    assert kept(index, **said) == images


def test_every_image_is_kept_or_left_out_once_with_why(index: Index) -> None:
    chosen = choose(index, Filters(object="ram", verdict="none", part="horn", area=(100, None)))
    assert chosen.left_out == (
        ("does not show ram", 1),
        ("has a verdict", 2),
        ("no mask of horn", 1),
        ("no such mask with area from 100 px", 1),
    )
    assert len(chosen.rows) + sum(count for _, count in chosen.left_out) == len(index)


def test_findings_have_to_be_known(index: Index) -> None:
    with pytest.raises(ConfigError, match="not known yet"):
        choose(index, Filters(finding="overlap"))
    chosen = choose(index, Filters(finding="overlap"), {"overlap": [2, 4]})
    assert list(index.ids[chosen.rows]) == [2, 4]
    assert len(choose(index, Filters(finding="overlap"), {}).rows) == 0


@pytest.mark.parametrize(
    "said", [{"object": "rams"}, {"part": "hornn"}, {"inclusion": "ram: head in horn"}]
)
def test_names_that_are_not_there_are_refused(index: Index, said: dict[str, str]) -> None:
    with pytest.raises(UnknownNameError):
        kept(index, **said)


def test_orders(index: Index) -> None:
    def order(name: Any, said: Any = None, **more: Any) -> list[int]:
        chosen = choose(index, Filters(**(said or {})))
        return [int(index.ids[row]) for row in ordered(index, chosen, name, **more)]

    assert order("suspicion", suspicion={3: 0.9, 1: 0.5}) == [3, 1, 2, 4, 5]
    assert order("small") == [1, 4, 2, 3, 5]  # 10, 15, 25, 30 px; nothing drawn comes last
    assert order("large") == [4, 1, 3, 2, 5]
    assert order("large", {"part": "horn"}) == [4, 1]
    assert order("score") == [4, 1, 2, 3, 5]
    assert order("masks") == [1, 4, 2, 3, 5]
    with pytest.raises(ConfigError, match="audited"):
        order("suspicion")
    with pytest.raises(UnknownNameError):
        order("colour")


def test_masks_that_are_meant(index: Index) -> None:
    assert lit(index, choose(index, Filters()), [0, 3]) == frozenset()
    assert lit(index, choose(index, Filters(part="horn")), [0]) == {102}


def test_choices_name_what_there_is(index: Index) -> None:
    found = choices(index)
    assert found.objects == {"ram": 4, "lamp": 1}
    assert found.provenance == ("human", "pseudo", ANN, BEN, "pseudo:seg")
    assert found.annotators == ("ann@x.org", "ben@x.org")
    assert (found.rounds, found.verdicts) == (("1", "2"), ("passed", "failed", "none"))
    assert found.inclusions == ("ram: horn in head",)
    assert choices(index, "lamp").parts == ("lamp:shade",)
    assert choices(index, "lamp").inclusions == ()


def test_some_images_are_a_data_set_as_they_were_read(index: Index) -> None:
    whole, some = planted(), index.dataset([3, 0])
    assert [image.raw for image in some.images] == [whole.images[3].raw, whole.images[0].raw]
    for image in some.images:
        drawn = [mask.raw for mask in whole.annotations_of(image.id)]
        assert [mask.raw for mask in some.annotations_of(image)] == drawn
    assert (some.names, some.parts.parents) == (whole.names, whole.parts.parents)


def test_a_kept_index_follows_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read, not made, while the file is the same; made anew when it changed or is damaged."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = write_coco(planted(), tmp_path / "annotations" / "all.json")
    kept_index(file, small=0)
    (place,) = (cache_folder() / "indexes").iterdir()
    made = place.stat().st_mtime_ns
    assert len(kept_index(file, small=0)) == 5
    assert place.stat().st_mtime_ns == made
    write_coco(read_coco(file).subset([1, 3]), file)
    os.utime(file, ns=(1, 1))
    assert list(kept_index(file, small=0).ids) == [1, 3]
    place.write_bytes(place.read_bytes()[:200])
    assert list(kept_index(file, small=0).ids) == [1, 3]
    place.unlink()
    kept_index(file)  # a small file has none
    assert not place.exists()


def test_odd_texts_and_numbers_come_through(tmp_path: Path) -> None:
    """Half a surrogate pair in a name, a number of 30 digits, a category that is not there."""
    data = planted()
    odd = data.images[0].changed(file_name="half \ud83d.png", license=10**30)
    lost = Annotation.new(999, 1, 77, data.annotations[0].segmentation)
    images, masks = [odd, *data.images[1:]], [*data.annotations, lost]
    index = Index.of(Dataset(images, masks, data.categories))
    assert index.name(0) == "half \ud83d.png"
    assert index.dataset([0]).images[0].raw == odd.raw
    assert index.labels[list(index.annotations).index(999)] == -1
    assert np.isnan(index.areas[list(index.annotations).index(999)])
