"""Records keep what they were read from; the data set's look-ups."""

import pytest

from partlab.errors import NotFoundError, UnknownNameError
from partlab.schema import Annotation, Category, Dataset, Discard, Image


def dataset() -> Dataset:
    categories = [
        Category.new(7, "ram", "head", wnid="n02412080"),
        Category.new(3, "ram", "horn"),
        Category.new(5, "cart", "wheel"),
    ]
    images = [
        Image.new(1, "a.jpg", (5, 4)),
        Image.new(2, "b.jpg", (5, 4), object="cart"),
        Image.new(3, "c.jpg", (5, 4)),
    ]
    masks = [(1, 1, 7), (2, 1, 3), (3, 2, 5), (4, 3, 5), (5, 3, 7), (6, 3, 99)]
    annotations = [Annotation.new(*ids, []) for ids in masks]
    inclusions = {"ram": {"horn": "head", "tail": "head"}, "goose": {"beak": "head"}}
    return Dataset(images, annotations, categories, inclusions)


def test_labels_are_positions_not_ids() -> None:
    """C1: ids are local to a file."""
    assert dataset().label_of == {7: 0, 3: 1, 5: 2}
    assert dataset().names == ("ram:head", "ram:horn", "cart:wheel")
    assert dataset().objects == ("ram", "cart")
    assert dataset().parts.labels_of("ram") == (0, 1)


def test_parents_leave_unknown_parts_out() -> None:
    assert dataset().parts.parents == {1: (0,)}


def test_the_object_of_an_image() -> None:
    """D-03: as stated, else the one its parts belong to, else nobody knows."""
    data = dataset()
    assert [data.object_of(image) for image in data.images] == ["ram", "cart", None]
    assert Image({"id": 1, "class": "bear"}).object == "bear"


def test_look_ups() -> None:
    data = dataset()
    assert [a.id for a in data.annotations_of(1)] == [1, 2]
    assert data.annotations_of(99) == []
    assert data.find_image("b.jpg").id == 2
    with pytest.raises(NotFoundError, match=r"x\.jpg"):
        data.find_image("x.jpg")
    with pytest.raises(UnknownNameError, match="rma") as caught:
        data.parts.labels_of("rma")
    assert "ram" in str(caught.value.hint)


def test_a_subset_keeps_the_categories() -> None:
    part = dataset().subset([1])
    assert [i.id for i in part.images] == [1]
    assert [a.id for a in part.annotations] == [1, 2]
    assert len(part.categories) == 3
    assert part.inclusions == dataset().inclusions


def test_changed_is_a_copy() -> None:
    first = Annotation({"id": 1, "note": 5, "partlab": {"score": 0.5, "mine": 1}})
    second = first.changed(id=2, score=0.7, area=3)
    assert first.raw == {"id": 1, "note": 5, "partlab": {"score": 0.5, "mine": 1}}
    assert second.raw == {"id": 2, "note": 5, "partlab": {"score": 0.7, "mine": 1}, "area": 3}
    assert (second.id, second.score, second.area) == (2, 0.7, 3)
    with pytest.raises(AttributeError, match="no field 'colour'"):
        first.changed(colour=1)


