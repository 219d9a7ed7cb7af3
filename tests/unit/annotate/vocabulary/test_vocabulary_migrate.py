"""What becomes of every part between two versions."""

from typing import Any

import pytest

from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.vocabulary.edit import (
    Editor,
    add_parts,
    include_part,
    merge_parts,
    remove_part,
    rename_part,
    split_part,
)
from annotate.vocabulary.migrate import Moves, moves_between, settle
from partlab.errors import ConfigError, StateError

BY = Editor("ann", at="2026")


def car(*parts: Part | str, **values: Any) -> Vocabulary:
    listed = tuple(p if isinstance(p, Part) else Part(id=p, name=p) for p in parts)
    return Vocabulary(objects=(ObjectParts(name="car", parts=listed, **values),))


OLD = car("tyre", "window", "windscreen", "body", "roof")


def test_every_kind_of_change_at_once() -> None:
    new = rename_part(OLD, "car", "tyre", "wheel")
    new = merge_parts(new, "car", ["window", "windscreen"], "glass")
    new = split_part(new, "car", "body", ["side", "front"])
    new = remove_part(new, "car", "roof")
    new = add_parts(new, "car", ["mirror"])
    moves = moves_between(OLD, new, "car")
    assert moves.merged == {"window": "glass", "windscreen": "glass"}
    assert moves.split == {"body": "body is now side and front"}
    assert moves.removed == {"roof": "roof is no longer a part"}
    assert moves.added == ("mirror",)
    assert moves.undrawn == "body is now side and front; mirror is a new part"
    assert moves.to_draw == f"{moves.undrawn}; roof is no longer a part"
    assert [(part.id, part.name) for part in moves.parts.parts] == [
        ("tyre", "wheel"),
        ("glass", "glass"),
        ("body", "body"),
    ]
    assert moves_between(new, new, "car") == Moves(new.object("car"))


@pytest.mark.parametrize("into", ["glass", "window"])
def test_what_is_merged_and_then_split_is_as_it_was_drawn(into: str) -> None:
    new = merge_parts(OLD, "car", ["window", "windscreen"], into)
    new = split_part(new, "car", into, ["left", "right"])
    moves = moves_between(OLD, new, "car")
    assert moves.merged == {}
    assert set(moves.parts.ids) == {"tyre", "body", "roof", "window", "windscreen"}
    assert sorted(moves.split) == ["window", "windscreen"]


def test_names_change_places_and_ids_stay() -> None:
    new = rename_part(OLD, "car", "tyre", "x")
    new = rename_part(new, "car", "roof", "tyre")
    new = rename_part(new, "car", "x", "roof")
    swapped = moves_between(OLD, new, "car")
    assert (swapped.merged, swapped.to_draw) == ({}, "")
    assert (swapped.parts.part("tyre").name, swapped.parts.part("roof").name) == ("roof", "tyre")
    piece = split_part(OLD, "car", "body", ["side", "front"])
    piece = merge_parts(piece, "car", ["front", "roof"], "shell")
    moves = moves_between(OLD, remove_part(piece, "car", "side"), "car")
    assert (moves.merged, moves.added) == ({"roof": "shell"}, ())
    assert [*moves.split] == ["body"]


def test_a_split_part_gives_its_name_up_to_another() -> None:
    new = split_part(OLD, "car", "body", ["side", "front"])
    new = rename_part(new, "car", "roof", "body")
    parts = moves_between(OLD, new, "car").parts
    assert (parts.part("roof").name, parts.part("body").name) == ("body", "body (before)")


def test_inclusions_of_what_was_drawn() -> None:
    old = car("head", "eye", "horn", "body", inclusions={"eye": "head", "horn": "head"})
    new = split_part(old, "car", "horn", ["left horn", "right horn"])
    new = merge_parts(new, "car", ["head", "body"], "torso")
    drawn = moves_between(old, new, "car").parts
    assert drawn.inclusions == {"eye": "torso", "horn": "torso"}
    old = car("head", "body", "tail", "hat", inclusions={"hat": ["head", "body"]})
    new = split_part(old, "car", "tail", ["root", "tip"])
    assert moves_between(old, new, "car").parts.inclusions == {"hat": ["head", "body"]}
    new = split_part(new, "car", "hat", ["rim", "top"])
    assert moves_between(old, new, "car").parts.inclusions == {"hat": ["head", "body"]}


def test_settling_records_what_was_done_by_hand() -> None:
    (parts,) = OLD.objects
    renamed = (Part(id="tyre", name="wheel"), *parts.parts[1:])
    new = settle(OLD, OLD.replaced([parts.model_copy(update={"parts": renamed})]), BY)
    assert new.version == 2
    (change,) = new.changes
    assert (change.operation, change.before, change.version) == ("rename", ("tyre",), 2)
    assert moves_between(OLD, new, "car").parts.part("tyre").name == "wheel"
    fewer = settle(OLD, OLD.replaced([parts.model_copy(update={"parts": parts.parts[:3]})]), BY)
    assert [c.before for c in fewer.changes] == [("body",), ("roof",)]
    more = (*parts.parts, Part(id="mirror", name="mirror"))
    grown = settle(OLD, OLD.replaced([parts.model_copy(update={"parts": more})]), BY)
    assert [c.after for c in grown.changes] == [("mirror",)]
    assert settle(OLD, OLD, BY) == OLD
    order = OLD.replaced([parts.model_copy(update={"parts": parts.parts[::-1]})])
    assert (settle(OLD, order, BY).version, settle(OLD, order, BY).changes) == (2, ())


def test_settling_keeps_recorded_changes_and_adds_to_their_version() -> None:
    edited = split_part(OLD, "car", "body", ["side", "front"])
    assert settle(OLD, edited, BY) == edited
    by_hand = edited.model_copy(update={"objects": (car(*[
        part for part in edited.object("car").parts if part.id != "tyre"
    ]).objects[0],)})  # fmt: skip
    new = settle(OLD, by_hand, BY)
    assert [(c.operation, c.version) for c in new.changes] == [("split", 2), ("remove", 2)]
    assert new.version == 2


def test_what_has_two_meanings_is_refused() -> None:
    other = car("wheel", "window", "windscreen", "body", "roof")
    with pytest.raises(ConfigError, match="in car, tyre went and wheel came") as caught:
        settle(OLD, other, BY)
    assert "partlab vocabulary rename" in str(caught.value.hint)
    grown = add_parts(OLD, "car", ["mirror"])
    with pytest.raises(StateError, match="was not made from the work's version 2"):
        settle(grown, OLD, BY)
    with pytest.raises(StateError, match="was not made from"):
        settle(grown, remove_part(OLD, "car", "roof"), BY)


def test_an_inclusion_moves_nothing_drawn() -> None:
    new = include_part(OLD, "car", "tyre", "body")
    assert settle(OLD, new, BY) == new
    moves = moves_between(OLD, new, "car")
    assert (moves.merged, moves.to_draw) == ({}, "")


def test_what_lay_in_a_split_part_and_in_others_lies_there_as_it_was_drawn() -> None:
    """Masks drawn before the split overlap both doors, and nobody is to mend that (M-04)."""
    old = car("front", "back", "mirror", inclusions={"mirror": ["front", "back"]})
    new = split_part(old, "car", "front", ["pane", "frame"])
    new = include_part(new, "car", "mirror", "pane")
    moves = moves_between(old, new, "car")
    assert sorted(moves.parts.inclusions["mirror"]) == ["back", "front"]
    assert new.object("car").inclusions == {"mirror": ["back", "pane"]}
