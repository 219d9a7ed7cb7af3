"""The labelling interface and the instructions: every name, colour and key (M-01…M-07)."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from annotate.draw import palette
from annotate.studio.acts.examples import (
    example_pictures,
    keep_part_pictures,
    part_pictures,
)
from annotate.studio.acts.instructions import instructions
from annotate.studio.spelling.labelconfig import (
    DISCARD_KEYS,
    TOOL_KEYS,
    check_config,
    colours,
    config_hash,
    has_two_lists,
    label_config,
)
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work.pictures import part_picture
from annotate.work.settings import DISCARD_REASONS
from partlab.errors import ConfigError, NotFoundError, SchemaError
from partlab.inclusions import Outer
from partlab.masks import encode
from partlab.schema import Annotation, Category, Dataset, Image

ODD = ('a "b"', "it's", "a:b", "头部", "<b>&amp;", "µ,ü;", "]]>", "\\n", "&#10;")


def parts_of(*names: str, owner: str = "ram", **inclusions: Outer) -> ObjectParts:
    return ObjectParts(
        name=owner, parts=tuple(Part(name=name) for name in names), inclusions=inclusions
    )


TOOLS = ("Brush", "Polygon")

RAM = parts_of("head", "body", "foot", "tail", "horn", horn="head")


def labels(xml: str, palette_name: str) -> list[ElementTree.Element]:
    (found,) = [
        tag for tag in ElementTree.fromstring(xml).iter() if tag.get("name") == palette_name
    ]
    return list(found)


def keys(xml: str) -> list[str]:
    found = [tag.get("hotkey") for tag in ElementTree.fromstring(xml).iter()]
    return [key for key in found if key]


@pytest.mark.parametrize(("two", "lists"), [(False, ["part"]), (True, ["brush", "polygon"])])
def test_the_parts_stand_in_one_list_and_in_two_of_earlier_versions(
    two: bool, lists: list[str]
) -> None:
    xml = label_config(RAM, two_lists=two)
    check_config(xml)
    assert has_two_lists(xml) == two
    tools = [tag.tag for tag in ElementTree.fromstring(xml).iter() if tag.tag in TOOLS]
    assert tools == ([] if two else ["Brush", "Polygon"])  # the first is in hand at the beginning
    with_parts = [
        tag for tag in ElementTree.fromstring(xml).iter() if tag.find("Label") is not None
    ]
    assert [tag.get("name") for tag in with_parts] == lists
    for name in lists:
        assert [label.get("value") for label in labels(xml, name)] == list(RAM.names)
        assert [label.get("alias") for label in labels(xml, name)] == list(RAM.ids)
        assert [label.get("background") for label in labels(xml, name)] == colours(RAM)
    red, green, blue = palette(["ram:head"])[0]
    assert colours(RAM)[0] == f"#{red:02x}{green:02x}{blue:02x}"
    assert [one.get("value") for one in labels(xml, "discard")] == list(DISCARD_REASONS)


def test_the_picture_cannot_be_turned_and_regions_may_say_their_object() -> None:
    root = ElementTree.fromstring(label_config(RAM))
    (picture,), (number,) = root.findall(".//Image"), root.findall(".//Number")
    assert (picture.get("name"), picture.get("value")) == ("image", "$image")
    assert picture.get("rotateControl") == "false"
    assert (number.get("name"), number.get("perRegion")) == ("object", "true")
    assert number.get("required") is None


@given(st.integers(1, 60))
def test_no_key_is_used_twice_or_by_a_tool(count: int) -> None:
    """Label Studio hands out keys of its own tools to labels without one (labelstudio B.4)."""
    xml = label_config(parts_of(*(f"part {n}" for n in range(count))))
    found = keys(xml)
    assert len(found) == len(set(found))
    assert not TOOL_KEYS & set(found)
    assert not {"shift+1", "shift+2", "shift+r"} & set(found)
    every = [*labels(xml, "part"), *labels(xml, "discard")]
    if count <= 36:
        assert all(label.get("hotkey") for label in every)
    assert [one.get("hotkey") for one in labels(xml, "discard")] == DISCARD_KEYS[:4]


def test_the_first_ten_parts_are_drawn_by_digits() -> None:
    xml = label_config(parts_of(*(f"part {n}" for n in range(11))))
    assert "".join(label.get("hotkey", "") for label in labels(xml, "part"))[:10] == "1234567890"


@pytest.mark.parametrize(("count", "searched"), [(30, 0), (31, 1)])
def test_many_parts_get_a_search_box(count: int, searched: int) -> None:
    root = ElementTree.fromstring(label_config(parts_of(*(f"p{n}" for n in range(count)))))
    assert len(root.findall(".//Filter")) == searched


def test_odd_names_come_back_as_they_are() -> None:
    xml = label_config(parts_of(*ODD, owner='Frau "Müller" <x>'))
    assert tuple(label.get("value") for label in labels(xml, "part")) == ODD
    check_config(xml)


@settings(max_examples=60)
@given(st.text(min_size=1, max_size=8))
def test_a_name_is_refused_or_survives(name: str) -> None:
    try:
        xml = label_config(parts_of(name))
    except ConfigError:
        return
    assert labels(xml, "part")[0].get("value") == name


@pytest.mark.parametrize("name", ["two  blanks", " head", "a\nb", "$head", "a\u2060"])
def test_names_that_cannot_be_labels_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"of '?ram"):
        label_config(parts_of(name))


def test_an_object_without_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no parts") as caught:
        label_config(ObjectParts(name="flatworm"))
    assert "whole-object" in str(caught.value.hint)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["head", "horn", "tail"]), min_size=2, max_size=3, unique=True))
def test_a_label_is_one_part_whatever_parts_are_called(names: list[str]) -> None:
    """Label Studio looks for the first label whose value or alias it is."""
    ids = sorted(names)
    parts = [Part(id=id, name=name) for id, name in zip(ids, names, strict=True)]
    found = labels(label_config(ObjectParts(name="ram", parts=tuple(parts))), "part")
    assert [label.get("value", "").rstrip("\u2060") for label in found] == names
    for id in ids:
        assert [x.get("alias") for x in found if id in (x.get("alias"), x.get("value"))] == [id]


def test_label_studios_own_library_accepts_it_and_doubles_are_found() -> None:
    check_config(label_config(RAM))
    double = label_config(RAM).replace('alias="tail"', 'alias="head"')
    with pytest.raises(SchemaError, match="'head' stands in the interface twice"):
        check_config(double)
    with pytest.raises(SchemaError, match="would refuse"):
        check_config(label_config(RAM).replace('toName="image"', 'toName="sound"', 1))


def test_the_hash_knows_what_annotators_see() -> None:
    xml = label_config(RAM)
    assert config_hash(xml) == config_hash(xml.replace("\n", "\n  "))
    assert config_hash(xml) != config_hash(label_config(RAM, ["other reason"]))
    assert config_hash(xml) != config_hash(label_config(parts_of("head", "body")))


# -- instructions -----------------------------------------------------------------------------


def test_the_instructions_say_the_rules_the_keys_and_the_inclusions() -> None:
    html = instructions(RAM, label_config(RAM), ["/x/1.png?a=1&b=2"])
    assert "<b>horn</b> lies in <b>head</b>" in html
    assert html.count("bgcolor") == 5
    rules = ["cover the whole object", "do not overlap", "draw all of them", "background"]
    for words in (
        *rules,
        "do not hand some",
        "two inspectors",
        ">5<",
        "Show region labels",
        "Ctrl+Enter",
    ):
        assert words in html
    assert "/x/1.png?a=1&amp;b=2" in html
    assert "shift+" not in html
    earlier = instructions(RAM, label_config(RAM, two_lists=True))
    assert ">shift+a<" in earlier
    assert "<b>P</b>" not in earlier


def test_the_leads_own_words_stand_beside_the_parts_and_on_the_labels() -> None:
    words = "from the <brow> to the neck"
    head = Part(name="head", definition=words, example="head.png")
    ram = ObjectParts(
        name="ram",
        note="Lambs & ewes, too.",
        parts=(head, Part(name="horn", definition="both")),
        inclusions={"horn": "head"},
    )
    xml = label_config(ram)
    assert [label.get("hint") for label in labels(xml, "part")] == [
        words,
        "both; lies in head: draw both",
    ]
    check_config(xml)
    html = instructions(ram, xml, pictures={"head": "/p/head.png"})
    for said in ("Lambs &amp; ewes, too.", "from the &lt;brow&gt; to the neck", "/p/head.png"):
        assert said in html
    assert "what belongs to it" in html
    assert "what belongs to it" not in instructions(RAM, label_config(RAM))


def test_what_no_example_shows_is_said() -> None:
    xml = label_config(RAM)
    html = instructions(RAM, xml, ["/x.png"], shown=["head", "body", "horn"])
    assert "do not show foot, tail: draw them all the same" in html
    assert "do not show" not in instructions(RAM, xml, ["/x.png"], shown=None)
    assert "do not show" not in instructions(RAM, xml, ["/x.png"], shown=list(RAM.ids))


def test_a_part_in_one_of_several_others_is_said_so() -> None:
    car = parts_of(
        "front door", "back door", "mirror", owner="car", mirror=["front door", "back door"]
    )
    (*_, mirror) = labels(label_config(car), "part")
    assert mirror.get("hint") == "lies in front door or back door: draw both"
    html = instructions(car, label_config(car))
    assert (
        "The only exception: <b>mirror</b> lies in <b>front door</b>, in <b>back door</b>" in html
    )
    assert "or in several of them: paint whichever it lies in with mirror, then mirror once" in html


def test_a_whole_object_has_a_rule_of_its_own() -> None:
    worm = parts_of("flatworm", owner="flatworm")
    html = instructions(worm, label_config(worm))
    assert "whole object is the only part" in html
    assert "overlap" not in html
    assert "Examples" not in html


def test_names_cannot_break_the_instructions() -> None:
    odd = parts_of(*ODD, owner="<script>x</script>")
    html = instructions(odd, label_config(odd))
    assert "<script>" not in html
    assert "<b>&amp;" not in html


def test_examples_show_the_richest_pictures_in_the_palettes_colours(tmp_path: Path) -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:50] = True
    images, annotations = [], []
    for number, labels_shown in enumerate([1, 2, 0], 1):
        PillowImage.new("RGB", (60, 40), (90, 90, 90)).save(tmp_path / f"{number}.png")
        images.append(Image.new(number, f"{number}.png", (60, 40), object="ram"))
        annotations += [
            Annotation.new(10 * number + k, number, k + 1, encode(mask))
            for k in range(labels_shown)
        ]
    categories = [Category.new(1, "ram", "horn"), Category.new(2, "ram", "wool"),
                  Category.new(3, "ram", "head")]  # fmt: skip
    annotations[-1] = annotations[-1].changed(category_id=3)
    dataset = Dataset(images, annotations, categories, image_root=tmp_path)
    found = example_pictures(dataset, RAM)
    drawn = found.pictures
    assert len(drawn) == 2  # the third shows nothing
    assert found.shown == {"horn", "head"}
    horn = palette([f"ram:{name}" for name in RAM.names])[4]
    middle = np.asarray(drawn[0])[100, 180].astype(int)
    assert abs(middle - (np.array(horn) + 90) / 2).max() < 12
    (tmp_path / "2.png").unlink()
    assert len(example_pictures(dataset, RAM).pictures) == 1
    assert example_pictures(dataset, parts_of("wheel", owner="car")).pictures == ()


def test_examples_that_contradict_the_rules_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two parts lie over each other: with the inclusion that is right, without it is not."""
    large, small = np.zeros((2, 40, 60), bool)
    large[10:30, 10:50], small[12:28, 12:40] = True, True
    PillowImage.new("RGB", (60, 40), (90, 90, 90)).save(tmp_path / "1.png")
    categories = [Category.new(1, "ram", "head"), Category.new(2, "ram", "horn")]
    masks = [Annotation.new(1, 1, 1, encode(large)), Annotation.new(2, 1, 2, encode(small))]
    image = Image.new(1, "1.png", (60, 40), object="ram")
    dataset = Dataset([image], masks, categories, image_root=tmp_path)
    assert len(example_pictures(dataset, RAM).pictures) == 1
    undeclared = parts_of("head", "horn")
    assert example_pictures(dataset, undeclared).pictures == ()
    assert "left out: 1 example of ram: horn lies over head" in caplog.text