def test_defaults() -> None:
    """D-05: what says nothing was made by hand; human masks have score 1."""
    bare = Annotation({"id": 1})
    assert (bare.provenance, bare.score, bare.iscrowd) == ("human", 1.0, 0)
    assert Category({"id": 1, "name": "goose:beak"}).whole_object is False
    assert Discard({"file_name": "x", "partlab": {"reason": "dark"}}).reason == "dark"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (
            {"name": "car:front door", "supercategory": "car", "part": "front door"},
            "car:front door",
        ),
        ({"name": "car:front door"}, "car:front door"),
        ({"name": "head", "supercategory": "ram"}, "ram:head"),
        ({"name": "Quadruped Head", "supercategory": "Quadruped"}, "Quadruped:Quadruped Head"),
        ({"name": "ram:head", "supercategory": "ram"}, "ram:head"),
        ({"name": "bakery"}, "bakery:bakery"),
        ({}, ":"),
        ({"name": "cat:head", "supercategory": "animal"}, "cat:head"),
        ({"name": "mug:handle", "supercategory": "PART"}, "mug:handle"),
        ({"name": "mug", "supercategory": "OBJECT"}, "mug:mug"),
        ({"name": "head", "supercategory": "none"}, "head:head"),
        ({"name": "head", "supercategory": "_background_"}, "head:head"),
        ({"name": "head", "supercategory": 5}, "head:head"),
        ({"name": "a:b:head", "supercategory": "a:b"}, "a b:head"),
        ({"name": "head", "supercategory": "a:b", "part": "head"}, "a b:head"),
        ({"name": "x: y "}, "x:y"),
        ({"name": " y ", "supercategory": " x", "part": " y "}, "x:y"),
        ({"name": "bird:"}, "bird:bird"),
        ({"name": ": bird"}, "bird:bird"),
        ({"name": ":head", "supercategory": "bird"}, "bird:head"),
    ],
)
def test_category_names(raw: dict[str, object], name: str) -> None:
    assert Category(raw).name == name


@pytest.mark.parametrize(
    ("raw", "whole", "alone"),
    [
        ({"name": "mug", "supercategory": "OBJECT"}, True, True),
        ({"name": "mug", "supercategory": "mug"}, True, True),
        ({"name": "mug:mug"}, True, False),
        ({"name": "mug: "}, True, True),
        ({"name": "flatworm:body", "partlab": {"whole_object": True}}, True, False),
        ({"name": "mug", "partlab": {"whole_object": False}}, False, False),
        ({"name": "mug:rim", "supercategory": "PART"}, False, False),
        ({"name": "rim", "supercategory": "mug"}, False, False),
        ({"name": "rim", "part": "rim", "supercategory": ""}, True, True),
        ({"name": "rim", "part": "rim", "supercategory": "mug"}, False, False),
    ],
)
def test_whole_objects_and_names_that_stand_alone(
    raw: dict[str, object], whole: bool, alone: bool
) -> None:
    assert (Category(raw).whole_object, Category(raw).stands_alone) == (whole, alone)


def test_records_and_data_sets_are_shown_in_a_line() -> None:
    """A notebook shows what stands last in a cell; a mask would fill the screen."""
    rle = {"size": [400, 600], "counts": "x" * 10_000}
    mask = Annotation.new(1, 7, 3, rle, bbox=[0, 0, 9, 9], area=81, provenance="human:a")
    assert repr(mask) == "Annotation(id=1, image_id=7, category_id=3, area=81, iscrowd=0)"
    image = Image.new(7, "a.jpg", (600, 400), object="ram")
    assert repr(image) == "Image(id=7, file_name='a.jpg', width=600, height=400)"
    many = Dataset([image] * 20_000, [mask] * 50_000, dataset().categories)
    assert repr(many) == "Dataset(in memory, 20,000 images, 50,000 masks, 3 parts of 2 objects)"
    assert len(repr(Image({"id": 1, "file_name": "deep/" * 100}))) < 120


def test_an_image_by_its_id() -> None:
    assert dataset().find_id(2).file_name == "b.jpg"
    with pytest.raises(NotFoundError, match="no image with id 99"):
        dataset().find_id(99)


def test_an_object_with_a_colon_has_one_name_everywhere() -> None:
    raw = {"id": 1, "name": "head", "supercategory": "animal:bird"}
    image = Image.new(1, "a.jpg", (4, 4), object="animal:bird")
    data = Dataset([image], [Annotation.new(1, 1, 1, [])], [Category(raw)])
    assert data.objects == data.parts.objects == ("animal bird",)
    assert data.objects_of(image) == ("animal bird",)


@pytest.mark.parametrize("stated", [["bird"], {"a": 1}, 5])
def test_an_object_that_is_no_text_is_none(stated: object) -> None:
    assert Image.new(1, "a.jpg", (4, 4), object=stated).object is None
