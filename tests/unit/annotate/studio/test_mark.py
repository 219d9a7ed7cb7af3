"""What a project tells the program, in a comment that nobody reads."""

import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.studio.spelling.labelconfig import check_config, config_hash, label_config
from annotate.studio.spelling.mark import mark_of, marked, unmarked
from annotate.vocabulary import ObjectParts, Part

RAM = ObjectParts(name="ram", parts=(Part(name="head"), Part(name="horn")))


@given(st.text(), st.integers(1, 9))
def test_facts_come_back_whatever_they_say(name: str, round: int) -> None:
    facts = {"work": "w-1", "kind": "annotate", "object": name, "round": round}
    xml = label_config(RAM)
    said = marked(xml, facts)
    assert mark_of({"label_config": said}) == facts
    assert unmarked(said) == xml
    assert config_hash(said) == config_hash(xml)
    ElementTree.fromstring(said)  # a comment may not hold --


def test_a_marked_interface_is_one_and_is_marked_once() -> None:
    said = marked(
        marked(label_config(RAM), {"work": "a--b", "round": 1}), {"work": "c", "round": 2}
    )
    check_config(said)
    assert mark_of({"label_config": said}) == {"work": "c", "round": 2}
    assert said.count('"partlab"') == 1


def test_earlier_versions_wrote_them_into_the_description() -> None:
    facts = {"work": "w", "kind": "annotate", "object": "größe", "round": 1}
    told = f"ram, drawn by ann. {json.dumps({'partlab': facts}, ensure_ascii=False)}"
    assert mark_of({"label_config": label_config(RAM), "description": told}) == facts


@pytest.mark.parametrize("text", [None, "", "rams", '{"partlab":', '{"partlab": 1}', "<View/>"])
def test_what_is_no_mark_says_nothing(text: str | None) -> None:
    assert mark_of({"label_config": text, "description": text}) == {}
