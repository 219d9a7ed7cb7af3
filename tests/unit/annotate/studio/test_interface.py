"""Interfaces as a model sees them, the tools that ask, and what they leave behind."""

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.studio.acts.answers import Context, make_answer
from annotate.studio.api.raw import RawAnnotation
from annotate.studio.spelling.asked import asked_of
from annotate.studio.spelling.interface import asking, can_be_asked, interface_of
from annotate.studio.spelling.labelconfig import check_config, config_hash, label_config
from annotate.studio.spelling.reading import read_result
from annotate.vocabulary import ObjectParts, Part
from annotate.work import Image
from partlab.errors import SchemaError
from partlab.masks import decode

RAM = ObjectParts(
    name="ram", parts=(Part(id="h", name="horn"), Part(id="horn", name="head"), Part(name="leg"))
)
SIZE = (40, 30)
MASK = np.zeros(SIZE[::-1], bool)
MASK[5:15, 10:20] = True


@pytest.mark.parametrize("two_lists", [False, True])
def test_ours_and_those_of_earlier_versions_are_understood(two_lists: bool) -> None:
    found = interface_of(label_config(RAM, two_lists=two_lists))
    assert (found.data, found.image) == ("image", "image")
    assert found.labels == {"h": "horn", "horn": "head", "leg": "leg"}
    region = found.region("a", MASK, "horn", score=0.5, model="seg@1")
    (mask,) = read_result(region, RAM, SIZE, SIZE).masks
    assert (mask.part, mask.origin, mask.model) == ("horn", "prediction", "seg@1")
    assert (decode(mask.rle) == MASK).all()


def test_a_mask_without_a_label_is_one_that_asks_for_it() -> None:
    found = interface_of(label_config(RAM))
    region = found.region("a", MASK, None, score=0.5, model="seg@1")
    (problem,) = read_result(region, RAM, SIZE, SIZE).problems
    assert problem["kind"] == "no-label"
    older = interface_of(label_config(RAM, two_lists=True))
    assert older.region("a", MASK, None, score=0.5, model="seg@1") == []


def test_other_peoples_names_are_used() -> None:
    xml = """<View><Image name="photo" value="$url"/>
    <Labels name="what" toName="photo"><Label value="head"/></Labels>
    <Brush name="paint" toName="photo"/></View>"""
    found = interface_of(xml)
    region = found.region("a", MASK, "head", score=0.5, model="m")
    assert [(item["from_name"], item["type"]) for item in region] == [
        ("paint", "brush"), ("what", "labels")
    ]  # fmt: skip
    assert {item["to_name"] for item in region} == {"photo"}
    assert found.data == "url"


@pytest.mark.parametrize(
    "xml", ["", "<View", "<View/>", "<View><Image name='i' value='$i'/></View>"]
)
def test_an_interface_without_a_brush_is_refused(xml: str) -> None:
    with pytest.raises(SchemaError):
        interface_of(xml)


def test_the_tools_that_ask_are_put_in_once_and_taken_out_again() -> None:
    plain = label_config(RAM)
    on = asking(plain, on=True)
    check_config(on)
    assert asking(on, on=True) == on
    assert config_hash(asking(on, on=False)) == config_hash(plain)
    tags = {tag.get("name"): tag for tag in ElementTree.fromstring(on).iter() if tag.get("toName")}
    assert [tags[name].tag for name in ("click", "box")] == ["KeyPoint", "Rectangle"]
    assert {tags[name].get("smart") for name in ("brush", "polygon")} == {"false"}
    assert len(list(ElementTree.fromstring(on).iter("Label"))) == 3
    assert len(list(ElementTree.fromstring(on).iter("Labels"))) == 1  # still one list of parts


def test_projects_of_earlier_versions_have_no_place_for_them() -> None:
    older = label_config(RAM, two_lists=True)
    assert not can_be_asked(older)
    assert config_hash(asking(older, on=True)) == config_hash(older)


