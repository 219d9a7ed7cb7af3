"""What differs: by lineage within one history, by name between strangers, data sets included."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotate.vocabulary import ObjectParts, Part, Vocabulary, write_vocabulary
from annotate.vocabulary.diff import diff, follow, left_alone, open_vocabulary
from annotate.vocabulary.edit import (
    add_parts,
    include_part,
    merge_parts,
    remove_part,
    rename_part,
    split_part,
)
from partlab.coco import write_coco
from partlab.errors import NotFoundError, SchemaError, UnknownNameError
from partlab.schema import Category, Dataset

SEVEN = ("window", "wheel", "front", "left side", "right side", "back", "top side")


def one(name: str, *parts: str, **values: Any) -> Vocabulary:
    listed = tuple(Part(id=part, name=part) for part in parts)
    return Vocabulary(objects=(ObjectParts(name=name, parts=listed, **values),))


def test_the_car_against_partimagenets(tmp_path: Path) -> None:
    """V-09: seven parts against side mirror, body and tyre, which is a data set's vocabulary."""
    categories = [Category.new(i, "car", p) for i, p in enumerate(["side mirror", "body", "tyre"])]
    path = tmp_path / "partimagenet" / "annotations" / "train.json"
    write_coco(Dataset([], [], categories), path)
    found = diff(open_vocabulary(tmp_path / "partimagenet"), one("car", *SEVEN))
    (car,) = found.changed
    assert car.added == SEVEN
    assert car.removed == ("side mirror", "body", "tyre")
    assert (car.renamed, car.merged, car.split) == ((), (), ())
    back = diff(one("car", *SEVEN), open_vocabulary(path))
    assert back.changed[0].removed == SEVEN


def test_each_change_is_told_as_what_it_was() -> None:
    old = one(
        "ram", "head", "eye", "trunk", "foreleg", "hindleg", "tail", inclusions={"eye": "head"}
    )
    new = rename_part(old, "ram", "trunk", "body")
    new = merge_parts(new, "ram", ["foreleg", "hindleg"], "leg")
    new = split_part(new, "ram", "tail", ["root", "tip"])
    new = remove_part(new, "ram", "eye")
    new = add_parts(new, "ram", ["horn"])
    (ram,) = diff(old, new).changed
    assert ram.renamed == (("trunk", "body"),)
    assert ram.merged == ((("foreleg", "hindleg"), "leg"),)
    assert ram.split == (("tail", ("root", "tip")),)
    assert ram.removed == ("eye",)
    assert ram.added == ("horn",)
    assert ram.inclusions_removed == ("eye in head",)
    assert ram.inclusions_added == ()
    assert diff(new, new).changed == ()
    assert diff(new, new).same == 1


def test_chains_of_changes() -> None:
    old = one("car", "window", "windscreen", "body", "wing")
    new = merge_parts(old, "car", ["window", "windscreen"], "window")
    (car,) = diff(old, new).changed
    assert car.merged == ((("window", "windscreen"), "window"),)
    assert (car.renamed, car.added, car.removed, car.split) == ((), (), (), ())
    new = remove_part(split_part(new, "car", "body", ["door", "roof"]), "car", "roof")
    (car,) = diff(old, new).changed
    assert car.split == (("body", ("door",)),)
    again = add_parts(remove_part(old, "car", "wing"), "car", ["wing"])
    (car,) = diff(old, again).changed
    assert (car.added, car.removed) == (("wing",), ("wing",))
    gone = remove_part(rename_part(old, "car", "wing", "spoiler"), "car", "spoiler")
    assert diff(old, gone).changed[0].removed == ("wing",)


def test_edits_by_hand_are_seen_by_id_then_by_name() -> None:
    old = one("car", "tyre", "Side mirror", "body")
    parts = (Part(id="tyre", name="wheel"), Part(id="side mirrors", name="side mirrors"))
    (car,) = diff(old, Vocabulary(objects=(ObjectParts(name="car", parts=parts),))).changed
    assert car.renamed == (("tyre", "wheel"), ("Side mirror", "side mirrors"))
    assert car.removed == ("body",)
    assert car.added == ()


def test_objects_are_known_by_wnid_and_qid() -> None:
    old = Vocabulary(
        objects=(
            ObjectParts(name="ram", wnid="n02412080", parts=(Part(id="horn", name="horn"),)),
            ObjectParts(name="tup", qid="Q1", parts=(Part(id="head", name="head"),)),
            ObjectParts(name="Mountain bikes"),
            ObjectParts(name="lost"),
        )
    )
    new = Vocabulary(
        objects=(
            ObjectParts(name="new"),
            ObjectParts(name="mountain_bike"),
            ObjectParts(name="male sheep", qid="Q1", parts=(Part(id="head", name="head"),)),
            ObjectParts(name="tup, ram", wnid="n02412080", parts=(Part(id="h", name="horn"),)),
        )
    )
    found = diff(old, new)
    assert (found.added, found.removed) == (("new",), ("lost",))
    pairs = [(one.object_before, one.object) for one in found.changed]
    assert pairs == [
        ("Mountain bikes", "mountain_bike"),
        ("tup", "male sheep"),
        ("ram", "tup, ram"),
    ]
    assert not any(one.added or one.removed for one in found.changed)


def test_inclusions_in_the_new_names() -> None:
    old = one("ram", "eye", "head", inclusions={"eye": "head"})
    assert diff(old, rename_part(old, "ram", "head", "skull")).changed[0].as_json() == {
        "object": "ram",
        "renamed": (("head", "skull"),),
    }
    (ram,) = diff(one("ram", "eye", "head"), old).changed
    assert ram.inclusions_added == ("eye in head",)


