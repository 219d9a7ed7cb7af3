"""What becomes of every part between two versions, and of the labels in results."""

from typing import Any

import pytest

from annotate.studio.acts.relabel import changes, relabel
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
from annotate.vocabulary.migrate import moves_between, settle
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
    moves = moves_between(OLD, new)["car"]
    assert moves.parts == {"window": "glass", "windscreen": "glass", "body": None, "roof": None}
    assert moves.labels == {
        "tyre": "wheel",
        "window": "glass",
        "windscreen": "glass",
        "body": None,
        "roof": None,
    }
    assert moves.split == {"body": "body is now side and front"}
    assert moves.removed == {"roof": "roof is no longer a part"}
    assert moves.added == ("mirror",)
    assert not moves.empty
    assert moves_between(new, new)["car"].empty


def test_chains_and_swaps() -> None:
    new = rename_part(OLD, "car", "tyre", "x")
    new = rename_part(new, "car", "roof", "tyre")
    new = rename_part(new, "car", "x", "roof")
    swapped = moves_between(OLD, new)["car"]
    assert swapped.labels["tyre"] == "roof"
    assert swapped.labels["roof"] == "tyre"
    assert swapped.parts == {}
    assert not swapped.empty
    piece = split_part(OLD, "car", "body", ["side", "front"])
    piece = merge_parts(piece, "car", ["front", "roof"], "shell")
    moves = moves_between(OLD, remove_part(piece, "car", "side"))["car"]
    assert moves.parts == {"body": None, "roof": "shell"}
    assert moves.added == ()


def test_an_id_that_stands_as_a_label_moves_too() -> None:
    """Label Studio may hold the id of a part that was given another name."""
    named = rename_part(OLD, "car", "tyre", "wheel")
    new = rename_part(named, "car", "wheel", "rim")
    assert moves_between(named, new)["car"].labels == {
        "tyre": "rim",
        "wheel": "rim",
        **{name: name for name in ("window", "windscreen", "body", "roof")},
    }
    taken = rename_part(named, "car", "roof", "tyre")  # now the name of another part
    assert moves_between(taken, rename_part(taken, "car", "wheel", "rim"))["car"].labels == {
        "tyre": "tyre",
        "wheel": "rim",
        **{name: name for name in ("window", "windscreen", "body")},
    }


def test_settling_records_what_was_done_by_hand() -> None:
    (parts,) = OLD.objects
    renamed = (Part(id="tyre", name="wheel"), *parts.parts[1:])
    new = settle(OLD, OLD.replaced([parts.model_copy(update={"parts": renamed})]), BY)
    assert new.version == 2
    (change,) = new.changes
    assert (change.operation, change.before, change.version) == ("rename", ("tyre",), 2)
    assert moves_between(OLD, new)["car"].labels["tyre"] == "wheel"
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


def region(id: str, label: str, control: str = "brush") -> dict[str, Any]:
    key = f"{control}labels"
    return {"id": id, "from_name": control, "type": key, "value": {"rle": [1], key: [label]}}


def test_labels_change_and_everything_else_stays() -> None:
    number = {"id": "b", "from_name": "object", "type": "number", "value": {"number": 2}}
    gone = {"id": "c", "from_name": "object", "type": "number", "value": {"number": 2}}
    relation = {"type": "relation", "from_id": "a", "to_id": "c", "direction": "right"}
    kept = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    discard = {"id": "d", "from_name": "discard", "type": "choices", "value": {"choices": ["roof"]}}
    result = [
        region("a", "tyre"),
        region("b", "window", "polygon"),
        number,
        region("c", "roof"),
        gone,
        relation,
        kept,
        discard,
        "rubbish",
    ]
    made = relabel(result, {"tyre": "wheel", "roof": None, "window": "window"})
    assert made.result == [
        region("a", "wheel"),
        region("b", "window", "polygon"),
        number,
        kept,
        discard,
        "rubbish",
    ]
    assert (made.renamed, made.dropped) == (1, 1)
    assert result[0] == region("a", "tyre")


def test_a_swap_is_one_step_and_two_shapes_of_one_region_count_once() -> None:
    pair = [
        {"id": "a", "type": "brush", "value": {"rle": [1]}},
        {"id": "a", "type": "labels", "value": {"rle": [1], "labels": ["head"]}},
        region("b", "tail"),
    ]
    made = relabel(pair, {"head": "tail", "tail": "head"})
    assert [r["value"].get("labels", r["value"].get("brushlabels")) for r in made.result] == [
        None,
        ["tail"],
        ["head"],
    ]
    assert made.renamed == 2
    assert relabel(pair, {"head": None}).result == [region("b", "tail")]
    assert relabel("broken", {"a": "b"}).result == "broken"


def test_what_came_since_keeps_labels_that_are_still_there() -> None:
    """Two names change places: only what was there before can mean the old ones."""
    labels = {"head": "tail", "tail": "head", "ear": None}

    def one(id: int, *names: str) -> dict[str, Any]:
        return {"id": id, "result": [region(name, name) for name in names]}

    base = {"id": 7, "annotations": [one(1, "head", "ear"), one(2, "head")]}
    now = {**base, "annotations": [one(1, "head", "ear"), one(2, "head", "ear"), one(3, "tail")]}
    found = {
        one["id"]: [item["value"]["brushlabels"] for item in made.result]
        for _, one, made in changes(now, base, labels, ["head", "tail"])
    }
    assert found == {1: [["tail"]], 2: [["head"]]}  # as it was; changed since; 3 is new


def test_an_inclusion_moves_nothing_drawn() -> None:
    new = include_part(OLD, "car", "tyre", "body")
    assert settle(OLD, new, BY) == new
    assert moves_between(OLD, new)["car"].empty