def test_comments_of_an_interface_stay() -> None:
    assert "<!-- by hand -->" in asking("<View><!-- by hand --></View>", on=True)


# -- what annotators ask ----------------------------------------------------------------------


def item(x: Any, y: Any, **more: Any) -> dict[str, Any]:
    sizes = {"original_width": SIZE[0], "original_height": SIZE[1]}
    about = {"id": "k", "type": "keypoint", "value": {"x": x, "y": y, "labels": ["h"]}}
    return {**sizes, **about, **more}


def test_places_are_pixels_of_the_picture_and_stay_inside_it() -> None:
    other = item(150, -3, id="k2", is_positive=False)
    asked = asked_of({"result": [item(50, 50), other]})
    assert asked is not None
    assert asked.clicks == ((20.0, 15.0, True), (39.5, 0.0, False))
    assert (asked.label, asked.box, asked.shown, asked.id) == ("h", None, SIZE, "answer-k")


def test_of_several_boxes_the_last_counts_and_may_be_drawn_in_any_direction() -> None:
    sides = {"x": 75, "y": 50, "width": -50, "height": 20}
    boxes = [item(0, 0, type="rectangle", value={**sides, "x": 60}),
             item(0, 0, type="rectangle", value=sides)]  # fmt: skip
    asked = asked_of({"result": boxes})
    assert asked is not None
    assert asked.box == (10.0, 15.0, 30.0, 21.0)


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["result", "type", "value", "x", "y", "labels", "id", "original_width"]),
        inner, max_size=4,
    ), max_leaves=12,
))  # fmt: skip
def test_anything_at_all_is_asked_or_not(context: Any) -> None:
    asked_of(context)
    asked_of({"result": [context]})
    if isinstance(context, dict):
        asked_of({"result": [{**item(1, 1), **context}]})


# -- what is left of it -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rectangle", "keypoint"])
def test_a_prompt_that_was_left_is_no_drawing_and_is_told(kind: str) -> None:
    """A box would be read as a mask of its part."""
    value = {"x": 10, "y": 10, "width": 20, "height": 20, "labels": ["h"]}
    sizes = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
    about = {"id": "k", "from_name": "box" if kind == "rectangle" else "click", **sizes}
    left = [
        {**about, "type": kind, "value": value},
        {**about, "type": "labels", "from_name": "part", "value": value},
    ]
    drawn = interface_of(label_config(RAM)).region("a", MASK, "horn", score=1, model="seg@1")
    for items in (left, left[:1]):
        reading = read_result([*items, *drawn], RAM, SIZE, SIZE)
        assert [mask.part for mask in reading.masks] == ["horn"]
        (problem,) = reading.problems
        assert (problem["kind"], problem["severity"]) == ("prompt-left", "error")


def answer_to(items: list[dict[str, Any]], *, model_help: bool = True) -> Any:
    """What becomes of an annotation that nothing was suggested for."""
    image = Image(
        id=1, object="ram", file_name="1.jpg", width=40, height=30, shown=[40, 30], rank=1
    )
    raw = RawAnnotation(id=1, updated_at="2026-01-01T00:00:00Z", result=items)
    context = Context(parts=RAM, min_pixels=1, model_help=model_help, models={})
    return make_answer(raw, image, context, object="ram", round=1, task_id=1, annotator="a@x.org")


def test_masks_that_were_asked_for_bear_their_model() -> None:
    """D-05, without a prediction that the annotation began with."""
    drawn = interface_of(label_config(RAM)).region("a", MASK, "horn", score=1, model="seg@1")
    copied = [{**each, "origin": "manual", "id": "b"} for each in drawn]
    for items, origin in ((drawn, "prediction"), (copied, "prediction-changed")):
        (mask,) = answer_to(items).masks
        assert (mask["model"], mask["origin"]) == ("seg@1", origin)
        refused = answer_to(items, model_help=False)
        assert refused.kind == "broken"
        assert "model-help" in {problem["kind"] for problem in refused.problems}