def test_what_is_declared_inside_nothing_any_more() -> None:
    """M-04."""
    old = one("duck", "wing", "body", "eye", "head", inclusions={"wing": "body", "eye": "head"})
    split = split_part(
        rename_part(old, "duck", "wing", "pinion"), "duck", "body", ["torso", "neck"]
    )
    assert list(left_alone(old, split)) == [("duck", "pinion", "body")]
    assert list(left_alone(old, include_part(split, "duck", "pinion", "torso"))) == []
    assert list(left_alone(old, remove_part(old, "duck", "wing"))) == []
    assert list(left_alone(old, merge_parts(old, "duck", ["eye", "head"], "head"))) == []
    gone = remove_part(old, "duck", "head")
    assert list(left_alone(old, gone)) == [("duck", "eye", "head")]


def test_follow_leads_through_all_changes() -> None:
    new = one("o", "a", "b", "c")
    new = split_part(new, "o", "a", ["x", "y"])
    new = merge_parts(new, "o", ["y", "b"], "z")
    new = remove_part(new, "o", "c")
    assert follow(("a", "b", "c"), new.changes) == {"a": ("x", "z"), "b": ("z",), "c": ()}


def test_a_data_sets_vocabulary(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> None:
    make_dataset([("a.png", "cat", [("cat:ear", (1, 1, 3, 3))])])
    found = open_vocabulary(tmp_path / "human")
    assert found.names == ("cat", "car")
    assert found.object("cat").names == ("body", "head", "ear")
    assert found.object("cat").inclusions == {"ear": "head"}
    write_vocabulary(tmp_path / "vocabulary.yaml", found)
    assert diff(open_vocabulary(tmp_path / "vocabulary.yaml"), found).changed == ()
    whole = [Category.new(1, "worm", "worm", whole_object=True, wnid="n01")]
    write_coco(Dataset([], [], whole), tmp_path / "worms.json")
    worm = open_vocabulary(tmp_path / "worms.json").object("worm")
    assert (worm.whole_object, worm.wnid) == (True, "n01")


@pytest.mark.parametrize("stated", [True, False], ids=["part ids", "names only"])
def test_a_data_set_with_the_new_names_does_not_differ(tmp_path: Path, stated: bool) -> None:
    """An export after a rename states the ids; files of others have only the names."""
    new = rename_part(
        one("ram", "head", "horn", inclusions={"horn": "head"}), "ram", "horn", "Hörner"
    )
    ram = new.object("ram")
    categories = [
        Category.new(n, "ram", part.name, **({"part_id": part.id} if stated else {}))
        for n, part in enumerate(ram.parts, 1)
    ]
    exported = Dataset([], [], categories, inclusions=new.inclusions)
    path = write_coco(exported, tmp_path / "ds.json")
    assert diff(open_vocabulary(path), new).changed == ()
    assert diff(new, open_vocabulary(path)).changed == ()
    if stated:
        assert open_vocabulary(path).object("ram").inclusions == {"horn": "head"}
        (later,) = diff(open_vocabulary(path), rename_part(new, "ram", "Hörner", "antler")).changed
        assert later.as_json() == {"object": "ram", "renamed": (("Hörner", "antler"),)}


def test_part_ids_that_cannot_be_are_left_for_the_names(tmp_path: Path) -> None:
    ids = [("a", "x"), ("b", "x"), ("c", 3)]
    categories = [Category.new(n, "ram", name, part_id=id) for n, (name, id) in enumerate(ids, 1)]
    path = write_coco(Dataset([], [], categories), tmp_path / "ds.json")
    assert open_vocabulary(path).object("ram").ids == ("a", "b", "c")


def test_a_data_set_with_a_circle_or_a_part_without_a_name_is_told(tmp_path: Path) -> None:
    horned = [Category.new(1, "ram", "head"), Category.new(2, "ram", "horn")]
    path = write_coco(Dataset([], [], horned), tmp_path / "ram.json")
    raw = json.loads(path.read_text("utf-8"))
    raw.setdefault("partlab", {})["inclusions"] = {"ram": {"horn": "head", "head": "horn"}}
    path.write_text(json.dumps(raw), "utf-8")
    with pytest.raises(SchemaError, match="object 'ram': the inclusions go in a circle") as caught:
        open_vocabulary(path)
    assert str(path) in caught.value.message
    bare = write_coco(Dataset([], [], [Category.new(1, "ram", "")]), tmp_path / "bare.json")
    with pytest.raises(SchemaError, match="do not say which object they are a part of") as caught:
        open_vocabulary(bare)
    assert str(bare) in caught.value.message


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_vocabulary(tmp_path)
    with pytest.raises(NotFoundError):
        open_vocabulary(tmp_path / "none.yaml")


def test_a_thousand_objects_are_compared_at_once() -> None:
    parts = tuple(Part(id=str(n), name=f"part {n}") for n in range(5))
    many = [ObjectParts(name=f"object {n}", wnid=f"n{n}", parts=parts) for n in range(1000)]
    other = [one.model_copy(update={"name": f"thing {n}"}) for n, one in enumerate(many)][::-1]
    found = diff(Vocabulary(objects=tuple(many)), Vocabulary(objects=tuple(other)))
    assert len(found.changed) == 1000
    assert found.changed[0].object == "thing 999"
    assert found.changed[0].object_before == "object 999"


def test_an_unknown_split_is_told(tmp_path: Path, make_dataset: Callable[..., Dataset]) -> None:
    from annotate.vocabulary.diff import read_splits

    make_dataset([])
    assert len(read_splits(tmp_path / "human", "train")) == 1
    with pytest.raises(UnknownNameError, match=r"split of .* 'trian'"):
        read_splits(tmp_path / "human", "trian")
