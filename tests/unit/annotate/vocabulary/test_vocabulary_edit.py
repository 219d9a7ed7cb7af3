"""Changing a vocabulary: versions, lineage, ids that are never used again, inclusions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.vocabulary.diff import follow, left_alone
from annotate.vocabulary.edit import (
    Editor,
    add_parts,
    checked_source,
    exclude_part,
    include_part,
    merge_parts,
    remove_part,
    rename_part,
    split_part,
    used_ids,
)
from annotate.vocabulary.model import ObjectParts, Part, Vocabulary
from partlab.errors import ConfigError, PartlabError, UnknownNameError
from partlab.inclusions import Outer

BY = Editor("ann", "because", "2026-01-02T03:04:05+00:00")


def vocabulary(*parts: str, name: str = "maraca", **inclusions: Outer) -> Vocabulary:
    listed = tuple(Part(id=part, name=part) for part in parts)
    return Vocabulary(objects=(ObjectParts(name=name, parts=listed, inclusions=inclusions),))


def test_maraca_stick_is_split_into_joint_and_handle() -> None:
    """V-07."""
    new = split_part(vocabulary("head", "stick"), "maraca", "stick", ["joint", "handle"], BY)
    maraca = new.object("maraca")
    assert maraca.names == ("head", "joint", "handle")
    for name in ("joint", "handle"):
        part = maraca.named(name)
        assert part.origin == ("stick",)
        assert part.source == "function-or-shape"
        assert part.evidence == ("split from stick",)
    (change,) = new.changes
    assert (change.version, change.operation, change.object) == (2, "split", "maraca")
    assert (change.before, change.after) == (("stick",), ("joint", "handle"))
    assert (change.who, change.note, change.at) == ("ann", "because", BY.at)
    assert new.version == 2


def test_a_rename_keeps_the_id() -> None:
    new = rename_part(vocabulary("tyre", "body", name="car"), "car", "Tyre", "wheel", BY)
    assert new.object("car").part("tyre").name == "wheel"
    assert new.object("car").named("wheel").id == "tyre"
    assert new.changes[0].before == new.changes[0].after == ("tyre",)
    with pytest.raises(ConfigError, match="another part 'Wheel'"):
        rename_part(new, "car", "body", "Wheel")
    with pytest.raises(ConfigError, match="already"):
        rename_part(new, "car", "wheel", "wheel")


def test_an_id_is_never_used_again() -> None:
    old = vocabulary("head", "horn", name="ram")
    gone = remove_part(old, "ram", "horn")
    back = add_parts(gone, "ram", ["horn"], source="volunteers", evidence=["8 of 10 volunteers"])
    assert back.object("ram").named("horn").id == "horn-2"
    assert [c.operation for c in back.changes] == ["remove", "add"]
    assert [c.version for c in back.changes] == [2, 3]
    again = add_parts(remove_part(back, "ram", "horn"), "ram", ["horn"])
    assert again.object("ram").named("horn").id == "horn-3"
    piece = split_part(old, "ram", "horn", ["horn", "tip"])
    assert piece.object("ram").named("horn").id == "horn-2"
    renamed = rename_part(old, "ram", "horn", "antler")
    assert add_parts(renamed, "ram", ["horn"]).object("ram").named("horn").id == "horn-2"


def test_a_merge_into_one_of_them_is_that_one_grown() -> None:
    old = vocabulary("door", "window", "windscreen", "rear window", name="car")
    one = merge_parts(old, "car", ["windscreen", "window"], "window")
    assert one.object("car").names == ("door", "window", "rear window")
    assert one.object("car").named("window").id == "window"
    assert one.object("car").named("window").origin == ("windscreen",)
    new = merge_parts(one, "car", ["window", "rear window"], "glass")
    assert new.object("car").named("glass").id == "glass"
    assert new.object("car").named("glass").origin == ("window", "rear window")
    assert follow(old.object("car").ids, new.changes) == {
        "door": ("door",),
        "window": ("glass",),
        "windscreen": ("glass",),
        "rear window": ("glass",),
    }
    with pytest.raises(ConfigError, match="another part 'door'"):
        merge_parts(old, "car", ["window", "windscreen"], "door")
    with pytest.raises(ConfigError, match="two parts or more"):
        merge_parts(old, "car", ["window", "window"], "glass")


def test_inclusions_follow() -> None:
    old = vocabulary("eye", "head", "body", name="ram", eye="head", head="body")
    assert remove_part(old, "ram", "head").object("ram").inclusions == {"eye": "body"}
    assert remove_part(old, "ram", "eye").object("ram").inclusions == {"head": "body"}
    assert remove_part(old, "ram", "body").object("ram").inclusions == {"eye": "head"}
    split = split_part(old, "ram", "head", ["skull", "muzzle"])
    assert split.object("ram").inclusions == {"skull": "body", "muzzle": "body"}
    assert "say again in which piece eye lies" in split.changes[0].note
    merged = merge_parts(old, "ram", ["eye", "head"], "head")
    assert merged.object("ram").inclusions == {"head": "body"}
    outer = merge_parts(old, "ram", ["head", "body"], "body")
    assert outer.object("ram").inclusions == {"eye": "body"}


def test_inclusions_in_several_follow() -> None:
    old = vocabulary(
        "mirror", "front", "back", "body", name="car", mirror=["front", "back"], front="body"
    )
    gone = remove_part(old, "car", "front").object("car")
    assert gone.inclusions == {"mirror": ["body", "back"]}
    split = split_part(old, "car", "front", ["pane", "frame"])
    assert split.object("car").inclusions == {"mirror": "back", "pane": "body", "frame": "body"}
    assert "say again in which piece mirror lies" in split.changes[0].note
    assert list(left_alone(old, split)) == [("car", "mirror", "front")]
    assert list(left_alone(old, include_part(split, "car", "mirror", "pane"))) == []
    pieces = split_part(old, "car", "mirror", ["glass", "arm"]).object("car").inclusions
    assert pieces == {"front": "body", "glass": ["front", "back"], "arm": ["front", "back"]}
    doors = merge_parts(old, "car", ["front", "back"], "door").object("car").inclusions
    assert doors == {"mirror": "door"}  # the back is in no body, so the door is not
    whole = merge_parts(old, "car", ["mirror", "front"], "front").object("car").inclusions
    assert whole == {"front": "body"}  # what all of it lay in, maybe through others


def test_an_inclusion_is_declared_moved_and_taken_back() -> None:
    """M-04."""
    old = vocabulary("wing", "body", "neck", name="duck")
    new = include_part(old, "duck", "Wing", "body", BY)
    assert new.object("duck").inclusions == {"wing": "body"}
    (change,) = new.changes
    assert (change.version, change.operation, change.who) == (2, "include", "ann")
    assert (change.before, change.after) == ((), ("wing", "body"))
    both = include_part(new, "duck", "wing", "neck")
    assert both.object("duck").inclusions == {"wing": ["body", "neck"]}
    moved = exclude_part(both, "duck", "wing", "body")
    assert moved.object("duck").inclusions == {"wing": "neck"}
    gone = exclude_part(moved, "duck", "wing", "neck")
    assert gone.object("duck") == old.object("duck")
    assert [(c.version, c.operation) for c in gone.changes] == [
        (2, "include"),
        (3, "include"),
        (4, "exclude"),
        (5, "exclude"),
    ]
    with pytest.raises(ConfigError, match="wing lies in neck already"):
        include_part(both, "duck", "wing", "neck")
    with pytest.raises(ConfigError, match="wing lies in body already"):
        include_part(new, "duck", "wing", "body")
    with pytest.raises(ConfigError, match="not declared to lie in neck"):
        exclude_part(new, "duck", "wing", "neck")
    with pytest.raises(ConfigError, match="in a circle: wing in body in wing"):
        include_part(new, "duck", "body", "wing")
    with pytest.raises(ConfigError, match="in a circle: neck in neck"):
        include_part(new, "duck", "neck", "neck")
    with pytest.raises(UnknownNameError, match="'wings'"):
        include_part(new, "duck", "wings", "body")


def test_a_merged_part_lies_in_something_only_if_all_of_it_did() -> None:
    """M-04."""
    old = vocabulary("eye", "ear", "horn", "head", name="ram", eye="head", ear="head")
    ram = merge_parts(old, "ram", ["eye", "ear"], "sense").object("ram")
    assert ram.inclusions == {"sense": "head"}
    ram = merge_parts(old, "ram", ["eye", "horn"], "spikes").object("ram")
    assert ram.inclusions == {"ear": "head"}
    assert merge_parts(old, "ram", ["horn", "eye"], "horn").object("ram").inclusions == {
        "ear": "head"
    }


def test_a_part_that_was_the_whole_object_goes_when_parts_come() -> None:
    """V-01: only an object that cannot be split is its own part."""
    worm = Part(id="flatworm", name="flatworm", source="whole-object")
    old = Vocabulary(objects=(ObjectParts(name="flatworm", parts=(worm,)),))
    new = add_parts(old, "flatworm", ["head", "tail"])
    assert new.object("flatworm").names == ("head", "tail")
    assert [c.operation for c in new.changes] == ["remove", "add"]
    assert {c.version for c in new.changes} == {2}
    assert add_parts(old, "flatworm", ["flatworm"]).object("flatworm").ids == ("flatworm-2",)


def test_mistakes_are_told() -> None:
    old = vocabulary("head", "stick")
    with pytest.raises(UnknownNameError, match="'marraca'") as caught:
        add_parts(old, "marraca", ["x"])
    assert caught.value.hint == "did you mean maraca?"
    assert add_parts(old, "rattle", ["x"], new_object=True).names == ("maraca", "rattle")
    with pytest.raises(ConfigError, match="has a part 'Head' already"):
        add_parts(old, "maraca", ["Head"])
    with pytest.raises(ConfigError, match="has a part 'b' already"):
        add_parts(old, "maraca", ["b", "b"])
    with pytest.raises(ConfigError, match="no letters"):
        add_parts(old, "maraca", [" "])
    for name, why in (
        ("a:b", "':'"),
        ("$a", "starts with"),
        ("a\u200b", "signs"),
        ("x" * 99, "80"),
    ):
        with pytest.raises(ConfigError, match=f"cannot be a name: .*{why}"):
            rename_part(old, "maraca", "head", name)
    with pytest.raises(ConfigError, match="two names or more"):
        split_part(old, "maraca", "stick", ["handle"])
    with pytest.raises(UnknownNameError) as caught:
        split_part(old, "maraca", "stik", ["a", "b"])
    assert caught.value.hint == "did you mean stick?"
    with pytest.raises(ConfigError, match="last part"):
        remove_part(vocabulary("head"), "maraca", "head")
    with pytest.raises(UnknownNameError, match="unknown source 'wiki'"):
        checked_source("wiki")


NAMES = st.sampled_from("abcdef")
EDITS = (
    lambda now, one, two, three: add_parts(now, "o", [one]),
    lambda now, one, two, three: remove_part(now, "o", one),
    lambda now, one, two, three: rename_part(now, "o", one, two),
    lambda now, one, two, three: merge_parts(now, "o", [one, two], three),
    lambda now, one, two, three: split_part(now, "o", one, [two, three]),
    lambda now, one, two, three: include_part(now, "o", one, two),
)


@given(st.lists(st.tuples(st.sampled_from(EDITS), NAMES, NAMES, NAMES), max_size=12))
def test_whatever_is_done_ids_stay_unique_and_gone_ones_stay_gone(steps: Any) -> None:
    now = vocabulary("a", "b", "c", name="o", a="b")
    ever: set[str] = set()
    for edit, *names in steps:
        before = now.object("o")
        try:
            after = edit(now, *names)
        except PartlabError:
            continue
        new = set(after.object("o").ids) - set(before.ids)
        assert not new & (ever | used_ids(now, "o"))
        ever |= used_ids(now, "o")
        assert after.version == now.version + 1
        reached = {id for ids in follow(before.ids, after.changes[-1:]).values() for id in ids}
        assert reached <= set(after.object("o").ids)
        now = after