def test_pictures_of_parts_are_kept_small_and_missed_by_name(tmp_path: Path) -> None:
    PillowImage.new("RGB", (900, 300), (1, 2, 3)).save(tmp_path / "head.png")
    ram = ObjectParts(name="ram", parts=(Part(name="head", example="head.png"),))
    farm, work = Vocabulary(objects=(ram,)), tmp_path / "work"
    keep_part_pictures(work, part_pictures(farm, tmp_path))
    path = part_picture(work, "ram", "head")
    assert path is not None
    with PillowImage.open(work / "images" / path) as kept:
        assert kept.size == (240, 80)
    assert part_pictures(farm, tmp_path / "elsewhere", work) == {}
    with pytest.raises(NotFoundError, match="'head' of ram is not there") as caught:
        part_pictures(farm, tmp_path / "elsewhere")
    assert "elsewhere" in str(caught.value.hint)


def test_examples_may_be_finished_pictures(tmp_path: Path) -> None:
    (tmp_path / "ram").mkdir()
    PillowImage.new("RGB", (900, 300), (1, 2, 3)).save(tmp_path / "ram" / "a.png")
    (tmp_path / "ram" / "notes.txt").write_text("not a picture")
    (drawn,) = example_pictures(tmp_path, RAM).pictures
    assert drawn.size == (360, 120)
